"""What holds of all kernels: levels, threads, memory, and what is refused."""

from __future__ import annotations

import ctypes
import mmap
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade import _core, kernels
from crossfade.errors import InvalidInput
from kernel_rows import (
    LEVELS,
    SEEDS,
    WIDTHS,
    Array,
    every_level,
    examples,
    forced,
    rows,
    unit_rows,
)


@examples
@given(seed=SEEDS, n=st.integers(1, 300), d=WIDTHS)
def test_instruction_sets_give_the_same_order(seed: int, n: int, d: int) -> None:
    """Sorted by the scores of one level, the scores of another never rise by more than 1e-5."""
    vectors, query = unit_rows(seed, n, d).astype(np.float16), unit_rows(seed + 1, 1, d)[0]
    scores = {}
    for level in LEVELS:
        with forced(level):
            scores[level] = kernels.rescore(vectors, None, query)

    for one in LEVELS:
        order = np.argsort(-scores[one], kind="stable")
        for other in LEVELS:
            ranked = scores[other][order]
            assert (ranked - np.minimum.accumulate(ranked) <= 1e-5).all()


@every_level
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(level: str, threads: int) -> None:
    """Work large enough to be split gives the same bits, and the same report of bad rows, as one thread."""
    x, matrix = rows(7, 12_000, 200), rows(8, 200, 64)
    with forced(level):
        assert np.array_equal(kernels.normalize(x, threads=threads), kernels.normalize(x))
        assert np.array_equal(kernels.project(x, matrix, threads=threads), kernels.project(x, matrix))
        assert np.array_equal(kernels.rescore(x, None, x[0], threads=threads), kernels.rescore(x, None, x[0]))
        x[[9_000, 11_999]] = 0
        with pytest.raises(InvalidInput, match=r"2 of 12000 .* first is row 9000"):
            kernels.normalize(x, threads=threads)


def at_the_edge(values: Array) -> Array:
    """A copy of the values that ends where the memory that may be touched ends."""
    pages = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    block = mmap.mmap(-1, pages + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + pages), mmap.PAGESIZE, 0) == 0
    edge = np.frombuffer(block, np.uint8)[pages - values.nbytes : pages].view(values.dtype).reshape(values.shape)
    edge[:] = values
    return edge


@every_level
@pytest.mark.parametrize("d", [1, 7, 9, 17, 33, 70])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_nothing_beyond_the_last_element_is_touched(level: str, d: int, kind: type[Any]) -> None:
    """Rows that end at the end of a memory map are read and written without a fault."""
    x, matrix = at_the_edge(rows(9, 3, d, kind)), at_the_edge(rows(10, d, d))
    query, out = at_the_edge(rows(11, 1, d)), at_the_edge(np.zeros((3, d), kind))
    many, result = at_the_edge(rows(9, 40, d, kind)), at_the_edge(np.zeros((40, d), np.float32))
    with forced(level):
        kernels.rescore(x, np.array([2, 1, 2]), query)
        kernels.normalize(at_the_edge(rows(9, 3, d)), out)
        kernels.project(x, matrix, query[0], query[0], out=result[:3])
        kernels.project(many, matrix, query[0], query[0], out=result)
        kernels.project(many, matrix, out=result)
        kernels.project(many, matrix, precision="bfloat16", out=result)
        kernels.project(many[0], at_the_edge(rows(10, d, d, np.float16)), out=result[39])
        kernels.covariance(many, many[::-1])

    assert np.isfinite(result).all()


def test_read_only_and_mapped_vectors_are_welcome(tmp_path: Path) -> None:
    """A read-only memory map of float16 rows with a gap between them is scored where it lies."""
    stored = np.zeros((5, 8), np.float16)
    stored[:, :6] = rows(12, 5, 6)
    stored.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float16, "r", shape=(5, 8))[:, :6]
    query = rows(13, 1, 6)[0]

    actual = kernels.rescore(mapped, np.array([4, 0]), query)

    assert np.array_equal(actual, kernels.rescore(stored[:, :6].copy(), np.array([4, 0]), query))


X = rows(15, 4, 6)
SQUARE = rows(16, 6, 6)
KEYS = np.arange(6, dtype=np.uint64).reshape(2, 3)
SCORES = np.ones((2, 3), np.float32)
ZERO = np.zeros(6, np.float32)
ROWS = np.array([0, 1])
MISALIGNED = np.zeros(25, np.uint8)[1:].view(np.float32)
STATE = kernels.covariance(X)


BAD_CALLS: dict[str, tuple[Any, str]] = {
    "list": (lambda: kernels.normalize([[1.0]]), "x must be a NumPy array of float32, got list; use np.asarray"),
    "float64": (lambda: kernels.normalize(X.astype(float)), r"x must be float32, got float64; .*astype\(np.float32\)"),
    "half": (lambda: kernels.normalize(X.astype(np.float16)), "x must be float32, got float16"),
    "big-endian": (lambda: kernels.normalize(X.astype(">f4")), "x must be float32, got >f4"),
    "three dimensions": (lambda: kernels.normalize(X[None]), r"one or two dimensions, got the shape \(1, 4, 6\)"),
    "no dimension": (lambda: kernels.normalize(X[0, 0, ...]), "one or two dimensions"),
    "columns apart": (lambda: kernels.normalize(X[:, ::2]), "consecutive in memory, got the strides"),
    "transposed": (lambda: kernels.normalize(X.T), "consecutive in memory"),
    "misaligned": (lambda: kernels.normalize(MISALIGNED), "aligned"),
    "no columns": (lambda: kernels.normalize(X[:, :0]), "4 of 4 can't be scaled"),
    "dtype": (lambda: kernels.normalize(X, dtype=np.float64), "dtype must be np.float32, np.float16, ml_dtypes"),
    "out dtype": (
        lambda: kernels.normalize(X, X.astype(float)),
        "out must be int8 or bfloat16 or float16 or float32, got float64",
    ),
    "out against dtype": (lambda: kernels.normalize(X, X.copy(), dtype=np.float16), "out must be float16, got float32"),
    "out shape": (lambda: kernels.normalize(X, X[:2].copy()), r"out must have the shape \(4, 6\), got \(2, 6\)"),
    "out overlaps": (lambda: kernels.normalize(X[1:], X[:3]), "out must not share memory"),
    "out repeats": (
        lambda: kernels.normalize(X, np.lib.stride_tricks.as_strided(X.copy(), (4, 6), (0, 4))),
        "rows of out must not overlap",
    ),
    "out read-only": (lambda: kernels.normalize(X, np.broadcast_to(X, (4, 6))), "out must be writeable"),
    "bad size": (lambda: kernels.normalize(X, bad=np.empty(3, np.bool_)), r"bad must have the shape \(4,\), one bool"),
    "bad dtype": (lambda: kernels.normalize(X, bad=np.empty(4, np.uint8)), "bad must be bool, got uint8"),
    "bad strides": (lambda: kernels.normalize(X, bad=np.empty(8, np.bool_)[::2]), "consecutive and writeable"),
    "bad in project": (
        lambda: kernels.project(X, SQUARE, bad=np.empty(5, np.bool_)),
        r"bad must have the shape \(4,\)",
    ),
    "threads zero": (lambda: kernels.normalize(X, threads=0), "threads must be between 1 and"),
    "threads bool": (lambda: kernels.normalize(X, threads=True), "threads must be between 1 and"),
    "threads float": (lambda: kernels.normalize(X, threads=1.5), "threads must be a whole number, got 1.5"),
    "matrix vector": (lambda: kernels.project(X, ZERO), "matrix must have two dimensions"),
    "matrix other": (lambda: kernels.project(X, SQUARE[:5].copy()), "matrix must have a row for each of the 6 columns"),
    "matrix double": (lambda: kernels.project(X, SQUARE.astype(float)), "matrix must be .* float32, got float64"),
    "center size": (lambda: kernels.project(X, SQUARE, ZERO[:5]), r"center must have the shape \(6,\), got the shape"),
    "center rows": (lambda: kernels.project(X, SQUARE, X), "center must have the shape"),
    "offset size": (lambda: kernels.project(X, SQUARE, None, ZERO[:5]), "offset must have the shape"),
    "precision": (
        lambda: kernels.project(X, SQUARE, precision="int3"),
        "precision must be one of float32, bfloat16, bfloat16x3, got 'int3'",
    ),
    "out is x": (lambda: kernels.project(X, SQUARE, out=X), "out must not share memory"),
    "keys int64": (lambda: kernels.merge_topk(KEYS.astype(np.int64), SCORES, 1), "keys must be uint64, got int64"),
    "scores float64": (lambda: kernels.merge_topk(KEYS, SCORES.astype(float), 1), "scores must be float32"),
    "merge shapes": (lambda: kernels.merge_topk(KEYS, SCORES[:1], 1), r"got the shapes \(2, 3\) and \(1, 3\)"),
    "merge one list": (lambda: kernels.merge_topk(KEYS[0], SCORES[0], 1), r"both be \(lists, n\)"),
    "merge strides": (lambda: kernels.merge_topk(KEYS.T, SCORES.T, 1), "C-contiguous"),
    "merge NaN": (lambda: kernels.merge_topk(KEYS, SCORES * np.float32(np.nan), 1), "scores must not be NaN"),
    "k zero": (lambda: kernels.merge_topk(KEYS, SCORES, 0), "k must be between 1 and"),
    "k float": (lambda: kernels.merge_topk(KEYS, SCORES, 2.0), "k must be a whole number"),
    "rows int32": (lambda: kernels.rescore(X, ROWS.astype(np.int32), X[0]), "rows must be int64, got int32"),
    "rows nested": (lambda: kernels.rescore(X, ROWS[None], X[0]), "rows must have one dimension"),
    "rows negative": (lambda: kernels.rescore(X, ROWS - 1, X[0]), "rows must be between 0 and 3, got -1 at 0"),
    "rows beyond": (lambda: kernels.rescore(X, ROWS + 3, X[0]), "rows must be between 0 and 3, got 4 at 1"),
    "rows of long long": (
        lambda: kernels.rescore(X, ROWS.astype(np.longlong), X[0], threads=0),
        "threads must be between 1 and",
    ),
    "rows of none": (lambda: kernels.rescore(X[:0], ROWS, X[0]), "rows must be indices into 0 vectors, got 0 at 0"),
    "query size": (lambda: kernels.rescore(X, ROWS, X[0, :5]), "query must have the 6 columns"),
    "query NaN": (lambda: kernels.rescore(X, ROWS, X[0] * np.float32(np.nan)), "must be finite and not huge"),
    "vectors vector": (lambda: kernels.rescore(X[0], ROWS, X[0]), "vectors must have two dimensions"),
    "covariance lengths": (lambda: kernels.covariance(X, X[:3]), "x and y must have as many rows"),
    "covariance NaN": (lambda: kernels.covariance(np.array([[1], [np.nan]], np.float32)), "NaN or infinity in row 1"),
    "covariance state": (lambda: kernels.covariance(X[:, :5], state=STATE), "state must come from rows like these"),
    "covariance cross": (lambda: kernels.covariance(X, X, state=STATE), "without a y"),
    "covariance huge": (lambda: kernels.covariance(X * np.float32(1e30)), "squares to be float32"),
    "covariance threads": (lambda: kernels.covariance(X, threads=0), "threads must be between 1 and"),
    "merge threads": (lambda: kernels.merge_topk(KEYS, SCORES, 1, threads=0), "threads must be between 1 and"),
    "covariance none": (lambda: kernels.covariance(X[:0]).covariance, "needs at least one row"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_what_cannot_be_used_is_refused(name: str) -> None:
    """Every bad argument is an InvalidInput that says what was expected and what came."""
    call, message = BAD_CALLS[name]
    with pytest.raises(InvalidInput, match=message):
        call()


def test_the_module_itself_guards_memory() -> None:
    """Called past the door, the compiled module still refuses what would touch foreign memory."""
    out = np.empty((4, 6), np.float32)
    with pytest.raises(ValueError, match="dtype"):
        _core.normalize(X.astype(float), out, None, 1)
    with pytest.raises(ValueError, match="shape of x"):
        _core.normalize(X, out[:3], None, 1)
    with pytest.raises(ValueError, match="one bool for each row"):
        _core.normalize(X, out, np.empty(3, np.bool_), 1)
    with pytest.raises(ValueError, match="one bool for each row"):
        _core.project(X, SQUARE, None, None, 0, True, None, np.empty(4, np.uint8), 1)
    with pytest.raises(ValueError, match="consecutive"):
        _core.normalize(X[:, ::2], out[:, :3], None, 1)
    with pytest.raises(ValueError, match="as many columns"):
        _core.project(X, SQUARE[:5], None, None, 0, True, None, None, 1)
    with pytest.raises(ValueError, match="another size"):
        _core.project(X, SQUARE, ZERO[:5], None, 0, True, None, None, 1)
    with pytest.raises(ValueError, match="share memory"):
        _core.project(X, SQUARE, None, None, 0, True, X, None, 1)
    with pytest.raises(ValueError, match="columns of vectors"):
        _core.rescore(X, None, X[:1, :3], 1)
    with pytest.raises(ValueError, match="same shape"):
        _core.merge_topk(KEYS, SCORES[:1], 1, 1)
    assert _core.rescore(X, ROWS + 3, X[0], 1)[1] == 1


@every_level
def test_the_environment_chooses_the_instruction_set(level: str) -> None:
    """CROSSFADE_SIMD names the level of a new process."""
    done = import_kernels(level)
    assert (done.returncode, done.stdout.strip()) == (0, level), done.stderr


def test_an_unknown_instruction_set_is_refused_at_import() -> None:
    """A level that doesn't exist, or that this machine lacks, is an InvalidInput that lists the ones there are."""
    done = import_kernels("mmx")
    assert done.returncode != 0
    assert f"InvalidInput: CROSSFADE_SIMD must be one of {', '.join(LEVELS)} on this machine, got 'mmx'" in done.stderr


def import_kernels(level: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import os; os.environ['CROSSFADE_SIMD'] = %r; from crossfade import kernels; print(kernels.instruction_set())"
    )
    return subprocess.run([sys.executable, "-c", code % level], capture_output=True, text=True)


def test_levels_include_nothing_the_linker_could_mix() -> None:
    """What is compiled per instruction set includes C headers and intrinsics only, and keeps its names to itself."""
    folder = Path(__file__).resolve().parent.parent / "cpp" / "kernels"
    per_level = [*folder.glob("simd_*.h"), *folder.glob("*_impl.h"), *folder.glob("level_*.cpp")]
    assert len(per_level) >= 9
    for path in per_level:
        text = path.read_text()
        included = set(re.findall(r"#include <(.*)>", text))
        assert included <= {"arm_neon.h", "immintrin.h", "stddef.h", "stdint.h", "string.h"}, path
        assert path.suffix == ".cpp" or "namespace crossfade {\nnamespace {\n" in text, path
