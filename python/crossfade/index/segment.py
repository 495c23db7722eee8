"""Sealed segments: immutable usearch files, each a view of some rows that can be built again from them.

usearch's own save is not atomic and its load checks nothing: one flipped bit can crash the first search. So a
segment is written, hashed, probed and named by us.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from usearch.index import Index

from crossfade.errors import InvalidInput, StorageFailed
from crossfade.index import files, graph
from crossfade.index.blocks import Keys, require_keys
from crossfade.index.expansion import Known, expansion_for, scores_of
from crossfade.index.form import FLOAT16, Form
from crossfade.index.reach import connect
from crossfade.index.vectors import Rows

_ADD_AT_ONCE = 512
_READ_AT_ONCE = 1 << 20
_PROBES = 64
_PROBE_DEPTH = 10
# A probe may miss in a sound graph, whose recall is below 1; in one with unreachable parts many do.
_PROBES_FOUND = 0.9
# The share of the neighbours that int8 must keep.
_KEPT = 0.99


class SegmentInfo(NamedTuple):
    """A sealed segment as the catalog lists it.

    Args:
        name: Eight hexadecimal digits.
        rows: How many.
        size: Bytes.
        checksum: blake3 in hexadecimal digits.
        expansion: Candidates to keep in a search for the 100 nearest rows, as was learned when it was built.
        scale: Of its rows in int8; 0 where its graph keeps them as float16.
    """

    name: str
    rows: int
    size: int
    checksum: str
    expansion: int
    scale: float

    @property
    def form(self) -> Form:
        """What its graph keeps of a row."""
        return Form(self.scale)


class Base(NamedTuple):
    """A segment to add to, and the keys of its graph `(n,)` uint64, n = `info.rows`."""

    info: SegmentInfo
    keys: Keys


def segment_path(folder: str | Path, name: str) -> Path:
    """Where the segment of that id stands."""
    return Path(folder) / f"{files.require_id(name)}.segment"


def temporary_path(folder: str | Path, name: str) -> Path:
    """Where a segment is written before it gets its name; junk unless it is just being built."""
    return Path(folder) / f"{files.require_id(name)}.segment.tmp"


def build_segment(
    folder: str | Path,
    name: str,
    keys: Keys,
    rows: Rows,
    *,
    base: Base | None = None,
    threads: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> SegmentInfo | None:
    """Build, check and name a segment; the caller publishes it in the catalog.

    HNSW (Malkov and Yashunin, 2018) over inner products, 16 links a node, 128 candidates while building, and a way to
    each row; of int8 rows, or of float16 ones where int8 would lose more than 1 % of the neighbours. The file stands
    under its name only when it is whole, durable and was searched.

    Args:
        folder: The version's folder.
        name: Eight hexadecimal digits, never used before.
        keys: `(n,)` uint64, n ≥ 1, no key twice, none of them 2⁶⁴−1.
        rows: `(n, dim)` float16, finite; may be mapped.
        base: A segment of the same folder with some of these rows and no others; the rest are added to a copy of its
            graph, as if they had come later.
        threads: Threads that add. Only 1 gives the same file from the same rows; more can leave rows that
            hardly a search reaches (unum-cloud/USearch#735), which the check at the end notices where they are many.
        cancelled: Asked between batches of 512 rows; where it says yes, nothing is left behind.

    Returns:
        What to publish; None where it was cancelled.

    Raises:
        InvalidInput: An argument can't be used.
        DamagedFile: The base is damaged.
        StorageFailed: The file could not be written, or usearch could not build it.
    """
    path, temporary = segment_path(folder, name), temporary_path(folder, name)
    _require_rows(keys, rows)
    if path.exists():
        raise InvalidInput(f"{path} exists; a segment's id is never used twice, take one from new_id()")
    built, form, known, missing = _begun(folder, keys, rows, base)
    for start in range(0, len(missing), _ADD_AT_ONCE):
        if cancelled():
            return None
        batch = missing[start : start + _ADD_AT_ONCE]
        graph.add(built, form, keys[batch], rows[batch], threads)
    content = graph.serialize(built)
    connect(graph.read(np.frombuffer(content, np.uint8), temporary, len(rows), rows.shape[1], form))
    with files.storage("write", temporary):
        temporary.unlink(missing_ok=True)
        try:
            _write(temporary, content)
            learned = _probe(temporary, form, known, keys, rows)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        files.sync_folder(path.parent)
    # Of what was meant to be written, not of what a failing disk gives back.
    return SegmentInfo(name, len(rows), len(content), blake3(content).hexdigest(), learned, form.scale)


def require_checksum(path: Path, descriptor: int, info: SegmentInfo) -> None:
    """Reads a segment from where `descriptor` stands, at its beginning.

    Raises:
        DamagedFile: It is another than the catalog lists.
    """
    hasher = blake3()
    while piece := os.read(descriptor, _READ_AT_ONCE):
        hasher.update(piece)
    if hasher.hexdigest() != info.checksum:
        raise graph.damaged(path, f"expected blake3 {info.checksum}, found {hasher.hexdigest()}")


class _Begun(NamedTuple):
    """A graph, its form, neighbours to ask it for when it is whole, and where the rows stand that it lacks."""

    built: Index
    form: Form
    known: Known
    missing: NDArray[np.int64]


def _begun(folder: str | Path, keys: Keys, rows: Rows, base: Base | None) -> _Begun:
    form = base.info.form if base else Form.of(rows)
    known = Known.of(rows, form)
    if form.scale and known.kept < _KEPT:
        form, base = FLOAT16, None
    if base:
        return _Begun(_copied(folder, base, rows.shape[1]), form, known, _missing(keys, base))
    return _Begun(graph.new_graph(rows.shape[1], form), form, known, np.arange(len(keys)))


def _copied(folder: str | Path, base: Base, dim: int) -> Index:
    path = segment_path(folder, base.info.name)
    with files.reading(path) as descriptor:
        require_checksum(path, descriptor, base.info)
    return graph.load(path, base.info.rows, dim, base.info.form)


def _missing(keys: Keys, base: Base) -> NDArray[np.int64]:
    """Where the keys stand that the base's graph lacks."""
    if len(base.keys) != base.info.rows or not np.isin(base.keys, keys).all():
        raise InvalidInput(f"a base must hold {base.info.rows} of the keys and no others, got {len(base.keys)} keys")
    return np.flatnonzero(~np.isin(keys, base.keys))


def _write(path: Path, content: bytearray) -> None:
    descriptor = files.create_new(path)
    try:
        files.write_at(descriptor, memoryview(content), 0)
        os.fchmod(descriptor, 0o400)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _probe(path: Path, form: Form, known: Known, keys: Keys, rows: Rows) -> int:
    """Searches what was written, and gives the expansion that it needs."""
    opened = graph.view(path, len(rows), rows.shape[1], form)
    learned = known.expansion(lambda *asked: graph.search(opened, path, *asked), keys, rows)
    sample = np.unique(np.linspace(0, len(rows) - 1, _PROBES, dtype=np.int64))
    queries = rows[sample].astype(np.float32)
    near = graph.search(opened, path, queries, min(_PROBE_DEPTH, len(rows)), expansion_for(_PROBE_DEPTH, learned))
    itself = (near == keys[sample][:, np.newaxis]).any(axis=1)
    # A row may lie among more than ten equal ones, and a longer row may have the greater product.
    best = scores_of(keys, rows, near, queries).max(axis=1)
    as_good = best >= np.einsum("nd,nd->n", queries, queries) * np.float32(0.999)
    found = int((itself | as_good).sum())
    if found < _PROBES_FOUND * len(sample):
        raise StorageFailed(f"only {found} of {len(sample)} rows of a new segment were found again; build it again")
    return learned


def _require_rows(keys: Keys, rows: Rows) -> None:
    if rows.dtype != np.float16 or rows.ndim != 2 or len(rows) == 0:
        raise InvalidInput(f"rows must be float16 (n, dim) with n of at least 1, got {rows.dtype} {rows.shape}")
    require_keys(keys, len(rows))
    if not np.isfinite(rows).all():
        raise InvalidInput("rows must be finite: one NaN spoils the graph for all; verify the vector file")
