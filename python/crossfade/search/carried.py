"""Carried: what new queries score against old rows that a Bridge carries over, without carrying them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfade import kernels
from crossfade.bridge import Bridge
from crossfade.index import VersionIndex

from .units import Float32


class Carried:
    """Scores against carried rows; for any number of threads.

    A row d is carried to m/|m|, with m = (d − c) W + o. For a query q

        q·m = d·(W q) + q·o − c·(W q)

    which is the score of d for another query. Only the length |m| takes a product with the whole matrix; it is
    kept, since a key's row never changes.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
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

    def both(
        self, old: VersionIndex, keys: NDArray[np.uint64], old_query: Float32, query: Float32
    ) -> tuple[Float32, Float32]:
        """What the rows of `keys` `(m,)` give, as they are and carried over: every row is read once.

        Args:
            old: Where rows are; not every key needs to have one.
            keys: `(m,)` uint64.
            old_query: `(d1,)` float32.
            query: `(d2,)` float32.

        Returns:
            Old scores and those of `scores`, `(m,)` float32 each; both NaN where a key has no row.
        """
        folded, shift = self._folded(query)
        scores, bridged = old.scores(keys, np.array((old_query, folded)))
        there = ~np.isnan(scores)
        bridged[there] = (bridged[there] + shift) / self._lengths_of(old, keys[there])
        return scores, bridged

    def _folded(self, query: Float32) -> tuple[Float32, np.float32]:
        """The query for old rows, and what is to be added to their scores."""
        folded: Float32 = self._bridge.matrix @ query
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
