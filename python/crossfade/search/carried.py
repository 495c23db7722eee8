"""Carried: what new queries score against old rows that a Bridge carries over, without carrying them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfade import kernels
from crossfade.bridge import Bridge
from crossfade.index import VersionIndex
from crossfade.kernels import Compared

from .units import Float32


class Carried:
    """Scores against carried rows; for any number of threads.

    A row d is carried to m/|m|, with m = (d − c) W + o. For a query q

        q·m = d·(W q) + q·o − c·(W q)

    which is the score of d for another query, folded by W. Only the length |m| takes a product with the whole matrix;
    it is kept, since a key's row never changes.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        # Folding a query takes as long as reading the matrix: in float16 half. Scores err by some 10⁻⁵ thereby.
        self._scale = np.abs(bridge.matrix).max(initial=np.float32(np.finfo(np.float32).tiny))
        self._narrow = (bridge.matrix / self._scale).astype(np.float16)
        # By key; 0 where it is not known, so that room for more keys is memory nobody has touched.
        self._lengths = np.zeros(0, np.float32)

    def scores(self, old: VersionIndex, keys: NDArray[np.uint64], query: Float32) -> Float32:
        """What `Bridge.apply` of the rows of `keys` (m,), each of which `old` must have, times `query` (d2,) gives.

        Returns:
            `(m,)` float32; the same whatever else was asked before.
        """
        folded, shift = self._folded(query)
        scores: Float32 = (old.scores(keys, folded) + shift) / self._lengths_of(old, keys)
        return scores

    def compared(
        self,
        old: VersionIndex,
        new: VersionIndex,
        lists: tuple[NDArray[np.uint64], NDArray[np.uint64]],
        queries: tuple[Float32, Float32],
    ) -> Compared:
        """All three scores of what two versions have found: the same bits as `scores` and those of either version.

        Args:
            old: The Bridge's source.
            new: Its target.
            lists: What either has found, `(n,)` each.
            queries: `(d1,)` and `(d2,)`.
        """
        folded, shift = self._folded(queries[1])
        asked = np.array((queries[0], folded)), queries[1]
        found = old.compared(new, lists, asked, self._lengths, float(shift))
        if found.unmeasured:
            found.bridged[found.unmeasured] /= self._lengths_of(old, found.keys[found.unmeasured])
        return found

    def _folded(self, query: Float32) -> tuple[Float32, np.float32]:
        """The query for old rows, and what is to be added to their scores."""
        folded = self._scale * kernels.rescore(self._narrow, None, query)
        return folded, np.float32(query @ self._bridge.offset - folded @ self._bridge.center)

    def _lengths_of(self, old: VersionIndex, keys: NDArray[np.uint64]) -> Float32:
        known = self._lengths
        if len(keys) and int(keys.max()) >= len(known):
            longer = np.zeros(max(int(keys.max()) + 1, 2 * len(known)), np.float32)
            longer[: len(known)] = known
            # What another thread writes meanwhile, here or into one of its own, is found out again.
            self._lengths = known = longer
        lengths: Float32 = known[keys]
        missing = lengths == 0.0
        if missing.any():
            known[keys[missing]] = lengths[missing] = self._measure(old.gather(keys[missing]))
        return lengths

    def _measure(self, rows: Float32) -> Float32:
        bridge = self._bridge
        carried = kernels.project(rows, bridge.matrix, bridge.center, bridge.offset, normalize=False)
        lengths: Float32 = np.sqrt(np.einsum("md,md->m", carried, carried))
        # A row that is carried to zero has no direction and scores 0.
        return np.where(lengths > 0.0, lengths, np.float32(1.0))
