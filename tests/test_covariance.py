"""Moments of streamed rows: against the oracle, at every instruction set this machine can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ml_dtypes import bfloat16

import oracles
from crossfade import kernels
from kernel_rows import (
    SEEDS,
    STORED,
    Array,
    every_level,
    examples,
    forced,
    laid_out,
    rows,
    within,
)


def covariance_is_right(actual: Array, x: Array, y: Array) -> bool:
    """Within a millionth of the product of the two columns' standard deviations; more rows average them out."""
    spread = np.outer(x.astype(np.float64).std(axis=0), y.astype(np.float64).std(axis=0))
    return within(actual, oracles.covariance(x, y), 1e-6 * spread + 1e-12)


@every_level
@examples
@given(seed=SEEDS, n=st.integers(1, 60), cut=st.integers(0, 60), kind=STORED, cross=st.booleans())
@example(seed=155737209, n=57, cut=0, kind=bfloat16, cross=False)
def test_covariance_matches_its_oracle_however_it_is_cut(
    level: str, seed: int, n: int, cut: int, kind: type[Any], cross: bool
) -> None:
    """Two calls give what one gives, far from the origin too; a constant column has no variance."""
    x, y = rows(seed, n, 5, kind), rows(seed + 1, n, 3, kind)
    x = x if kind is np.int8 else (x + np.asarray(100, x.dtype)).astype(kind)
    x[:, 2] = 7
    with forced(level):
        state = kernels.covariance(x[:cut], y[:cut] if cross else None)
        state = kernels.covariance(x[cut:], y[cut:] if cross else None, state)

    other = y if cross else x
    assert state.count == n
    np.testing.assert_allclose(state.mean_x, x.astype(np.float64).mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.mean_y, other.astype(np.float64).mean(axis=0), rtol=1e-12, atol=1e-12)
    assert covariance_is_right(state.covariance, x, other)
    assert not state.covariance[2].any()


@every_level
@pytest.mark.parametrize(("d_x", "d_y"), [(6, 70), (129, 64), (200, 1)])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_covariance_of_many_blocks(level: str, d_x: int, d_y: int, kind: type[Any]) -> None:
    """More rows than a block holds, and more columns than a panel, alone and crossed, whatever the threads."""
    x, y = rows(14, 1_500, d_x, kind), rows(15, 1_500, d_y, kind)
    x, y = laid_out(x + x.dtype.type(3), (1, 2, False)), y + y.dtype.type(-2)
    with forced(level):
        alone, crossed = kernels.covariance(x), kernels.covariance(x, y)
        split = kernels.covariance(x, threads=2), kernels.covariance(x, y, threads=2)

    assert covariance_is_right(alone.covariance, x, x)
    assert covariance_is_right(crossed.covariance, x, y)
    assert np.array_equal(alone.comoment, alone.comoment.T)
    assert np.array_equal(split[0].comoment, alone.comoment)
    assert np.array_equal(split[1].comoment, crossed.comoment)
