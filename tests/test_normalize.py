"""Unit rows, in place and into narrower elements: against the oracle, at every instruction set this machine can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_dtypes import bfloat16

import oracles
from crossfade import kernels
from crossfade.errors import InvalidInput
from kernel_rows import (
    COUNTS,
    EPS,
    EPS_HALF,
    KINDS,
    LAYOUTS,
    SEEDS,
    STORED,
    TINY,
    TINY_HALF,
    WIDTHS,
    every_level,
    examples,
    forced,
    laid_out,
    rows,
    within,
)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, kind=KINDS, layout=LAYOUTS, exponent=st.integers(-60, 60))
def test_normalize_matches_its_oracle(
    level: str, seed: int, n: int, d: int, kind: type[Any], layout: tuple[int, int, bool], exponent: int
) -> None:
    """Rows of any scale become unit rows, rounded once; where the output is strided, what lies between stays."""
    x = laid_out(rows(seed, n, d) * np.float32(2.0**exponent), layout)
    whole = np.full((n, d + 3), 7, kind)
    out = whole[:, :d]

    with forced(level):
        assert kernels.normalize(x, out) is out

    expected = oracles.normalize(x)
    eps, tiny = (EPS, TINY) if kind is np.float32 else (EPS_HALF, TINY_HALF)
    assert within(out, expected, 0.501 * (eps * np.abs(expected) + tiny))
    assert (whole[:, d:] == 7).all()


@every_level
def test_normalize_in_place_and_one_row(level: str) -> None:
    """In place gives the bits of out of place; a single row is a row; dtype chooses the result's."""
    x = rows(1, 9, 33)
    with forced(level):
        apart = kernels.normalize(x)
        alone = kernels.normalize(x[3])
        half = kernels.normalize(x, dtype=np.float16)
        same = kernels.normalize(x, x)

    assert same is x
    assert np.array_equal(x, apart)
    assert np.array_equal(alone, apart[3])
    assert half.dtype == np.float16
    assert np.array_equal(half, apart.astype(np.float16))


@every_level
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("d", [1, 17, 384])
def test_normalize_names_bad_rows_and_leaves_them(level: str, value: float, d: int) -> None:
    """Zero and non-finite rows are counted, the first is named, their places stay as they were; others are written."""
    x = rows(2, 6, d)
    x[3] = value
    x[5, d - 1 :] = np.nan
    out = np.full_like(x, 7)

    with forced(level), pytest.raises(InvalidInput, match=r"2 of 6 .* first is row 3"):
        kernels.normalize(x, out)

    assert (out[[3, 5]] == 7).all()
    assert np.array_equal(out[[0, 1, 2, 4]], kernels.normalize(x[[0, 1, 2, 4]]))


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, kind=STORED, hits=st.lists(st.integers(0, 96), max_size=5))
def test_normalize_marks_bad_rows(level: str, seed: int, n: int, d: int, kind: type[Any], hits: list[int]) -> None:
    """With `bad`, such rows are marked and become zeros, the others stay unmarked and are what they are alone."""
    x = rows(seed, n, d)
    wanted = np.isin(np.arange(n), hits)
    x[wanted, d - 1] = np.where(np.arange(wanted.sum()) % 2, np.nan, np.inf)
    bad = np.ones(n, np.bool_)

    with forced(level):
        out = kernels.normalize(x, dtype=kind, bad=bad)
        good = kernels.normalize(x[~wanted], dtype=kind)

    assert np.array_equal(bad, wanted)
    assert not out[wanted].astype(np.float32).any()
    assert np.array_equal(out[~wanted], good)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, kind=st.sampled_from([bfloat16, np.int8]))
def test_normalize_to_bfloat16_and_int8(level: str, seed: int, n: int, d: int, kind: type[Any]) -> None:
    """The narrower elements are the float32 results rounded to nearest, int8 after 127 times the value."""
    x = rows(seed, n, d)
    with forced(level):
        narrow = kernels.normalize(x, dtype=kind)
    expected = oracles.normalize(x)

    assert narrow.dtype == kind
    if kind is np.int8:
        assert within(narrow, 127 * expected, np.full_like(expected, 0.5 + 1e-4))
    else:
        assert np.array_equal(narrow, kernels.normalize(x).astype(bfloat16))


@every_level
@pytest.mark.parametrize("kind", [np.float32, np.float16, bfloat16, np.int8])
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_normalize_past_the_caches(level: str, kind: type[Any], shift: int) -> None:
    """Outputs too large for the caches are the same, bit by bit, wherever their rows start."""
    n, d = 80_000, 210
    x = np.resize(rows(3, 50, d), (n, d))
    out = np.zeros(n * d + shift, kind)[shift:].reshape(n, d)
    with forced(level):
        kernels.normalize(x, out)
        assert np.array_equal(out, np.resize(kernels.normalize(x[:50], dtype=kind), (n, d)))


@every_level
def test_normalize_survives_the_extremes_of_float(level: str) -> None:
    """Rows whose squares overflow or vanish in float32 are normalised all the same."""
    x = np.array([[3e38, -3e38, 0], [1e-45, 0, 0], [1e-38, 1e-38, 0]], np.float32)
    with forced(level):
        actual = kernels.normalize(x)

    expected = oracles.normalize(x)
    assert within(actual, expected, EPS * np.abs(expected))
