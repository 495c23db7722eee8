"""Figures: numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from crossfade.assess.durations import duration

Figure: TypeAlias = Callable[[float], str]

_SIZES = ("bytes", "kB", "MB", "GB", "TB")
_SMALL = 1e-9
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


def hours(value: float) -> str:
    """Hours of processor time, as a duration."""
    return duration(3_600.0 * value)


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
