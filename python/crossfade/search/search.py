"""How a query is answered: by the live version alone, or by two versions while one fades into the other."""

from __future__ import annotations

from collections.abc import Sequence

from .blending import Blending
from .bridged import rank_bridged
from .ranking import Mask, Ranking, Rows, View, ranking_of


def rank_texts(view: View, texts: Sequence[str], k: int, allowed: Mask | None) -> list[Ranking]:
    """Ranks documents for texts: `k` at most for each."""
    state = view.snapshot.state
    filling = state.filling if view.fade else None
    if view.fade is None or filling is None:
        queries = view.encoders.get(state.live_version).encode(texts, kind="query")
        return rank_vectors(view, state.live, queries, k, allowed)
    encoder = view.encoders.find(state.live_version)
    if encoder is None:  # it can't be called any more: the Bridge stands in for it
        queries = view.encoders.get(filling).encode(texts, kind="query")
        return rank_bridged(view, filling.id, queries, k, allowed)
    old_queries = encoder.encode(texts, kind="query")
    new_encoder = view.encoders.find(filling)
    if new_encoder is None:  # another process fills, and this one goes on as it did
        return rank_vectors(view, state.live, old_queries, k, allowed)

    def encode_new(positions: Sequence[int]) -> Rows:
        return new_encoder.encode([texts[position] for position in positions], kind="query")

    return Blending(view, view.fade, filling.id, allowed).rank(old_queries, encode_new, k)


def rank_vectors(view: View, version: int, queries: Rows, k: int, allowed: Mask | None) -> list[Ranking]:
    """Ranks documents by one version alone."""
    keys, scores = view.snapshot.indices[version].candidates(queries, k, view.snapshot.dead, allowed)
    return [ranking_of(keys[row], scores[row], version, k) for row in range(len(queries))]
