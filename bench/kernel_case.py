"""One kernel at one size, beside its peers: what `bench.kernels` times, and the arrays it is timed with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Call = Callable[[], Any]
DIMS = (384, 768, 1536)


@dataclasses.dataclass(frozen=True)
class Case:
    """One kernel at one size.

    Args:
        kernel: Its name.
        size: The size in words.
        contenders: Name → call; the first is ours. A call returns what is compared, or None.
        asked: Contender → how many times faster than it ours has to be.
        bytes_moved: Bytes that must be read and written, counted by hand.
        operations: Additions and multiplications, counted by hand.
        ceiling: Which of the machine's ceilings bounds it; None for calls that are mostly overhead.
        tolerance: How far results may differ from ours; None where they need not be alike.
        most_seconds: How long ours may take at most, where that is asked.
        note: What else to say of it.
    """

    kernel: str
    size: str
    contenders: dict[str, Call]
    asked: dict[str, float]
    bytes_moved: float
    operations: float
    ceiling: str | None
    tolerance: float | None = 1e-5
    most_seconds: float | None = None
    note: str = ""


def rows(seed: int, n: int, d: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


def rotation(d: int) -> Array:
    return np.linalg.qr(rows(9, d, d))[0].copy()


def ignore(result: object) -> None:
    """What was computed in another precision or order, and is not compared."""
