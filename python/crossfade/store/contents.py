"""What a new segment is made of: a tail, the segments it takes in, and the graph that need not be built again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crossfade.catalog import Connection, documents, files, versions
from crossfade.errors import DamagedFile
from crossfade.index import Base, FileExtent, SegmentInfo, VectorFile
from crossfade.space import Space

MOST_SEGMENTS = 4  # every segment costs a search of its own
# Smaller ones are taken in: what they have is written anew, but only the rows of the others are put into a graph again.
MUCH_LARGER = 4
# A graph is added to while no more of its rows are dead; then it is built anew of those that are alive.
MOST_DEAD = 1 / 8

Keys: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = npt.NDArray[np.float16]


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the catalog said when a segment was to be built.

    A segment holds the rows of its ranges, without those that were dead at its `seq`. One that is added to keeps that
    number, so that it is known which rows stand in its graph: rows that died later do too.

    Args:
        space: The version's.
        rows_of: The version's vector files.
        segments: Its segments.
        tail: The rows that no segment holds.
        merged: The segments to take in.
        ranges: The rows of each of them.
        seq: The last commit that is known of.
        dead: Keys that had died by then.
        known_dead: Those of them that had when the largest of the merged segments was built.
    """

    space: Space
    rows_of: Sequence[files.FileRow]
    segments: Sequence[files.SegmentRow]
    tail: Sequence[files.Range]
    merged: Sequence[files.SegmentRow]
    ranges: Sequence[Sequence[files.Range]]
    seq: int
    dead: npt.NDArray[np.int64]
    known_dead: npt.NDArray[np.int64]

    @classmethod
    def read(cls, connection: Connection, state: versions.State, version: int) -> Contents:
        mine = [file for file in files.all_files(connection) if file.version == version]
        segments = [segment for segment in files.all_segments(connection) if segment.version == version]
        tail = [files.Range(file.number, file.sealed_rows, file.rows) for file in mine]
        merged = to_merge(segments, sum(part.stop - part.start for part in tail))
        dead = documents.tombstones(connection, -1)
        later = documents.tombstones(connection, merged[0].seq) if merged else dead
        return cls(
            state.versions[version].space,
            mine,
            segments,
            tail,
            merged,
            [files.ranges(connection, [segment.name]) for segment in merged],
            state.seq,
            dead,
            np.setdiff1d(dead, later),
        )

    def take(self, folder: Path) -> tuple[Keys, Rows, Base | None, int]:
        """Keys, rows, the segment to add to if any, and the `seq` of what is to be built.

        Raises:
            DamagedFile: A file's rows are not what was once written.
        """
        parts = [self._of(folder, ranges) for ranges in (*self.ranges, self.tail)]
        keys, first = np.unique(np.concatenate([keys for keys, _ in parts]), return_index=True)
        rows = np.concatenate([rows for _, rows in parts])
        if self.merged:
            base, held = self.merged[0], np.setdiff1d(parts[0][0], self.known_dead.astype(np.uint64))
            dead = np.isin(held, self.dead.astype(np.uint64)).sum()
            # One of an earlier format is built anew, in the form and with the expansion that suit it.
            if base.seq >= 0 and len(held) == base.rows and dead <= MOST_DEAD * len(held):
                kept = ~np.isin(keys, self.known_dead.astype(np.uint64))
                return keys[kept], rows[first[kept]], Base(info_of(base), held), base.seq
        kept = ~np.isin(keys, self.dead.astype(np.uint64))
        return keys[kept], rows[first[kept]], None, self.seq

    def _of(self, folder: Path, wanted: Sequence[files.Range]) -> tuple[Keys, Rows]:
        """What stands in those ranges."""
        keys, rows = [np.empty(0, np.uint64)], [np.empty((0, self.space.dim), np.float16)]
        for file in self.rows_of:
            mine = [part for part in wanted if part.file == file.number and part.stop > part.start]
            if not mine:
                continue
            reader = VectorFile.map(folder, file.id, self.space.dim, self.space.fingerprint)
            file_keys = reader.refresh(FileExtent(file.rows, file.block_bytes)).keys
            keys += [file_keys[part.start : part.stop] for part in mine]
            of_file = [reader.rows()[part.start : part.stop] for part in mine]
            rows += of_file
            if not all(np.isfinite(part).all() for part in of_file):
                raise DamagedFile(
                    f"vectors of {file.id} in {folder} are not finite; crossfade doctor says what is left"
                )
        return np.concatenate(keys), np.concatenate(rows)


def info_of(segment: files.SegmentRow) -> SegmentInfo:
    """What the index room needs to know of a segment."""
    return SegmentInfo(segment.name, segment.rows, segment.size, segment.checksum, segment.expansion, segment.scale)


def to_merge(segments: Sequence[files.SegmentRow], rows: int) -> list[files.SegmentRow]:
    """Which segments a new one of `rows` rows takes in, largest first: those not much larger, more where too many."""
    merged: list[files.SegmentRow] = []
    left = len(segments) + 1
    for segment in sorted(segments, key=lambda segment: segment.rows):
        if segment.rows <= MUCH_LARGER * rows or left > MOST_SEGMENTS:
            merged.insert(0, segment)
            rows += segment.rows
            left -= 1
    return merged
