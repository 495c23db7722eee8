"""Figures: numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

Figure: TypeAlias = Callable[[float], str]

# From the unit's size on, twice: 90 minutes are better than 1.5 hours.
_TIMES = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0), ("seconds", 1.0))
_SIZES = ("bytes", "kB", "MB", "GB", "TB")
_SMALL = 1e-9
# Nothing that takes less matters, or could be told.
LEAST_SECONDS = 0.1
UNKNOWN = "–"


def count(value: float) -> str:
    """A whole number.

    Example:
        >>> count(12345.6)
        '12,346'
    """
    return f"{value:,.0f}"


def share(value: float) -> str:
    """A part of a whole, in per cent."""
    if abs(value) < 0.0005:
        return "0%"
    return f"{100 * value:.{int(abs(value) < 0.9995)}f}%".replace("-", "−")


def score(value: float) -> str:
    """What lies between 0 and 1, or a bit beyond."""
    return f"{value:.3f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference.

    Example:
        >>> signed(-0.0125), signed(0.0)
        ('−0.013', '±0')
    """
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "±0"


def points(value: float) -> str:
    """A difference in pieces per word and the like."""
    return f"{value:.2f}".replace("-", "−")


def chance(value: float) -> str:
    """A p-value."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def time(seconds: float) -> str:
    """A duration, in the unit of which there are at least two.

    Example:
        >>> time(5400.0), time(0.31)
        ('90 minutes', '0.31 seconds')
    """
    for unit, size in _TIMES:
        if seconds >= 2 * size:
            return f"{_two(seconds / size)} {unit}"
    return f"{_two(seconds)} seconds" if seconds >= LEAST_SECONDS or seconds <= 0 else f"< {LEAST_SECONDS} seconds"


def hours(value: float) -> str:
    """Hours of processor time, as `time`."""
    return time(3_600.0 * value)


def size(value: float) -> str:
    """Bytes in the unit that needs no more than three digits.

    Example:
        >>> size(12_345_678)
        '12.3 MB'
    """
    for unit in _SIZES[:-1]:
        if abs(value) < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1_000
    return f"{value:.3g} {_SIZES[-1]}"


def money(currency: str) -> Figure:
    """How amounts of a currency are written; "" where nobody said which."""

    def amount(value: float) -> str:
        digits = "0" if abs(value) < _SMALL else f"{value:,.2f}" if value >= 0.01 else f"{value:.2g}"
        return f"{digits} {currency}".rstrip()

    return amount


def interval(bounds: tuple[float, float] | None, figure: Figure) -> str:
    """Two bounds; a unit that both have is written once."""
    return UNKNOWN if bounds is None else _pair(bounds, figure, " to ")


def change(before: float | None, after: float | None, figure: Figure) -> str:
    """A value before and after; a unit that both have is written once."""
    return UNKNOWN if before is None or after is None else _pair((before, after), figure, " → ")


def _pair(values: tuple[float, float], figure: Figure, between: str) -> str:
    one, other = map(figure, values)
    unit = other.rpartition(" ")[2]
    return f"{one.removesuffix(f' {unit}') if ' ' in other else one}{between}{other}"


def _two(value: float) -> str:
    """Two digits that count, or all before the point."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{value:,.{min(max(digits, 0), 9)}f}"
