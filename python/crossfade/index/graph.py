"""The one door to usearch: everything it is told is explicit, and every error it raises is translated."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from crossfade.errors import DamagedFile, StorageFailed
from crossfade.index import files
from crossfade.index.blocks import Keys
from crossfade.index.form import Form
from crossfade.index.vectors import Rows
from crossfade.kernels import Codes, Graph, codes_size, walk

CONNECTIVITY = 16
EXPANSION_ADD = 128
# Bytes of codes that a graph may have: those of 174,000 rows of 384 values.
CODES_SIZE = 8 << 20

_ERRORS = (RuntimeError, ValueError, IndexError, MemoryError)
# usearch raises the system's errors under their names; a file that is gone is no error of the system.
_OF_THE_SYSTEM = {os.strerror(number) for number in errno.errorcode} - {os.strerror(errno.ENOENT)}
# A file of usearch's, format 2: a matrix of the rows, a head, how many links rows have, the level of each, the records.
_SIZES = struct.Struct("<2I")
_HEAD, _HEAD_BYTES = struct.Struct("<7s3H4B3Q?"), 64
_ROWS, _SHAPE = struct.Struct("<Q"), struct.Struct("<4Q")
_LEVEL, _RECORD_HEAD = np.dtype("<i2"), 10
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


def serialize(graph: Index) -> bytearray:
    """The graph as the bytes of a file, to be altered as needed; usearch's save to a path hides short writes.

    Raises:
        StorageFailed: usearch could not, or gave another number of bytes than it announced.
    """
    try:
        content: object = graph.save()
        expected = graph.serialized_length
    except _ERRORS as error:
        raise StorageFailed(f"usearch could not serialise a graph: {error}; free memory and try again") from error
    if not isinstance(content, bytearray) or len(content) != expected:
        raise StorageFailed(f"usearch did not give the {expected} bytes of a file it announced; try again")
    return content


def view(path: Path, rows: int, dim: int, form: Form) -> Graph:
    """A graph to search, over a mapped file whose checksum the caller has compared.

    usearch itself adopts whatever a file says, waits for memory where it need not, and lets one thread at a time into
    an index (decision 0011): so what it has built is walked by `kernels.walk`, from the rows whose codes are most like
    the query's (decision 0012) where all codes are looked through in a fraction of a millisecond.

    Args:
        path: The file.
        rows: How many rows it must hold.
        dim: How wide they must be.
        form: What the graph keeps of them.

    Raises:
        DamagedFile: The file says otherwise.
        StorageFailed: The operating system could not read.
    """
    opened = read(_mapped(path), path, rows, dim, form)
    return opened._replace(codes=Codes.of(opened.rows)) if codes_held(rows, dim) else opened


def codes_held(rows: int, dim: int) -> int:
    """The bytes of the codes that such a graph is opened with: none where they would be more than `CODES_SIZE`."""
    size = codes_size(rows, dim)
    return size if size <= CODES_SIZE else 0


def read(content: NDArray[np.uint8], path: Path, rows: int, dim: int, form: Form) -> Graph:
    """The same over the bytes of such a file; `path` names it in messages."""
    stride = dim * form.bytes_a_value
    at_levels = _require_head(content.data, path, rows, dim, form)
    links, lowest_links, top, entry = _SHAPE.unpack_from(content.data, at_levels - _SHAPE.size)
    at_records = at_levels + rows * _LEVEL.itemsize
    levels = np.frombuffer(content[at_levels:at_records].tobytes(), _LEVEL).astype(np.int64)
    records = content[at_records:]
    size = rows * (_RECORD_HEAD + _link_bytes(lowest_links)) + int(levels.sum()) * _link_bytes(links)
    sound = (links, lowest_links) == (CONNECTIVITY, 2 * CONNECTIVITY) and entry < rows and levels.min() >= 0
    if not sound or top != levels.max() or top != levels[entry] or size != len(records):
        raise damaged(path, "its levels and links don't add up to what it holds")
    before = (np.cumsum(levels) - levels).astype(np.uint32)
    kept = content[_SIZES.size : _SIZES.size + rows * stride].view(form.of_rows).reshape(rows, dim)
    return Graph(kept, records, before, lowest_links, links, top, entry)


def load(path: Path, rows: int, dim: int, form: Form) -> Index:
    """What usearch has built, in memory, to add to it; it raises as `view` does."""
    read(_mapped(path), path, rows, dim, form)
    try:
        graph = new_graph(dim, form)
        graph.load(str(path))
    except _ERRORS as error:
        if isinstance(error, MemoryError) or str(error) in _OF_THE_SYSTEM:
            raise StorageFailed(
                f"could not load {path}: {error}; free memory and descriptors, then try again"
            ) from error
        raise damaged(path, f"usearch refused it: {error}") from error
    if (graph.size, graph.ndim, graph.connectivity) != (rows, dim, CONNECTIVITY):
        raise damaged(path, f"usearch opened {graph.size} rows of {graph.ndim}, expected {rows} of {dim}")
    return graph


def search(graph: Graph, path: Path, queries: NDArray[np.float32], count: int, expansion: int) -> Keys:
    """The approximate nearest rows of each query.

    Args:
        graph: What `view` gave.
        path: Its file, for messages.
        queries: `(q, dim)` float32, finite.
        count: How many to find, at least 1.
        expansion: How many candidates to keep meanwhile; fewer than `count` count as that many.

    Returns:
        `(q, count)` uint64, best first as far as the form can tell, 2⁶⁴−1 where fewer were found.

    Raises:
        DamagedFile: The graph leads out of itself.
    """
    try:
        return walk(graph, queries, count, expansion)
    except DamagedFile as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, what: str) -> DamagedFile:
    """The error for a segment that can't be used."""
    return DamagedFile(f"segment {path}: {what}; build it again from the vector files")


def _mapped(path: Path) -> NDArray[np.uint8]:
    with files.reading(path) as descriptor:
        if not os.fstat(descriptor).st_size:
            raise damaged(path, "it is empty")
        return np.frombuffer(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ), np.uint8)


def _require_head(content: memoryview, path: Path, rows: int, dim: int, form: Form) -> int:
    """Where the levels stand behind the head, which says what it must."""
    stride = dim * form.bytes_a_value
    at = _SIZES.size + rows * stride
    end = at + _HEAD_BYTES + _ROWS.size + _SHAPE.size
    if len(content) < _SIZES.size or _SIZES.unpack_from(content) != (rows, stride):
        raise damaged(path, f"expected a matrix of {rows} rows of {stride} bytes")
    if len(content) < end + rows * _LEVEL.itemsize:
        raise damaged(path, "it ends before its links")
    magic, _major, _minor, _patch, *fields = _HEAD.unpack_from(content, at)
    expected = [_METRIC, _DTYPES[form.dtype], _KEYS, _SLOTS, rows, 0, dim, False]
    if magic != b"usearch" or fields != expected or _ROWS.unpack_from(content, at + _HEAD_BYTES) != (rows,):
        raise damaged(path, f"expected magic usearch and fields {expected}, found {magic!r} and {fields}")
    return end


def _link_bytes(links: int) -> int:
    """Of a level of a record: how many links, and room for them."""
    return 4 * (1 + links)
