"""What an encoder gives out: finite rows, at unit length where the Space asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import EncodingFailed, InvalidInput
from crossfade.kernels import normalize
from crossfade.space import Space

Rows = NDArray[np.float32]
LARGEST = 65_504.0  # collections keep rows as float16


def checked_rows(raw: Any, space: Space, places: Sequence[int]) -> NDArray[np.float32]:
    """`raw` as float32 `(count, dim)`, C-contiguous, at unit length for a "cos" Space.

    Args:
        raw: What the model gave: an array, or a list of lists of numbers.
        space: Says how many columns a row has.
        places: Of every text that went in, what to call it in messages.

    Raises:
        EncodingFailed: Count, columns or type differ, a number is not finite, or a row that needs a direction
            is zero.
    """
    count = len(places)
    try:
        array = np.asarray(raw)
        if (rows := _normalized(array, space, count)) is not None:
            return rows
        if array.dtype.kind not in "fiu":
            raise EncodingFailed(f"the encoder must give numbers, it gave {array.dtype}")
        wide = np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise EncodingFailed(f"the encoder must give rows of equal length ({error})") from error
    if count == 0 and wide.size == 0:
        return np.empty((0, space.dim), dtype=np.float32)
    if wide.shape != (count, space.dim):
        raise EncodingFailed(f"expected rows of shape {(count, space.dim)}, the encoder gave {wide.shape}")
    _require(np.all(np.isfinite(wide), axis=1), "holds NaN or infinity", places)
    if space.metric == "cos":
        largest = np.max(np.abs(wide), axis=1, keepdims=True)
        _require(largest[:, 0] > 0, "is zero and has no direction", places)
        wide /= largest  # or the squares of very large or small numbers would overflow or vanish
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        rows = wide.astype(np.float32)
    _require(
        np.all(np.abs(rows) <= LARGEST, axis=1), f"holds a value beyond {LARGEST:,.0f}, the largest float16", places
    )
    return rows


def _normalized(array: NDArray[Any], space: Space, count: int) -> Rows | None:
    """The usual case at a tenth of the price: float32 rows that all have a direction."""
    usual = array.dtype == np.float32 and array.shape == (count, space.dim) and array.flags.c_contiguous
    if not usual or space.metric != "cos":
        return None
    try:
        return normalize(array)
    except InvalidInput:
        return None


def _require(good: Any, what: str, places: Sequence[int]) -> None:
    if not good.all():
        raise EncodingFailed(f"the encoder's row for text {places[int(np.argmin(good))]} {what}")
