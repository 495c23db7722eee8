"""Backup: a consistent copy of a collection's folder, made while it is searched and written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossfade._values import checked_folder
from crossfade.catalog import Connection, files, health, versions
from crossfade.errors import CollectionExists, CrossfadeError, DamagedFile, InvalidInput, StorageFailed
from crossfade.index import FileExtent, FilePair, copy_segment, copy_vectors
from crossfade.search.calibration import Calibration
from crossfade.search.fade import Fade
from crossfade.store import Layout, Store, info_of, sync_folder

MOST_TRIES = 3
MEGABYTE = 1_000_000


@dataclasses.dataclass(frozen=True)
class Backup:
    """A copy that was made; it is opened like any collection.

    Args:
        path: Its folder.
        documents: How many it holds.
        size: Bytes of vectors and segments that were copied.
        left_out: Segments, Bridges and calibrations that were damaged or replaced meanwhile; they are built or learned
            again.
    """

    path: str
    documents: int
    size: int
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


class _Changed(Exception):
    """The versions or their files were changed while they were copied."""


def backup(store: Store, destination: str | Path, progress: Callable[[int, int], None] | None = None) -> Backup:
    """Copies what is committed at one moment; everything is compared with its checksums before it gets its name.

    Args:
        store: What to copy; others may go on writing to it.
        destination: A folder that does not exist yet, outside the collection's.
        progress: Called with (megabytes copied, megabytes to copy).

    Raises:
        CollectionExists: Something is at the destination already.
        InvalidInput: The destination can't be a path, or lies in the collection.
        DamagedFile: A vector file or the catalog is damaged: the copy would be, too.
        StorageFailed: The copy can't be written.
    """
    target = checked_folder(destination)
    if target.exists():
        raise CollectionExists(f"{target} exists already; name a folder that does not")
    if target.resolve().is_relative_to(store.root.resolve()):
        raise InvalidInput(f"{target} lies inside the collection it would be a copy of; name a folder elsewhere")
    for tries_left in reversed(range(MOST_TRIES)):
        draft = Layout(target).draft()
        try:
            return _copy_to(store, draft, target, progress)
        except _Changed as change:
            if not tries_left:
                raise DamagedFile(str(change.__cause__)) from change
        except OSError as error:
            raise StorageFailed(f"{target} could not be made: {error}; nothing is left of it") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    raise AssertionError("the last try returns or raises")


def _copy_to(store: Store, draft: Path, target: Path, progress: Callable[[int, int], None] | None) -> Backup:
    draft.mkdir(parents=True)
    store.database.copy(Layout(draft).catalog)
    with contextlib.closing(Store(draft)) as copy:
        try:
            made = _Copying(store, copy, progress).run()
        except DamagedFile as error:
            with store.reading() as connection:
                now = versions.epoch(connection)
            with copy.reading() as connection:
                if now != versions.epoch(connection):  # pruned or repaired meanwhile
                    raise _Changed from error
            raise
    _sync(draft)
    draft.rename(target)
    sync_folder(target.parent)
    return dataclasses.replace(made, path=str(target))


class _Copying:
    """One attempt: the copied catalog says what to copy, and forgets what can't be."""

    def __init__(self, store: Store, copy: Store, progress: Callable[[int, int], None] | None) -> None:
        self._store = store
        self._copy = copy
        self._progress = progress
        self._done = 0
        self._total = 0
        self._left_out: list[str] = []

    def run(self) -> Backup:
        with self._copy.writing() as connection:
            broken = health.integrity(connection)
            if broken:
                raise DamagedFile(f"{self._store.layout.catalog}: {broken[0]}; restore it from an earlier backup")
            files.forget_verified(connection)
            health.forget_leases(connection)
            state = versions.read(connection)
            self._prepare(state, connection)
            for file in files.all_files(connection):
                self._vectors(state.versions[file.version], file)
            for segment in files.all_segments(connection):
                self._segment(connection, segment)
            if state.migration and state.migration.bridge:
                self._bridge(connection, state.migration)
            for version in state.versions.values():
                self._calibration(version)
            versions.note(connection, "copied", {"left out": self._left_out})
        return Backup("", state.documents, self._done, tuple(self._left_out))

    def _prepare(self, state: versions.State, connection: Connection) -> None:
        """Makes the folders, and sees to it that there is room."""
        for version in state.versions.values():
            self._copy.prepare_version(version.id, version.space)
        strides = {number: version.space.dim * 2 for number, version in state.versions.items()}
        vectors = sum(file.rows * strides[file.version] + file.block_bytes for file in files.all_files(connection))
        self._total = vectors + sum(segment.size for segment in files.all_segments(connection))
        free = shutil.disk_usage(self._copy.root).free
        if free < self._total:
            raise StorageFailed(
                f"the copy takes {self._total:,} bytes, {free:,} are free; free space, or copy elsewhere"
            )

    def _vectors(self, version: versions.Version, file: files.FileRow) -> None:
        folder, space = self._store.layout.version(version.id), version.space
        pair = FilePair(folder, file.id, space.dim, space.fingerprint)
        destination = self._copy.layout.version(version.id)
        copy_vectors(pair, FileExtent(file.rows, file.block_bytes), destination, self._advance)

    def _segment(self, connection: Connection, segment: files.SegmentRow) -> None:
        info = info_of(segment)
        source, copy = (store.layout.version(segment.version) for store in (self._store, self._copy))
        try:
            copy_segment(source, info, copy, self._advance)
        except DamagedFile:  # a view of vectors that are copied: it is built again
            files.drop_segment(connection, segment.name)
            self._left_out.append(segment.name)

    def _bridge(self, connection: Connection, migration: versions.MigrationRow) -> None:
        source, copy = (
            store.layout.bridges(migration.source, migration.target) / str(migration.bridge)
            for store in (self._store, self._copy)
        )
        try:
            Fade.load(source).save(copy)
        except StorageFailed:
            raise
        except CrossfadeError:
            versions.set_bridge(connection, migration.id, None)
            self._left_out.append(str(migration.bridge))

    def _calibration(self, version: versions.Version) -> None:
        source, copy = (store.layout.version(version.id) for store in (self._store, self._copy))
        try:
            found = Calibration.load(source, version.space)
            if found:
                found.save(copy)
        except StorageFailed:
            raise
        except CrossfadeError:
            self._left_out.append(f"calibration of version {version.id}")

    def _advance(self, size: int) -> None:
        self._done += size
        if self._progress:
            self._progress(self._done // MEGABYTE, max(self._total // MEGABYTE, 1))


def _sync(folder: Path) -> None:
    """Makes every file and name below a folder durable. Nobody has its catalog open: closing it would drop locks."""
    for path in [folder, *folder.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
