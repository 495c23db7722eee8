"""Scores where only the new model's query is known: what they come to with all, some and none of the new vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crossfade.bridge import Bridge
from crossfade.errors import DamagedFile, InvalidInput
from crossfade.search.blend import Blend
from crossfade.search.fade import Fade
from crossfade.search.onesided import OneSided

Rows = NDArray[np.float32]


def unit(rows: NDArray[np.floating]) -> Rows:
    scaled: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


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
    bridges = Bridge.fit_both(old, new)
    blend = Blend.fit(old, new, bridges[0])
    return Fade(bridges[0], blend, OneSided.learn(old, new, bridges, (blend.old, blend.new), seed=0))


def scored(fade: Fade, rows: tuple[Rows, Rows], query: Rows, known: NDArray[np.bool_]) -> Rows:
    """Of all documents that the maps have not seen, the nearest to the query as the old version's candidates."""
    old, new = rows[0][800:], rows[1][800:]
    carried = fade.one_sided.carry_back(query[None], fade.bridge)
    true = np.where(known, new @ query, np.nan).astype(np.float32)
    given = true, fade.bridge.apply(old) @ query, old @ carried[0]
    scores, coverage = fade.one_sided.score(fade.blend, query, carried[0], given, len(old))
    assert coverage == pytest.approx(fade.blend.coverage_of(known))
    return scores


def order(scores: Rows) -> list[int]:
    return np.argsort(-scores, kind="stable").tolist()


def test_with_every_new_vector_the_order_is_the_new_models(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """Nothing estimated is left in it."""
    for query in rows[1][:20]:
        assert order(scored(fade, rows, query, np.ones(400, bool))) == order(rows[1][800:] @ query)


def test_without_new_vectors_it_is_as_near_to_the_new_model_as_the_bridged_scores(
    fade: Fade, rows: tuple[Rows, Rows]
) -> None:
    """Where the score of the query carried back adds nothing, as here, what is learned does not let it take away."""
    old, new = rows[0][800:], rows[1][800:]
    found = {"both": 0, "bridged": 0}
    for query in rows[1][:200]:
        wanted = set(order(new @ query)[:10])
        found["both"] += len(wanted & set(order(scored(fade, rows, query, np.zeros(400, bool)))[:10]))
        found["bridged"] += len(wanted & set(order(fade.bridge.apply(old) @ query)[:10]))
    assert found["both"] >= 0.98 * found["bridged"]


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
    """They have about the mean and spread of the old model's scores for the query carried back, and none exceeds 1."""
    known = np.arange(400) % 2 == 0
    for query in rows[1][:20]:
        scores = scored(fade, rows, query, known)
        expected = rows[0][800:] @ fade.one_sided.carry_back(query[None], fade.bridge)[0]
        assert scores.max() <= 1.0
        assert abs(scores.mean() - expected.mean()) < 1.5 * expected.std()
        assert 0.5 < scores.std() / expected.std() < 2.0


def test_a_document_without_an_old_row_is_scored_by_its_new_one(fade: Fade, rows: tuple[Rows, Rows]) -> None:
    """One that was written when the old model was gone already; one with no row of either is refused."""
    query = rows[1][0]
    carried = fade.one_sided.carry_back(query[None], fade.bridge)[0]
    true = np.array([0.9, 0.5, np.nan], np.float32)
    other = np.array([np.nan, 0.5, 0.4], np.float32)
    scores, _ = fade.one_sided.score(fade.blend, query, carried, (true, other, other), 2)
    assert scores[0] > scores[1]
    with pytest.raises(InvalidInput, match="needs a true or a bridged score"):
        fade.one_sided.score(fade.blend, query, carried, (other, other, other), 2)


def test_what_is_saved_comes_back(fade: Fade, rows: tuple[Rows, Rows], tmp_path: Path) -> None:
    """With it, the same scores bit for bit; where it was never saved, the bridged scores decide; damage is noticed."""
    fade.save(tmp_path)
    known, query = np.arange(400) % 3 == 0, rows[1][5]
    again = Fade.load(tmp_path)
    assert scored(again, rows, query, known).tobytes() == scored(fade, rows, query, known).tobytes()
    plain = Fade(fade.bridge, fade.blend)
    plain.save(tmp_path / "plain")
    loaded = Fade.load(tmp_path / "plain")
    unknown = np.zeros(400, bool)
    assert order(scored(loaded, rows, query, unknown)) == order(fade.bridge.apply(rows[0][800:]) @ query)
    (tmp_path / "onesided.json").write_text("{}")
    with pytest.raises(DamagedFile):
        Fade.load(tmp_path)
    assert Fade.find(tmp_path) is None
