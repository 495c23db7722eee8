"""Readers: the catalog's newest commit as a snapshot, updated by what is new since the last one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossfade._memory import give_back
from crossfade.catalog import Connection, Database, documents, files, versions
from crossfade.errors import CollectionBusy, DamagedFile, StorageFailed
from crossfade.index import (
    FileExtent,
    Locations,
    OpenSegment,
    RowRange,
    VectorFile,
    VersionIndex,
)
from crossfade.index.files import storage
from crossfade.space import Space

from .contents import info_of
from .layout import Layout
from .snapshot import Snapshot, grown

_KEYS_AT_ONCE = 65_536
PATIENCE = 0.5  # seconds that a search waits for writers, to note what can be found out again


class Origin(NamedTuple):
    """When a vector was made (Unix seconds), and the 16-byte hash of the text it was made from."""

    embedded_at: float
    text_hash: bytes


class Readers:
    """Gives snapshots. A change by any process is seen at the next call, for the price of a pragma."""

    def __init__(self, layout: Layout, database: Database) -> None:
        self._layout = layout
        self._database = database
        self._lock = threading.Lock()
        # One value, so that it is read and replaced whole: a snapshot and the catalog's numbers it was taken at.
        self._latest: tuple[tuple[int, int], Snapshot] | None = None
        self._shown = ""
        self._versions: dict[int, _VersionReader] = {}

    def snapshot(self) -> Snapshot:
        """What is committed now."""
        latest = self._latest
        if latest is not None and self._database.data_version() == latest[0]:
            return latest[1]
        with self._lock:
            # Read before the state: a commit in between makes the next call look again, never miss it.
            seen = self._database.data_version()
            if self._latest is None or seen != self._latest[0]:
                self._latest = seen, self._newest(self._latest[1] if self._latest else None)
            return self._latest[1]

    def origins(self, key: int) -> dict[int, Origin]:
        """By version, how the vector of a revision came to be; versions without one are left out."""
        self.snapshot()
        with self._lock:
            found = {number: reader.origin(key) for number, reader in self._versions.items()}
        return {number: origin for number, origin in found.items() if origin}

    def close(self) -> None:
        with self._lock:
            self._latest = None
            while self._versions:
                self._versions.popitem()[1].close()

    def _newest(self, last: Snapshot | None) -> Snapshot:
        while True:
            before = self._epoch()
            try:
                return self._refresh(last)
            except DamagedFile:
                # A version that was dropped since the catalog was read has taken its files along.
                if self._epoch() == before:
                    raise

    def _epoch(self) -> int:
        with self._database.reading() as connection:
            return versions.epoch(connection)

    def _refresh(self, last: Snapshot | None) -> Snapshot:
        with self._database.reading() as connection:
            shown = versions.shown(connection)
            if last is not None and shown == self._shown:
                return last
            state = versions.read(connection)
            for gone in set(self._versions) - set(state.versions):
                del self._versions[gone]  # searches under way keep their indices
            all_files, all_segments = files.all_files(connection), files.all_segments(connection)
            indices = {
                number: self._version(number, version.space).index(
                    connection,
                    [file for file in all_files if file.version == number],
                    [segment for segment in all_segments if segment.version == number],
                )
                for number, version in state.versions.items()
            }
            dead = self._dead(connection, last)
        if sum(reader.take_rows_read() for reader in self._versions.values()) >= _KEYS_AT_ONCE:
            give_back()
        self._drop_lost()
        self._shown = shown
        return Snapshot(state, dead, indices)

    def _drop_lost(self) -> None:
        """Takes damaged segments out of the catalog, so that they are built again."""
        for reader in self._versions.values():
            while reader.lost and not self._database.read_only:
                name = reader.lost.pop()
                with _where_possible(), self._database.writing(PATIENCE) as connection:
                    files.drop_segment(connection, name)
                    versions.note(connection, "segment lost", {"name": name})

    def _version(self, number: int, space: Space) -> _VersionReader:
        if number not in self._versions:
            verified = CatalogVerified(self._database)
            self._versions[number] = _VersionReader(self._layout.version(number), space, verified)
        return self._versions[number]

    @staticmethod
    def _dead(connection: Connection, last: Snapshot | None) -> npt.NDArray[np.bool_]:
        known = last.dead if last else np.zeros(0, np.bool_)
        dead = grown(known, documents.largest_key(connection) + 1)
        newly = documents.tombstones(connection, last.state.seq if last else -1)
        if len(newly):
            dead = dead.copy() if dead is known else dead  # earlier snapshots keep theirs
            dead[newly] = True
        return dead


class _VersionReader:
    """What was read of one version so far."""

    def __init__(self, folder: Path, space: Space, verified: CatalogVerified) -> None:
        self._folder = folder
        self._space = space
        self._verified = verified
        self._locations = Locations()
        self._files: dict[int, VectorFile] = {}
        self._segments: dict[str, OpenSegment] = {}
        self.lost: set[str] = set()
        self._rows_read = 0

    def take_rows_read(self) -> int:
        """How many rows were read since the last call, of files or of segments."""
        rows, self._rows_read = self._rows_read, 0
        return rows

    def index(
        self, connection: Connection, rows: Sequence[files.FileRow], segments: Sequence[files.SegmentRow]
    ) -> VersionIndex:
        """The version as those rows of the catalog describe it."""
        for gone in set(self._files) - {row.number for row in rows}:
            del self._files[gone]  # a repair has moved its rows; searches under way keep theirs
        for row in rows:
            self._read(row)
        tail = [RowRange(row.number, row.sealed_rows, row.rows) for row in rows if row.rows > row.sealed_rows]
        for name in set(self._segments) - {segment.name for segment in segments}:
            del self._segments[name]  # searches under way keep theirs
        for segment in segments:
            if not self._open(segment):
                # A segment is only a view of rows that are still there: they are scanned until it is built again.
                lost = files.ranges(connection, [segment.name])
                tail += [RowRange(part.file, part.start, part.stop) for part in lost]
        mapped = {row.number: self._files[row.number].rows() for row in rows}
        return VersionIndex(self._space.dim, self._locations, mapped, list(self._segments.values()), tail)

    def origin(self, key: int) -> Origin | None:
        """How the vector of a key came to be, read from its file's journal."""
        numbers, rows = self._locations.find(np.array([key], np.uint64))
        file, row = self._files.get(int(numbers[0])), int(rows[0])
        for block in file.blocks() if file else ():
            if block.first_row <= row < block.first_row + len(block.keys):
                return Origin(block.embedded_at, block.text_hashes[row - block.first_row].tobytes())
        return None

    def close(self) -> None:
        for opened in self._segments.values():
            opened.close()

    def _read(self, row: files.FileRow) -> None:
        extent = FileExtent(row.rows, row.block_bytes)
        file = self._files.get(row.number)
        if file is None:
            file = VectorFile.map(self._folder, row.id, self._space.dim, self._space.fingerprint)
            new = file.refresh(extent)
            self._check(row, file)
            self._files[row.number] = file
        elif extent == file.extent:
            self._locations.settle(row.number, row.sealed_rows)
            return
        else:
            new = file.refresh(extent)
        self._rows_read += len(new.keys)
        for start in range(0, len(new.keys), _KEYS_AT_ONCE):
            keys = new.keys[start : start + _KEYS_AT_ONCE]
            self._locations.add(row.number, keys, new.first_row + start)
            self._locations.settle(row.number, row.sealed_rows)

    def _check(self, row: files.FileRow, file: VectorFile) -> None:
        path = self._folder / f"{row.id}.rows"
        with storage("look at", path):
            status = path.stat()
        same = f"{path.name}:{status.st_ino}"
        identity = f"{same}:{row.rows}:{status.st_mtime_ns}"
        if not row.rows or self._verified.is_verified(identity):
            return
        # Files only grow: where rows were added since, those before them need not be compared again.
        earlier = [int(known.split(":")[2]) for known in self._verified.beginning(same)]
        file.verify(max((rows for rows in earlier if max(earlier) < row.rows), default=0))
        self._verified.remember(identity, instead_of=same)

    def _open(self, segment: files.SegmentRow) -> bool:
        if segment.name in self._segments:
            return True
        if segment.name in self.lost:
            return False
        info = info_of(segment)
        try:
            opened = OpenSegment(self._folder, info, self._space.dim, verified=self._verified)
        except DamagedFile:
            self.lost.add(segment.name)
            return False
        self._segments[segment.name] = opened
        self._rows_read += segment.rows
        return True


class CatalogVerified:
    """Remembers in the catalog which files were compared with their checksums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_verified(self, identity: str) -> bool:
        with _where_possible(), self._database.reading() as connection:
            return files.is_verified(connection, identity)
        return False

    def beginning(self, start: str) -> list[str]:
        """The identities that begin so, up to a colon."""
        with self._database.reading() as connection:
            return files.verified(connection, start)

    def remember(self, identity: str, instead_of: str | None = None) -> None:
        if not self._database.read_only:
            with _where_possible(), self._database.writing(PATIENCE) as connection:
                if instead_of:
                    files.forget_verified(connection, instead_of)
                files.remember_verified(connection, identity)


def _where_possible() -> contextlib.suppress:
    """A catalog that fails here is no reason to distrust a file: what is lost is only that it is found out again."""
    return contextlib.suppress(CollectionBusy, DamagedFile, StorageFailed)
