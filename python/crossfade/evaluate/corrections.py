"""Corrections of p-values for many tests: one in twenty is below 0.05 where nothing differs at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossfade._values import shown
from crossfade.errors import InvalidInput

_Float64 = NDArray[np.float64]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): the chance that any of those below a level is false is at most that level.

    Raises:
        InvalidInput: One is not between 0 and 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    ordered, places = _ordered(p_values)
    steps = np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1))
    return _back(steps, places)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Benjamini and Hochberg 1995): of those below a level at most that share is false, on average.

    Raises:
        InvalidInput: One is not between 0 and 1.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.02])
        [0.03, 0.04, 0.03]
    """
    ordered, places = _ordered(p_values)
    steps = ordered * len(ordered) / np.arange(1, len(ordered) + 1)
    return _back(np.minimum.accumulate(steps[::-1])[::-1], places)


def _ordered(p_values: Sequence[float]) -> tuple[_Float64, NDArray[np.intp]]:
    values = np.array(p_values, dtype=np.float64)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise InvalidInput(f"p-values must be between 0 and 1, got {shown(list(p_values))}")
    places = np.argsort(values, kind="stable")
    return values[places], places


def _back(steps: _Float64, places: NDArray[np.intp]) -> list[float]:
    adjusted = np.empty_like(steps)
    adjusted[places] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]
