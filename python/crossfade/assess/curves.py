"""Curves: what part of the benefit is there when a share of the documents is re-embedded, by the order."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """What is expected when a share of the documents is re-embedded; an expectation, no measurement.

    Args:
        share: Of the documents, 0 to 1.
        seconds: Since the fill began; None where no batch could be timed.
        money: Spent by then; None where the price is not known.
        benefit: Share of the whole benefit that is expected, 0 to 1.
        low, high: The least and the most of it that was measured in such cases.
        quality: The first metric that is expected then; None where no quality was measured.
    """

    share: float
    seconds: float | None
    money: float | None
    benefit: float
    low: float
    high: float
    quality: float | None
