"""Benefit: when most of what a migration brings is there, by the order in which it re-embeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from .estimates import Estimate
from .evidence import Evidence

# From the share of the documents that is re-embedded, 0 to 1, to the share of the benefit that is there.
Curve = Callable[[float], float]

_STEPS = 1_000


@dataclasses.dataclass(frozen=True)
class Reached:
    """When an order has brought half of the benefit, and nine tenths.

    Args:
        order: The order.
        half, most: Seconds to 50 % and to 90 %.
    """

    order: str
    half: Evidence
    most: Evidence


def reached(curves: Mapping[str, Curve], seconds: Estimate) -> tuple[Reached, ...]:
    """When each order reaches 50 % and 90 % of the benefit and stays there.

    Args:
        curves: By order, the expected share of the benefit by the share re-embedded.
        seconds: What a whole fill takes.
    """
    return tuple(
        Reached(order, _when(curve, 0.5, seconds), _when(curve, 0.9, seconds)) for order, curve in curves.items()
    )


def _when(curve: Curve, wanted: float, seconds: Estimate) -> Evidence:
    shares = np.linspace(0.0, 1.0, _STEPS + 1)
    below = np.array([curve(float(share)) < wanted for share in shares])
    name = f"seconds to {wanted:.0%} of the benefit"
    if below[-1]:
        return Evidence(name=name, value=None, meaning="this order's curve does not reach that much of it")
    share = float(shares[np.flatnonzero(below)[-1] + 1]) if below.any() else 0.0
    found = seconds.scaled(share)
    meaning = f"{share:.1%} of the documents are re-embedded by then; the error is that of the seconds, not the curve's"
    return Evidence(name=name, value=found.value, interval=found.within(0.0, np.inf), meaning=meaning)
