"""How a query is answered: by the live version alone, or by two versions while one fades into the other."""

from __future__ import annotations

from collections.abc import Sequence

from crossfade.catalog.versions import Version

from .asked import Asked
from .blending import Blending
from .bridged import rank_bridged
from .merges import FADE, Merge
from .merging import rank_merged
from .ranking import Mask, Ranking, Rows, View, ranking_of


def rank_texts(view: View, asked: Asked, k: int, allowed: Mask | None, merge: Merge = FADE) -> list[Ranking]:
    """Ranks documents for texts: `k` at most for each, by the blend or by a classic merge of both versions."""
    state, encoders = view.snapshot.state, view.encoders
    filling = _second(view, merge)
    if filling is None:
        queries = asked.encode(encoders.get(state.live_version))
        return rank_vectors(view, state.live, queries, k, allowed)
    encoder = encoders.find(state.live_version) if view.fade else encoders.get(state.live_version)
    if encoder is None:  # it can't be called any more: the Bridge stands in for it
        queries = asked.encode(encoders.get(filling))
        return rank_bridged(view, filling.id, queries, k, allowed)
    old_queries = asked.encode(encoder)
    new_encoder = encoders.find(filling)
    if new_encoder is None:  # another process fills, and this one goes on as it did
        return rank_vectors(view, state.live, old_queries, k, allowed)

    def encode_new(positions: Sequence[int]) -> Rows:
        return asked.encode(new_encoder, positions)

    if view.fade is None or merge != FADE:
        return rank_merged(view, filling.id, old_queries, encode_new, merge, k, allowed)
    return Blending(view, view.fade, filling.id, allowed).rank(old_queries, encode_new, k)


def _second(view: View, merge: Merge) -> Version | None:
    """The version being filled, where it can serve: fitted for the blend; with any row for a classic merge."""
    filling = view.snapshot.state.filling
    if filling is None:
        return None
    serves = view.fade is not None if merge == FADE else len(view.snapshot.indices[filling.id]) > 0
    return filling if serves else None


def rank_vectors(view: View, version: int, queries: Rows, k: int, allowed: Mask | None) -> list[Ranking]:
    """Ranks documents by one version alone."""
    keys, scores = view.snapshot.indices[version].candidates(queries, k, view.snapshot.dead, allowed)
    return [ranking_of(keys[row], scores[row], version, k) for row in range(len(queries))]
