"""How relevant a hit of some score is: the line that is learned of scores, and its error."""

from __future__ import annotations

import math

import numpy as np
import pytest

import crossfade as cf
from crossfade.errors import (
    InvalidInput,
    NotReady,
)
from crossfade.search.calibration import LEAST_HITS, Calibration, error_of, platt

SPACE = cf.Space(model="old", dim=4)


def drawn(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and which of them are relevant: the more, the higher."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0.5, 0.15, count)
    return scores, generator.random(count) < 1.0 / (1.0 + np.exp(-(9.0 * scores - 5.0)))


def loss(slope: float, intercept: float, scores: np.ndarray, relevant: np.ndarray) -> float:
    """Platt's, written as he does: negative log-likelihood of targets that are pulled towards each other."""
    found, others = relevant.sum(), (~relevant).sum()
    targets = np.where(relevant, (found + 1) / (found + 2), 1 / (others + 2))
    expected = 1 / (1 + np.exp(-(slope * scores + intercept)))
    return float(-(targets * np.log(expected) + (1 - targets) * np.log(1 - expected)).sum())


@pytest.mark.parametrize("seed", range(4))
def test_no_other_line_is_more_likely(seed: int) -> None:
    """The slope and intercept are where the likelihood is greatest: a step any way lowers it."""
    scores, relevant = drawn(seed)
    slope, intercept = platt(scores, relevant)
    best = loss(slope, intercept, scores, relevant)
    for angle in np.linspace(0.0, 2.0 * math.pi, 16, endpoint=False):
        for step in (1e-3, 1e-2, 1.0):
            assert loss(slope + step * math.cos(angle), intercept + step * math.sin(angle), scores, relevant) > best


@pytest.mark.parametrize("counts", [(40, 10, 5, 45), (30, 30, 30, 30), (1, 500, 0, 500), (50, 0, 0, 50)])
def test_two_scores_have_a_closed_form(counts: tuple[int, int, int, int]) -> None:
    """Two scores and two numbers: the probability at each is the mean target of the hits that have it."""
    high, high_others, low, low_others = counts
    scores = np.repeat([0.75, 0.75, 0.25, 0.25], counts)
    relevant = np.repeat([True, False, True, False], counts)
    found, others = high + low, high_others + low_others
    targets = (found + 1) / (found + 2), 1 / (others + 2)
    slope, intercept = platt(scores, relevant)
    for score, of_score in ((0.75, (high, high_others)), (0.25, (low, low_others))):
        expected = np.dot(of_score, targets) / sum(of_score)
        assert 1 / (1 + math.exp(-(slope * score + intercept))) == pytest.approx(expected, abs=1e-7)


def test_the_unit_of_scores_does_not_matter() -> None:
    """Scores that are dot products of any size give the same probabilities."""
    scores, relevant = drawn(1)
    slope, intercept = platt(scores, relevant)
    other_slope, other_intercept = platt(1e4 * scores - 7e5, relevant)
    assert other_slope == pytest.approx(slope / 1e4, rel=1e-6)
    assert other_intercept + other_slope * (1e4 * 0.5 - 7e5) == pytest.approx(intercept + slope * 0.5, rel=1e-6)


def fitted(scores: np.ndarray, relevant: np.ndarray) -> Calibration:
    return Calibration.fit(scores, relevant, np.arange(len(scores)) // 10, k=10, space=SPACE)


def test_relevance_rises_with_the_score_and_stays_a_probability() -> None:
    """Between 0 and 1 for any score, without an overflow, and never lower for a higher one."""
    calibration = fitted(*drawn(2))
    relevances = [calibration.relevance(score) for score in (-1e300, -1e4, -1.0, 0.2, 0.5, 0.8, 1.0, 1e4, 1e300)]
    assert relevances == sorted(relevances)
    assert (relevances[0], relevances[-1]) == (0.0, 1.0)
    at = calibration.score_at(0.5)
    assert at is not None
    assert calibration.relevance(at) == pytest.approx(0.5)


def test_few_hits_are_refused() -> None:
    """It takes 30 hits of either kind; the message says how many there are."""
    scores = np.linspace(0.0, 1.0, 200)
    for found in (LEAST_HITS - 1, 200 - LEAST_HITS + 1):
        with pytest.raises(NotReady, match=rf"{found} and {200 - found} of the first 10 hits"):
            fitted(scores, np.arange(200) >= 200 - found)
    fitted(scores, np.arange(200) >= 200 - LEAST_HITS)


def test_what_the_wrong_way_round_teaches_is_refused() -> None:
    """Where the lower scores are the relevant ones no probability is given, nor where all scores are the same."""
    scores, relevant = drawn(3)
    with pytest.raises(InvalidInput, match="the lower the score the more are relevant"):
        fitted(scores, ~relevant)
    with pytest.raises(NotReady, match="the same score"):
        fitted(np.full(400, 0.5), relevant)


def test_the_error_is_that_of_the_bins() -> None:
    """Ten bins of equal size; what is right in each counts nothing, and what is wrong counts by how much."""
    expected = np.repeat([0.1, 0.9], 500)
    right = np.concatenate([np.tile([True] + 9 * [False], 50), np.tile(9 * [True] + [False], 50)])
    assert error_of(expected, right) == pytest.approx(0.0, abs=1e-9)
    assert error_of(expected, ~right) == pytest.approx(0.8)
    assert error_of(expected, np.ones(1_000, np.bool_)) == pytest.approx(0.5)
