"""A sealed segment opened for searching, with a handle for each concurrent reader."""

from __future__ import annotations

import collections
import os
import queue
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from crossfade.errors import CollectionClosed, InvalidInput
from crossfade.index import files, graph
from crossfade.index.blocks import NO_KEY, Keys
from crossfade.index.expansion import expansion_for
from crossfade.index.segment import SegmentInfo, require_checksum, segment_path


class Verified(Protocol):
    """Where it is remembered that a file's checksum was compared.

    An identity is made of what a file keeps that is never altered: name, size, inode, modification time.
    """

    def is_verified(self, identity: str) -> bool:
        """Whether `remember` was called with it."""

    def remember(self, identity: str) -> None:
        """Note that the file's checksum was compared."""


class SegmentPool:
    """A sealed segment, opened for several readers.

    All calls on one usearch object wait for one lock, so each reader borrows a handle of its own: at most
    `handles` exist, made when first needed, and a further reader waits for one. They share the page cache.

    Args:
        folder: The version's folder.
        info: The segment as the catalog lists it.
        dim: Columns of a row.
        handles: The most handles to open, e.g. the number of cores.
        verified: Where verifications are remembered; the checksum is compared unless it was before.

    Raises:
        InvalidInput: `handles` is below 1.
        DamagedFile: The file is absent, or its size, checksum or head differs; build it again.
        StorageFailed: The operating system could not read.
    """

    def __init__(self, folder: str | Path, info: SegmentInfo, dim: int, *, handles: int, verified: Verified) -> None:
        if handles < 1:
            raise InvalidInput(f"a pool needs at least one handle, got {handles}")
        self._path = segment_path(folder, info.name)
        self._info = info
        self._form = info.form
        self._dim = dim
        self._closed = False
        _verify(self._path, info, verified)
        # As many as there may be readers at a time; taken and given back faster than a semaphore.
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(handles):
            self._turns.put(None)
        self._idle: collections.deque[Index] = collections.deque([self._open()])

    @property
    def info(self) -> SegmentInfo:
        return self._info

    def search(self, queries: NDArray[np.float32], count: int) -> Keys:
        """The approximate nearest rows of each query.

        Args:
            queries: `(q, dim)` float32, finite.
            count: How many to find, at least 1.

        Returns:
            `(q, count)` uint64, best first as far as the graph can tell; 2⁶⁴−1 where the segment has no more.

        Raises:
            InvalidInput: An argument can't be used.
            DamagedFile: The file could not be searched.
            CollectionClosed: The pool is closed.
        """
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self._dim:
            raise InvalidInput(f"queries must be float32 (q, {self._dim}), got {queries.dtype} {queries.shape}")
        if count < 1:
            raise InvalidInput(f"count must be at least 1, got {count}")
        depth = min(count, self._info.rows)
        keys = self._search(queries, depth) if len(queries) else np.empty((0, depth), dtype=np.uint64)
        return keys if depth == count else np.pad(keys, ((0, 0), (0, count - depth)), constant_values=NO_KEY)

    def close(self) -> None:
        """Let go of the file; searches under way end normally."""
        self._closed = True
        self._idle.clear()

    def _search(self, queries: NDArray[np.float32], depth: int) -> Keys:
        self._turns.get()
        try:
            if self._closed:
                raise CollectionClosed(f"the segment {self._path} is closed; open the collection again")
            try:
                handle = self._idle.pop()
            except IndexError:
                handle = self._open()
            expansion = expansion_for(depth, self._info.expansion)
            found = graph.search(handle, self._path, self._form, queries, depth, expansion)
            if not self._closed:
                self._idle.append(handle)
            return found
        finally:
            self._turns.put(None)

    def _open(self) -> Index:
        return graph.view(self._path, self._info.rows, self._dim, self._form)


def _verify(path: Path, info: SegmentInfo, verified: Verified) -> None:
    with files.reading(path) as descriptor:
        status = os.fstat(descriptor)
        if status.st_size != info.size:
            raise graph.damaged(path, f"expected {info.size} bytes, found {status.st_size}")
        identity = f"{path.name}:{status.st_size}:{status.st_ino}:{status.st_mtime_ns}"
        if verified.is_verified(identity):
            return
        require_checksum(path, descriptor, info)
    verified.remember(identity)
