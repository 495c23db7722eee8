"""How two models' scores become one ranking: estimate, weight, and that a half-filled collection ranks well."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossfade import evaluate
from crossfade.bridge import Bridge
from crossfade.errors import DamagedFile, InvalidInput
from crossfade.search.blend import Blend, Blended
from support import unit

Rows = NDArray[np.float32]

DOCUMENTS = 1_500
QUERIES = 150
HEAD = 100


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """Topics that two models see through different eyes: the new one (wider, less noise) sees them better."""

    old: Rows
    new: Rows
    old_queries: Rows
    new_queries: Rows
    answers: NDArray[np.int64]
    bridge: Bridge
    blend: Blend


@functools.cache
def world(seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((DOCUMENTS, 24)) * np.geomspace(3.0, 1.0, 24)
    answers = rng.choice(DOCUMENTS, QUERIES, replace=False)
    questions = topics[answers] + 0.8 * rng.standard_normal((QUERIES, 24))
    eyes = rng.standard_normal((24, 32)) + 0.3, rng.standard_normal((24, 48)) + 0.3

    def seen(things: NDArray[np.float64], eye: NDArray[np.float64], noise: float) -> Rows:
        return unit(things @ eye + noise * rng.standard_normal((len(things), eye.shape[1])) + 3.0)

    old, new = seen(topics, eyes[0], 6.0), seen(topics, eyes[1], 4.5)
    bridge = Bridge.fit(old, new)
    return World(
        old,
        new,
        seen(questions, eyes[0], 6.0),
        seen(questions, eyes[1], 4.5),
        answers,
        bridge,
        Blend.fit(old, new, bridge),
    )


def best(scores: Rows, count: int) -> NDArray[np.int64]:
    return np.argsort(-scores, kind="stable")[:count]


def blend_query(
    w: World, query: int, covered: NDArray[np.bool_], *, cut_over: bool = False
) -> tuple[NDArray[np.int64], int, Blended]:
    """What a search does for one query: candidates of both, their exact scores, the blend."""
    old, new = w.old @ w.old_queries[query], w.new @ w.new_queries[query]
    head = best(old, HEAD)
    embedded = np.flatnonzero(covered)
    found = embedded[best(new[embedded], HEAD)]
    candidates = np.concatenate([head, found[~np.isin(found, head)]])
    blended = w.blend.score(
        w.old_queries[query],
        w.new_queries[query],
        old[candidates],
        np.where(covered, new, np.float32(np.nan))[candidates],
        w.bridge.apply(w.old[candidates]) @ w.new_queries[query],
        old_rows=w.old[candidates],
        head=HEAD,
        cut_over=cut_over,
    )
    return candidates, len(head), blended


def ndcg(w: World, covered: NDArray[np.bool_]) -> float:
    run = {}
    for query in range(QUERIES):
        candidates, _, blended = blend_query(w, query, covered)
        run[str(query)] = [str(candidates[place]) for place in best(blended.scores, 10)]
    return evaluate.mean(evaluate.ndcg(run, {str(q): {str(answer): 1} for q, answer in enumerate(w.answers)}))


def ndcg_alone(rows: Rows, queries: Rows, answers: NDArray[np.int64]) -> float:
    run = {str(q): [str(place) for place in best(rows @ query, 10)] for q, query in enumerate(queries)}
    return evaluate.mean(evaluate.ndcg(run, {str(q): {str(answer): 1} for q, answer in enumerate(answers)}))


def share(order: NDArray[np.int64], part: float) -> NDArray[np.bool_]:
    covered = np.zeros(DOCUMENTS, np.bool_)
    covered[order[: round(DOCUMENTS * part)]] = True
    return covered


@pytest.mark.parametrize("seed", [0, 1])
def test_no_share_ranks_worse_than_the_old_model(seed: int) -> None:
    """The property: at every share re-embedded, in random order, mean nDCG@10 is at least the old model's − 0.002."""
    w = world()
    old = ndcg_alone(w.old, w.old_queries, w.answers)
    new = ndcg_alone(w.new, w.new_queries, w.answers)
    assert new > old + 0.1
    order = np.random.default_rng(seed).permutation(DOCUMENTS)
    values = [ndcg(w, share(order, part)) for part in (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)]
    assert values[0] == pytest.approx(old, abs=1e-12)
    assert min(values) >= old - 0.002
    assert values[-1] > old + 0.8 * (new - old)


def test_what_searches_look_at_first_gains_first() -> None:
    """Re-embedding the old rankings' best documents first gains more than a random order of the same size."""
    w = world()
    votes = np.zeros(DOCUMENTS)
    for query in w.old_queries:
        votes[best(w.old @ query, 20)] += 1
    hot = np.argsort(-votes, kind="stable")
    random = np.random.default_rng(0).permutation(DOCUMENTS)
    assert ndcg(w, share(hot, 0.25)) > ndcg(w, share(random, 0.25))


def test_without_coverage_the_old_scores_come_back_bit_for_bit() -> None:
    """Nothing re-embedded: weight 0, known before the new query is, and scores untouched."""
    w = world()
    nothing = np.zeros(DOCUMENTS, np.bool_)
    candidates, head, blended = blend_query(w, 0, nothing)
    assert w.blend.weight_for(nothing[:head]) == 0.0
    assert (blended.weight, blended.coverage) == (0.0, 0.0)
    assert blended.scores.tobytes() == (w.old @ w.old_queries[0])[candidates].astype(np.float32).tobytes()


def test_scores_stay_on_the_old_scale() -> None:
    """At any share the mean of the best ten scores stays within 0.1 of the old model's, and none exceeds 1."""
    w = world()
    order = np.random.default_rng(3).permutation(DOCUMENTS)
    for part in (0.1, 0.5, 1.0):
        moved = []
        for query in range(30):
            _, _, blended = blend_query(w, query, share(order, part))
            assert blended.scores.max() <= 1.0
            old = np.sort(w.old @ w.old_queries[query])[-10:].mean()
            moved.append(float(np.sort(blended.scores)[-10:].mean() - old))
        assert abs(np.mean(moved)) < 0.1


@pytest.mark.parametrize("part", [0.3, 1.0])
def test_after_the_cutover_the_scale_is_the_new_one(part: float) -> None:
    """The order is that of before; where the new evidence has all the weight, true scores are the new cosines."""
    w = world()
    new_alone = dataclasses.replace(w, blend=w.blend.with_weight(1.0))
    covered, all_covered = (share(np.random.default_rng(3).permutation(DOCUMENTS), it) for it in (part, 1.0))
    for query in range(0, QUERIES, 10):
        _, _, before = blend_query(w, query, covered)
        _, _, after = blend_query(w, query, covered, cut_over=True)
        assert list(best(after.scores, 20)) == list(best(before.scores, 20))
        candidates, _, alone = blend_query(new_alone, query, all_covered, cut_over=True)
        assert alone.scores == pytest.approx(w.new[candidates] @ w.new_queries[query], abs=1e-5)


def test_without_an_old_score_the_new_one_decides() -> None:
    """A candidate without an old row stands where its new score alone puts it, whatever the others' unknown scores."""
    w = world()
    query = w.old_queries[0], w.new_queries[0]
    old, new = w.old[:20] @ query[0], w.new[:20] @ query[1]
    old[3], new[7] = np.nan, np.nan
    blended = w.blend.score(
        *query, old, new, np.where(np.isnan(new), 0.5, new), old_rows=w.old[:20], head=20, cut_over=True
    )
    assert np.isfinite(blended.scores).all()
    toll = new[3] - blended.scores[3]  # what those with a new score pay for the bonus of the one without
    assert 0.0 < toll < 0.05
    new[7] = 0.5
    whole = w.blend.score(*query, old, new, new, old_rows=w.old[:20], head=20, cut_over=True)
    assert whole.scores[3] == pytest.approx(new[3], abs=1e-6)


def test_a_score_above_one_is_scaled_back_without_ties() -> None:
    """Evidence that would lift cosines above 1 keeps its order: the whole query is scaled, nothing is cut off."""
    w = world()
    scores = np.linspace(0.99, 0.9, 20, dtype=np.float32)
    query = w.old_queries[0], w.new_queries[0]
    blended = w.blend.score(*query, scores, scores, scores, old_rows=w.old[:20], head=20).scores
    assert blended.max() <= 1.0
    assert np.all(np.diff(blended) < 0)


def test_weight_grows_with_coverage_and_rank() -> None:
    """More coverage never weighs less, a high rank weighs more than a low one, full coverage gives the full weight."""
    blend = world().blend
    grown = [blend.weight_for(np.arange(100) < count) for count in range(101)]
    assert grown == sorted(grown)
    assert grown[-1] == pytest.approx(blend.full_weight)
    first, last = np.arange(100) == 0, np.arange(100) == 99
    assert blend.coverage_of(first) == pytest.approx(10.9 * blend.coverage_of(last))
    assert blend.weight_for(first) > blend.weight_for(last) > 0.0
    assert blend.weight_for(np.zeros(0, np.bool_)) == 0.0


@settings(max_examples=30, deadline=None)
@given(covered=st.lists(st.booleans(), min_size=20, max_size=20), query=st.integers(0, QUERIES - 1))
def test_a_better_true_score_never_ranks_lower(covered: list[bool], query: int) -> None:
    """Among candidates with a new vector, equal old scores are ordered by the new ones, whatever else is covered."""
    w = world()
    known = np.array(covered)
    new_scores = np.where(known, np.linspace(0.9, 0.1, 20, dtype=np.float32), np.float32(np.nan))
    same = np.full(20, 0.5, np.float32)
    blended = w.blend.score(
        w.old_queries[query], w.new_queries[query], same, new_scores, same, old_rows=w.old[:20], head=20
    )
    assert np.all(np.diff(blended.scores[known]) < 0) or blended.weight == 0.0


def test_an_unknown_score_is_given_the_benefit_of_the_doubt() -> None:
    """Of two candidates, one with a new score equal to the other's estimate, the one without ranks higher.

    Its bonus is the variance that is left: less where the two documents are alike.
    """
    w = world()
    e = w.blend.estimate
    old_query, new_query = w.old_queries[0], w.new_queries[0]
    old_score, bridged = w.blend.old.moments(old_query)[0], w.blend.new.moments(new_query)[0]
    estimated = bridged + e.intercept / e.scale * w.blend.new.moments(new_query)[1]
    for row, other, left in ((0, 1, 1.0), (0, 0, min(1.0, 1.05 - (0.05 + e.shared) ** 2 / 1.05))):
        across = np.eye(2, w.old.shape[1], dtype=np.float32)[[row, other]] + w.blend.old.mean
        blended = w.blend.score(
            old_query,
            new_query,
            np.full(2, old_score, np.float32),
            np.array([estimated, np.nan], np.float32),
            np.full(2, bridged, np.float32),
            old_rows=across,
            head=2,
        )
        gap = blended.weight * left * e.variance * w.blend.old.moments(old_query)[1]
        assert blended.scores[1] - blended.scores[0] == pytest.approx(gap, rel=1e-2)


def test_a_bridged_score_may_be_missing_where_the_true_one_is_there() -> None:
    """It only sharpens the estimate for the others; a candidate with neither is refused."""
    w = world()
    query = w.old_queries[0], w.new_queries[0]
    scores = np.linspace(0.9, 0.5, 10, dtype=np.float32)
    partly = np.where(np.arange(10) < 5, scores, np.float32(np.nan))
    rest = np.where(np.arange(10) < 5, np.float32(np.nan), scores)
    assert np.isfinite(w.blend.score(*query, scores, partly, rest, old_rows=w.old[:10], head=10).scores).all()
    with pytest.raises(InvalidInput, match="got NaN"):
        w.blend.score(*query, scores, partly, partly, old_rows=w.old[:10], head=10)


def test_scores_that_do_not_belong_together_are_refused() -> None:
    """Three scores per candidate, and no more candidates of the old version than candidates."""
    w = world()
    query = w.old_queries[0], w.new_queries[0]
    scores = np.linspace(0.9, 0.5, 10, dtype=np.float32)
    with pytest.raises(InvalidInput, match="three scores"):
        w.blend.score(*query, scores, scores[1:], scores, old_rows=w.old[:10], head=5)
    with pytest.raises(InvalidInput, match="three scores"):
        w.blend.score(*query, scores, scores, scores, old_rows=w.old[:10], head=11)
    with pytest.raises(InvalidInput, match="three scores and a row"):
        w.blend.score(*query, scores, scores, scores, old_rows=w.old[:9], head=5)
    with pytest.raises(InvalidInput, match=r"three scores and a row.*\(9, "):
        w.blend.score(*query, scores, scores, scores, old_rows=w.old[:10], head=5, new_rows=w.new[:9])


def test_too_few_documents_leave_the_old_model_alone() -> None:
    """Under 64 documents the weight is 0 at full coverage too, and can't be set."""
    w = world()
    few = Blend.fit(w.old[:63], w.new[:63], w.bridge)
    assert few.weight_for(np.ones(100, np.bool_)) == 0.0
    assert Blend.fit(w.old[:64], w.new[:64], w.bridge).weight_for(np.ones(100, np.bool_)) > 0.0
    with pytest.raises(InvalidInput, match="63 documents"):
        few.with_weight(0.5)


def test_a_blend_that_is_not_trusted_answers_with_the_old_scores() -> None:
    """with_weight(0) is the guard: whatever is covered, the old model decides."""
    guarded = dataclasses.replace(world(), blend=world().blend.with_weight(0.0))
    candidates, _, blended = blend_query(guarded, 5, np.ones(DOCUMENTS, np.bool_))
    assert blended.weight == 0.0
    assert blended.coverage == pytest.approx(1.0)
    assert blended.scores.tobytes() == (guarded.old @ guarded.old_queries[5])[candidates].tobytes()


def test_a_useless_bridge_is_not_believed() -> None:
    """For spaces with nothing in common the estimate falls back on the average, the weight on the root of coverage."""
    w = world()
    stranger = unit(np.random.default_rng(9).standard_normal((DOCUMENTS, 48)))
    blend = Blend.fit(w.old, stranger, Bridge.fit(w.old, stranger))
    assert blend.estimate.explained < 0.05
    assert abs(blend.estimate.bridged) < 0.2
    half = np.arange(100) % 2 == 0
    assert blend.weight_for(half) == pytest.approx(blend.full_weight * blend.coverage_of(half) ** 0.5, rel=0.05)


def test_fit_refuses_what_does_not_fit_the_bridge() -> None:
    """Rows of other dims, unpaired rows and a weight out of range are named."""
    w = world()
    with pytest.raises(InvalidInput, match=r"\(n, 32\) and \(n, 48\)"):
        Blend.fit(w.new, w.old, w.bridge)
    with pytest.raises(InvalidInput, match="paired rows"):
        Blend.fit(w.old, w.new[1:], w.bridge)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        Blend.fit(w.old, w.new, w.bridge, full_weight=1.5)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        w.blend.with_weight(-0.1)


def test_fit_repeats_itself() -> None:
    """The same rows and seed give the same estimate."""
    w = world()
    assert Blend.fit(w.old, w.new, w.bridge).estimate == w.blend.estimate


def test_a_saved_blend_scores_the_same(tmp_path: Path) -> None:
    """Bit for bit, beside its Bridge in one folder; with another Bridge it is refused."""
    w = world()
    w.bridge.save(tmp_path)
    w.blend.save(tmp_path)
    loaded = dataclasses.replace(w, blend=Blend.load(tmp_path, Bridge.load(tmp_path)))
    covered = share(np.random.default_rng(0).permutation(DOCUMENTS), 0.5)
    again, before = blend_query(loaded, 7, covered)[2], blend_query(w, 7, covered)[2]
    assert again.scores.tobytes() == before.scores.tobytes()
    assert (again.weight, again.coverage) == (before.weight, before.coverage)
    with pytest.raises(DamagedFile, match="another Bridge"):
        Blend.load(tmp_path, Bridge.fit(w.old[:100], w.new[:100]))
