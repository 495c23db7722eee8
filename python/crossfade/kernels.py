"""kernels: the one door to the compiled module.

Nothing is copied silently. Rows are float32 (or float16, bfloat16 of ml_dtypes, or int8 where a function says so),
their elements consecutive, the row stride any. The compiled module checks what it is given, since calls for a single
query take a few microseconds only; what it refuses is looked at again here, and named.

The instruction set is chosen once: the fastest that this machine can run, or the one that the environment variable
CROSSFADE_SIMD names.
"""

from __future__ import annotations

import os
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade._arrays import (
    FLOATING,
    MAX_THREADS,
    STORED,
    StoredRows,
    check_marks,
    matrix_of,
    output_of,
    rows_of,
    typed,
    vector_of,
)
from crossfade._blend import BlendModel, BlendUnits, blend, rank_blended
from crossfade._codes import Codes, codes_size
from crossfade._covariance import CovarianceState, covariance
from crossfade._krige import Kriged, krige
from crossfade._lookup import Compared, Ranked, Tables, compare, gather, has, rank, score
from crossfade._values import count_of, one_of, shown
from crossfade._walk import Graph, walk
from crossfade.errors import InvalidInput

Float32Array = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]
__all__ = [
    "PADDING_KEY",
    "BlendModel",
    "BlendUnits",
    "Codes",
    "Compared",
    "CovarianceState",
    "Graph",
    "Kriged",
    "Ranked",
    "Tables",
    "blend",
    "codes_size",
    "compare",
    "covariance",
    "gather",
    "has",
    "instruction_set",
    "krige",
    "merge_topk",
    "normalize",
    "project",
    "rank",
    "rank_blended",
    "rescore",
    "score",
    "walk",
]

Unit = TypeVar("Unit", bound=np.generic)

PADDING_KEY = np.uint64(2**64 - 1)
# In the order of Arithmetic in cpp/kernels/project.h.
_PRECISIONS = ("float32", "bfloat16", "bfloat16x3")


def instruction_set() -> str:
    """The instruction set in use: "scalar", "avx2", "avx512", "avx512bf16" or "amx", or "neon" on 64-bit ARM."""
    return _core.instruction_set()


@overload
def normalize(
    x: Float32Array, out: None = None, *, dtype: None = None, bad: Marks | None = None, threads: int = 1
) -> Float32Array: ...
@overload
def normalize(
    x: Float32Array, out: None = None, *, dtype: type[Unit], bad: Marks | None = None, threads: int = 1
) -> npt.NDArray[Unit]: ...
@overload
def normalize(
    x: Float32Array,
    out: npt.NDArray[Unit],
    *,
    dtype: type[Unit] | None = None,
    bad: Marks | None = None,
    threads: int = 1,
) -> npt.NDArray[Unit]: ...
def normalize(
    x: Float32Array,
    out: npt.NDArray[Any] | None = None,
    *,
    dtype: type[Any] | None = None,
    bad: Marks | None = None,
    threads: int = 1,
) -> npt.NDArray[Any]:
    """Scale every row to Euclidean length one, in one pass over the memory.

    Args:
        x: Rows `(n, d)` or one row `(d,)`, float32.
        out: Where to write, of the shape of `x`, float32, float16, bfloat16 or int8; may be `x` itself. None
            allocates it.
        dtype: np.float32, np.float16, ml_dtypes.bfloat16 or np.int8 (127 times the value, to the nearest whole
            number); None means that of `out`, and float32 where there is none.
        bad: Where to mark the rows that are all zeros or not finite, `(n,)`, bool; they become zeros in `out`. None
            raises for them.
        threads: Most threads to use; the result doesn't depend on it.

    Returns:
        `out`, of the shape of `x`; empty where `x` has no rows.

    Raises:
        InvalidInput: An argument can't be used (nothing was written), or a row is all zeros or not finite and `bad`
            is None: such rows are left as they are in `out`, the others are written.

    Example:
        >>> normalize(np.array([3, 4], dtype=np.float32)).tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    rows = rows_of(x, "x", np.float32)
    if dtype is None:
        dtype = np.float32 if out is None else typed(out, "out", *STORED).dtype.type
    if getattr(dtype, "__name__", None) not in STORED:
        raise InvalidInput(f"dtype must be np.float32, np.float16, ml_dtypes.bfloat16 or np.int8, got {shown(dtype)}")
    result = output_of(out, x.shape, dtype, x, in_place=True)
    check_marks(bad, len(rows))
    count_of(threads, "threads", MAX_THREADS)
    count, first = _core.normalize(x, result, bad, threads)
    if count:
        complaint = f"of x must be finite and not all zeros, but {count} of {len(rows)} can't be scaled to length one"
        _zero_marked(result, bad, complaint, first)
    return result


def project(
    x: StoredRows,
    matrix: StoredRows,
    center: Float32Array | None = None,
    offset: Float32Array | None = None,
    *,
    normalize: bool = True,
    precision: str = "float32",
    out: StoredRows | None = None,
    bad: Marks | None = None,
    threads: int = 1,
) -> StoredRows:
    """Map rows between two vector spaces: (x - center) @ matrix + offset, then unit rows.

    A row's result depends on the instruction set, but not on the other rows or the number of threads.

    Args:
        x: Rows `(n, d_in)` or one row `(d_in,)`, float32, float16, bfloat16 or int8 (as the whole numbers they are).
        matrix: `(d_in, d_out)`, float32, float16 or bfloat16. A single row takes about as long as the matrix takes
            to be read: a narrower copy, kept beside the exact one, is answered sooner.
        center: `(d_in,)`, float32; None means zeros.
        offset: `(d_out,)`, float32; None means zeros.
        normalize: Whether the rows of the result are scaled to length one.
        precision: "float32": products and sums in float32. "bfloat16": x - center and matrix rounded to bfloat16,
            sums in float32; for many rows, about twice as fast where the processor multiplies bfloat16, and several
            times with "amx". "bfloat16x3": both as a high and a low part in bfloat16, three of whose four products
            are summed (Henry, Tang and Heinecke 2019): errors more than 100 times smaller than with "bfloat16" for
            three times the work, which is faster than float32 with "amx" only. Where the processor doesn't multiply
            bfloat16, it is "float32".
        out: Where to write, `(n, d_out)` or `(d_out,)`, float32, float16 or bfloat16, apart from the inputs. None
            allocates it, float32.
        bad: Where to mark rows whose result isn't finite, or is all zeros where unit rows are asked for, `(n,)`, bool;
            they become zeros in `out`. None raises for them.
        threads: Most threads to use; the result doesn't depend on it.

    Returns:
        `out`, `(n, d_out)` or `(d_out,)`; empty where `x` has no rows.

    Raises:
        InvalidInput: An argument can't be used (nothing was written), or `bad` is None and a row of the result isn't
            finite, or is all zeros where unit rows were asked for (`out` is unspecified then).

    Example:
        >>> project(np.array([2, 0], dtype=np.float32), np.eye(2, dtype=np.float32)[::-1].copy()).tolist()
        [0.0, 1.0]
    """
    one_of(precision, "precision", _PRECISIONS)
    arithmetic = _PRECISIONS.index(precision)
    try:
        result, count, first = _core.project(x, matrix, center, offset, arithmetic, bool(normalize), out, bad, threads)
    except ValueError as error:
        _explain_project(x, matrix, center, offset, out, bad, threads)
        raise InvalidInput(str(error)) from error
    if count:
        fault = "holds NaN or infinity, or is all zeros" if normalize else "holds NaN or infinity"
        complaint = f"must map to one that can be used, but {count} of {len(np.atleast_2d(x))} map to one that {fault}"
        _zero_marked(result, bad, complaint, first)
    return result


def _zero_marked(result: npt.NDArray[Any], bad: Marks | None, complaint: str, first: int) -> None:
    """Make the bad rows zeros, where they are marked; complain of them where they aren't."""
    if bad is None:
        raise InvalidInput(
            f"every row {complaint}, the first is row {first}; remove or replace them, or have them marked with bad="
        )
    np.atleast_2d(result)[bad] = 0


def _explain_project(x: Any, matrix: Any, center: Any, offset: Any, out: Any, bad: Any, threads: Any) -> None:
    """Raises InvalidInput for what the compiled module has refused."""
    columns = rows_of(x, "x", *STORED).shape[1]
    d_in, d_out = matrix_of(matrix, "matrix", *FLOATING).shape
    if columns != d_in:
        raise InvalidInput(
            f"matrix must have a row for each of the {columns} columns of x, got the shape {matrix.shape}; "
            "is it the matrix for these vectors, and not its transpose?"
        )
    for vector, name, size in ((center, "center", d_in), (offset, "offset", d_out)):
        if vector is not None:
            vector_of(vector, name, np.float32, size)
    dtype = np.float32 if out is None else typed(out, "out", *FLOATING).dtype.type
    output_of(out, (*x.shape[:-1], d_out), dtype, x, matrix, center, offset)
    check_marks(bad, len(np.atleast_2d(x)))
    count_of(threads, "threads", MAX_THREADS)


def merge_topk(
    keys: npt.NDArray[np.uint64], scores: Float32Array, k: SupportsIndex, *, threads: int = 1
) -> tuple[npt.NDArray[np.uint64], Float32Array]:
    """Merge lists of scored keys into the k best, each key once with its highest score.

    Args:
        keys: `(lists, n)` or `(queries, lists, n)`, uint64, C-contiguous, in any order; 2**64 - 1 is padding.
            Lists that are ranked already, as a search returns them, are merged several times faster.
        scores: Of the shape of `keys`, float32, C-contiguous; infinities are ordinary scores.
        k: Number of places, from 1 to 16,777,216.
        threads: Most threads to use, for several queries; the result doesn't depend on it.

    Returns:
        Keys and scores, `(k,)` or `(queries, k)`: score descending, then key ascending. Places left over hold
        the padding key and minus infinity.

    Raises:
        InvalidInput: An argument can't be used, or a score is NaN.

    Example:
        >>> keys = np.array([[7, 5], [5, 9]], dtype=np.uint64)
        >>> scores = np.array([[3, 1], [2, 0]], dtype=np.float32)
        >>> [array.tolist() for array in merge_topk(keys, scores, 2)]
        [[7, 5], [3.0, 2.0]]
    """
    try:
        return _core.merge_topk(keys, scores, k, threads)
    except ValueError as error:
        _explain_merge(keys, scores, k, threads)
        raise InvalidInput(str(error)) from error


def _explain_merge(keys: Any, scores: Any, k: Any, threads: Any) -> None:
    """Raises InvalidInput for what the compiled module has refused."""
    typed(keys, "keys", np.uint64)
    typed(scores, "scores", np.float32)
    if keys.ndim not in (2, 3) or keys.shape != scores.shape:
        raise InvalidInput(
            "keys and scores must both be (lists, n) or (queries, lists, n), "
            f"got the shapes {keys.shape} and {scores.shape}"
        )
    if not (keys.flags.c_contiguous and scores.flags.c_contiguous):
        raise InvalidInput("keys and scores must be C-contiguous; use np.ascontiguousarray")
    if np.isnan(scores).any():
        raise InvalidInput(f"scores must not be NaN, got {int(np.isnan(scores).sum())}; give padding the score -inf")
    count_of(k, "k", 2**24)
    count_of(threads, "threads", MAX_THREADS)


def rescore(
    vectors: StoredRows, rows: npt.NDArray[np.int64] | None, query: Float32Array, *, threads: int = 1
) -> Float32Array:
    """Dot products of chosen vectors with a query, or with several.

    A score depends on the instruction set, but not on the other rows and queries or the number of threads.

    Args:
        vectors: `(n, d)`, float32, float16, bfloat16 or int8 (as the whole numbers they are); may be read-only or
            memory-mapped, with any row stride.
        rows: Indices `(m,)` into `vectors`, int64, from 0 to n - 1, in any order; None means all.
        query: `(d,)` or `(q, d)`, float32.
        threads: Most threads to use; the result doesn't depend on it.

    Returns:
        Scores `(m,)` or `(q, m)`, float32; empty where there are no rows.

    Raises:
        InvalidInput: An argument can't be used, an index is out of range, or a score isn't finite.

    Example:
        >>> vectors = np.array([[1, 2], [3, 4]], dtype=np.float16)
        >>> rescore(vectors, np.array([1, 0]), np.array([1, 10], dtype=np.float32)).tolist()
        [43.0, 21.0]
    """
    try:
        scores, misplaced, infinite = _core.rescore(vectors, rows, query, threads)
    except ValueError as error:
        _explain_rescore(vectors, rows, query, threads)
        raise InvalidInput(str(error)) from error
    if misplaced >= 0 and rows is not None:
        wanted = f"between 0 and {len(vectors) - 1}" if len(vectors) else "indices into 0 vectors"
        raise InvalidInput(f"rows must be {wanted}, got {rows[misplaced]} at {misplaced}")
    if infinite >= 0:
        raise InvalidInput(f"vectors and query must be finite and not huge, but the score at {infinite} isn't finite")
    return scores


def _explain_rescore(vectors: Any, rows: Any, query: Any, threads: Any) -> None:
    """Raises InvalidInput for what the compiled module has refused."""
    d = matrix_of(vectors, "vectors", *STORED).shape[1]
    if rows_of(query, "query", np.float32).shape[1] != d:
        raise InvalidInput(f"query must have the {d} columns of vectors, got the shape {query.shape}")
    if rows is not None:
        vector_of(rows, "rows", np.int64)
    count_of(threads, "threads", MAX_THREADS)


def _choose_instruction_set(name: str | None) -> None:
    if name is not None and not _core.force_instruction_set(name):
        available = ", ".join(_core.instruction_sets())
        raise InvalidInput(f"CROSSFADE_SIMD must be one of {available} on this machine, got {name!r}; or unset it")


_choose_instruction_set(os.environ.get("CROSSFADE_SIMD"))
