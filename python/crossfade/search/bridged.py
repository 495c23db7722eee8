"""Bridged: queries of the Space being filled, where the old one's encoder can't be called any more."""

from __future__ import annotations

import dataclasses

import numpy as np

from crossfade import kernels
from crossfade.errors import InvalidInput

from .ranking import CANDIDATES, Mask, Ranking, Rows, View, present, ranking_of


def rank_bridged(view: View, target: int, queries: Rows, k: int, allowed: Mask | None) -> list[Ranking]:
    """Ranks documents for queries of the Space being filled: true vectors where there are any, the Bridge's elsewhere.

    The old version is asked with q Wᵀ (a bridged score is affine in the old vector but for the renormalisation);
    what it proposes is then scored exactly.
    """
    snapshot, fade = view.snapshot, view.fade
    if fade is None:
        raise InvalidInput(
            "a query vector of the new Space needs a fitted Bridge; give one of the live Space, or a text"
        )
    new, old = snapshot.indices[target], snapshot.live
    count = max(CANDIDATES, k)
    folded = kernels.normalize(np.ascontiguousarray(queries @ fade.bridge.matrix.T))
    new_keys, new_scores = new.candidates(queries, count, snapshot.dead, allowed)
    old_keys, _ = old.candidates(folded, count, snapshot.dead, allowed)
    rankings = []
    for row, query in enumerate(queries):
        proposed = present(old_keys[row])
        bridged_keys = proposed[~new.has(proposed)]
        bridged = fade.carried.scores(old, bridged_keys, query)
        keys = np.concatenate([new_keys[row], bridged_keys])
        scores = np.concatenate([new_scores[row], bridged])
        best = np.lexsort((keys, -scores))[:k]
        versions = np.where(np.arange(len(keys)) < len(new_keys[row]), target, snapshot.state.live)
        found = ranking_of(keys[best], scores[best], target)
        rankings.append(dataclasses.replace(found, versions=versions[best][: len(found.keys)], method="bridged"))
    return rankings
