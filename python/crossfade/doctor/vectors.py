"""Vectors: every block of every vector file, and which documents they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from crossfade.catalog import files, versions
from crossfade.index import NO_KEY, Scan, scan

from .facts import Case, extent_of
from .finding import REPAIR, Finding

_REWRITE = f"{REPAIR} keeps the sound vectors and queues the other documents for embedding"


@dataclasses.dataclass(frozen=True)
class Standing:
    """The sound rows of one vector file.

    Args:
        file: The file.
        keys: By row, uint64 `(rows,)`; 2⁶⁴−1 where the row is not sound.
        hashes: By row, of the text it was made from, uint8 `(rows, 16)`.
    """

    file: files.FileRow
    keys: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, file: files.FileRow, found: Scan) -> Standing:
        keys = np.full(file.rows, NO_KEY, np.uint64)
        hashes = np.zeros((file.rows, 16), np.uint8)
        for block in found.blocks:
            rows = slice(block.first_row, block.first_row + len(block.keys))
            if rows.stop <= file.rows:
                keys[rows], hashes[rows] = block.keys, block.text_hashes
        return cls(file, keys, hashes)


def check(case: Case) -> Iterator[Finding]:
    """What is wrong with the vectors of every version that is kept."""
    for version in case.facts.state.versions.values():
        standing = []
        for file in case.facts.files_of(version.id):
            pair = case.pair(file)
            found = scan(pair.folder, pair.file_id, pair.dim, pair.fingerprint, extent_of(file), case.meter.advance)
            standing.append(Standing.of(file, found))
            if found.damage:
                yield _damaged(case, file, found)
        where = str(case.store.layout.version(version.id))
        yield from _compare(case, version, standing, where)
        rows = sum(len(part.keys) for part in standing)
        what = f"version {version.id}: {rows:,} vectors in {len(standing)} files looked through"
        yield Finding(severity="ok", kind="vectors", what=what, where=where)


def _damaged(case: Case, file: files.FileRow, found: Scan) -> Finding:
    sound = sum(len(block.keys) for block in found.blocks)
    more = f" and {len(found.damage) - 1} more" if len(found.damage) > 1 else ""
    return Finding(
        severity="damage",
        kind="vectors",
        what=f"{file.rows - sound:,} of {file.rows:,} vectors are damaged: {found.damage[0]}{more}",
        where=str(case.pair(file).rows),
        remedy=_REWRITE,
        version=file.version,
        name=file.id,
    )


def _compare(case: Case, version: versions.Version, standing: Sequence[Standing], where: str) -> Iterator[Finding]:
    """The invariants: each document has one vector, of its present text, or one task; and searches get to it."""
    facts, number = case.facts, version.id
    seen = np.zeros(len(facts.keys), np.int64)
    for part in standing:
        place, current = _places(facts.keys, part.keys)
        same = current.copy()
        same[current] = (part.hashes[current] == facts.hashes[place[current]]).all(axis=1)
        if (current & ~same).any():
            what = f"{(current & ~same).sum():,} vectors are of another text than their documents have"
            yield _of_file(case, part.file, what)
        np.add.at(seen, place[same], 1)
        if (seen[place[same]] > 1).any():
            yield _of_file(case, part.file, "some documents have a second vector here")
        yield from _unreached(case, part, current)
    waiting = np.isin(facts.keys, facts.tasks[number])
    for wrong, what in (
        ((seen == 0) & ~waiting, "documents have neither a vector nor a task, and are not found"),
        ((seen > 0) & waiting, "documents have a task though they have a vector"),
    ):
        if wrong.any():
            what = f"version {number}: {wrong.sum():,} {what}"
            yield Finding(severity="problem", kind="vectors", what=what, where=where, remedy=REPAIR, version=number)


def _places(
    current: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Where each of `keys` stands among the ascending current ones, and whether it does."""
    place = np.searchsorted(current, keys)
    inside = place < len(current)
    found = inside.copy()
    found[inside] = current[place[inside]] == keys[inside]
    return place, found


def _of_file(case: Case, file: files.FileRow, what: str) -> Finding:
    where = str(case.pair(file).blocks)
    return Finding(
        severity="problem",
        kind="vectors",
        what=what,
        where=where,
        remedy=_REWRITE,
        version=file.version,
        name=file.id,
    )


def _unreached(case: Case, part: Standing, current: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    """Rows that count as sealed and stand in no segment. Where all of them are dead, that is as it should be."""
    file = part.file
    lacking = np.zeros(file.rows, np.bool_)
    lacking[: file.sealed_rows] = True
    for segment in case.facts.segments_of(file.version):
        for rows in case.facts.ranges[segment.name]:
            if rows.file == file.number:
                lacking[rows.start : rows.stop] = False
    lacking &= current
    if lacking.any():
        yield Finding(
            severity="problem",
            kind="reach",
            what=f"{lacking.sum():,} vectors from row {np.argmax(lacking):,} on stand in no segment, and are not found",
            where=str(case.pair(file).rows),
            remedy=REPAIR,
            version=file.version,
            name=file.id,
        )
