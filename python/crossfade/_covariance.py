"""Means and covariance of rows that come in blocks."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade._arrays import MAX_THREADS, STORED, StoredRows, matrix_of
from crossfade._values import count_of
from crossfade.errors import InvalidInput

Float64Array = npt.NDArray[np.float64]

# Rows whose mean is near enough to that of all for single precision to lose nothing.
_PILOT_ROWS = 256


@dataclasses.dataclass(frozen=True)
class CovarianceState:
    """What `covariance` has seen so far.

    Args:
        count: Number of rows.
        mean_x: `(d_x,)`, float64.
        mean_y: `(d_y,)`, float64; that of x where no y was given.
        comoment: `(d_x, d_y)`, float64: the sum over rows of (x - mean_x) (y - mean_y)ᵀ.
        cross: Whether a y was given.
    """

    count: int
    mean_x: Float64Array
    mean_y: Float64Array
    comoment: Float64Array
    cross: bool

    @property
    def covariance(self) -> Float64Array:
        """The population covariance `(d_x, d_y)`: the comoment divided by the count, not by one less."""
        if self.count == 0:
            raise InvalidInput("a covariance needs at least one row, got none")
        return self.comoment / self.count


def covariance(
    x: StoredRows, y: StoredRows | None = None, state: CovarianceState | None = None, *, threads: int = 1
) -> CovarianceState:
    """Take more rows into the means and the (cross-)covariance.

    Rows are shifted to about their mean and multiplied in float32; products are summed in float64 from 256 rows to the
    next: the error is below a millionth of the product of the two columns' standard deviations. Calls are combined by
    the update of Chan, Golub and LeVeque (1979), so their number hardly matters.

    Args:
        x: Rows `(n, d_x)`, float32, float16, bfloat16 or int8 (as the whole numbers they are).
        y: Rows `(n, d_y)` that belong to those of x, of the same dtypes; None means x itself.
        state: What an earlier call returned; None starts anew. It isn't changed.
        threads: Most threads to use; the result doesn't depend on it.

    Returns:
        The new state; its `.covariance` is the population covariance.

    Raises:
        InvalidInput: An argument can't be used, or holds NaN or infinity.

    Example:
        >>> state = covariance(np.array([[1], [2]], dtype=np.float32))
        >>> state = covariance(np.array([[6]], dtype=np.float32), state=state)
        >>> state.count, state.mean_x.tolist(), round(float(state.covariance[0, 0]), 6)
        (3, [3.0], 4.666667)
    """
    left = matrix_of(x, "x", *STORED)
    right = left if y is None else matrix_of(y, "y", *STORED)
    if len(left) != len(right):
        raise InvalidInput(f"x and y must have as many rows, got the shapes {left.shape} and {right.shape}")
    shape = (left.shape[1], right.shape[1])
    if state is not None and not isinstance(state, CovarianceState):
        raise InvalidInput(f"state must be what an earlier call returned, or None, got {type(state).__name__}")
    if state is None:
        state = CovarianceState(0, np.zeros(shape[0]), np.zeros(shape[1]), np.zeros(shape), y is not None)
    if state.comoment.shape != shape or state.cross != (y is not None):
        raise InvalidInput(
            f"state must come from rows like these, with a comoment of {shape} "
            f"{'with' if y is not None else 'without'} a y, got one of {state.comoment.shape} "
            f"{'with' if state.cross else 'without'} a y; start anew, with state=None"
        )
    count_of(threads, "threads", MAX_THREADS)
    return _with_rows(state, left, right, threads) if len(left) else state


def _with_rows(state: CovarianceState, x: StoredRows, y: StoredRows, threads: int) -> CovarianceState:
    shift_x, shift_y = _about_mean(x), _about_mean(y)
    sums_x, sums_y, products = _core.comoment(x, y if state.cross else None, shift_x, shift_y, threads)
    mean_x, mean_y = sums_x / len(x), sums_y / len(y)
    within = products - len(x) * np.outer(mean_x - shift_x, mean_y - shift_y)
    if not state.cross:
        within = np.triu(within) + np.triu(within, 1).T
    if not np.isfinite(within).all():
        _require_finite(x, "x")
        _require_finite(y, "y")
        raise InvalidInput("x and y must be small enough for their squares to be float32; scale them")
    count = state.count + len(x)
    share = len(x) / count
    step_x, step_y = mean_x - state.mean_x, mean_y - state.mean_y
    between = state.count * share * np.outer(step_x, step_y)
    return CovarianceState(
        count=count,
        mean_x=state.mean_x + share * step_x,
        mean_y=state.mean_y + share * step_y,
        comoment=state.comoment + within + between,
        cross=state.cross,
    )


def _about_mean(rows: StoredRows) -> npt.NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):  # what isn't finite is named where it has been summed
        mean: npt.NDArray[np.float32] = rows[:_PILOT_ROWS].astype(np.float64).mean(axis=0).astype(np.float32)
    return mean


def _require_finite(rows: StoredRows, name: str) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise InvalidInput(f"{name} must be finite, got NaN or infinity in row {row}; remove such rows")
