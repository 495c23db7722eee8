"""A collection on its way from one model to another, stopped wherever it is to be measured."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

import crossfade as cf
from bench.fade_data import Judged, Rows
from crossfade._uniform import in_order
from crossfade.migration.learning import LEAST_PAIRS
from crossfade.migration.migration import SEED
from crossfade.search.fade import Fade

Rankings = dict[str, list[str]]
DEPTH = 10
RANDOM, HOT = "random", "hot"  # a random order is one by priorities that are drawn for each seed
LARGEST_PRIORITY = 1e9  # above any count of searches
OLDEST = 2 * 365 * 86_400.0  # seconds: documents without a date get one since then, drawn as well


class State:
    """A collection under migration, asked by a process that only reads: measuring leaves no trace in its log.

    Args:
        docs: The collection, open to write.
        judged: What is in it, and what is asked.
        new: The encoder it migrates to.
        asking: The same collection for those who search.
        without_old: The same for those who can't call the old encoder any more.
        sample: Its size; None for the product's own.
    """

    def __init__(
        self,
        docs: cf.Collection,
        judged: Judged,
        new: cf.Encoder,
        asking: cf.Collection,
        without_old: cf.Collection,
        sample: int | None,
    ) -> None:
        self.docs, self.asking, self.without_old = docs, asking, without_old
        self._judged, self._new = judged, new
        self._documents = judged.documents
        self._sample = sample
        self.by_bridge: dict[str, Rankings] = {}
        self.migration: cf.Migration | None = None

    @property
    def embedded(self) -> float:
        """Share of the documents that have a new vector, whatever they were embedded for."""
        return self.migration.status().share if self.migration else 0.0

    def start(self, order: str) -> None:
        """Starts the migration, in an order."""
        self.migration = self.docs.migrate(self._new, order="priority" if order == RANDOM else order)

    def advance(self, share: float) -> None:
        """Re-embeds until a share of the documents has new vectors, and not one more.

        The sample that the Bridge is learned from counts, so that it is what the share allows, up to what it would be.
        """
        assert self.migration
        allowed = math.floor(share * len(self._documents) + 1e-9)
        if allowed < LEAST_PAIRS <= len(self._documents):  # the beginning of the sample
            keys = np.arange(1, len(self._documents) + 1)
            first = in_order(keys, SEED)[:allowed].astype(np.int64) - 1
            self.embed([self._documents[at].id for at in first.tolist()])
            return
        if self._sample and not self.migration.status().fitted:
            self.migration.fit(sample=min(self._sample, allowed))
        self.migration.run(until=allowed / len(self._documents))

    def fit(self) -> None:
        """Learns what a run learns before it begins."""
        assert self.migration
        self.migration.fit(sample=self._sample)

    def embed(self, ids: Sequence[str]) -> None:
        """Re-embeds certain documents."""
        wanted = set(ids)
        batch = [document for document in self._documents if document.id in wanted]
        stored = [found for document in batch if (found := self.docs.get(document.id))]
        if stored:
            rows = self._new.encode([document.content for document in stored])
            self.docs.upsert(stored, vectors=rows, space=self._new.space)

    def cutover(self, serve: Literal["new", "blend"]) -> None:
        """Makes the new version the live one, alone or blended with the old one."""
        assert self.migration
        self.migration.cutover(serve=serve)

    def fade(self) -> Fade | None:
        """What searches blend with at this moment."""
        return self.asking._searcher._view().fade

    def stored(self) -> tuple[Rows, Rows, npt.NDArray[np.bool_]]:
        """Old rows, new rows, and which documents have one; as they are stored, in the order of the documents."""
        snapshot = self.docs._store.snapshot()
        state = snapshot.state
        keys = np.flatnonzero(~snapshot.dead[1 : len(self._documents) + 1]).astype(np.uint64) + np.uint64(1)
        old = snapshot.indices[state.live].gather(keys)
        assert state.filling
        target = snapshot.indices[state.filling.id]
        has = target.has(keys)
        new = np.zeros((len(keys), target.dim), np.float32)
        new[has] = target.gather(keys[has])
        return old, new, has


@contextlib.contextmanager
def collection(
    folder: Path, judged: Judged, old: cf.Encoder, new: cf.Encoder, order: str, seed: int, sample: int | None = None
) -> Iterator[State]:
    """A new collection of all documents in the old model's Space, its migration not started yet."""
    make(folder, judged, old, order, seed)
    with opened(folder, judged, old, new, sample) as state:
        yield state


def make(folder: Path, judged: Judged, old: cf.Encoder, order: str, seed: int) -> None:
    """Makes a collection of all documents in the old model's Space."""
    random, now = np.random.default_rng((1, seed)), time.time()
    documents = [
        cf.Document(
            document.id,
            document.text,
            priority=float(random.random() * LARGEST_PRIORITY) if order == RANDOM else 0.0,
            updated_at=now - float(random.random() * OLDEST),
        )
        for document in judged.documents
    ]
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(documents, vectors=old.encode([it.content for it in documents]), space=old.space)
        docs._store.seal()


@contextlib.contextmanager
def opened(
    folder: Path, judged: Judged, old: cf.Encoder, new: cf.Encoder, sample: int | None = None
) -> Iterator[State]:
    """A collection that was made, for its owner and for those who search."""
    with (
        cf.Collection.open(folder, old, new) as docs,
        cf.Collection.open(folder, old, new, read_only=True) as asking,
        cf.Collection.open(folder, new, read_only=True) as without_old,
    ):
        yield State(docs, judged, new, asking, without_old, sample)


def ask(docs: cf.Collection, queries: Mapping[str, str], merge: str = "fade", k: int = DEPTH) -> Rankings:
    """The ids that a collection finds for each query."""
    found = docs.search(list(queries.values()), k=k, merge=merge)  # type: ignore[arg-type]
    return {query: hits.ids for query, hits in zip(queries, found, strict=True)}


def scores_of(docs: cf.Collection, queries: Mapping[str, str]) -> npt.NDArray[np.float64]:
    """The scores of all hits of all queries, ascending."""
    found = docs.search(list(queries.values()), k=DEPTH)
    return np.sort(np.concatenate([hits.scores for hits in found]).astype(np.float64))


def shift(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """Kolmogorov and Smirnov's distance of two samples, each ascending; 1 where they have nothing in common."""
    every = np.concatenate([before, after])
    shares = [np.searchsorted(side, every, side="right") / len(side) for side in (before, after)]
    return float(np.abs(shares[0] - shares[1]).max())


def ranked(scores: Rows, ids: Sequence[str], queries: Mapping[str, str]) -> Rankings:
    """The ids of the highest scores `(queries, documents)` of each query, ties by place."""
    rankings = {}
    for query, row in zip(queries, scores, strict=True):
        least = np.partition(row, -DEPTH)[-DEPTH] if len(row) > DEPTH else -np.inf
        places = np.flatnonzero(row >= least)
        rankings[query] = [ids[at] for at in places[np.argsort(-row[places], kind="stable")][:DEPTH]]
    return rankings


Method = Callable[[State, Judged, cf.Encoder], Rankings | None]


def _merged(name: str) -> Method:
    return lambda state, judged, new: ask(state.asking, judged.queries, name)


def _bridged(state: State, judged: Judged, new: cf.Encoder) -> Rankings | None:
    return ask(state.without_old, judged.queries) if state.fade() else None


def _bridge_only(state: State, judged: Judged, new: cf.Encoder) -> Rankings | None:
    """All documents by their old vectors carried over, as where nothing but a Bridge is bought."""
    fade = state.fade()
    if fade is None:
        return None
    if fade.bridge.digest not in state.by_bridge:  # old vectors don't change
        carried = fade.bridge.apply(state.stored()[0])
        state.by_bridge[fade.bridge.digest] = ranked(_queries(new, judged) @ carried.T, _ids(judged), judged.queries)
    return state.by_bridge[fade.bridge.digest]


def _new_query(state: State, judged: Judged, new: cf.Encoder) -> Rankings | None:
    """The new model's query against whatever vector a document has: what the product refuses to do."""
    old_rows, new_rows, has = state.stored()
    if old_rows.shape != new_rows.shape:
        return None
    rows = np.where(has[:, None], new_rows, old_rows)
    return ranked(_queries(new, judged) @ rows.T, _ids(judged), judged.queries)


def _queries(encoder: cf.Encoder, judged: Judged) -> Rows:
    return encoder.encode(list(judged.queries.values()), kind="query")


def _ids(judged: Judged) -> list[str]:
    return [document.id for document in judged.documents]


METHODS: dict[str, Method] = {
    **{name: _merged(name) for name in ("fade", "rrf", "minmax", "zscore", "convex")},
    "bridged": _bridged,
    "bridge_only": _bridge_only,
    "new_query": _new_query,
}
# What there is where the old encoder can't be called.
WITHOUT_OLD = ("bridged", "bridge_only", "new_query")
