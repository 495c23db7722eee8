"""Writers: this process's vector files, one per version, and how rows get into them."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence

import numpy as np
import numpy.typing as npt

from crossfade.catalog import Connection, files, versions
from crossfade.errors import StorageFailed
from crossfade.index import FileExtent, VectorWriter

from .layout import Layout


class Writers:
    """Appends rows to vector files that this process owns. Not thread-safe: callers hold a write transaction.

    Each process owns its files by a lock that the system releases when the process dies, so a file left behind by a
    killed process is taken over; what it had not committed is cut off.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: dict[int, VectorWriter] = {}
        self._failed: set[str] = set()
        self._retired: list[VectorWriter] = []

    def append(
        self,
        connection: Connection,
        version: versions.Version,
        keys: Sequence[int],
        text_hashes: Sequence[bytes],
        rows: npt.NDArray[np.float32],
    ) -> None:
        """Appends rows, `(len(keys), dim)` float32, and publishes the new length in the caller's transaction.

        Raises:
            StorageFailed: The file could not be written. It is left alone from then on (what an fsync that failed
                has done to it can't be known), and the next rows go to a new one.
        """
        writer, file = self._writer(connection, version)
        committed = FileExtent(file.rows, file.block_bytes)
        hashes = np.frombuffer(b"".join(text_hashes), np.uint8).reshape(len(keys), -1)
        try:
            if writer.extent != committed:
                writer.rewind(committed)
            extent = writer.append(np.asarray(keys, np.uint64), hashes, rows, time.time())
        except BaseException as error:  # of an interruption too: the file is cut when it is opened again
            if isinstance(error, StorageFailed):
                self._failed.add(file.id)
            self.forget(version.id)
            raise
        files.extend(connection, file.number, extent.rows, extent.block_bytes)

    def owner(self, connection: Connection, version: versions.Version) -> str:
        """The id of this process's file for a version: who it is when it leases tasks."""
        return self._writer(connection, version)[1].id

    def owns(self, file_id: str) -> bool:
        """Whether this process writes that file."""
        return any(writer.file_id == file_id for writer in self._open.values())

    def close(self) -> None:
        """Gives up every file."""
        while self._open:
            self._open.popitem()[1].close()
        while self._retired:
            self._retired.pop().close()

    def retire(self) -> None:
        """Writes no more to the present files: their rows were in a commit that failed.

        The catalog's log may hold such a commit in full and bring it back after a crash, so the rows must stay. The
        files stay locked until `close`: nobody else may cut them off either.
        """
        while self._open:
            writer = self._open.popitem()[1]
            self._failed.add(writer.file_id)
            self._retired.append(writer)

    def keep(self, versions: Container[int]) -> None:
        """Gives up the files of all other versions."""
        for version in [version for version in self._open if version not in versions]:
            self.forget(version)

    def forget(self, version: int) -> None:
        """Gives up the file of a version that is dropped."""
        if version in self._open:
            self._open.pop(version).close()

    def _writer(self, connection: Connection, version: versions.Version) -> tuple[VectorWriter, files.FileRow]:
        known = {file.id: file for file in files.all_files(connection) if file.version == version.id}
        writer = self._open.get(version.id)
        if writer is not None and writer.extent.rows and writer.file_id not in known:
            # The transaction that added its row failed, or a repair has moved its rows and others may still map them.
            self.forget(version.id)
            writer = None
        if writer is None:
            writer = self._take_over(version, known) or self._start(version)
            self._open[version.id] = writer
        # An empty file that was started in a transaction that failed has no row yet.
        return writer, known.get(writer.file_id) or files.add_file(connection, version.id, writer.file_id)

    def _take_over(self, version: versions.Version, known: dict[str, files.FileRow]) -> VectorWriter | None:
        for file in known.values():
            if file.id not in self._failed:
                writer = self._try_open(version, file.id, FileExtent(file.rows, file.block_bytes))
                if writer:
                    return writer
        return None

    def _start(self, version: versions.Version) -> VectorWriter:
        space = version.space
        return VectorWriter.create(self._layout.version(version.id), space.dim, space.fingerprint)

    def _try_open(self, version: versions.Version, file_id: str, committed: FileExtent) -> VectorWriter | None:
        space = version.space
        folder = self._layout.version(version.id)
        # Callers hold the write transaction, so nobody can have published a longer extent since it was read.
        return VectorWriter.try_open(folder, file_id, space.dim, space.fingerprint, lambda: committed)
