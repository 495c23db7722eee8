"""Checks of arrays that come from outside: what was expected, what came, what to do."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade.errors import InvalidInput

# A dtype is a NumPy type, or the name of one that another library brings.
Dtype = type[np.generic] | str
# Those that stored rows may have.
FLOATING = ("bfloat16", "float16", "float32")
STORED = ("int8", "bfloat16", "float16", "float32")
StoredRows = npt.NDArray[Any]

MAX_THREADS = 1024


def typed(array: Any, name: str, *dtypes: Dtype) -> npt.NDArray[Any]:
    """The array, if it is a NumPy array of one of these dtypes, in native byte order and aligned."""
    names = _names_of(dtypes)
    if not isinstance(array, np.ndarray):
        raise InvalidInput(
            f"{name} must be a NumPy array of {' or '.join(names)}, got {type(array).__name__}; "
            f"use np.asarray({name}, dtype=np.{names[-1]})"
        )
    if _name_of(array.dtype) not in names or not array.dtype.isnative:
        raise InvalidInput(
            f"{name} must be {' or '.join(names)}, got {array.dtype}; convert it with {name}.astype(np.{names[-1]})"
        )
    if not array.flags.aligned:
        raise InvalidInput(f"{name} must be aligned in memory to its elements, and isn't; use {name}.copy()")
    return array


@functools.lru_cache
def _names_of(dtypes: tuple[Dtype, ...]) -> tuple[str, ...]:
    return tuple(dtype if isinstance(dtype, str) else dtype.__name__ for dtype in dtypes)


@functools.lru_cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """NumPy makes a name anew for everyone who asks, which takes longer than a kernel does for a row."""
    return dtype.name


def rows_of(array: Any, name: str, *dtypes: Dtype) -> npt.NDArray[Any]:
    """The array as rows `(n, d)`, one row `(d,)` as `(1, d)`; elements of a row must be consecutive."""
    rows = typed(array, name, *dtypes)
    if rows.ndim not in (1, 2):
        raise InvalidInput(f"{name} must have one or two dimensions, got the shape {rows.shape}")
    if rows.size and rows.shape[-1] > 1 and rows.strides[-1] != rows.itemsize:
        raise InvalidInput(
            f"the elements of a row of {name} must be consecutive in memory, got the strides {rows.strides}; "
            f"use np.ascontiguousarray({name})"
        )
    return rows if rows.ndim == 2 else rows[np.newaxis]


def matrix_of(array: Any, name: str, *dtypes: Dtype) -> npt.NDArray[Any]:
    """The array, if it has exactly two dimensions and is as `rows_of` wants it."""
    rows = rows_of(array, name, *dtypes)
    if np.ndim(array) != 2:
        raise InvalidInput(f"{name} must have two dimensions, got the shape {np.shape(array)}")
    return rows


def vector_of(array: Any, name: str, dtype: type[np.generic], size: int | None = None) -> npt.NDArray[Any]:
    """The array, if it has one dimension, of the given size, and consecutive elements."""
    vector = typed(array, name, dtype)
    if vector.ndim != 1 or (size is not None and len(vector) != size):
        wanted = "one dimension" if size is None else f"the shape ({size},)"
        raise InvalidInput(f"{name} must have {wanted}, got the shape {vector.shape}")
    row: npt.NDArray[Any] = rows_of(vector, name, dtype)[0]
    return row


def numbers_of(values: Any, name: str, dtype: type[np.generic] = np.float32) -> npt.NDArray[Any]:
    """Real numbers in any form as an array of a floating type; what is too large for it becomes infinite."""
    try:
        array = np.asarray(values)
        if array.size and array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
            raise TypeError(f"got {array.dtype}")
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{name} must be an array of numbers: {error}") from error


def output_of(
    out: Any, shape: tuple[int, ...], dtype: type[np.generic], *inputs: object, in_place: bool = False
) -> npt.NDArray[Any]:
    """`out`, if it can be written to and shares no memory with the inputs; a new array where it is None.

    With `in_place` it may be the very memory of an input, element by element.
    """
    if out is None:
        return np.empty(shape, dtype)
    array = typed(out, "out", dtype)
    if array.shape != shape:
        raise InvalidInput(f"out must have the shape {shape}, got {array.shape}")
    rows = rows_of(array, "out", dtype)
    if not array.flags.writeable:
        raise InvalidInput("out must be writeable, got a read-only array; use a copy")
    if len(rows) > 1 and abs(rows.strides[0]) < rows.shape[1] * rows.itemsize:
        raise InvalidInput(f"the rows of out must not overlap, got the strides {rows.strides}; use a copy")
    for other in inputs:
        if not isinstance(other, np.ndarray) or not np.may_share_memory(array, other):
            continue
        if not in_place or not _same(array, other):
            raise InvalidInput("out must not share memory with the inputs; hand in another array, or None")
    return array


def check_marks(marks: Any, n: int, name: str = "bad") -> None:
    """Refuse what `n` bools can't be written to, unless it is None."""
    if marks is None:
        return
    typed(marks, name, np.bool_)
    if marks.shape != (n,) or not marks.flags.c_contiguous or not marks.flags.writeable:
        raise InvalidInput(
            f"{name} must have the shape ({n},), one bool for each row, consecutive and writeable, got the shape "
            f"{marks.shape}; use np.empty({n}, dtype=np.bool_)"
        )


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a is b or (a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.dtype == b.dtype)
