"""Rows mapped by a matrix: against the oracle, at every instruction set this machine can run."""

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
    LAYOUTS,
    LEVELS,
    SEEDS,
    STORED,
    WIDTHS,
    every_level,
    examples,
    forced,
    laid_out,
    rows,
    unit_rows,
    within,
)


@every_level
@pytest.mark.parametrize("kind", [np.float32, np.float16, bfloat16])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "bfloat16x3"])
@pytest.mark.parametrize("threads", [1, 2])
def test_project_marks_bad_rows(level: str, kind: type[Any], precision: str, threads: int) -> None:
    """With `bad`, rows that map to nothing usable are marked and become zeros; the others are what they are alone."""
    x, matrix = rows(5, 700, 60), rows(6, 60, 70)
    x[[3, 96, 699]] = [[0], [np.nan], [np.inf]]
    out, bad = np.full((700, 70), 7, kind), np.ones(700, np.bool_)

    with forced(level):
        kernels.project(x, matrix, precision=precision, out=out, bad=bad, threads=threads)
        good = kernels.project(x[~bad], matrix, precision=precision, out=np.empty((697, 70), kind))
        alone = kernels.project(x[3], matrix, precision=precision, bad=bad[:1])

    assert np.flatnonzero(bad[1:]).tolist() == [2, 95, 698]
    assert not out[[3, 96, 699]].astype(np.float32).any()
    assert np.array_equal(np.delete(out, [3, 96, 699], axis=0), good)
    assert bad[0]
    assert not alone.any()


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=STORED, layout=LAYOUTS, parts=st.integers(0, 3))
def test_project_matches_its_oracle(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any], layout: tuple[int, int, bool], parts: int
) -> None:
    """The map with and without center and offset is within the error that d_in float32 sums can have."""
    x, matrix = laid_out(rows(seed, n, d_in, kind), layout), laid_out(rows(seed + 1, d_in, d_out), layout)
    center = rows(seed + 2, 1, d_in)[0] if parts & 1 else None
    offset = rows(seed + 3, 1, d_out)[0] if parts & 2 else None

    with forced(level):
        actual = kernels.project(x, matrix, center, offset, normalize=False)

    c = np.zeros(d_in) if center is None else center
    o = np.zeros(d_out) if offset is None else offset
    expected = oracles.project(x, matrix, c, o)
    magnitude = oracles.project(np.abs(x.astype(np.float64)), np.abs(matrix), -np.abs(c), np.abs(o))
    assert actual.dtype == np.float32
    assert actual.shape == (n, d_out)
    assert within(actual, expected, (d_in + 3) * EPS * magnitude)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS)
def test_project_gives_unit_rows(level: str, seed: int, n: int, d_in: int, d_out: int) -> None:
    """By default the rows of the map are exactly what normalize makes of them."""
    x, matrix = rows(seed, n, d_in), rows(seed + 1, d_in, d_out)
    with forced(level):
        raw = kernels.project(x, matrix, normalize=False)
        unit = kernels.project(x, matrix)
        assert np.array_equal(unit, kernels.normalize(raw))


@every_level
@pytest.mark.parametrize("d_out", [1, 17, 64, 100])
def test_project_of_a_row_does_not_depend_on_the_others(level: str, d_out: int) -> None:
    """Alone or among many (where the matrix is packed), a row maps to the same bits."""
    x, matrix = rows(3, 130, 50), rows(4, 50, d_out)
    with forced(level):
        together = kernels.project(x, matrix)
        alone = np.stack([kernels.project(row, matrix) for row in x])

    assert np.array_equal(alone, together)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=STORED, layout=LAYOUTS)
def test_project_in_bfloat16(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any], layout: tuple[int, int, bool]
) -> None:
    """Operands are rounded to bfloat16, then nothing is lost but what float32 sums lose; a row is alone in it."""
    x, matrix = laid_out(rows(seed, n, d_in, kind), layout), laid_out(rows(seed + 1, d_in, d_out), layout)
    center, offset = rows(seed + 2, 1, d_in)[0], rows(seed + 3, 1, d_out)[0]
    with forced(level):
        actual = kernels.project(x, matrix, center, offset, normalize=False, precision="bfloat16")
        alone = [kernels.project(row, matrix, center, offset, normalize=False, precision="bfloat16") for row in x[:3]]

    narrow = (x.astype(np.float32) - center).astype(bfloat16), matrix.astype(bfloat16)
    expected = oracles.project(*narrow, np.zeros(d_in), offset)
    magnitude = oracles.project(*(np.abs(array.astype(np.float64)) for array in narrow), np.zeros(d_in), np.abs(offset))
    assert within(actual, expected, (d_in + 3) * EPS * magnitude)
    assert np.array_equal(actual[:3], np.array(alone, np.float32).reshape(actual[:3].shape))


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=STORED, layout=LAYOUTS)
def test_project_in_three_products_of_bfloat16(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any], layout: tuple[int, int, bool]
) -> None:
    """A product lacks low · low and what the low parts were rounded by: each is at most 2^-16 of it."""
    x, matrix = laid_out(rows(seed, n, d_in, kind), layout), laid_out(rows(seed + 1, d_in, d_out), layout)
    center = rows(seed + 2, 1, d_in)[0]
    with forced(level):
        actual = kernels.project(x, matrix, center, normalize=False, precision="bfloat16x3")
        alone = [kernels.project(row, matrix, center, normalize=False, precision="bfloat16x3") for row in x[:3]]

    centered = x.astype(np.float32) - center
    none = np.zeros(max(d_in, d_out))
    expected = oracles.project(centered, matrix, none[:d_in], none[:d_out])
    magnitude = oracles.project(np.abs(centered), np.abs(matrix), none[:d_in], none[:d_out])
    assert within(actual, expected, (3 * 2.0**-16 + 3 * (d_in + 3) * EPS) * magnitude)
    assert np.array_equal(actual[:3], np.array(alone, np.float32).reshape(actual[:3].shape))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "bfloat16x3"])
def test_project_ranks_alike_at_every_level(precision: str) -> None:
    """Mapped rows rank alike at every level wherever their scores differ by more than 1e-5."""
    x, matrix, query = rows(11, 400, 100), rows(12, 100, 70), unit_rows(13, 1, 70)[0]
    scores = []
    for level in LEVELS:
        with forced(level):
            scores.append(kernels.project(x, matrix, precision=precision) @ query)
    for other in scores[1:]:
        ranked = other[np.argsort(-scores[0], kind="stable")]
        assert np.all(np.diff(ranked) <= 1e-5)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=st.sampled_from([np.float16, bfloat16]))
def test_project_by_a_narrow_matrix_into_narrow_rows(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any]
) -> None:
    """A narrow matrix gives the bits of the same matrix in float32; narrow rows are the float32 ones rounded once."""
    x, matrix = rows(seed, n, d_in), rows(seed + 1, d_in, d_out, kind)
    out = np.zeros((n, d_out), kind)
    with forced(level):
        assert kernels.project(x, matrix, out=out) is out
        expected = kernels.project(x, matrix.astype(np.float32), normalize=False)
        assert np.array_equal(kernels.project(x, matrix, normalize=False), expected)
        assert np.array_equal(out, kernels.normalize(expected, dtype=kind))
        for row, mapped in zip(x[:2], expected[:2], strict=True):
            assert np.array_equal(kernels.project(row, matrix, normalize=False), mapped)


@every_level
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16x3"])
def test_project_in_bfloat16_reports_what_is_not_finite(level: str, precision: str, value: float) -> None:
    """A NaN of any bits stays one when it is rounded, and its row is named."""
    x, matrix = rows(5, 30, 8), rows(6, 8, 8)
    x.view(np.uint32)[2, 3] = 0x7FFFFFFF
    x[9, 1] = value
    with forced(level), pytest.raises(InvalidInput, match=r"2 of 30 .* first is row 2"):
        kernels.project(x, matrix, precision=precision)


@every_level
def test_project_refuses_rows_it_cannot_use(level: str) -> None:
    """Non-finite rows are refused; rows that map to zero are only where unit rows were asked for."""
    x, matrix = rows(5, 30, 8), rows(6, 8, 8)
    x[7] = 0
    with forced(level):
        assert not kernels.project(x, matrix, normalize=False)[7].any()
        with pytest.raises(InvalidInput, match=r"1 of 30 .* first is row 7"):
            kernels.project(x, matrix)
        x[2, 3] = np.inf
        with pytest.raises(InvalidInput, match=r"1 of 30 .* first is row 2"):
            kernels.project(x, matrix, normalize=False)
