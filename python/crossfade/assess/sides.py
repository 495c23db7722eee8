"""Sides: what two models answer to a query, side by side, in an order that does not tell which is which."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from crossfade._values import check_text, count_of, items_of, shown
from crossfade.catalog import documents
from crossfade.catalog.versions import Version
from crossfade.document import Document, hash_bytes
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders, checked_encoder
from crossfade.errors import InvalidInput
from crossfade.store import Snapshot, Store

from .measuring import LEAST_SAMPLE, MOST_K, uniform
from .pool import NO_KEY, Lists, Question, Sample
from .sample import draw

Progress = Callable[[int, int], None]

LARGEST_SAMPLE = 2**31


@dataclasses.dataclass(frozen=True)
class Sides:
    """What is shown of one query to somebody who judges.

    Args:
        query: Its text.
        lists: The documents that each model finds, best first; which model's stand first is drawn for each query. One
            list where there is one model.
        models: Whose lists they are; not for the eyes of who judges.
    """

    query: str
    lists: tuple[tuple[Document, ...], ...]
    models: tuple[str, ...]

    @property
    def documents(self) -> list[Document]:
        """Those of all lists, each once: what stands first in any of them before what stands second."""
        ranks = itertools.zip_longest(*self.lists)
        return list({document.id: document for rank in ranks for document in rank if document}.values())


class Judging:
    """The part of a collection's façade that is for those who judge."""

    _store: Store
    _encoders: Encoders

    def side_by_side(
        self,
        queries: Iterable[str],
        other: Encoder | None = None,
        *,
        k: int = 10,
        sample: int = LEAST_SAMPLE,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Sides]:
        """What the live model and another one find, for people to judge blind (`judge`); leaves no trace in the log.

        Two versions that are there answer each by its own vectors; during a migration the new one has those that are
        re-embedded. Of a model that is not there yet a sample is embedded: of each query's candidates by the live model
        and by a Bridge the first, as many as there is room for; the new model's list is of these alone.

        Args:
            queries: Their texts; a text that comes twice is asked once.
            other: The model to show beside the live one; None for that of a migration under way, or for none.
            k: How many documents a list has at most, 1 to 100.
            sample: How many documents are embedded at most, 400 or more, where that is needed.
            seed: Of the order of the lists, and of the sample.
            progress: Called with the documents embedded so far, and how many there will be at most.

        Raises:
            InvalidInput: A text can't be asked, or `other` is the live model.
            EncoderMissing: An encoder is not at hand.

        Example:
            for sides in docs.side_by_side(["forgotten password"], cf.Encoder.load("minilm-l6")):
                for document in sides.documents:
                    docs.judge(sides.query, document.id, float(input(document.text)))
        """
        texts = _texts(queries)
        if other is not None:
            checked_encoder(other)
        if count_of(sample, "sample", LARGEST_SAMPLE) < LEAST_SAMPLE:
            raise InvalidInput(f"sample must be at least {LEAST_SAMPLE} documents, got {sample}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(f"seed must be a whole number from 0 on, got {shown(seed)}")
        k = count_of(k, "k", MOST_K)
        if not texts:
            return []
        rankings = _rankings(self._store, self._encoders, texts, other, k, sample, seed, progress)
        keys = {key for lists in rankings.values() for found in lists for key in found.tolist()}
        with self._store.reading() as connection:
            found = documents.fetch(connection, sorted(keys))
        return [_sides(text, at, rankings, found, seed) for at, text in enumerate(texts)]


def _texts(queries: object) -> list[str]:
    """The texts, each once."""
    wanted = "side_by_side takes a list of the texts of queries"
    if isinstance(queries, (str, bytes, Mapping)):
        raise InvalidInput(f"{wanted}, got {shown(queries)}")
    texts: dict[str, None] = {}
    for text in items_of(queries, wanted):
        if not isinstance(text, str) or not text or text.isspace():
            raise InvalidInput(f"a query must be a text to search for, got {shown(text)}")
        check_text(text, "a query")
        texts[text] = None
    return list(texts)


def _rankings(
    store: Store,
    encoders: Encoders,
    texts: Sequence[str],
    other: Encoder | None,
    k: int,
    sample: int,
    seed: int,
    progress: Progress | None,
) -> dict[str, Lists]:
    """By model, the keys that it finds for each query: the live one's, then the other's where there is one."""
    snapshot = store.snapshot()
    live = snapshot.state.live_version
    beside = _beside(snapshot, other)
    encoder = other or (encoders.get(beside) if beside else None)
    if encoder and encoder.space.fingerprint == live.space.fingerprint:
        raise InvalidInput(f"{encoder!r} is the live model; name another one to show beside it")
    if encoder and (beside is None or not len(snapshot.indices[beside.id])):
        questions = [Question(text, text, {}) for text in texts]
        drawn = draw(store, encoder, most=uniform(sample), seed=seed, progress=progress)
        ranked = Sample(store, encoders, encoder, drawn, sample, seed, progress).rank(questions, k)
        return {"live": ranked.old, "other": ranked.embedded}
    found = {"live": _found(snapshot, live, encoders.get(live), texts, k)}
    if encoder and beside:
        found["other"] = _found(snapshot, beside, encoder, texts, k)
    return found


def _beside(snapshot: Snapshot, other: Encoder | None) -> Version | None:
    """The version that answers as the other model, or where none was named the one that serves beside the live one."""
    state = snapshot.state
    if other is None:
        return next((version for version in state.pair or () if version.id != state.live), None)
    same = (version for version in state.versions.values() if version.space.fingerprint == other.space.fingerprint)
    return next((version for version in same if version.id != state.live), None)


def _found(snapshot: Snapshot, version: Version, encoder: Encoder, texts: Sequence[str], k: int) -> Lists:
    keys, _ = snapshot.indices[version.id].candidates(encoder.encode(texts, "query"), k, snapshot.dead)
    return [row[row != NO_KEY][:k] for row in keys]


def _sides(text: str, at: int, rankings: Mapping[str, Lists], found: Mapping[int, Document], seed: int) -> Sides:
    """Documents that were edited meanwhile are left out."""
    drawn = np.random.default_rng([seed, int.from_bytes(hash_bytes(text.encode())[:8])])
    models = [list(rankings)[place] for place in drawn.permutation(len(rankings)).tolist()]
    lists = [tuple(found[key] for key in rankings[model][at].tolist() if key in found) for model in models]
    return Sides(text, tuple(lists), tuple(models))
