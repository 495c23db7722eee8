"""What known errors say about the unknown ones of rows alike, at every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade import kernels
from crossfade.errors import InvalidInput
from crossfade.search.kriging import COMMON, carry_over, learn_shared

SHARED = 0.9


def oracle(rows: np.ndarray, errors: np.ndarray, shared: float, common: float) -> tuple[np.ndarray, np.ndarray]:
    """Conditional mean and variance of a normal distribution, by the textbook."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    covariance = common + shared * (unit @ unit.T) ** 2
    np.fill_diagonal(covariance, common + 1.0)
    known = ~np.isnan(errors)
    across = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    variance = covariance[np.ix_(~known, ~known)] - across @ covariance[np.ix_(known, ~known)]
    return across @ errors[known], np.clip(np.diag(variance), 0.0, 1.0)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    known=st.lists(st.booleans(), max_size=70),
    dim=st.integers(1, 70),
    pad=st.integers(0, 3),
    shared=st.sampled_from([0.0, 0.3, 0.9]),
    common=st.sampled_from([0.0, COMMON, 2.0]),
    centred=st.booleans(),
    half=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_conditional_normal_distribution(
    level: str,
    known: list[bool],
    dim: int,
    pad: int,
    shared: float,
    common: float,
    centred: bool,
    half: bool,
    seed: int,
) -> None:
    """Mean and variance of the unknown errors given the known ones, at any size and stride; what is known is 0."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((len(known), dim + pad)).astype(np.float32)[:, :dim]
    if len(rows) > 2:
        rows[0] = 0.0
    rows = rows.astype(np.float16) if half else rows
    center = random.standard_normal(dim).astype(np.float32) if centred else None
    errors = np.where(known, random.standard_normal(len(known)), np.nan).astype(np.float32)
    found = kernels.krige(rows, errors, center, shared=shared, common=common)
    unknown = np.isnan(errors)
    assert not found.expected[~unknown].any()
    assert not found.left[~unknown].any()
    wide = rows.astype(np.float64) - (0.0 if center is None else center)
    mean, variance = oracle(wide, errors.astype(np.float64), shared, common)
    np.testing.assert_allclose(found.expected[unknown], mean, atol=1e-3)
    np.testing.assert_allclose(found.left[unknown], variance, atol=1e-3)
    stranger = kernels.krige(
        np.vstack([wide, np.zeros(dim)]).astype(np.float32), np.append(errors, np.float32(np.nan)),
        shared=shared, common=common,
    )  # fmt: skip
    assert found.common == pytest.approx(stranger.expected[-1], abs=1e-4)


def test_a_copy_gets_most_of_the_error_and_a_stranger_the_common_part(level: str) -> None:
    """The error of a document with the same vector is expected almost whole; that of one across, by its common part."""
    rows = np.eye(3, 8, dtype=np.float32)[[0, 0, 1]]
    carried = carry_over(rows, np.zeros(8, np.float32), np.array([1.0, np.nan, np.nan]), SHARED)
    assert carried.expected[1] == pytest.approx((SHARED + COMMON) / (1 + COMMON), rel=1e-5)
    assert carried.expected[2] == pytest.approx(carried.common, rel=1e-5)
    assert carried.left[1] < 0.2 < 0.9 < carried.left[2]


@pytest.mark.parametrize("shared", [SHARED, 1.0])
def test_rows_of_any_length_and_none_at_all(level: str, shared: float) -> None:
    """A zero row is like nothing else; scale does not matter; copies of copies stay solvable."""
    rows = np.ones((80, 4), np.float32) * np.geomspace(1e-20, 1e15, 80, dtype=np.float32)[:, None]
    rows[0] = 0.0
    errors = np.where(np.arange(80) % 2 == 0, 1.0, np.nan).astype(np.float32)
    found = kernels.krige(rows, errors, shared=shared, common=COMMON)
    np.testing.assert_allclose(found.expected[1::2], 1.0, atol=0.05)
    assert (found.left < 0.12).all()
    assert len(kernels.krige(rows[:0], errors[:0], shared=shared, common=COMMON).expected) == 0


def test_what_is_not_finite_stays_where_it_is_unknown(level: str) -> None:
    """An unknown row of NaN says nothing about the others."""
    rows = np.eye(3, 8, dtype=np.float32)[[0, 0, 1]]
    rows[2] = np.nan
    found = kernels.krige(rows, np.array([1.0, np.nan, np.nan], np.float32), shared=SHARED, common=COMMON)
    assert np.isfinite(found.expected[:2]).all()
    assert found.expected[1] > 0.8


ROWS, ERRORS = np.ones((3, 4), np.float32), np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("rows", "errors", "center", "shared", "common"),
    [
        (ROWS[0], ERRORS, None, 0.5, 0.1),
        (ROWS.astype(np.float64), ERRORS, None, 0.5, 0.1),
        (ROWS, ERRORS[:2], None, 0.5, 0.1),
        (ROWS, None, None, 0.5, 0.1),
        (ROWS, ERRORS, ROWS[0, :3], 0.5, 0.1),
        (ROWS, ERRORS, None, 1.5, 0.1),
        (ROWS, ERRORS, None, float("nan"), 0.1),
        (ROWS, ERRORS, None, 0.5, -0.1),
        (ROWS, ERRORS, None, "much", 0.1),
        (np.ones((4_097, 1), np.float32), np.zeros(4_097, np.float32), None, 0.5, 0.1),
    ],
)
def test_what_cannot_be_compared_is_refused(rows: Any, errors: Any, center: Any, shared: Any, common: Any) -> None:
    """Wrong shapes, dtypes and ranges, with what is needed."""
    with pytest.raises(InvalidInput, match="krige takes float32 or float16 rows"):
        kernels.krige(rows, errors, center, shared=shared, common=common)


@pytest.mark.parametrize(("true", "least", "most"), [(0.0, 0.0, 0.1), (0.9, 0.7, 0.9)])
def test_what_documents_alike_share_is_learned(true: float, least: float, most: float) -> None:
    """From errors drawn with a share of their own it finds about that share; where there is none, next to none."""
    random = np.random.default_rng(4)
    rows = random.standard_normal((60, 40, 8)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    covariance = COMMON + true * (unit @ unit.transpose(0, 2, 1)) ** 2 + (1 - true) * np.eye(40)
    errors = np.einsum("qij,qj->qi", np.linalg.cholesky(covariance), random.standard_normal((60, 40)))
    assert least <= learn_shared(rows, np.zeros(8, np.float32), errors, 1.0, random) <= most
