"""Kriging: what known errors say about the unknown ones of rows like them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade._arrays import StoredRows
from crossfade.errors import InvalidInput

Float32Array = npt.NDArray[np.float32]


class Kriged(NamedTuple):
    """What the known errors say.

    Args:
        expected: `(m,)` float32, what each unknown error is expected to be; 0 for the known ones.
        left: `(m,)` float32, the share of its variance that is still open, 0 to 1; 0 for the known ones.
        common: What is expected of a row that is like none of these.
    """

    expected: Float32Array
    left: Float32Array
    common: float


def krige(
    rows: StoredRows, errors: Float32Array, center: Float32Array | None = None, *, shared: float, common: float
) -> Kriged:
    """Expect unknown errors from the known ones of rows alike: Gaussian process regression (Krige 1951).

    In units of the errors' variance two rows have the covariance common + shared · cos², of them less the center, and
    each one common + 1; mean and variance given the known ones are eq. 2.23 and 2.24 of Rasmussen and Williams (2006).
    It takes about known · m · d multiply-adds, none where `shared` is 0, and no BLAS: the result doesn't depend on the
    number of threads.

    Args:
        rows: `(m, d)` float32 or float16, of any length, m at most 4,096.
        errors: `(m,)` float32; NaN where it is unknown.
        center: `(d,)` float32; None means zeros.
        shared: Share of the variance that rows with the same direction have in common, 0 to 1.
        common: Variance that all rows have in common, 0 or more.

    Raises:
        InvalidInput: An argument has another shape or dtype, or is out of range.

    Example:
        >>> rows = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
        >>> known = np.array([0.5, np.nan, np.nan], dtype=np.float32)
        >>> krige(rows, known, shared=0.9, common=0.1).expected.astype(float).round(3).tolist()
        [0.0, 0.455, 0.045]
    """
    try:
        return Kriged(*_core.krige(rows, errors, center, shared, common))
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"{error}; krige takes float32 or float16 rows (m, d), errors (m,) and center (d,), m <= 4096, shared "
            f"between 0 and 1 and common from 0 on, got shared {shared!r} and common {common!r}"
        ) from error
