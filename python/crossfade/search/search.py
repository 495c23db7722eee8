"""How a query is answered: by the live version alone, or by two versions while one fades into the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from crossfade import kernels
from crossfade._values import json_copy, shown
from crossfade.catalog import Database, documents, versions
from crossfade.document import Document
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput
from crossfade.index import VersionIndex
from crossfade.store import Snapshot

from .fade import Fade
from .hits import Hit, Hits

Keys: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

CANDIDATES = 100  # from each version; what a re-embedding order can gain levels off there
MOST_HITS = 10_000
NO_KEY = np.uint64(2**64 - 1)


@dataclasses.dataclass(frozen=True)
class View:
    """All that a search looks at, taken once: it answers from this and nothing newer."""

    snapshot: Snapshot
    database: Database
    encoders: Encoders
    fade: Fade | None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What one query found, best first, before the documents are fetched."""

    keys: Keys
    scores: npt.NDArray[np.float32]
    versions: npt.NDArray[np.int64]
    method: str = "live"
    coverage: float = 0.0
    weight: float = 0.0


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

    return _Blending(view, view.fade, filling.id, allowed).rank(old_queries, encode_new, k)


def rank_vectors(view: View, version: int, queries: Rows, k: int, allowed: Mask | None) -> list[Ranking]:
    """Ranks documents by one version alone."""
    keys, scores = view.snapshot.indices[version].candidates(queries, k, view.snapshot.dead, allowed)
    return [_ranking(keys[row], scores[row], version) for row in range(len(queries))]


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
        proposed = _present(old_keys[row])
        bridged_keys = proposed[~new.has(proposed)]
        bridged = fade.bridge.apply(old.gather(bridged_keys)) @ query
        keys = np.concatenate([new_keys[row], bridged_keys])
        scores = np.concatenate([new_scores[row], bridged])
        best = np.lexsort((keys, -scores))[:k]
        versions = np.where(np.arange(len(keys)) < len(new_keys[row]), target, snapshot.state.live)
        found = _ranking(keys[best], scores[best], target)
        rankings.append(dataclasses.replace(found, versions=versions[best][: len(found.keys)], method="bridged"))
    return rankings


class _Blending:
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
        rankings = [_ranking(keys[row][:k], scores[row][:k], live) for row in range(len(old_queries))]
        # Where the new version knows too little of a query's candidates, the old one has decided already,
        # and the query need not be encoded a second time.
        blended = [row for row in range(len(old_queries)) if self._weight(keys[row]) > 0.0]
        if blended:
            new_queries = encode_new(blended)
            new_keys, _ = self._new.candidates(new_queries, count, dead, self._allowed)
            for position, row in enumerate(blended):
                rankings[row] = self._blend(
                    old_queries[row], new_queries[position], _present(keys[row]), _present(new_keys[position]), k
                )
        return rankings

    def _weight(self, head: Keys) -> float:
        return self._fade.blend.weight_for(self._new.has(_present(head)))

    def _blend(self, old_query: Rows, new_query: Rows, head: Keys, new_keys: Keys, k: int) -> Ranking:
        keys = np.concatenate([head, new_keys[~np.isin(new_keys, head)]])
        new_scores = self._new.scores(keys, new_query)
        blended = self._fade.blend.score(
            old_query,
            new_query,
            self._old.scores(keys, old_query),
            new_scores,
            self._fade.bridge.apply(self._old.gather(keys)) @ new_query,
            head=len(head),
        )
        best = np.lexsort((keys, -blended.scores))[:k]
        versions = np.where(np.isnan(new_scores), self._view.snapshot.state.live, self._target)
        return Ranking(keys[best], blended.scores[best], versions[best], "fade", blended.coverage, blended.weight)


@overload
def documents_of(view: View, rankings: Sequence[Ranking]) -> list[Hits] | None: ...
@overload
def documents_of(view: View, rankings: Sequence[Ranking], *, partial: Literal[True]) -> list[Hits]: ...
def documents_of(view: View, rankings: Sequence[Ranking], *, partial: bool = False) -> list[Hits] | None:
    """Fetches the documents of rankings.

    Where one of them was edited or deleted since the snapshot it gives None, or what is left with `partial`.
    """
    wanted = {int(key) for ranking in rankings for key in ranking.keys}
    with view.database.reading() as connection:
        found = documents.fetch(connection, wanted)
    if len(found) < len(wanted) and not partial:
        return None
    return [_hits(ranking, found) for ranking in rankings]


def _hits(ranking: Ranking, found: Mapping[int, Document]) -> Hits:
    columns = zip(ranking.keys.tolist(), ranking.scores.tolist(), ranking.versions.tolist(), strict=True)
    hits = (
        Hit(document.id, score, version, document.text, document.title, document.meta or {})
        for key, score, version in columns
        if (document := found.get(key))
    )
    return Hits(tuple(hits), ranking.method, ranking.coverage, ranking.weight)


def allowed_keys(view: View, conditions: Mapping[str, Any] | None) -> tuple[Mask | None, bool]:
    """Which keys a filter lets through, by key, None where there is no filter; and whether the view is still current.

    Where it isn't, a document that was edited meanwhile has another key than in the view, and would be missed.

    Args:
        view: What is searched.
        conditions: Field → value, or a list of values of which one must match.
    """
    if conditions is None:
        return None, True
    if not isinstance(conditions, Mapping) or not all(isinstance(field, str) for field in conditions):
        raise InvalidInput(f"filter must map fields to a value or a list of values, got {shown(conditions)}")
    lists = {
        field: list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        for field, value in conditions.items()
    }
    nested = [field for field, values in lists.items() if any(isinstance(value, Mapping) for value in values)]
    if nested:
        raise InvalidInput(
            f"filter compares values only, it has no operators: give {', '.join(nested)} a value or a list"
        )
    empty = [field for field, values in lists.items() if not values]
    if empty:
        raise InvalidInput(f"filter needs at least one value for {', '.join(empty)}")
    if not lists:
        return None, True
    lists = json_copy(lists, "filter")
    mask = np.zeros(len(view.snapshot.dead), np.bool_)
    with view.database.reading() as connection:
        current = versions.seq(connection) == view.snapshot.state.seq
        keys = documents.matching(connection, lists)
    mask[keys[keys < len(mask)]] = True
    return mask, current


def _present(keys: Keys) -> Keys:
    present: Keys = keys[keys != NO_KEY]
    return present


def _ranking(keys: Keys, scores: npt.NDArray[np.float32], version: int) -> Ranking:
    present = keys != NO_KEY
    return Ranking(keys[present], scores[present], np.full(int(present.sum()), version, np.int64))
