"""Searcher: checks a question, takes one view of the collection, and answers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade import kernels
from crossfade._arrays import numbers_of
from crossfade._forks import lock
from crossfade._values import shown
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput, SpaceMismatch
from crossfade.space import Space
from crossfade.store import Store

from .bridged import rank_bridged
from .documents import allowed_keys, documents_of
from .fade import Fade
from .hits import Hits
from .merges import FADE, Merge
from .ranking import Ranking, View
from .search import rank_texts, rank_vectors

MOST_HITS = 10_000
# A document found may be edited before it is fetched. The search is then made again on what is committed by then.
MOST_RETRIES = 10


class Searcher:
    """Answers questions about one collection. Thread-safe."""

    def __init__(self, store: Store, encoders: Encoders) -> None:
        self._store = store
        self._encoders = encoders
        self._lock = lock()
        self._fade: tuple[Path, Fade | None] | None = None

    def by_texts(
        self, texts: Sequence[str], k: int, conditions: Mapping[str, Any] | None, merge: Merge = FADE
    ) -> list[Hits]:
        """Hits for each text."""
        _check_k(k)
        for position, text in enumerate(texts):
            if not isinstance(text, str) or not text or text.isspace():
                raise InvalidInput(f"query {position} must be a text to search for, got {shown(text)}")
        if not texts:
            return []
        return self._answer(k, conditions, lambda view, allowed: rank_texts(view, texts, k, allowed, merge))

    def by_vector(
        self, vector: npt.ArrayLike, space: Space | None, k: int, conditions: Mapping[str, Any] | None
    ) -> Hits:
        """Hits for a query vector."""
        _check_k(k)

        def rank(view: View, allowed: npt.NDArray[np.bool_] | None) -> list[Ranking]:
            state = view.snapshot.state
            filling = state.filling if view.fade else None
            if space is None and state.filling is not None:
                raise SpaceMismatch(
                    f"two versions serve, {state.live_version.space!r} and {state.filling.space!r}: "
                    "say which one the vector is of, search(vector=…, space=encoder.space)"
                )
            if space is not None and filling and space.fingerprint == filling.space.fingerprint:
                return rank_bridged(view, filling.id, _query_rows(vector, filling.space), k, allowed)
            if space is not None:
                state.live_version.space.require(space, "a query vector")
            return rank_vectors(view, state.live, _query_rows(vector, state.live_version.space), k, allowed)

        return self._answer(k, conditions, rank)[0]

    def _answer(
        self,
        k: int,
        conditions: Mapping[str, Any] | None,
        rank: Callable[[View, npt.NDArray[np.bool_] | None], list[Ranking]],
    ) -> list[Hits]:
        for tries_left in reversed(range(MOST_RETRIES)):
            view = self._view()
            allowed, current = allowed_keys(view, conditions)
            if not current and tries_left:
                continue
            rankings = rank(view, allowed)
            hits = documents_of(view, rankings)
            if hits is not None:
                break
        else:
            hits = documents_of(view, rankings, partial=True)
        self._store.hits.count(int(key) for ranking in rankings for key in ranking.keys)
        return hits

    def _view(self) -> View:
        snapshot = self._store.snapshot()
        current = snapshot.state.migration
        fade = None
        if current and current.state == "filling" and current.bridge:
            fade = self._load_fade(self._store.layout.bridges(current.source, current.target) / current.bridge)
        return View(snapshot, self._store.database, self._encoders, fade)

    def _load_fade(self, folder: Path) -> Fade | None:
        with self._lock:
            if self._fade is None or self._fade[0] != folder:
                self._fade = (folder, Fade.find(folder))
            return self._fade[1]


def _check_k(k: object) -> None:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= MOST_HITS:
        raise InvalidInput(f"k must be a whole number from 1 to {MOST_HITS}, got {shown(k)}")


def _query_rows(vector: npt.ArrayLike, space: Space) -> npt.NDArray[np.float32]:
    row = np.ascontiguousarray(numbers_of(vector, "vector"))
    if row.shape != (space.dim,):
        raise InvalidInput(f"vector must have shape ({space.dim},) for {space!r}, got {row.shape}")
    if not np.isfinite(row).all():
        raise InvalidInput("vector must be finite, but holds NaN or infinity")
    rows = row.reshape(1, -1)
    return kernels.normalize(rows) if space.metric == "cos" else rows
