"""Facts: what the catalog says at one moment, which the files are then compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from crossfade.catalog import files as file_rows
from crossfade.catalog import health, versions
from crossfade.catalog import tasks as task_rows
from crossfade.index import FileExtent, FilePair
from crossfade.store import Store

MEGABYTE = 1_000_000


@dataclasses.dataclass(frozen=True)
class Facts:
    """What one read transaction says.

    Args:
        state: Versions, their roles, the migration.
        keys: Of the current revisions, uint64 `(n,)`, ascending.
        hashes: Of their texts, uint8 `(n, 16)`.
        files: The vector files.
        segments: The segments.
        ranges: The rows each segment was built from, by its name.
        tasks: Keys of the documents each version has tasks for, ascending.
        failures: What was given up, by version.
        dead_leases: Leases that nobody holds any more, by version.
    """

    state: versions.State
    keys: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint8]
    files: Sequence[file_rows.FileRow]
    segments: Sequence[file_rows.SegmentRow]
    ranges: Mapping[str, Sequence[file_rows.Range]]
    tasks: Mapping[int, npt.NDArray[np.uint64]]
    failures: Mapping[int, Sequence[task_rows.Failure]]
    dead_leases: Mapping[int, Sequence[str]]

    @classmethod
    def read(cls, store: Store) -> Facts:
        with store.reading() as connection:
            state = versions.read(connection)
            keys, hashes = health.revisions(connection)
            segments = file_rows.all_segments(connection)
            return cls(
                state,
                keys,
                hashes,
                file_rows.all_files(connection),
                segments,
                {segment.name: file_rows.ranges(connection, [segment.name]) for segment in segments},
                {number: health.task_keys(connection, number) for number in state.versions},
                {number: task_rows.failures(connection, [number]) for number in state.versions},
                {number: store.dead_leases(connection, number) for number in state.versions},
            )

    def files_of(self, version: int) -> list[file_rows.FileRow]:
        return [file for file in self.files if file.version == version]

    def segments_of(self, version: int) -> list[file_rows.SegmentRow]:
        return [segment for segment in self.segments if segment.version == version]

    @property
    def size(self) -> int:
        """Bytes that a whole examination reads."""
        strides = {number: version.space.dim * 2 for number, version in self.state.versions.items()}
        rows = sum(file.rows * strides.get(file.version, 0) for file in self.files)
        return rows + sum(segment.size for segment in self.segments)


class Meter:
    """Tells how many megabytes of how many were read."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def advance(self, size: int) -> None:
        self._done += size
        if self._progress:
            self._progress(self._done // MEGABYTE, max(self._total // MEGABYTE, 1))


@dataclasses.dataclass(frozen=True)
class Case:
    """What a check is given: the store, what its catalog says, and where to tell how far it is."""

    store: Store
    facts: Facts
    meter: Meter

    def pair(self, file: file_rows.FileRow) -> FilePair:
        return pair_of(self.store, self.facts.state.versions[file.version], file)


def pair_of(store: Store, version: versions.Version, file: file_rows.FileRow) -> FilePair:
    """The two files of a vector file."""
    return FilePair(store.layout.version(version.id), file.id, version.space.dim, version.space.fingerprint)


def extent_of(file: file_rows.FileRow) -> FileExtent:
    """How much of a vector file is committed."""
    return FileExtent(file.rows, file.block_bytes)
