"""Retrieval metrics over judged queries, as trec_eval computes them.

A *run* is `{query id: [document ids, best first]}`; *qrels* are `{query id: {document id: grade}}`. A grade
above zero is relevant. Every query with at least one relevant document counts, and one that is missing from
the run counts as 0 (trec_eval's `-c`): a system can't gain by leaving questions unanswered. The other queries
have no value and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from crossfade._values import shown
from crossfade.errors import InvalidInput

Qrels = Mapping[str, Mapping[str, float]]
Run = Mapping[str, Sequence[str]]
Gain = Literal["linear", "exponential"]

_GAINS: dict[str, Callable[[float], float]] = {
    "linear": lambda grade: max(grade, 0.0),
    "exponential": lambda grade: 2.0 ** max(grade, 0.0) - 1.0,
}


def ndcg(run: Run, qrels: Qrels, *, k: int = 10, gain: Gain = "linear") -> dict[str, float]:
    """Normalised discounted cumulative gain of each judged query (Järvelin and Kekäläinen 2002).

    Args:
        run: Document ids per query, best first, no id twice.
        qrels: Grades per query.
        k: How many of the first documents count, at least 1.
        gain: "linear" takes the grade itself, as trec_eval does; "exponential" takes 2^grade − 1.

    Returns:
        A value in [0, 1] for every query with a relevant document; empty where there is none.

    Raises:
        InvalidInput: k below 1, an unknown gain, a grade that isn't finite, or an id twice in one ranking.

    Example:
        >>> ndcg({"q": ["b", "a"]}, {"q": {"a": 1}})
        {'q': 0.6309297535714575}
    """
    if gain not in _GAINS:
        raise InvalidInput(f"gain must be one of {', '.join(_GAINS)}, got {shown(gain)}")
    worth = _GAINS[gain]

    def value(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
        best = sorted((worth(grade) for grade in grades.values()), reverse=True)[:k]
        return _dcg([worth(grades.get(document, 0.0)) for document in ranked[:k]]) / _dcg(best)

    return _per_query(run, qrels, k, value)


def precision(run: Run, qrels: Qrels, *, k: int = 10) -> dict[str, float]:
    """Share of the first k places that hold a relevant document; arguments and errors as in `ndcg`.

    Example:
        >>> precision({"q": ["a", "x"]}, {"q": {"a": 1, "b": 2}}, k=4)
        {'q': 0.25}
    """

    def value(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
        return sum(grades.get(document, 0.0) > 0 for document in ranked[:k]) / k

    return _per_query(run, qrels, k, value)


def recall(run: Run, qrels: Qrels, *, k: int = 10) -> dict[str, float]:
    """Share of each query's relevant documents that are among the first k; arguments and errors as in `ndcg`.

    Example:
        >>> recall({"q": ["a", "x"]}, {"q": {"a": 1, "b": 2}}, k=2)
        {'q': 0.5}
    """

    def value(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
        relevant = {document for document, grade in grades.items() if grade > 0}
        return len(relevant.intersection(ranked[:k])) / len(relevant)

    return _per_query(run, qrels, k, value)


def mrr(run: Run, qrels: Qrels, *, k: int = 10) -> dict[str, float]:
    """Reciprocal rank of each query's first relevant document, 0 beyond k; arguments and errors as in `ndcg`.

    Example:
        >>> mrr({"q": ["x", "a"]}, {"q": {"a": 1}})
        {'q': 0.5}
    """

    def value(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
        ranks = (rank for rank, document in enumerate(ranked[:k], 1) if grades.get(document, 0.0) > 0)
        return 1.0 / next(ranks, math.inf)

    return _per_query(run, qrels, k, value)


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Documents by score, best first, as trec_eval ranks a run: in float32, and equal ones by id, descending.

    Example:
        >>> ranked({"a": 0.5, "b": 0.5, "c": 0.7})
        ['c', 'b', 'a']
    """
    return sorted(scores, key=lambda document: (np.float32(scores[document]), document), reverse=True)


def mean(values: Mapping[str, float]) -> float:
    """Mean over queries of what a metric returned; 0.0 where no query was judged."""
    return math.fsum(values.values()) / len(values) if values else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _per_query(
    run: Run, qrels: Qrels, k: int, value: Callable[[Sequence[str], Mapping[str, float]], float]
) -> dict[str, float]:
    if k < 1:
        raise InvalidInput(f"k must be at least 1, got {shown(k)}")
    for query, ranked in run.items():
        if len(set(ranked)) != len(ranked):
            raise InvalidInput(f"a ranking may name a document once, but that of query {query!r} repeats one")
    for query, grades in qrels.items():
        if not all(math.isfinite(grade) for grade in grades.values()):
            raise InvalidInput(f"every grade must be a finite number, but query {query!r} has another")
    judged = {query: grades for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    return {query: value(run.get(query, ()), grades) for query, grades in judged.items()}
