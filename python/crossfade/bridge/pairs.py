"""Pairs: rows of two Spaces that belong to the same texts, checked, and which of them are held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfade._arrays import numbers_of
from crossfade._values import shown
from crossfade.bridge.fitting import Stored
from crossfade.errors import InvalidInput

MIN_PAIRS = 10
# Neighbours among the held-out rows take a square of this side.
MOST_HELD_OUT = 2_000

Positions = NDArray[np.int64]


def halves_of(count: int, seed: int, holdout: float, held_out: ArrayLike | None) -> tuple[Positions, Positions]:
    """Which pairs are held out, and which are not; arguments as of `Bridge.fit`."""
    if not isinstance(holdout, (int, float)) or not 0.0 < holdout <= 0.5:
        raise InvalidInput(f"holdout must be above 0 and at most 0.5, got {shown(holdout)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInput(f"seed must be a whole number from 0 on, got {shown(seed)}")
    if held_out is None:
        held = min(max(round(count * holdout), 2), MOST_HELD_OUT)
        order = np.random.default_rng(seed).permutation(count)
        return order[:held], order[held:]
    marks = np.asarray(held_out)
    if marks.dtype != np.bool_ or marks.shape != (count,) or not 2 <= marks.sum() <= min(MOST_HELD_OUT, count - 2):
        raise InvalidInput(
            f"held_out must mark 2 to {MOST_HELD_OUT} of the {count} pairs, ({count},) bool, "
            f"got {marks.dtype} {marks.shape} with {int(np.count_nonzero(marks))} marked"
        )
    return np.flatnonzero(marks), np.flatnonzero(~marks)


def paired(old_rows: ArrayLike, new_rows: ArrayLike) -> tuple[Stored, Stored]:
    """The rows as they are stored.

    Raises:
        InvalidInput: They are no pairs, too few, or not finite.
    """
    old, new = _stored(old_rows, "old_rows"), _stored(new_rows, "new_rows")
    if old.ndim != 2 or new.ndim != 2 or len(old) != len(new) or 0 in old.shape[1:] + new.shape[1:]:
        raise InvalidInput(f"a Bridge needs paired rows (n, d1) and (n, d2), got {old.shape} and {new.shape}")
    if len(old) < MIN_PAIRS:
        raise InvalidInput(f"a Bridge needs at least {MIN_PAIRS} pairs, got {len(old)}; encode more texts with both")
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        raise InvalidInput("rows must be finite float32 values, got NaN, infinity or more; encode these texts again")
    return old, new


def _stored(rows: ArrayLike, name: str) -> Stored:
    halves = isinstance(rows, np.ndarray) and rows.dtype == np.float16
    taken = numbers_of(rows, name, np.float16 if halves else np.float32)
    return taken if taken.ndim != 2 or taken.strides[1] == taken.itemsize else np.ascontiguousarray(taken)
