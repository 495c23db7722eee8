"""Dot products of gathered rows: against the oracle, at every instruction set this machine can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from crossfade import kernels
from kernel_rows import (
    COUNTS,
    EPS,
    LAYOUTS,
    SEEDS,
    STORED,
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
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, q=st.integers(0, 3), kind=STORED, layout=LAYOUTS)
def test_rescore_matches_its_oracle(
    level: str, seed: int, n: int, d: int, q: int, kind: type[Any], layout: tuple[int, int, bool]
) -> None:
    """Gathered and whole scans are within the error that d float32 sums can have; one query is one row of several."""
    vectors, queries = laid_out(rows(seed, n, d, kind), layout), laid_out(rows(seed + 1, q, d), layout)
    chosen = np.random.default_rng(seed).integers(0, n, 2 * n) if n else np.empty(0, np.int64)

    with forced(level):
        gathered = kernels.rescore(vectors, chosen, queries)
        scanned = kernels.rescore(vectors, None, queries)
        single = [kernels.rescore(vectors, chosen, query) for query in queries]

    magnitude = oracles.rescore(np.abs(vectors.astype(np.float64)), chosen, np.abs(queries))
    assert within(gathered, oracles.rescore(vectors, chosen, queries), d * EPS * magnitude)
    assert np.array_equal(gathered, scanned[:, chosen])
    assert np.array_equal(gathered, np.array(single, np.float32).reshape(gathered.shape))


@every_level
@pytest.mark.parametrize("d", [1, 8, 31, 124])
def test_every_half_is_read_exactly(level: str, d: int) -> None:
    """All 63,488 finite float16 values, subnormal ones too, become the float32 of the same value."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 31)
    vectors = np.resize(finite, (finite.size // d + 1, d))
    with forced(level):
        actual = kernels.rescore(vectors, None, np.eye(d, dtype=np.float32))

    assert np.array_equal(actual.T, vectors.astype(np.float32))
