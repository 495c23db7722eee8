"""How a query is answered: by the live version alone, or by two versions that serve together."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from crossfade.catalog.versions import Version
from crossfade.errors import ModelError

from .asked import Asked
from .blending import Blending
from .bridged import rank_bridged
from .explanation import Why
from .fade import Fade
from .merges import FADE, Merge
from .merging import rank_merged
from .ranking import Mask, Ranking, Rows, View, ranking_of

_log = logging.getLogger("crossfade")


def rank_texts(view: View, asked: Asked, k: int, allowed: Mask | None, merge: Merge = FADE) -> list[Ranking]:
    """Ranks documents for texts: `k` at most for each, by the blend or by a classic merge of both versions."""
    state, encoders = view.snapshot.state, view.encoders
    pair = _pair(view, merge)
    if pair is None and state.pair is not None:
        encoders.prepare(state.pair[1])
    old_queries = _old_queries(view, pair[0], asked) if pair else None
    if pair is None or (old_queries is None and state.live == pair[1].id):
        queries = asked.encode(encoders.get(state.live_version))
        reason = "alone" if state.pair is None else "not fitted" if pair is None else "old encoder missing"
        return rank_vectors(view, state.live, queries, k, allowed, reason)
    source, target = pair
    if old_queries is None:  # the old encoder can't be called any more: the Bridge stands in for it
        return rank_bridged(view, target.id, asked.encode(encoders.get(target)), k, allowed)
    new_encoder = encoders.get(target) if state.live == target.id else encoders.find(target, again=False)
    if new_encoder is None:  # another process fills, and this one goes on as it did
        return rank_vectors(view, source.id, old_queries, k, allowed, "new encoder missing")

    def encode_new(positions: Sequence[int]) -> Rows:
        return asked.encode(new_encoder, positions)

    if view.fade is None or merge != FADE:
        return rank_merged(view, pair, old_queries, encode_new, merge, k, allowed)
    return Blending(view, view.fade.carried, view.fade.blend, pair, allowed).rank(old_queries, encode_new, k)


def _pair(view: View, merge: Merge) -> tuple[Version, Version] | None:
    """The two versions that serve, where the second can: fitted for the blend; with any row for a classic merge."""
    pair = view.snapshot.state.pair
    if pair is None:
        return None
    serves = view.fade is not None if merge == FADE else len(view.snapshot.indices[pair[1].id]) > 0
    return pair if serves else None


def _old_queries(view: View, source: Version, asked: Asked) -> Rows | None:
    """The old model's; None where it can't be called and there is something to do without it."""
    live = view.snapshot.state.live == source.id
    encoder = view.encoders.find(source, again=False) if view.fade or not live else view.encoders.get(source)
    try:
        return asked.encode(encoder) if encoder else None
    except ModelError as error:
        if live:
            raise
        _log.warning("version %d can't be asked, and the live one answers alone: %s", source.id, error)
        return None


def rank_vectors(
    view: View, version: int, queries: Rows, k: int, allowed: Mask | None, reason: str = "alone"
) -> list[Ranking]:
    """Ranks documents by one version alone, for a reason of `REASONS`."""
    keys, scores = view.snapshot.indices[version].candidates(queries, k, view.snapshot.dead, allowed)
    pair = view.snapshot.state.pair
    why = Why(reason, ("old" if version == pair[0].id else "new") if pair else None)
    return [ranking_of(keys[row], scores[row], version, k, why) for row in range(len(queries))]


def rank_old_vectors(
    view: View, fade: Fade, pair: tuple[Version, Version], queries: Rows, k: int, allowed: Mask | None
) -> list[Ranking]:
    """Ranks documents for queries of the old Space after a cutover to the blend: by the old version, on the new scale.

    What has no old vector is scored by the query carried over.
    """
    alone = fade.blend.with_weight(0.0)
    carried = fade.bridge.apply(queries)
    blending = Blending(view, fade.carried, alone, pair, allowed)
    rankings = blending.rank(queries, lambda positions: carried[list(positions)], k)
    return [dataclasses.replace(ranking, method="bridged") for ranking in rankings]
