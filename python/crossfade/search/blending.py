"""Blending: two versions, one ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossfade.index import VersionIndex

from .fade import Fade
from .ranking import CANDIDATES, Keys, Mask, Ranking, Rows, View, present, ranking_of


class Blending:
    """Two versions, one ranking: candidates once from each, exact scores for their union, weighed by coverage."""

    def __init__(self, view: View, fade: Fade, target: int, allowed: Mask | None) -> None:
        self._view = view
        self._fade = fade
        self._target = target
        self._allowed = allowed
        self._old: VersionIndex = view.snapshot.live
        self._new: VersionIndex = view.snapshot.indices[target]

    def rank(self, old_queries: Rows, encode_new: Callable[[Sequence[int]], Rows], k: int) -> list[Ranking]:
        count = max(CANDIDATES, k)
        dead = self._view.snapshot.dead
        keys, scores = self._old.candidates(old_queries, count, dead, self._allowed)
        live = self._view.snapshot.state.live
        rankings = [ranking_of(keys[row], scores[row], live, k) for row in range(len(old_queries))]
        # Where the new version knows too little of a query's candidates, the old one has decided already,
        # and the query need not be encoded a second time.
        blended = [row for row in range(len(old_queries)) if self._weight(keys[row]) > 0.0]
        if blended:
            new_queries = encode_new(blended)
            new_keys, _ = self._new.candidates(new_queries, count, dead, self._allowed)
            for position, row in enumerate(blended):
                rankings[row] = self._blend(
                    old_queries[row], new_queries[position], present(keys[row]), present(new_keys[position]), k
                )
        return rankings

    def _weight(self, head: Keys) -> float:
        return self._fade.blend.weight_for(self._new.has(present(head)))

    def _blend(self, old_query: Rows, new_query: Rows, head: Keys, new_keys: Keys, k: int) -> Ranking:
        keys = np.concatenate([head, new_keys[~np.isin(new_keys, head)]])
        new_scores = self._new.scores(keys, new_query)
        old_rows = self._old.gather(keys)
        blended = self._fade.blend.score(
            old_query,
            new_query,
            self._old.scores(keys, old_query),
            new_scores,
            self._fade.bridge.apply(old_rows) @ new_query,
            old_rows,
            head=len(head),
        )
        order = np.lexsort((keys, -blended.scores))
        best = order[:k]
        versions = np.where(np.isnan(new_scores), self._view.snapshot.state.live, self._target)
        return Ranking(
            keys[best], blended.scores[best], versions[best], keys[order], "fade", blended.coverage, blended.weight
        )
