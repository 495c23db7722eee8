"""Comparison: whether two systems differ on the same queries, by how much, and what these queries could show at all."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from crossfade._values import shown
from crossfade.errors import InvalidInput

_Float64 = NDArray[np.float64]

POWER = 0.8
_BATCH = 256
# Means that differ by rounding only are equal.
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean difference of two systems over the same queries, with its bootstrap interval and its p-value.

    Args:
        queries: How many queries were compared.
        difference: Mean of challenger − baseline.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Share of resampled means that lie within the interval.
        p_value: Of the two-sided paired permutation test: how often a difference as large comes about where the two
            systems are alike.
        detectable: The smallest true difference that so many queries, as different as these, show in four of five
            cases at the level 1 − confidence; None for a single query.
        better: Queries on which the challenger's value is higher.
        worse: Queries on which it is lower.
    """

    queries: int
    difference: float
    low: float
    high: float
    confidence: float
    p_value: float
    detectable: float | None
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
    """Compare two systems query by query: a paired percentile bootstrap (Sakai, SIGIR 2006) for the interval, a paired
    permutation test (Smucker, Allan and Carterette, CIKM 2007) for the p-value, normal means for what is detectable.

    Args:
        baseline: One metric's value per query.
        challenger: The same metric's value for the same queries.
        samples: Number of resamples, and of permutations, at least 100. Where there are no more permutations than that,
            all are taken and the p-value is exact.
        confidence: Between 0 and 1, exclusive.
        seed: Of the resampling; the same seed gives the same interval and p-value.

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
        p_value=_p_value(deltas, samples, seed),
        detectable=_detectable(deltas, confidence),
        better=int((deltas > 0).sum()),
        worse=int((deltas < 0).sum()),
    )


def _p_value(deltas: _Float64, samples: int, seed: int) -> float:
    """Share of the sign patterns whose mean is as far from zero; the observed one is always counted."""
    found, drawn = abs(deltas.sum()), 1
    if 2**deltas.size <= samples:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=deltas.size)))
        sums, drawn = signs @ deltas, 0
    else:
        random = np.random.default_rng(seed)
        sums = _in_batches(samples, lambda count: (2.0 * random.integers(2, size=(count, deltas.size)) - 1.0) @ deltas)
    as_far = int((np.abs(sums) >= found - _ROUNDING * np.abs(deltas).sum()).sum())
    return (as_far + drawn) / (sums.size + drawn)


def _detectable(deltas: _Float64, confidence: float) -> float | None:
    if deltas.size < 2:
        return None
    normal = NormalDist()
    reach = normal.inv_cdf((1.0 + confidence) / 2.0) + normal.inv_cdf(POWER)
    return reach * float(deltas.std(ddof=1)) / math.sqrt(deltas.size)


def _resampled_means(deltas: _Float64, samples: int, seed: int) -> _Float64:
    random = np.random.default_rng(seed)
    return _in_batches(
        samples, lambda count: deltas[random.integers(deltas.size, size=(count, deltas.size))].mean(axis=1)
    )


def _in_batches(samples: int, draw: Callable[[int], _Float64]) -> _Float64:
    """So many draws, in batches so that memory stays bounded by the number of queries."""
    return np.concatenate([draw(min(_BATCH, samples - start)) for start in range(0, samples, _BATCH)])
