"""Thresholds: what decides a verdict."""

from __future__ import annotations

import dataclasses
from typing import Any

from crossfade._values import count_of, shown
from crossfade.errors import InvalidInput

MOST = 1e15  # seconds or money


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What decides.

    Args:
        min_lift: Least lift of the first metric that is worth a migration, as a share of the old model's value. With 0
            the new model only has not to be worse by more than `margin`: for those who must leave the old one.
        margin: What may be lost in any metric, as a share of the old model's value.
        significance: Level of the tests, two-sided.
        least_queries: With fewer queries nothing is decided by them.
        window_seconds: A fill that takes no longer goes into a maintenance window.
        max_seconds: What a fill may take; None for as long as it takes.
        max_money: What it may cost; None for whatever it costs.

    Raises:
        InvalidInput: One is out of its range.
    """

    min_lift: float = 0.05
    margin: float = 0.02
    significance: float = 0.05
    least_queries: int = 30
    window_seconds: float = 900.0
    max_seconds: float | None = None
    max_money: float | None = None

    def __post_init__(self) -> None:
        _within(self.min_lift, "min_lift", 0.0, 10.0)
        _within(self.margin, "margin", 0.0, 1.0)
        _within(self.significance, "significance", 0.0001, 0.5)
        count_of(self.least_queries, "least_queries", 1_000_000)
        _within(self.window_seconds, "window_seconds", 0.0, MOST)
        for name in ("max_seconds", "max_money"):
            if getattr(self, name) is not None:
                _within(getattr(self, name), name, 0.0, MOST)


def _within(value: Any, name: str, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a number from {low:g} to {high:g}, got {shown(value)}")
