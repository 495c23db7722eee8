"""Calibrating: judged queries are asked, and what their hits teach is kept with the live version."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfade.catalog import versions
from crossfade.catalog.judgements import Judgement
from crossfade.errors import EncoderMissing, NotReady, ReadOnlyCollection
from crossfade.judged import Judged
from crossfade.store import Store

from .calibration import METHODS, Calibration
from .hits import Hits
from .searcher import Searcher
from .units import Float64

BATCH = 256  # queries asked together

Grades = Mapping[str, float]


class Asked(NamedTuple):
    """Queries and what is known of their hits.

    Args:
        texts: Of the queries.
        grades: Grade by document id, of each.
        unjudged: The grade of all other documents; None where nothing is known of them.
    """

    texts: Sequence[str]
    grades: Sequence[Grades]
    unjudged: float | None


class Pairs(NamedTuple):
    """Hits of which something is known: `(n,)` each.

    Args:
        scores: Their scores.
        relevant: Whether they are.
        queries: The place of the query they were found for.
    """

    scores: Float64
    relevant: NDArray[np.bool_]
    queries: NDArray[np.int64]


def of_qrels(judged: Judged) -> Asked:
    """What was given: as in trec_eval, a document that nobody judged is not relevant."""
    return Asked(list(judged.queries.values()), [judged.qrels[query] for query in judged.queries], 0.0)


def of_judgements(kept: Iterable[Judgement]) -> Asked:
    """What was said with `Collection.judge`: people say of a document that it is irrelevant, and of others nothing."""
    grades: dict[str, dict[str, float]] = {}
    for judgement in kept:
        grades.setdefault(judgement.query, {})[judgement.id] = judgement.grade
    return Asked(list(grades), list(grades.values()), None)


def calibrate(store: Store, searcher: Searcher, asked: Asked, k: int) -> Calibration:
    """Asks the queries, learns from their first `k` hits, and keeps it with the live version for every process.

    Raises:
        ReadOnlyCollection: It can't be kept.
        NotReady: Too few hits of either kind were judged, or the live version was replaced meanwhile.
        EncoderMissing: The live version's encoder is not at hand.
        InvalidInput: `k` is out of range, a text can't be searched for, or the lower the score the more are relevant.
    """
    if store.read_only:
        raise ReadOnlyCollection(
            f"{store.root} was opened with read_only=True, and a calibration is kept in it; open it again without"
        )
    if not asked.texts:
        raise NotReady("no query was judged yet; judge() the first hits of some, or give queries and qrels")
    with store.reading() as connection:
        live = versions.read(connection).live_version
    found: list[Hits] = []
    texts = iter(asked.texts)
    while batch := list(itertools.islice(texts, BATCH)):
        found += searcher.by_texts(batch, k, None)
    if any(hits.method not in METHODS for hits in found):
        raise EncoderMissing(
            f"scores of version {live.id} are calibrated, and its encoder is not at hand; hand it in: "
            "Collection.open(path, encoder)"
        )
    calibration = Calibration.fit(*pairs_of(found, asked), k=int(k), space=live.space)
    with store.writing() as connection:
        if versions.read(connection).live != live.id:
            raise NotReady("another version was made the live one meanwhile, with scores of its own; calibrate again")
        calibration.save(store.layout.version(live.id))
        versions.advance_epoch(connection)  # so that every process looks
        versions.note(connection, "calibrated", {"version": live.id, **calibration.to_dict()})
    return calibration


def pairs_of(found: Sequence[Hits], asked: Asked) -> Pairs:
    """The hits of each query of which something is known."""
    rows = [
        (hit.score, grade > 0.0, query)
        for query, (hits, grades) in enumerate(zip(found, asked.grades, strict=True))
        for hit in hits
        if (grade := grades.get(hit.id, asked.unjudged)) is not None
    ]
    scores, relevant, queries = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(np.array(scores, np.float64), np.array(relevant, np.bool_), np.array(queries, np.int64))
