"""Pool: the documents that are embedded for a comparison, and how both models rank the collection for each query.

The old model ranks the whole collection. Of the new one only a capped sample is embedded: every relevant document, a
uniform sample, and for each query the first documents of two lists, the old model's and that of a Bridge learned from
the uniform sample. What the new model would have ranked high is partly missing, and all of it would have stood in the
way of relevant documents: ranked on the sample alone the new model looks better than it is. So each query's further
candidates take part with drawn scores: what is estimated from the bridged and the old score, and a residual. Both come
from documents that were embedded for other queries or by chance, which stand where the missing ones do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crossfade import kernels
from crossfade.bridge import Bridge
from crossfade.catalog import documents
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.index import VersionIndex
from crossfade.search.carried import Carried
from crossfade.store import Snapshot, Store

from .draws import DRAWS, Draws, draws_of
from .sample import Sample as Drawn
from .sample import embedded

Keys: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = npt.NDArray[np.float32]
Lists: TypeAlias = list[Keys]

# Each query's candidates from either list. Beyond, too few are among the new model's best to matter.
CANDIDATES = 300
NO_KEY = np.uint64(2**64 - 1)


@dataclasses.dataclass(frozen=True)
class Question:
    """A query that is measured.

    Args:
        id: The query's id.
        text: Its text.
        grades: Grade by document key, of judged documents that are there.
        rest: What stands for its document, where it was made of one.
    """

    id: str
    text: str
    grades: Mapping[int, float]
    rest: str | None = None

    @property
    def relevant(self) -> list[int]:
        return [key for key, grade in self.grades.items() if grade > 0]


@dataclasses.dataclass(frozen=True)
class PoolSize:
    """What was embedded with the new model, and how much of each query's ranking had to be drawn.

    Args:
        documents: Documents of the collection.
        embedded: Those of them that were embedded with the new model.
        uniform: Those of these that were chosen by chance.
        depth: How many of each query's two lists were embedded.
        missing: Candidates per query that were not, whose new scores were drawn.
        pairs: Pairs of query and document from which the draws were learned; 0 where nothing was drawn.
        residual: Standard deviation of a drawn score around its estimate.
    """

    documents: int
    embedded: int
    uniform: int
    depth: int
    missing: float
    pairs: int
    residual: float

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, so that nothing is estimated."""
        return self.missing == 0.0

    @property
    def corrected(self) -> bool:
        """Whether the missing documents take part with drawn scores."""
        return self.complete or self.pairs > 0


@dataclasses.dataclass(frozen=True)
class Rankings:
    """Document keys, best first, of each question.

    Args:
        old: By the old model, among the whole collection.
        embedded: By the new model, among what was embedded.
        drawn: By the new model with the missing documents, once for every draw; one where nothing is missing.
        size: Of the pool.
    """

    old: Lists
    embedded: Lists
    drawn: list[Lists]
    size: PoolSize


class Sample:
    """The documents of one comparison, and their vectors in both Spaces.

    Args:
        store: The collection's.
        encoders: Its encoders.
        new: The encoder that is compared with the live version's.
        drawn: The documents that were chosen by chance, with their rows: they are not embedded again.
        most: How many documents there are at most, the drawn ones included, the rests of made queries apart.
        seed: Of what is chosen and drawn.
        progress: Called with the documents embedded so far, and how many there will be at most.

    Raises:
        EncoderMissing: The live version's encoder is not at hand.
    """

    def __init__(
        self,
        store: Store,
        encoders: Encoders,
        new: Encoder,
        drawn: Drawn,
        most: int,
        seed: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._store = store
        self._snapshot: Snapshot = store.snapshot()
        self._live: VersionIndex = self._snapshot.live
        self._old, self._new = encoders.get(self._snapshot.state.live_version), new
        self._most, self._seed, self._progress = most, seed, progress
        self._random = np.random.default_rng(seed)
        with store.reading() as connection:
            keys = documents.all_keys(connection).astype(np.uint64)
        self._everyone: Keys = keys[self._live.has(keys)]
        there = np.isin(drawn.keys, self._everyone)  # what was edited since is no longer there
        order = np.argsort(drawn.keys[there])
        self._keys: Keys = drawn.keys[there][order]
        self._rows: Rows = drawn.new[there][order]

    def rank(self, questions: Sequence[Question], count: int) -> Rankings:
        """The first `count` documents of every question, `CANDIDATES` at most."""
        texts = [question.text for question in questions]
        old, new = self._old.encode(texts, "query"), self._new.encode(texts, "query")
        first = self._candidates(old)
        second, carried, learned, uniform, depth = first, None, None, len(self._everyone), CANDIDATES
        if uniform <= self._most:
            self._embed(self._everyone)
        else:
            uniform, fitted, bridge = self._learn()
            carried = Carried(bridge)
            second = self._candidates(_unit(new @ bridge.matrix.T))
            depth = self._depth(questions, first, second)
            self._embed(_wanted(questions, first, second, depth))
            learned = self._draws(questions, old, new, first, second, depth, carried, fitted)
        rests = self._rests(questions, old, new)
        ranked = Rankings([], [], [[] for _ in range(DRAWS if learned else 1)], PoolSize(0, 0, 0, 0, 0.0, 0, 0.0))
        missing = 0
        for place, question in enumerate(questions):
            own = _place_of(question)
            rest = [side.get(place, 0.0) for side in rests]
            ranked.old.append(self._by_old(question, old[place], first[place], own, rest[0], count))
            keys, scores = self._keys, self._rows @ new[place]
            scores = np.where(keys == own, rest[1], scores) if own is not None else scores
            ranked.embedded.append(_best(keys, scores, count))
            lacking = self._lacking(first[place], second[place], own) if carried else keys[:0]
            missing += len(lacking)
            drawn = [scores]
            if learned and carried:
                features = self._features(carried, old[place], new[place], lacking)
                generator = np.random.default_rng([self._seed, place])
                drawn = [np.concatenate([scores, learned.draw(features, generator)]) for _ in range(DRAWS)]
                keys = np.concatenate([keys, lacking])
            for lists, each in zip(ranked.drawn, drawn, strict=True):
                lists.append(_best(keys, each, count))
        size = PoolSize(
            documents=len(self._everyone),
            embedded=len(self._keys),
            uniform=uniform,
            depth=depth,
            missing=missing / len(questions),
            pairs=learned.pairs if learned else 0,
            residual=learned.residual if learned else 0.0,
        )
        return dataclasses.replace(ranked, size=size)

    def _candidates(self, rows: Rows) -> Lists:
        found, _ = self._live.candidates(rows, CANDIDATES, self._snapshot.dead)
        return [keys[keys != NO_KEY] for keys in found]

    def _learn(self) -> tuple[int, Keys, Bridge]:
        """From the uniform sample: its size, the part that the Bridge is fitted to, and the Bridge."""
        held = np.zeros(len(self._keys), np.bool_)
        held[self._random.permutation(len(held))[: max(len(held) // 5, 2)]] = True
        old, new = self._old.space, self._new.space
        rows = self._live.gather(self._keys)
        bridge = Bridge.fit(rows, self._rows, source=old, target=new, seed=self._seed, held_out=held)
        return len(self._keys), self._keys[~held], bridge

    def _depth(self, questions: Sequence[Question], first: Lists, second: Lists) -> int:
        low, high = 0, CANDIDATES
        while low < high:
            middle = (low + high + 1) // 2
            size = len(np.union1d(self._keys, _wanted(questions, first, second, middle)))
            low, high = (middle, high) if size <= self._most else (low, middle - 1)
        return low

    def _embed(self, wanted: Keys) -> None:
        """Adds documents; those that were edited meanwhile, and those that the new model refuses, are passed over."""
        keys = np.setdiff1d(wanted, self._keys)
        with self._store.reading() as connection:
            found = documents.fetch(connection, keys.tolist())
        keys = np.array([key for key in keys.tolist() if key in found], np.uint64)
        progress = self._progress
        done, total = len(self._keys), min(self._most, len(self._everyone))
        rows, good = embedded(
            self._new,
            [found[key].content for key in keys.tolist()],
            progress=(lambda count: progress(done + count, total)) if progress else None,
        )
        keys = keys[good]
        order = np.argsort(np.concatenate([self._keys, keys]))
        self._rows = np.concatenate([self._rows, rows])[order]
        self._keys = np.concatenate([self._keys, keys])[order]

    def _rests(self, questions: Sequence[Question], *queries: Rows) -> list[dict[int, float]]:
        """By the place of a question that was made of a document, the score of what stands for it, in both Spaces."""
        rests = {place: question.rest for place, question in enumerate(questions) if question.rest is not None}
        each = []
        for encoder, rows in zip((self._old, self._new), queries, strict=True):
            encoded = encoder.encode(list(rests.values()))
            each.append({place: float(rows[place] @ row) for place, row in zip(rests, encoded, strict=True)})
        return each

    def _by_old(self, question: Question, query: Rows, found: Keys, own: int | None, rest: float, count: int) -> Keys:
        keys = np.union1d(found, np.array(question.relevant, np.uint64))
        scores = self._live.scores(keys, query)
        return _best(keys, np.where(keys == own, rest, scores) if own is not None else scores, count)

    def _lacking(self, first: Keys, second: Keys, own: int | None) -> Keys:
        keys = np.setdiff1d(np.union1d(first, second), self._keys)
        return keys if own is None else keys[keys != own]

    def _features(self, carried: Carried, old: Rows, new: Rows, keys: Keys) -> npt.NDArray[np.float64]:
        """One, the bridged score and the old score of documents, `(n, 3)`."""
        bridged, scores = carried.scores(self._live, keys, new), self._live.scores(keys, old)
        return np.stack([np.ones(len(keys)), bridged, scores], axis=1).astype(np.float64)

    def _draws(
        self,
        questions: Sequence[Question],
        old: Rows,
        new: Rows,
        first: Lists,
        second: Lists,
        depth: int,
        carried: Carried,
        fitted: Keys,
    ) -> Draws | None:
        """Learns from what was embedded of each query's candidates though not for this query, nor for the Bridge."""
        features, scores = [np.empty((0, 3))], [np.empty(0)]
        for place, question in enumerate(questions):
            candidates = np.intersect1d(np.union1d(first[place], second[place]), self._keys)
            own = [*first[place][:depth].tolist(), *second[place][:depth].tolist(), *question.grades]
            keys = np.setdiff1d(candidates, np.concatenate([fitted, np.array(own, np.uint64)]))
            features.append(self._features(carried, old[place], new[place], keys))
            scores.append(self._rows[np.searchsorted(self._keys, keys)] @ new[place])
        return draws_of(np.concatenate(features), np.concatenate(scores))


def _wanted(questions: Sequence[Question], first: Lists, second: Lists, depth: int) -> Keys:
    relevant = np.array([key for question in questions for key in question.relevant], np.uint64)
    return np.unique(np.concatenate([relevant, *(keys[:depth] for keys in [*first, *second])]))


def _place_of(question: Question) -> int | None:
    """The key of the document that a query was made of."""
    return question.relevant[0] if question.rest is not None else None


def _best(keys: Keys, scores: npt.NDArray[np.floating], count: int) -> Keys:
    """The best keys, by score descending, then key."""
    if len(keys) > count:
        among = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
        keys, scores = keys[among], scores[among]
    best: Keys = keys[np.lexsort((keys, -scores))[:count]]
    return best


def _unit(rows: Rows) -> Rows:
    return kernels.normalize(np.ascontiguousarray(rows, np.float32))
