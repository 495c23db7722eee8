"""Bridged: queries of the Space being filled, where the old one's encoder can't be called any more."""

from __future__ import annotations

import numpy as np

from crossfade import kernels
from crossfade.errors import InvalidInput
from crossfade.index import VersionIndex

from .explanation import Used, Why
from .fade import Fade
from .ranking import CANDIDATES, Keys, Mask, Ranking, Rows, View, present

# The query carried back proposes so many times as many old rows as are looked at: it scores them but for the length of
# the row carried over, and a hundred of its own would miss many of the hundred nearest by the bridged score itself.
_WIDER = 3


def rank_bridged(view: View, target: int, queries: Rows, k: int, allowed: Mask | None) -> list[Ranking]:
    """Ranks documents for queries of the Space being filled: true vectors where there are any, the Bridge elsewhere.

    Candidates once from each version, then the scores of `OneSided` for their union.
    """
    snapshot, fade = view.snapshot, view.fade
    if fade is None:
        raise InvalidInput(
            "a query vector of the new Space needs a fitted Bridge; give one of the live Space, or a text"
        )
    new, old = snapshot.indices[target], snapshot.live
    count = max(CANDIDATES, k)
    folded = kernels.normalize(np.ascontiguousarray(queries @ fade.bridge.matrix.T))
    new_keys, _ = new.candidates(queries, count, snapshot.dead, allowed)
    old_keys, _ = old.candidates(folded, _WIDER * count, snapshot.dead, allowed)
    rankings = []
    for row, query in enumerate(queries):
        head = _nearest(fade, old, present(old_keys[row]), query)[:count]
        found = present(new_keys[row])
        keys = np.concatenate([head, found[~np.isin(found, head)]])
        true = new.scores(keys, query)
        there = old.has(keys)
        bridged = np.full(len(keys), np.nan, np.float32)
        bridged[there] = fade.carried.scores(old, keys[there], query)
        rows = old.stored_or_zeros(keys) if np.isnan(true).any() else None
        scores, coverage = fade.one_sided.score(fade.blend, query, folded[row], (true, bridged), rows, len(head))
        order = np.lexsort((keys, -scores))
        best = order[:k]
        versions = np.where(np.isnan(true), snapshot.state.live, target)
        why = Why("new query", None, best, Used(None, true, bridged))
        rankings.append(Ranking(keys[best], scores[best], versions[best], keys[order], "bridged", coverage, why=why))
    return rankings


def _nearest(fade: Fade, old: VersionIndex, keys: Keys, query: Rows) -> Keys:
    """Those keys by their bridged score, best first."""
    nearest: Keys = keys[np.lexsort((keys, -fade.carried.scores(old, keys, query)))]
    return nearest
