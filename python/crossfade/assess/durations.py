"""Durations as people read them."""

from __future__ import annotations

import math

# From the unit's size on, twice: 90 minutes are better than 1.5 hours.
_UNITS = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))
# Nothing that takes less matters, or could be told.
_LEAST_SECONDS = 0.1


def duration(seconds: float) -> str:
    """A duration, in the unit of which there are at least two.

    Example:
        >>> duration(5400.0), duration(115.2), duration(0.31)
        ('90 minutes', '115 seconds', '0.31 seconds')
    """
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{_two_digits(seconds / size)} {unit}"
    if seconds <= 0 or seconds >= _LEAST_SECONDS:
        return f"{_two_digits(seconds)} seconds"
    return f"< {_LEAST_SECONDS} seconds"


def _two_digits(value: float) -> str:
    """Two digits that count, or all before the point."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{value:,.{min(max(digits, 0), 9)}f}"
