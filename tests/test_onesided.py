"""Scores where only the new model's query is known: what they come to with all, some and none of the new vectors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crossfade.bridge import Bridge, files
from crossfade.errors import DamagedFile, InvalidInput
from crossfade.search.blend import Blend
from crossfade.search.fade import Fade
from crossfade.search.kriging import COMMON
from crossfade.search.onesided import OneSided
from crossfade.search.units import StandardUnits
from support import unit

Rows = NDArray[np.float32]


@pytest.fixture(scope="module")
def rows() -> tuple[Rows, Rows]:
    """Documents as two models see them: either sees a part of what there is, and adds noise of its own."""
    random = np.random.default_rng(3)
    topics = random.standard_normal((1_200, 24))
    sides = [topics @ random.standard_normal((24, dim)) + 3.0 for dim in (20, 32)]
    old, new = (unit(side + 1.5 * random.standard_normal(side.shape)) for side in sides)
    return old, new


@pytest.fixture(scope="module")
def fade(rows: tuple[Rows, Rows]) -> Fade:
    old, new = rows[0][:800], rows[1][:800]
    bridge = Bridge.fit(old, new)
    blend = Blend.fit(old, new, bridge)
    return Fade(bridge, blend, OneSided.learn(old, new, bridge, (blend.old, blend.new), documents=1_200, seed=0))


def scored(fade: Fade, rows: tuple[Rows, Rows], query: Rows, known: NDArray[np.bool_]) -> Rows:
    """Of documents that the maps have not seen, all of them the old version's candidates."""
    old, new = (side[800 : 800 + len(known)] for side in rows)
    true = np.where(known, new @ query, np.nan).astype(np.float32)
    folded = unit(query[None] @ fade.bridge.matrix.T)[0]
    given = true, fade.bridge.apply(old) @ query
    scores, coverage = fade.one_sided.score(fade.blend, query, folded, given, old, len(old))
    assert coverage == pytest.approx(fade.blend.coverage_of(known))
    return scores


def order(scores: Rows) -> list[int]:
    return np.argsort(-scores, kind="stable").tolist()


def test_the_estimate_is_learned_as_far_up_as_it_is_used() -> None:
    """Where the nearest agree better than the rest, few pairs of many documents foretell what a query's best score.

    A line through what is nearest among the few themselves would promise them far less.
    """
    random = np.random.default_rng(5)
    words = random.standard_normal((6_000, 40))
    topics = np.repeat(random.standard_normal((600, 40)), 10, axis=0)
    sides = [(2.0 * topics + words) @ random.standard_normal((40, 32)) for _ in range(2)]
    old, new = (unit(side + 4.0 * random.standard_normal(side.shape)) for side in sides)
    few = random.permutation(6_000)[:200]
    bridge = Bridge.fit(old[few], new[few])
    units = StandardUnits.fit(old[few]), StandardUnits.fit(new[few])
    carried = bridge.apply(old)

    def off(documents: int) -> float:
        """How far above the estimate the ten best by the Bridge are, in the mean."""
        line = OneSided.learn(old[few], new[few], bridge, units, documents, seed=0).estimate
        errors = []
        for query in new[:200]:
            bridged, true = units[1].z(query, carried @ query), units[1].z(query, new @ query)
            best = np.argsort(-bridged)[1:11]
            errors.append(true[best] - line.intercept - line.bridged * bridged[best])
        return abs(float(np.mean(errors)))

    assert off(6_000) < 0.8 * off(200)


def test_with_every_new_vector_the_order_is_the_new_models(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """Nothing estimated is left in it."""
    for query in rows[1][:20]:
        assert order(scored(fade, rows, query, np.ones(400, bool))) == order(rows[1][800:] @ query)


def test_without_new_vectors_the_order_is_the_bridges(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """Whatever stand-in queries say of other evidence: nothing but carried documents is asked."""
    carried = fade.bridge.apply(rows[0][800:])
    for query in rows[1][:20]:
        assert order(scored(fade, rows, query, np.zeros(400, bool))) == order(carried @ query)


def test_it_is_the_blend_with_the_bridged_score_for_the_old_one(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """The equations, by the textbook: what is known corrects the rest, and weighs what its coverage is worth."""
    one, units, old, new = fade.one_sided, fade.blend.new, rows[0][800:1_000], rows[1][800:1_000]
    one = dataclasses.replace(one, estimate=dataclasses.replace(one.estimate, shared=0.5))
    fade = dataclasses.replace(fade, one_sided=one)
    known, worth = np.arange(200) % 3 == 0, 1.0 / (np.arange(200) + 10.0)
    centred = unit(old - fade.blend.old.mean).astype(np.float64)
    covariance = COMMON + one.estimate.shared * (centred @ centred.T) ** 2 + (1 - one.estimate.shared) * np.eye(200)
    across = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    left = 1.0 + COMMON - np.einsum("uk,uk->u", across, covariance[np.ix_(~known, known)])
    for query in rows[1][:5]:
        mean, deviation = units.moments(query)
        bridged, true = units.z(query, fade.bridge.apply(old) @ query), units.z(query, new @ query)
        evidence = one.estimate.intercept + one.estimate.bridged * bridged
        evidence[~known] += across @ (true - evidence)[known]
        evidence[known] = true[known]
        bonus = np.zeros(200)
        bonus[~known] = one.estimate.variance * np.clip(left, 0.0, 1.0)
        weight = (worth @ known / worth.sum()) ** ((1.0 - one.estimate.explained) / 2.0)
        blended = (1.0 - weight) * bridged + weight * (evidence + bonus - worth @ bonus / worth.sum())
        expected = one.intercept + one.slope * (mean + deviation * blended)
        np.testing.assert_allclose(scored(fade, rows, query, known), expected / max(1.0, expected.max()), atol=1e-3)


def test_agreement_grows_with_what_is_known(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """The more documents have new vectors, the nearer is the answer to the new model's."""
    new, random = rows[1][800:], np.random.default_rng(0).permutation(400)
    found = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        known = random < share * 400
        found.append(
            sum(
                len(set(order(new @ query)[:10]) & set(order(scored(fade, rows, query, known))[:10]))
                for query in rows[1][:100]
            )
        )
    assert found == sorted(found)
    assert found[-1] == 1_000


def test_scores_are_on_the_old_scale(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """In the mean over queries they are what the old model gives, over all documents and over the ten best."""
    old = rows[0][800:]
    for known in (np.zeros(400, bool), np.arange(400) % 2 == 0, np.ones(400, bool)):
        found = np.stack([scored(fade, rows, query, known) for query in rows[1][:100]])
        wanted = rows[0][:100] @ old.T
        spread = float(wanted.std())
        assert found.max() <= 1.0
        assert found.mean() == pytest.approx(wanted.mean(), abs=0.5 * spread)
        ten = [np.sort(scores, axis=1)[:, -10:].mean() for scores in (found, wanted)]
        assert ten[0] == pytest.approx(ten[1], abs=0.5 * spread)


def test_a_document_without_an_old_row_is_scored_by_its_new_one(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """One that was written when the old model was gone already; one with no row of either is refused."""
    query = rows[1][0]
    folded = unit(query[None] @ fade.bridge.matrix.T)[0]
    old = np.concatenate([np.zeros_like(rows[0][:1]), rows[0][:2]])
    true = np.array([0.9, 0.5, np.nan], np.float32)
    other = np.array([np.nan, 0.5, 0.4], np.float32)
    scores, _ = fade.one_sided.score(fade.blend, query, folded, (true, other), old, 2)
    assert scores[0] > scores[1]
    with pytest.raises(InvalidInput, match="needs"):
        fade.one_sided.score(fade.blend, query, folded, (other, other), old, 2)


def test_what_is_saved_comes_back(fade: Fade, rows: tuple[Rows, Rows], tmp_path: Path) -> None:
    """With it, the same scores bit for bit; of what earlier versions saved, the Bridge decides; damage is noticed."""
    fade.save(tmp_path)
    known, query = np.arange(400) % 3 == 0, rows[1][5]
    again = Fade.load(tmp_path)
    assert scored(again, rows, query, known).tobytes() == scored(fade, rows, query, known).tobytes()
    files.write(tmp_path, "onesided", {"lines": np.zeros((2, 3))}, {"variance": 0.5})
    earlier = Fade.load(tmp_path)
    assert earlier.one_sided == OneSided()
    assert order(scored(earlier, rows, query, ~known & known)) == order(fade.bridge.apply(rows[0][800:]) @ query)
    (tmp_path / "onesided.json").write_text("{}")
    with pytest.raises(DamagedFile):
        Fade.load(tmp_path)
    assert Fade.find(tmp_path) is None
