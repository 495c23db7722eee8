"""The one door to usearch: everything it is told is explicit, and every error it raises is translated."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from usearch.index import BatchMatches, Index

from crossfade.errors import DamagedFile, StorageFailed
from crossfade.index import files
from crossfade.index.blocks import NO_KEY, Keys
from crossfade.index.form import Form
from crossfade.index.vectors import Rows

CONNECTIVITY = 16
EXPANSION_ADD = 128

_ERRORS = (RuntimeError, ValueError, IndexError, MemoryError)
# usearch raises the system's errors under their names; a file that is gone is no error of the system.
_OF_THE_SYSTEM = {os.strerror(number) for number in errno.errorcode} - {os.strerror(errno.ENOENT)}
_SIZES = struct.Struct("<2I")
_HEAD = struct.Struct("<7s3H4B3Q?")
# usearch's numbers for inner product, for what it keeps, for uint64 keys and uint32 slots.
_METRIC, _DTYPES, _KEYS, _SLOTS = ord("i"), {"f16": 12, "i8": 23}, 14, 15


def new_graph(dim: int, form: Form) -> Index:
    """An empty graph over inner products of rows in that form."""
    return Index(
        ndim=dim,
        metric="ip",
        dtype=form.dtype,
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        multi=False,
        enable_key_lookups=False,
    )


def add(graph: Index, form: Form, keys: Keys, rows: Rows, threads: int) -> None:
    """Add rows, float16; `keys` must be new to the graph, which doesn't look.

    Raises:
        StorageFailed: usearch could not add them.
    """
    try:
        graph.add(keys, np.ascontiguousarray(form.rows(rows)), copy=True, threads=threads)
    except _ERRORS as error:
        raise StorageFailed(f"usearch could not add {len(rows)} rows: {error}; free memory and try again") from error


def serialize(graph: Index) -> bytes:
    """The graph as the bytes of a file; usearch's save to a path hides short writes.

    Raises:
        StorageFailed: usearch could not, or gave another number of bytes than it announced.
    """
    try:
        content = graph.save()
        expected = graph.serialized_length
    except _ERRORS as error:
        raise StorageFailed(f"usearch could not serialise a graph: {error}; free memory and try again") from error
    if content is None or len(content) != expected:
        raise StorageFailed(f"usearch did not give the {expected} bytes of a file it announced; try again")
    return content


def view(path: Path, rows: int, dim: int, form: Form) -> Index:
    """A read-only graph over a mapped file whose checksum the caller has compared.

    usearch adopts whatever a file says, so what it says is compared first.

    Args:
        path: The file.
        rows: How many rows it must hold.
        dim: How wide they must be.
        form: What the graph keeps of them.

    Raises:
        DamagedFile: The file says otherwise, or usearch refuses it.
        StorageFailed: The operating system could not read.
    """
    return _opened(path, rows, dim, form, Index.view)


def load(path: Path, rows: int, dim: int, form: Form) -> Index:
    """The same in memory, to add to; it raises the same."""
    return _opened(path, rows, dim, form, Index.load)


def search(graph: Index, path: Path, form: Form, queries: NDArray[np.float32], count: int, expansion: int) -> Keys:
    """The approximate nearest rows of each query.

    Args:
        graph: What `view` gave.
        path: Its file, for messages.
        form: What it keeps of rows.
        queries: `(q, dim)` float32, finite, q ≥ 1.
        count: How many to find, at most as many as there are rows: usearch allocates for all of them.
        expansion: How many candidates to keep meanwhile; fewer than `count` count as that many.

    Returns:
        `(q, count)` uint64, best first as far as the form can tell, 2⁶⁴−1 where fewer were found.

    Raises:
        DamagedFile: usearch could not search.
    """
    try:
        graph.expansion_search = expansion  # type: ignore[misc]  # its setter stands apart from its getter
        matches = graph.search(form.queries(queries), count, threads=1, exact=False)
    except _ERRORS as error:
        raise damaged(path, f"usearch could not search it: {error}") from error
    if not isinstance(matches, BatchMatches):  # for one query: vectors that end with the last match
        near = matches.keys[np.newaxis]
        if near.shape[1] == count:
            return near
        found = np.array([near.shape[1]])
    else:  # matrices with junk after the last match of a query
        near, found = matches.keys, matches.counts
    present = np.arange(near.shape[1]) < found[:, np.newaxis]
    keys = np.full((len(queries), count), NO_KEY, dtype=np.uint64)
    keys[:, : near.shape[1]][present] = near[present]
    return keys


def _opened(path: Path, rows: int, dim: int, form: Form, read: Callable[[Index, str], Any]) -> Index:
    _require_head(path, rows, dim, form)
    try:
        graph = new_graph(dim, form)
        read(graph, str(path))
    except _ERRORS as error:
        if isinstance(error, MemoryError) or str(error) in _OF_THE_SYSTEM:
            raise StorageFailed(
                f"could not map {path}: {error}; free memory and descriptors, then try again"
            ) from error
        raise damaged(path, f"usearch refused it: {error}") from error
    if (graph.size, graph.ndim, graph.connectivity) != (rows, dim, CONNECTIVITY):
        raise damaged(path, f"usearch opened {graph.size} rows of {graph.ndim}, expected {rows} of {dim}")
    return graph


def damaged(path: Path, what: str) -> DamagedFile:
    """The error for a segment that can't be used."""
    return DamagedFile(f"segment {path}: {what}; build it again from the vector files")


def _require_head(path: Path, rows: int, dim: int, form: Form) -> None:
    stride = dim * form.bytes_a_value
    with files.reading(path) as descriptor:
        sizes = files.read_at(descriptor, _SIZES.size, 0)
        head = files.read_at(descriptor, _HEAD.size, _SIZES.size + rows * stride)
    if len(sizes) < _SIZES.size or _SIZES.unpack(sizes) != (rows, stride):
        raise damaged(path, f"expected a matrix of {rows} rows of {stride} bytes")
    if len(head) < _HEAD.size:
        raise damaged(path, "it ends before its head")
    magic, _major, _minor, _patch, *fields = _HEAD.unpack(head)
    expected = [_METRIC, _DTYPES[form.dtype], _KEYS, _SLOTS, rows, 0, dim, False]
    if magic != b"usearch" or fields != expected:
        raise damaged(path, f"expected magic usearch and fields {expected}, found {magic!r} and {fields}")
