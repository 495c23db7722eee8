"""What documents alike make of each other's scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.search.smoothing import COMPARED, SHARE, smoothed

MEAN = np.zeros(8, np.float32)


def oracle(evidence: np.ndarray, rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The equation, document by document."""
    best = np.argsort(-evidence, kind="stable")[:COMPARED]
    away = [rows[place].astype(np.float64) - mean for place in range(len(rows))]
    result = evidence.copy()
    for one in best:
        weights, total = 0.0, 0.0
        for other in best:
            lengths = np.linalg.norm(away[one]) * np.linalg.norm(away[other])
            weight = max(0.0, away[one] @ away[other] / lengths) ** 4 if one != other and lengths else 0.0
            weights, total = weights + weight, total + weight * evidence[other]
        result[one] = (1.0 - SHARE) * evidence[one] + SHARE * (total / weights if weights else evidence[one])
    return result


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(0, 90),
    dim=st.integers(1, 40),
    half=st.booleans(),
    alike=st.floats(0.0, 3.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_is_drawn_towards_those_like_it(count: int, dim: int, half: bool, alike: float, seed: int) -> None:
    """As the equation says, whatever the rows; those that are not among the best keep what they have."""
    random = np.random.default_rng(seed)
    rows = (random.standard_normal((count, dim)) + alike).astype(np.float16 if half else np.float32)
    rows[: count // 10] = 0
    mean, evidence = random.standard_normal(dim).astype(np.float32), random.standard_normal(count)
    found = smoothed(evidence, rows, mean)
    np.testing.assert_allclose(found, oracle(evidence, rows, mean), atol=2e-3)
    beyond = np.argsort(-evidence, kind="stable")[COMPARED:]
    assert (found[beyond] == evidence[beyond]).all()


def test_a_document_that_those_like_it_speak_for_overtakes_one_alone() -> None:
    """Three alike score high; the best of all is like two that score low."""
    axes = np.eye(8, dtype=np.float32)
    rows = axes[[0, 0, 0, 1, 1, 1]]
    evidence = np.array([4.0, 4.1, 4.0, 4.2, 1.0, 1.0])
    found = smoothed(evidence, rows, MEAN)
    assert np.argmax(evidence) == 3
    assert set(np.argsort(-found)[:3].tolist()) == {0, 1, 2}
    assert found[3] == pytest.approx(0.7 * 4.2 + 0.3 * 1.0)


def test_nothing_is_drawn_towards_what_is_not_like_it() -> None:
    """Rows across each other, or against each other, and those without a direction, keep their own."""
    rows = np.vstack([np.eye(3, 8), -np.eye(3, 8), np.zeros((2, 8))]).astype(np.float32)
    evidence = np.arange(8.0)
    assert smoothed(evidence, rows, MEAN).tolist() == evidence.tolist()
