"""A sealed segment opened for searching."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import CollectionClosed, InvalidInput
from crossfade.index import files, graph
from crossfade.index.blocks import NO_KEY, Keys
from crossfade.index.expansion import expansion_for
from crossfade.index.segment import SegmentInfo, require_checksum, segment_path
from crossfade.kernels import Graph


class Verified(Protocol):
    """Where it is remembered that a file's checksum was compared.

    An identity is made of what a file keeps that is never altered: name, size, inode, modification time.
    """

    def is_verified(self, identity: str) -> bool:
        """Whether `remember` was called with it."""

    def remember(self, identity: str) -> None:
        """Note that the file's checksum was compared."""


class OpenSegment:
    """A sealed segment, mapped and opened for any number of threads.

    Args:
        folder: The version's folder.
        info: The segment as the catalog lists it.
        dim: Columns of a row.
        verified: Where verifications are remembered; the checksum is compared unless it was before.

    Raises:
        DamagedFile: The file is absent, or its size, checksum or head differs; build it again.
        StorageFailed: The operating system could not read.
    """

    def __init__(self, folder: str | Path, info: SegmentInfo, dim: int, *, verified: Verified) -> None:
        self._path = segment_path(folder, info.name)
        self._info = info
        self._dim = dim
        _verify(self._path, info, verified)
        self._graph: Graph | None = graph.view(self._path, info.rows, dim, info.form)

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
            CollectionClosed: The segment is closed.
        """
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self._dim:
            raise InvalidInput(f"queries must be float32 (q, {self._dim}), got {queries.dtype} {queries.shape}")
        if count < 1:
            raise InvalidInput(f"count must be at least 1, got {count}")
        opened = self._graph
        if opened is None:
            raise CollectionClosed(f"the segment {self._path} is closed; open the collection again")
        depth = min(count, self._info.rows)
        keys = graph.search(opened, self._path, queries, depth, expansion_for(depth, self._info.expansion))
        return keys if depth == count else np.pad(keys, ((0, 0), (0, count - depth)), constant_values=NO_KEY)

    def close(self) -> None:
        """Let go of the file; searches under way end normally."""
        self._graph = None


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
