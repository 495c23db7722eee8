"""Rows for the kernels' tests: of every layout, at every instruction set this machine can run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from ml_dtypes import bfloat16

from crossfade import _core, kernels

Array = npt.NDArray[Any]

LEVELS = _core.instruction_sets()
EPS = 2.0**-23  # of float32
EPS_HALF = 2.0**-10
TINY = 2.0**-149
TINY_HALF = 2.0**-24
WIDTHS = st.sampled_from([1, 3, 7, 15, 16, 17, 31, 33, 255, 257, 384])
COUNTS = st.sampled_from([0, 1, 2, 5, 6, 7, 23, 25, 97])
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from([np.float32, np.float16])
STORED = st.sampled_from([np.float32, np.float16, bfloat16, np.int8])
LAYOUTS = st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans())

every_level = pytest.mark.parametrize("level", LEVELS)
examples = settings(max_examples=50, deadline=None)


@contextmanager
def forced(level: str) -> Iterator[None]:
    before = kernels.instruction_set()
    assert _core.force_instruction_set(level)
    try:
        yield
    finally:
        _core.force_instruction_set(before)


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set in turn, in use."""
    with forced(request.param):
        yield request.param


def laid_out(values: Array, layout: tuple[int, int, bool]) -> Array:
    """The same values in a view that starts off any alignment, has gaps between its rows, and may run backwards."""
    shift, gap, backwards = layout
    n, d = values.shape
    base = np.full((n, d + gap + shift), -1, values.dtype)
    view = base[:, shift : shift + d]
    view = view[::-1] if backwards else view
    view[:] = values
    return view


def rows(seed: int, n: int, d: int, kind: type[Any] = np.float32) -> Array:
    values = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return (40 * values).clip(-127, 127).astype(kind) if kind is np.int8 else values.astype(kind)


def unit_rows(seed: int, n: int, d: int) -> Array:
    return kernels.normalize(rows(seed, n, d))


def within(actual: Array, expected: Array, tolerance: Array) -> bool:
    return bool((np.abs(actual.astype(np.float64) - expected) <= tolerance).all())
