"""Means and covariance of rows that come in blocks."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from crossfade._arrays import matrix_of
from crossfade.errors import InvalidInput

Float64Array = npt.NDArray[np.float64]
FloatRows = npt.NDArray[np.float16] | npt.NDArray[np.float32]

# Rows converted to float64 at a time: 12 MB at 384 columns.
_BLOCK_ROWS = 4096


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


def covariance(x: FloatRows, y: FloatRows | None = None, state: CovarianceState | None = None) -> CovarianceState:
    """Take more rows into the means and the (cross-)covariance, in float64.

    Blocks are combined by the update of Chan, Golub and LeVeque (1979), so their number hardly matters.

    Args:
        x: Rows `(n, d_x)`, float32 or float16.
        y: Rows `(n, d_y)` that belong to those of x, float32 or float16; None means x itself.
        state: What an earlier call returned; None starts anew. It isn't changed.

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
    left = matrix_of(x, "x", np.float16, np.float32)
    right = left if y is None else matrix_of(y, "y", np.float16, np.float32)
    if len(left) != len(right):
        raise InvalidInput(f"x and y must have as many rows, got the shapes {left.shape} and {right.shape}")
    shape = (left.shape[1], right.shape[1])
    if state is None:
        state = CovarianceState(0, np.zeros(shape[0]), np.zeros(shape[1]), np.zeros(shape), y is not None)
    if state.comoment.shape != shape or state.cross != (y is not None):
        raise InvalidInput(
            f"state must come from rows like these, of {shape} columns, got one of {state.comoment.shape} "
            f"{'with' if state.cross else 'without'} a y; start anew, with state=None"
        )
    _require_finite(left, "x")
    _require_finite(right, "y")
    for begin in range(0, len(left), _BLOCK_ROWS):
        block = slice(begin, begin + _BLOCK_ROWS)
        state = _with_block(state, left[block].astype(np.float64), right[block].astype(np.float64))
    return state


def _require_finite(rows: FloatRows, name: str) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise InvalidInput(f"{name} must be finite, got NaN or infinity in row {row}; remove such rows")


def _with_block(state: CovarianceState, x: Float64Array, y: Float64Array) -> CovarianceState:
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    count = state.count + len(x)
    share = len(x) / count
    shift_x, shift_y = mean_x - state.mean_x, mean_y - state.mean_y
    within = (x - mean_x).T @ (y - mean_y)
    between = state.count * share * np.outer(shift_x, shift_y)
    return CovarianceState(
        count=count,
        mean_x=state.mean_x + share * shift_x,
        mean_y=state.mean_y + share * shift_y,
        comoment=state.comoment + within + between,
        cross=state.cross,
    )
