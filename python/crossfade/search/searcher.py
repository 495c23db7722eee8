"""Searcher: checks a question, takes one view of the collection, and answers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from crossfade import kernels
from crossfade._arrays import numbers_of
from crossfade._forks import lock
from crossfade._values import items_of, shown
from crossfade.catalog import versions
from crossfade.catalog.versions import State
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput, SpaceMismatch
from crossfade.space import Space, checked_space
from crossfade.store import Store

from .asked import Asked
from .bridged import rank_bridged
from .calibration import Calibration
from .documents import Filters, documents_of
from .fade import Fade
from .hits import Hits
from .merges import FADE, Merge
from .ranking import CANDIDATES, Keys, Ranking, View
from .search import rank_old_vectors, rank_texts, rank_vectors

# Called once with what a search looks at and what it found, before it answers; whether it is to search again.
OnRead: TypeAlias = Callable[[View, Sequence[Ranking]], bool]


class How(TypedDict, total=False):
    """What may be said of every search."""

    filter: Mapping[str, Any] | None
    merge: Merge
    on_read: str
    budget: float


MOST_HITS = 10_000
# A document found may be edited before it is fetched. The search is then made again on what is committed by then.
MOST_RETRIES = 10


class Searcher:
    """Answers questions about one collection. Thread-safe."""

    def __init__(self, store: Store, encoders: Encoders) -> None:
        self._store = store
        self._encoders = encoders
        self._filters = Filters()
        self._lock = lock()
        self._fade: tuple[tuple[int, int, str], Fade | None] | None = None
        self._calibration: tuple[tuple[int, int], Calibration | None] | None = None

    def by_texts(
        self,
        texts: Sequence[str],
        k: int,
        conditions: Mapping[str, Any] | None,
        merge: Merge = FADE,
        on_read: OnRead | None = None,
    ) -> list[Hits]:
        """Hits for each text."""
        _check_k(k)
        for position, text in enumerate(texts):
            if not isinstance(text, str) or not text or text.isspace():
                raise InvalidInput(f"query {position} must be a text to search for, got {shown(text)}")
        if not texts:
            return []
        asked = Asked(texts)
        return self._answer(conditions, lambda view, allowed: rank_texts(view, asked, k, allowed, merge), on_read)

    def considered(self, text: str) -> Keys:
        """The documents that a search for a text looks at, best first."""
        return rank_texts(self._view(), Asked([text]), CANDIDATES, None)[0].considered

    def by_vector(
        self,
        vector: npt.ArrayLike,
        space: Space | None,
        k: int,
        conditions: Mapping[str, Any] | None,
        on_read: OnRead | None = None,
    ) -> Hits:
        """Hits for a query vector."""
        _check_k(k)

        def rank(view: View, allowed: npt.NDArray[np.bool_] | None) -> list[Ranking]:
            state, fade = view.snapshot.state, view.fade
            pair = state.pair
            if space is None and pair:
                raise SpaceMismatch(
                    f"two versions serve, {pair[0].space!r} and {pair[1].space!r}: "
                    "say which one the vector is of, search(vector=…, space=encoder.space)"
                )
            beside = next((version for version in pair or () if version.id != state.live), None)
            if space is not None and pair and beside and fade and space.fingerprint == beside.space.fingerprint:
                rows = _query_rows(vector, beside.space)
                if beside.id == pair[0].id:
                    return rank_old_vectors(view, fade, pair, rows, k, allowed)
                return rank_bridged(view, beside.id, rows, k, allowed)
            if space is not None:
                state.live_version.space.require(space, "a query vector")
            rows = _query_rows(vector, state.live_version.space)
            return rank_vectors(view, state.live, rows, k, allowed, "old vector" if state.pair else "alone")

        return self._answer(conditions, rank, on_read)[0]

    def _answer(
        self,
        conditions: Mapping[str, Any] | None,
        rank: Callable[[View, npt.NDArray[np.bool_] | None], list[Ranking]],
        on_read: OnRead | None,
    ) -> list[Hits]:
        for tries_left in reversed(range(MOST_RETRIES)):
            view = self._view()
            allowed, current = self._filters.allowed(view, conditions)
            if not current and tries_left:
                continue
            rankings = rank(view, allowed)
            look, on_read = on_read, None
            if look and look(view, rankings):
                continue
            hits = documents_of(view, rankings)
            if hits is not None:
                break
        else:
            hits = documents_of(view, rankings, partial=True)
        return hits

    @property
    def fade(self) -> Fade | None:
        """What was learned of the two versions of the current migration; None where nothing was, or it is damaged."""
        with self._store.reading() as connection:
            return self._fade_of(versions.read(connection))

    def _view(self) -> View:
        snapshot = self._store.snapshot()
        fade = self._fade_of(snapshot.state) if snapshot.state.pair else None
        calibration = self._load_calibration(snapshot.state)
        return View(snapshot, self._store.database, self._encoders, fade, calibration)

    def _fade_of(self, state: State) -> Fade | None:
        current = state.migration
        return self._load_fade(current.source, current.target, current.bridge) if current and current.bridge else None

    def _load_fade(self, *named: *tuple[int, int, str]) -> Fade | None:
        latest = self._fade
        if latest is not None and latest[0] == named:  # without the lock, as most searches find it
            return latest[1]
        with self._lock:
            if self._fade is None or self._fade[0] != named:
                source, target, bridge = named
                self._fade = named, Fade.find(self._store.layout.bridges(source, target) / bridge)
            return self._fade[1]

    def _load_calibration(self, state: State) -> Calibration | None:
        """The live version's; whoever publishes one advances the epoch."""
        latest, named = self._calibration, (state.epoch, state.live)
        if latest is not None and latest[0] == named:
            return latest[1]
        with self._lock:
            if self._calibration is None or self._calibration[0] != named:
                folder = self._store.layout.version(state.live)
                self._calibration = named, Calibration.find(folder, state.live_version.space)
            return self._calibration[1]


def check_question(query: object, vector: object, space: object) -> list[str]:
    """The texts to search for, none where a vector is asked with.

    Raises:
        InvalidInput: It is neither a text, nor texts, nor a vector; or more than one of these.
    """
    if (query is None) == (vector is None):
        raise InvalidInput("search takes either a text (or a list of texts) or vector=, not both and not neither")
    if vector is not None:
        if space is not None:
            checked_space(space)
        return []
    if space is not None:
        raise InvalidInput("space= goes with vector=; a text is embedded by the collection's own encoder")
    if isinstance(query, str):
        return [query]
    wanted = "search takes a text or a list of texts"
    if isinstance(query, (Mapping, Set)):
        raise InvalidInput(f"{wanted}, got {shown(query)}")
    return list(items_of(query, wanted))


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
