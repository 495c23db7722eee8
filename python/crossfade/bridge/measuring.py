"""What a map is worth: how well rows that it carries over stand in for true ones, on pairs that it has not seen."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from crossfade.bridge.fitting import Float32, Float64, Stored, unit

NEIGHBOURS = 10
RESAMPLES, LEVEL = 1_000, 0.95

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """By held-out pair, `(n,)` each.

    Args:
        cosine: Of a carried row with its counterpart.
        recall: Share of the 10 nearest true rows of a true row that are also found with carried ones (itself left out;
            fewer than 10 where there are fewer rows).
        retention: What remains of the new model's retrieval where the right answer to a row is its nearest other one:
            1 / log2(1 + its rank) among the first ten, which is nDCG@10; the true rows reach 1.
    """

    cosine: Float64
    recall: Float64
    retention: Float64

    def means(self) -> tuple[float, float]:
        """Mean cosine and mean recall."""
        return float(self.cosine.mean()), float(self.recall.mean())

    def is_better(self, other: Measured) -> bool:
        """Whether it has the higher recall, to two decimals, or the same and the higher cosine."""
        return self._worth() > other._worth()

    def _worth(self) -> tuple[float, float]:
        cosine, recall = self.means()
        return round(recall, 2), cosine


class HeldOut:
    """Held-out pairs `(n, d1)` and `(n, d2)`, with the neighbours of every new row among the others.

    Args:
        old: Rows to carry over.
        new: Their counterparts.
        queries: Whether carried rows are to ask true ones; else true rows ask carried ones.
    """

    def __init__(self, old: Stored, new: Stored, *, queries: bool = False) -> None:
        self.old = old
        self._new = unit(new)
        self._queries = queries
        self._count = min(NEIGHBOURS, len(new) - 1)
        scores = self._others(self._new @ self._new.T)
        self._nearest = scores.argmax(axis=1)
        self._wanted = np.zeros(scores.shape, np.bool_)
        np.put_along_axis(self._wanted, _best(scores, self._count), True, axis=1)

    def measure(self, carried: Float32) -> Measured:
        """What `old` is worth as a map has carried it: unit rows `(n, d2)`."""
        scores = self._others(carried @ self._new.T if self._queries else self._new @ carried.T)
        found = _best(scores, self._count)
        recall = np.take_along_axis(self._wanted, found, axis=1).mean(axis=1)
        threshold = np.take_along_axis(scores, self._nearest[:, None], axis=1)
        rank = (scores > threshold).sum(axis=1)
        retention = np.where(rank < NEIGHBOURS, 1.0 / np.log2(rank + 2.0), 0.0)
        cosine = np.einsum("nd,nd->n", carried, self._new).astype(np.float64)
        return Measured(cosine, recall.astype(np.float64), retention)

    @staticmethod
    def _others(scores: Float32) -> Float32:
        np.fill_diagonal(scores, -np.inf)
        return scores


def interval(values: Float64, seed: int) -> Interval:
    """The middle 95 % of what the mean would be for pairs drawn anew from these (Efron's percentile bootstrap)."""
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _best(scores: Float32, count: int) -> NDArray[np.int64]:
    return np.argpartition(-scores, count - 1, axis=1)[:, :count]
