"""The compiled blend of one query's scores, at every instruction set."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.errors import InvalidInput
from crossfade.kernels import BlendModel, BlendUnits, blend

MODEL = BlendModel(
    scale=1.3,
    intercept=0.1,
    old=0.4,
    bridged=0.5,
    variance=0.3,
    shared=0.6,
    common=0.05,
    compared=256,
    smoothing=0.3,
    smoothed=64,
    rank_offset=10.0,
)
UNITS = BlendUnits(0.2, 0.1, 0.15, 0.12, 0.2, 0.1)
PLAIN = BlendUnits(0.0, 1.0, 0.0, 1.0, 0.0, 1.0)
NAN = np.float32(np.nan)


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What a search would blend."""

    old: np.ndarray[Any, np.dtype[np.float32]]
    new: np.ndarray[Any, np.dtype[np.float32]]
    bridged: np.ndarray[Any, np.dtype[np.float32]]
    rows: np.ndarray[Any, Any]
    mean: np.ndarray[Any, np.dtype[np.float32]]
    head: int

    @classmethod
    def made(cls, count: int, dim: int, covered: float, half: bool, seed: int) -> Candidates:
        random = np.random.default_rng(seed)
        scores = (0.3 + 0.15 * random.standard_normal((3, count))).astype(np.float32)
        known = random.random(count) < covered
        rows = (random.standard_normal((count, dim)) + 0.5).astype(np.float16 if half else np.float32)
        old = np.where(known & (random.random(count) < 0.1), NAN, scores[0])  # written without the old encoder
        bridged = np.where(known & (random.random(count) < 0.5), NAN, scores[2])
        mean = random.standard_normal(dim).astype(np.float32)
        return cls(old, np.where(known, scores[1], NAN), bridged, rows, mean, int(random.integers(0, count + 1)))

    def blend(self, model: BlendModel, units: BlendUnits = UNITS, weight: float = 0.7, bounded: bool = False) -> Any:
        scores = self.old, self.new, self.bridged
        return blend(scores, (self.rows, self.mean), units, model, head=self.head, weight=weight, bounded=bounded)


def likeness(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    away = rows.astype(np.float64) - mean
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-30)
    return away @ away.T


def oracle(it: Candidates, model: BlendModel, weight: float) -> np.ndarray:
    """The equations of `search/blend.py`, `search/kriging.py` and `search/smoothing.py`."""
    z_old = (it.old.astype(np.float64) - UNITS.old_mean) / UNITS.old_deviation
    new, bridged = (
        model.scale * (scores.astype(np.float64) - UNITS.new_mean) / UNITS.new_deviation
        for scores in (it.new, it.bridged)
    )
    guess = model.intercept + model.old * z_old + model.bridged * bridged
    known = ~np.isnan(new)
    evidence, bonus = np.where(known, new, guess), np.where(known, 0.0, model.variance)
    order = np.argsort(-evidence, kind="stable")
    if known.all():
        best = order[: model.smoothed]
        weights = np.maximum(likeness(it.rows[best], it.mean), 0.0) ** 4
        np.fill_diagonal(weights, 0.0)
        total = weights.sum(axis=1)
        others = np.where(total > 0.0, weights @ evidence[best] / np.where(total > 0.0, total, 1.0), evidence[best])
        evidence[best] += model.smoothing * (others - evidence[best])
    else:
        first, rest = order[: model.compared], order[model.compared :]
        errors = new - guess
        told = first[~np.isnan(errors[first])]
        covariance = model.common + model.shared * likeness(it.rows, it.mean) ** 2
        np.fill_diagonal(covariance, model.common + 1.0)
        solved = np.linalg.solve(covariance[np.ix_(told, told)], np.eye(len(told)))
        for place in first[~known[first]]:
            across = covariance[place, told] @ solved
            evidence[place] += across @ errors[told]
            bonus[place] *= np.clip(model.common + 1.0 - across @ covariance[told, place], 0.0, 1.0)
        evidence[rest] += np.where(known[rest], 0.0, model.common * solved.sum(axis=0) @ errors[told])
        worth = 1.0 / (np.arange(it.head) + model.rank_offset)
        bonus -= worth @ bonus[: it.head] / worth.sum() if it.head else 0.0
    parts = np.stack([z_old, new, guess, evidence, bonus, evidence + bonus])
    parts[5] = np.where(np.isnan(z_old), parts[5], (1.0 - weight) * z_old + weight * parts[5])
    return parts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 90),
    dim=st.integers(1, 70),
    covered=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    shared=st.sampled_from([0.0, 0.6, 0.9]),
    most=st.sampled_from([0, 1, 16, 256]),
    weight=st.floats(0.0, 1.0),
    half=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_the_sum_of_its_parts(
    level: str, count: int, dim: int, covered: float, shared: float, most: int, weight: float, half: bool, seed: int
) -> None:
    """Every part as its equation says, and scores on the scale asked for."""
    it = Candidates.made(count, dim, covered, half, seed)
    model = MODEL._replace(shared=shared, compared=most, smoothed=most)
    scores, parts = it.blend(model, weight=weight)
    np.testing.assert_allclose(parts, oracle(it, model, weight), atol=5e-3)
    np.testing.assert_array_equal(scores, (UNITS.shown_mean + UNITS.shown_deviation * parts[5]).astype(np.float32))
    bounded, _ = it.blend(model, weight=weight, bounded=True)
    np.testing.assert_allclose(bounded, scores / max(1.0, scores.max(initial=0.0)), rtol=1e-6)


def test_a_document_that_those_like_it_speak_for_overtakes_one_alone(level: str) -> None:
    """Three alike score high; the best of all is like two that score low."""
    found = smoothed(np.array([4.0, 4.1, 4.0, 4.2, 1.0, 1.0]), np.eye(8, dtype=np.float32)[[0, 0, 0, 1, 1, 1]])
    assert set(np.argsort(-found)[:3].tolist()) == {0, 1, 2}
    assert found[3] == pytest.approx(0.7 * 4.2 + 0.3 * 1.0)


def test_nothing_is_drawn_towards_what_is_not_like_it(level: str) -> None:
    """Rows across each other, or against each other, and those without a direction, keep their own."""
    rows = np.vstack([np.eye(3, 8), -np.eye(3, 8), np.zeros((2, 8))]).astype(np.float32)
    assert smoothed(np.arange(8.0), rows).tolist() == list(range(8))


def smoothed(evidence: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What documents alike make of evidence, all else left out."""
    scores = evidence.astype(np.float32)
    it = Candidates(scores, scores, scores, rows, np.zeros(rows.shape[1], np.float32), len(rows))
    model = MODEL._replace(scale=1.0)
    found: np.ndarray = it.blend(model, PLAIN, weight=1.0)[1][5]
    return found


def test_without_rows_nothing_is_smoothed() -> None:
    """Where no new score is missing, and where errors share nothing, they may be left out; else they may not."""
    scores = np.array([0.5, 0.25], np.float32), np.array([0.25, 0.5], np.float32), np.full(2, NAN)
    none = None, np.zeros(4, np.float32)
    found, _ = blend(scores, none, PLAIN, MODEL._replace(scale=1.0), head=2, weight=1.0, bounded=False)
    assert found.tolist() == [0.25, 0.5]
    with pytest.raises(InvalidInput, match="rows are needed"):
        blend((scores[0], scores[2], scores[1]), none, PLAIN, MODEL, head=2, weight=1.0, bounded=False)
    alone = MODEL._replace(shared=0.0)
    blend((scores[0], scores[2], scores[1]), none, PLAIN, alone, head=2, weight=1.0, bounded=False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"old": np.zeros(3, np.float64)}, "dtype"),
        ({"new": np.zeros(4, np.float32)}, "size"),
        ({"rows": np.zeros((4, 5), np.float32)}, "each candidate needs a row"),
        ({"rows": np.zeros((3, 5), np.int8)}, "float32 or float16"),
        ({"rows": np.zeros((3, 6), np.float32)}, "size"),
        ({"head": 4}, "head within them"),
        ({"new": np.full(3, NAN), "bridged": np.full(3, NAN)}, "got NaN"),
        ({"old": np.full(3, np.inf, np.float32)}, "got NaN"),
        ({"bridged": np.full(3, np.inf, np.float32), "new": np.full(3, NAN)}, "got NaN"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, Any], complaint: str) -> None:
    """Whatever the shape, the dtype or the value: nothing is read beyond its end, and nothing is scored."""
    scores = np.linspace(0.5, 0.25, 3, dtype=np.float32)
    whole = Candidates(scores, scores, scores, np.ones((3, 5), np.float32), np.zeros(5, np.float32), 2)
    with pytest.raises(InvalidInput, match=complaint):
        dataclasses.replace(whole, **change).blend(MODEL)


def test_more_than_may_be_compared_is_refused() -> None:
    """The bounds of the kernel's memory."""
    it = Candidates.made(10, 4, 0.5, False, 0)
    for change in ({"compared": 4_097}, {"smoothed": 513}, {"compared": -1}, {"smoothed": 1.5}):
        with pytest.raises(InvalidInput, match="count is out of range"):
            it.blend(MODEL._replace(**change))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *((name, (-0.5, 1.5)) for name in ("shared", "smoothing")),
        *((name, (-0.5,)) for name in ("variance", "common")),
        *((name, (-0.5, 0.0)) for name in ("scale", "rank_offset")),
        *((name, ()) for name in ("intercept", "old", "bridged")),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, wrong: tuple[float, ...]) -> None:
    """Shares are between 0 and 1, variances from 0 on, a scale and an offset above 0, and all are finite numbers."""
    it = Candidates.made(10, 4, 0.5, False, 0)
    for value in (*wrong, np.nan, np.inf, "much"):
        with pytest.raises(InvalidInput, match=r"range|above 0|between 0 and 1|finite|number"):
            it.blend(MODEL._replace(**{name: value}))


@pytest.mark.parametrize("weight", [-0.5, 1.5, np.nan])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    """It is a share."""
    with pytest.raises(InvalidInput, match="the weight must be between 0 and 1"):
        Candidates.made(10, 4, 0.5, False, 0).blend(MODEL, weight=weight)


@pytest.mark.parametrize("place", range(6))
def test_units_without_a_deviation_are_refused(place: int) -> None:
    """So is what a query of zeros would give."""
    it = Candidates.made(10, 4, 0.5, False, 0)
    for value in (np.nan, np.inf, *([0.0, -1.0] if place % 2 else [])):
        with pytest.raises(InvalidInput, match="its deviation above 0"):
            it.blend(MODEL, BlendUnits(*(value if at == place else old for at, old in enumerate(UNITS))))
