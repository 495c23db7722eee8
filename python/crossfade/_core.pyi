"""The compiled kernels, as crossfade.kernels calls them; nothing is converted or copied.

Arrays of rows are `(n, d)` or `(d,)`: consecutive elements in a row, any row stride. What can't be used is a ValueError
of a few words, and nothing was written. The functions stand in the order of cpp/bindings/module.cpp.
"""

from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

_Float32Array = npt.NDArray[np.float32]
_Float64Array = npt.NDArray[np.float64]

def normalize(
    x: _Float32Array, out: npt.NDArray[Any], bad: npt.NDArray[np.bool_] | None, threads: SupportsIndex
) -> tuple[int, int]:
    """Number of bad rows and the index of the first; their places in `out` stay as they were. `bad` marks them."""

def project(
    x: npt.NDArray[Any],
    matrix: npt.NDArray[Any],
    center: _Float32Array | None,
    offset: _Float32Array | None,
    arithmetic: int,
    unit: bool,
    out: npt.NDArray[Any] | None,
    bad: npt.NDArray[np.bool_] | None,
    threads: SupportsIndex,
) -> tuple[npt.NDArray[Any], int, int]:
    """The result, the number of bad rows and the index of the first; their places are unspecified. `bad` marks them."""

def rescore(
    vectors: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None, query: _Float32Array, threads: SupportsIndex
) -> tuple[_Float32Array, int, int]:
    """The scores, and -1 or the first place of an index outside `vectors`, and of a score that isn't finite."""

def merge_topk(
    keys: npt.NDArray[np.uint64], scores: _Float32Array, k: SupportsIndex, threads: SupportsIndex
) -> tuple[npt.NDArray[np.uint64], _Float32Array]:
    """Keys and scores of the best k places of every query."""

def comoment(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any] | None,
    shift_x: _Float32Array,
    shift_y: _Float32Array,
    threads: SupportsIndex,
) -> tuple[_Float64Array, _Float64Array, _Float64Array]:
    """Σ x, Σ y, and Σ (x - shift_x) (y - shift_y)ᵀ.

    Without y it is x itself, and of the products only those on and above the diagonal are right.
    """

def krige(
    rows: npt.NDArray[Any], errors: _Float32Array, center: _Float32Array | None, shared: float, common: float
) -> tuple[_Float32Array, _Float32Array, float]:
    """The error to be expected of each row and the share of its variance that is open; and that of a row like none."""

def has(tables: Any, files: Any, keys: Any) -> npt.NDArray[np.bool_]: ...
def gather(tables: Any, files: Any, keys: Any, out: npt.NDArray[Any]) -> int:
    """Fills the rows of `out`; the first place of a key without a row, or -1."""

def score(tables: Any, files: Any, keys: Any, queries: _Float32Array) -> tuple[_Float32Array, bool]:
    """Scores (q, m), NaN where a key has no row; and whether all others are finite."""

def rank(
    tables: Any,
    files: Any,
    query: _Float32Array,
    scored: Any,
    lists: Any,
    tail: Any,
    dead: Any,
    allowed: Any,
    count: int,
) -> tuple[npt.NDArray[np.uint64], _Float32Array, list[int], list[float], bool]:
    """Keys and scores of the best; of each list how many keys count and their least score; whether all are finite."""

def walk(
    rows: npt.NDArray[Any],
    records: npt.NDArray[np.uint8],
    before: npt.NDArray[np.uint32],
    shape: tuple[int, int, int, int],
    codes: npt.NDArray[np.uint64] | None,
    queries: _Float32Array,
    query_codes: npt.NDArray[np.uint64] | None,
    count: SupportsIndex,
    expansion: SupportsIndex,
) -> tuple[npt.NDArray[np.uint64], bool]:
    """The keys (q, count), and whether the graph leads nowhere out of itself."""

def compare(
    old_version: Any,
    new_version: Any,
    old_keys: Any,
    new_keys: Any,
    old_queries: Any,
    new_query: Any,
    lengths: Any,
    shift: float,
) -> tuple[npt.NDArray[np.uint64], _Float32Array, list[int], bool]:
    """The keys of both lists, their scores (3, m): old, bridged, new; the places whose length isn't known; whether all
    scores are finite."""

def blend(
    old_scores: Any,
    new_scores: Any,
    bridged_scores: Any,
    rows: Any,
    center: Any,
    head: int,
    units: Any,
    model: Any,
    bounded: bool,
    weight: float,
) -> tuple[_Float32Array, _Float64Array, bool]:
    """Blended scores, the parts (6, m) they are made of, and whether every candidate could be scored."""

def rank_blended(keys: Any, blended: Any, own: Any) -> tuple[npt.NDArray[np.int64], _Float32Array]:
    """The order of blended scores, and what users see, in that order."""

def instruction_set() -> str:
    """The instruction set in use."""

def instruction_sets() -> list[str]:
    """Those this machine can run, slowest first."""

def force_instruction_set(name: str) -> bool:
    """Use this one, in the whole process; False, and no change, where it isn't available."""
