"""Retrieval metrics over judged queries, and whether two systems differ: arrays and dicts in, values out.

A *run* is `{query id: [document ids, best first]}`; *qrels* are `{query id: {document id: grade}}`. A grade
above zero is relevant. Every query with at least one relevant document counts, and one that is missing from
the run counts as 0 (trec_eval's `-c`): a system can't gain by leaving questions unanswered. The other queries
have no value and are left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossfade._values import shown
from crossfade.errors import InvalidInput

Qrels = Mapping[str, Mapping[str, float]]
Run = Mapping[str, Sequence[str]]
Gain = Literal["linear", "exponential"]
_Float64 = NDArray[np.float64]

_GAINS: dict[str, Callable[[float], float]] = {
    "linear": lambda grade: max(grade, 0.0),
    "exponential": lambda grade: 2.0 ** max(grade, 0.0) - 1.0,
}
_BATCH = 256


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


def mean(values: Mapping[str, float]) -> float:
    """Mean over queries of what a metric returned; 0.0 where no query was judged."""
    return math.fsum(values.values()) / len(values) if values else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean difference of two systems over the same queries, with its bootstrap interval.

    Args:
        queries: How many queries were compared.
        difference: Mean of challenger − baseline.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Share of resampled means that lie within the interval.
        better: Queries on which the challenger's value is higher.
        worse: Queries on which it is lower.
    """

    queries: int
    difference: float
    low: float
    high: float
    confidence: float
    better: int
    worse: int

    def non_inferior(self, margin: float) -> bool:
        """Whether the whole interval lies above −margin."""
        return self.low > -margin


def compare(
    baseline: Mapping[str, float],
    challenger: Mapping[str, float],
    *,
    samples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two systems query by query with a paired percentile bootstrap (Sakai, SIGIR 2006).

    Args:
        baseline: One metric's value per query.
        challenger: The same metric's value for the same queries.
        samples: Number of resamples, at least 100.
        confidence: Between 0 and 1, exclusive.
        seed: Of the resampling; the same seed gives the same interval.

    Raises:
        InvalidInput: The queries differ, there is none, a value isn't finite, or an option is out of range.

    Example:
        >>> compare({"a": 0.1, "b": 0.2}, {"a": 0.2, "b": 0.3}).low > 0
        True
    """
    if not baseline or baseline.keys() != challenger.keys():
        raise InvalidInput(
            f"both systems must have a value for the same queries, got {len(baseline)} and {len(challenger)} "
            f"with {len(baseline.keys() & challenger.keys())} in common; evaluate both with the same qrels"
        )
    if samples < 100 or not 0.0 < confidence < 1.0:
        raise InvalidInput(f"need samples >= 100 and 0 < confidence < 1, got {shown(samples)} and {shown(confidence)}")
    deltas = np.array([challenger[query] - baseline[query] for query in sorted(baseline)], dtype=np.float64)
    if not np.isfinite(deltas).all():
        raise InvalidInput("every value must be a finite number, got NaN or infinity")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(_resampled_means(deltas, samples, seed), [tail, 1.0 - tail])
    return Comparison(
        queries=deltas.size,
        difference=float(deltas.mean()),
        low=float(low),
        high=float(high),
        confidence=confidence,
        better=int((deltas > 0).sum()),
        worse=int((deltas < 0).sum()),
    )


def _resampled_means(deltas: _Float64, samples: int, seed: int) -> _Float64:
    """Means of `samples` resamples, in batches so that memory stays bounded by the number of queries."""
    random = np.random.default_rng(seed)
    means = [
        deltas[random.integers(deltas.size, size=(min(_BATCH, samples - start), deltas.size))].mean(axis=1)
        for start in range(0, samples, _BATCH)
    ]
    return np.concatenate(means)


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
