"""Estimates: what a uniform sample tells of all of a collection, with its standard error (Cochran 1977)."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Interval: TypeAlias = tuple[float, float]
Numbers: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.int64]

_NORMAL = 1.959964  # its quantile for 95 % in the middle


class Estimate(NamedTuple):
    """A value, its standard error, and on how many independent measurements that error rests.

    Example:
        >>> Estimate(10.0).interval is None, Estimate(10.0, 1.0, 1_000).interval
        (True, (8.037..., 11.962...))
    """

    value: float
    error: float = 0.0
    parts: float = math.inf

    @property
    def interval(self) -> Interval | None:
        """95 % by Student's t; None where the value is exact, or a single measurement tells no error."""
        if self.error == 0.0 or self.parts < 2:
            return None
        reach = _student(self.parts - 1.0) * self.error
        return self.value - reach, self.value + reach

    def within(self, low: float, high: float) -> Interval | None:
        """The interval, as far as it lies between what is possible."""
        return self.interval and (max(self.interval[0], low), min(self.interval[1], high))

    def times(self, other: Estimate) -> Estimate:
        """The product of two independent estimates."""
        error = math.hypot(self.value * other.error, other.value * self.error)
        return Estimate(self.value * other.value, error, min(self.parts, other.parts))

    def plus(self, other: Estimate) -> Estimate:
        """The sum of two independent estimates."""
        return Estimate(self.value + other.value, math.hypot(self.error, other.error), min(self.parts, other.parts))

    def scaled(self, factor: float) -> Estimate:
        """So many times it."""
        return Estimate(self.value * factor, self.error * factor, self.parts)


def total(values: Numbers, population: int) -> Estimate:
    """The sum over a population, from the values `(n,)` of a uniform sample of it; exact where that is all of it."""
    count = len(values)
    if count == 0 or count >= population:
        return Estimate(float(values.sum()))
    left = math.sqrt(1.0 - count / population)
    spread = float(values.std(ddof=1)) if count > 1 else 0.0
    return Estimate(population * float(values.mean()), population * left * spread / math.sqrt(count), count)


def ratio(numerators: Numbers, denominators: Numbers) -> Estimate:
    """Σ numerators / Σ denominators, `(n,)` each, of independent parts; 0 where there is nothing to divide by."""
    count, whole = len(numerators), float(denominators.sum())
    if whole <= 0:
        return Estimate(0.0, 0.0, count)
    value = float(numerators.sum()) / whole
    if count < 2:
        return Estimate(value, 0.0, count)
    residuals = numerators - value * denominators
    spread = math.sqrt(float(residuals @ residuals) / (count - 1))
    return Estimate(value, spread * math.sqrt(count) / whole, count)


def _student(freedom: float) -> float:
    """The quantile of Student's t for 95 % in the middle, by Hill's expansion around the normal one (CACM 1970)."""
    if freedom < 3:
        return {1.0: 12.706}.get(freedom, 4.303)
    z = _NORMAL
    terms = (z**3 + z) / 4.0, (5 * z**5 + 16 * z**3 + 3 * z) / 96.0, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384.0
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
