"""Blending: two versions, one ranking."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from crossfade import kernels
from crossfade.catalog.versions import Version
from crossfade.index import VersionIndex

from .blend import MIN_DOCUMENTS, Blend
from .carried import Carried
from .explanation import Used, Why
from .ranking import CANDIDATES, Keys, Mask, Ranking, Rows, View, present, ranking_of


class Found(NamedTuple):
    """A version's candidates for one query, best first."""

    query: Rows
    keys: Keys


class Blending:
    """Two versions, one ranking: candidates once from each, exact scores for their union, weighed by coverage.

    Either version may be the live one: the order is the same, the scores are on its scale.

    Args:
        view: What is searched.
        carried: Scores of old rows carried over.
        blend: How the scores of both are weighed.
        pair: The old version and the new one.
        allowed: By key, which documents may be found.
    """

    def __init__(
        self, view: View, carried: Carried, blend: Blend, pair: tuple[Version, Version], allowed: Mask | None
    ) -> None:
        self._view = view
        self._carried = carried
        self._weighing = blend
        self._source, self._target = (version.id for version in pair)
        self._cut_over = view.snapshot.state.live == self._target
        self._allowed = allowed
        self._old: VersionIndex = view.snapshot.indices[self._source]
        self._new: VersionIndex = view.snapshot.indices[self._target]

    def rank(self, old_queries: Rows, encode_new: Callable[[Sequence[int]], Rows], k: int) -> list[Ranking]:
        count = max(CANDIDATES, k)
        dead = self._view.snapshot.dead
        keys, scores = self._old.candidates(old_queries, count, dead, self._allowed)
        covered = [self._new.has(present(head)) for head in keys]
        # Where the new version knows too little of a query's candidates, the old one has decided already,
        # and the query need not be encoded a second time. Only on the new version's scale it must be.
        weighs = self._weighing.weight_for
        blended = [row for row, there in enumerate(covered) if self._cut_over or weighs(there) > 0.0]
        rankings = {
            row: self._alone(keys[row], scores[row], covered[row], k) for row in {*range(len(keys))}.difference(blended)
        }
        if blended:
            new_queries = encode_new(blended)
            found, _ = self._new.candidates(new_queries, count, dead, self._allowed)
            for position, row in enumerate(blended):
                old = Found(old_queries[row], present(keys[row]))
                rankings[row] = self._blend(old, Found(new_queries[position], present(found[position])), k)
        return [rankings[row] for row in range(len(keys))]

    def _alone(self, keys: Keys, scores: Rows, covered: Mask, k: int) -> Ranking:
        """What the old version answers, and why it does so alone where it does."""
        blend = self._weighing
        reason = (
            "not covered" if blend.full_weight else "guard" if blend.documents >= MIN_DOCUMENTS else "few documents"
        )
        ranking = ranking_of(keys, scores, self._source, k, Why(reason, "old"))
        return dataclasses.replace(ranking, coverage=blend.coverage_of(covered))

    def _blend(self, old: Found, new: Found, k: int) -> Ranking:
        """By the scores that either model gives to the candidates of both."""
        found = self._carried.compared(self._old, self._new, (old.keys, new.keys), (old.query, new.query))
        unknown = np.isnan(found.new)
        complete, shared = not unknown.any(), self._weighing.estimate.shared
        blended = self._weighing.score(
            old.query,
            new.query,
            found.old,
            found.new,
            found.bridged,
            head=len(old.keys),
            old_rows=None if complete or not shared else self._old.stored_or_zeros(found.keys),
            new_rows=self._new.stored(found.keys) if complete else None,
            cut_over=self._cut_over,
        )
        order, scores = kernels.rank_blended(found.keys, blended.scores, found.new if self._cut_over else found.old)
        best = order[:k]
        return Ranking(
            found.keys[best],
            scores[:k],
            np.where(unknown[best], self._source, self._target),
            found.keys[order],
            "fade",
            blended.coverage,
            blended.weight,
            Why("covered", None, best, Used(found.old, found.new, found.bridged, blended)),
        )
