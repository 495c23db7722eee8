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

from crossfade.errors import InvalidInput, StorageFailed
from crossfade.index import files, graph
from crossfade.index.blocks import Keys, require_keys
from crossfade.index.vectors import Rows

_ADD_AT_ONCE = 512
_PROBES = 64
_PROBE_DEPTH = 10
# A probe may miss in a sound graph, whose recall is below 1; in one with unreachable parts many do.
_PROBES_FOUND = 0.9


class SegmentInfo(NamedTuple):
    """A sealed segment as the catalog lists it: id, rows, bytes, and blake3 in hexadecimal digits."""

    name: str
    rows: int
    size: int
    checksum: str


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
    threads: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> SegmentInfo | None:
    """Build, check and name a segment; the caller publishes it in the catalog.

    HNSW (Malkov and Yashunin, 2018) over inner products, 16 links a node, 128 candidates while building. The
    file stands under its name only when it is whole, durable and was searched.

    Args:
        folder: The version's folder.
        name: Eight hexadecimal digits, never used before.
        keys: `(n,)` uint64, n ≥ 1, no key twice, none of them 2⁶⁴−1.
        rows: `(n, dim)` float16, finite; may be mapped.
        threads: Threads that add. Only 1 gives the same file from the same rows; more can leave rows that no
            search reaches (unum-cloud/USearch#735), which the check at the end notices where they are many.
        cancelled: Asked between batches of 512 rows; where it says yes, nothing is left behind.

    Returns:
        What to publish; None where it was cancelled.

    Raises:
        InvalidInput: An argument can't be used.
        StorageFailed: The file could not be written, or usearch could not build it.
    """
    path, temporary = segment_path(folder, name), temporary_path(folder, name)
    _require_rows(keys, rows)
    if path.exists():
        raise InvalidInput(f"{path} exists; a segment's id is never used twice, take one from new_id()")
    built = graph.new_graph(rows.shape[1])
    for start in range(0, len(rows), _ADD_AT_ONCE):
        if cancelled():
            return None
        batch = slice(start, start + _ADD_AT_ONCE)
        graph.add(built, keys[batch], rows[batch], threads)
    content = graph.serialize(built)
    with files.storage("write", temporary):
        temporary.unlink(missing_ok=True)
        try:
            _write(temporary, content)
            _probe(temporary, keys, rows)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        files.sync_folder(path.parent)
    # Of what was meant to be written, not of what a failing disk gives back.
    return SegmentInfo(name, len(rows), len(content), blake3(content).hexdigest())


def _write(path: Path, content: bytes) -> None:
    descriptor = files.create_new(path)
    try:
        files.write_at(descriptor, memoryview(content), 0)
        os.fchmod(descriptor, 0o400)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _probe(path: Path, keys: Keys, rows: Rows) -> None:
    opened = graph.view(path, len(rows), rows.shape[1])
    sample = np.unique(np.linspace(0, len(rows) - 1, _PROBES, dtype=np.int64))
    queries = rows[sample].astype(np.float32)
    near, scores = graph.search(opened, path, queries, min(_PROBE_DEPTH, len(rows)))
    itself = (near == keys[sample][:, np.newaxis]).any(axis=1)
    # A row may lie among more than ten equal ones, and a longer row may have the greater product.
    as_good = scores[:, 0] >= np.einsum("nd,nd->n", queries, queries) * np.float32(0.999)
    found = int((itself | as_good).sum())
    if found < _PROBES_FOUND * len(sample):
        raise StorageFailed(f"only {found} of {len(sample)} rows of a new segment were found again; build it again")


def _require_rows(keys: Keys, rows: Rows) -> None:
    if rows.dtype != np.float16 or rows.ndim != 2 or len(rows) == 0:
        raise InvalidInput(f"rows must be float16 (n, dim) with n of at least 1, got {rows.dtype} {rows.shape}")
    require_keys(keys, len(rows))
    if not np.isfinite(rows).all():
        raise InvalidInput("rows must be finite: one NaN spoils the graph for all; verify the vector file")
