"""What known errors say about the unknown ones of documents alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.search.kriging import COMMON, carry_over, learn_shared

SHARED = 0.9


def oracle(rows: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Conditional mean and variance of a normal distribution, by the textbook."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    covariance = COMMON + SHARED * (unit @ unit.T) ** 2 + (1 - SHARED) * np.eye(len(rows))
    known = ~np.isnan(errors)
    across = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    mean = across @ errors[known]
    variance = covariance[np.ix_(~known, ~known)] - across @ covariance[np.ix_(known, ~known)]
    return mean, np.diag(variance)


@settings(max_examples=60, deadline=None)
@given(
    known=st.lists(st.booleans(), min_size=1, max_size=60),
    dim=st.integers(2, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_conditional_normal_distribution(known: list[bool], dim: int, seed: int) -> None:
    """Mean and variance of the unknown errors given the known ones; what is known is left alone."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((len(known), dim)).astype(np.float32)
    errors = np.where(known, random.standard_normal(len(known)), np.nan)
    carried = carry_over(rows, errors, SHARED)
    assert not carried.expected[known].any()
    assert not carried.left[known].any()
    unknown = ~np.array(known)
    if not any(known):
        assert (carried.left == 1.0).all()
        assert not carried.expected.any()
        assert carried.common == 0.0
        return
    mean, variance = oracle(rows.astype(np.float64), errors)
    np.testing.assert_allclose(carried.expected[unknown], mean, atol=2e-3)
    np.testing.assert_allclose(carried.left[unknown], np.clip(variance, 0, 1), atol=2e-3)


def test_a_copy_gets_most_of_the_error_and_a_stranger_the_common_part() -> None:
    """The error of a document with the same vector is expected almost whole; that of one across, by its common part."""
    rows = np.eye(3, 8, dtype=np.float32)[[0, 0, 1]]
    carried = carry_over(rows, np.array([1.0, np.nan, np.nan]), SHARED)
    assert carried.expected[1] == pytest.approx((SHARED + COMMON) / (1 + COMMON), rel=1e-5)
    assert carried.expected[2] == pytest.approx(carried.common, rel=1e-5)
    assert carried.left[1] < 0.2 < 0.9 < carried.left[2]


def test_rows_of_any_length_and_none_at_all() -> None:
    """A zero row is like nothing else; scale does not matter; copies of copies stay solvable."""
    rows = np.ones((80, 4), np.float32) * np.geomspace(1e-3, 1e3, 80, dtype=np.float32)[:, None]
    rows[0] = 0.0
    errors = np.where(np.arange(80) % 2 == 0, 1.0, np.nan)
    carried = carry_over(rows, errors, SHARED)
    assert np.isfinite(carried.expected).all()
    assert np.isfinite(carried.left).all()
    assert len(carry_over(rows[:0], errors[:0], SHARED).expected) == 0


@pytest.mark.parametrize(("true", "least", "most"), [(0.0, 0.0, 0.1), (0.9, 0.7, 0.9)])
def test_what_documents_alike_share_is_learned(true: float, least: float, most: float) -> None:
    """From errors drawn with a share of their own it finds about that share; where there is none, next to none."""
    random = np.random.default_rng(4)
    rows = random.standard_normal((60, 40, 8)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    covariance = COMMON + true * (unit @ unit.transpose(0, 2, 1)) ** 2 + (1 - true) * np.eye(40)
    errors = np.einsum("qij,qj->qi", np.linalg.cholesky(covariance), random.standard_normal((60, 40)))
    assert least <= learn_shared(rows, errors, 1.0, random) <= most
