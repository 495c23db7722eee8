"""Metrics against values worked out by hand and trec_eval's, and what intervals and p-values promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade import evaluate
from crossfade.errors import InvalidInput

GRADED = {"q": {"a": 3, "b": 2, "c": 1, "d": 0}}


def test_ndcg_linear_by_hand() -> None:
    """Grades 2, 0, 3 at ranks 1 to 3 against the ideal 3, 2, 1, with trec_eval's linear gain."""
    got = 2 / 1 + 0 / math.log2(3) + 3 / 2
    ideal = 3 / 1 + 2 / math.log2(3) + 1 / 2
    assert evaluate.ndcg({"q": ["b", "d", "a"]}, GRADED)["q"] == pytest.approx(got / ideal)


def test_ndcg_exponential_by_hand() -> None:
    """The same ranking with gains 2^grade − 1."""
    got = 3 / 1 + 0 / math.log2(3) + 7 / 2
    ideal = 7 / 1 + 3 / math.log2(3) + 1 / 2
    values = evaluate.ndcg({"q": ["b", "d", "a"]}, GRADED, gain="exponential")
    assert values["q"] == pytest.approx(got / ideal)


def test_ndcg_cuts_both_rankings_at_k() -> None:
    """At k = 1 only the best grade counts in the ideal too, so a 2 in place of a 3 is worth two thirds."""
    assert evaluate.ndcg({"q": ["b", "a"]}, GRADED, k=1)["q"] == pytest.approx(2 / 3)


def test_negative_grades_are_worth_nothing() -> None:
    """A grade below zero (TREC's spam) neither gains nor takes away, and does not count as relevant."""
    qrels = {"q": {"a": 1, "spam": -2}}
    assert evaluate.ndcg({"q": ["spam", "a"]}, qrels)["q"] == pytest.approx(1 / math.log2(3))
    assert evaluate.recall({"q": ["spam"]}, qrels) == {"q": 0.0}
    assert evaluate.mrr({"q": ["spam", "a"]}, qrels) == {"q": 0.5}


def test_recall_and_mrr_by_hand() -> None:
    """Two of three relevant documents within k; the first at rank 2, none within k = 1."""
    run = {"q": ["x", "a", "c"]}
    assert evaluate.recall(run, GRADED, k=3) == {"q": pytest.approx(2 / 3)}
    assert evaluate.mrr(run, GRADED) == {"q": 0.5}
    assert evaluate.mrr(run, GRADED, k=1) == {"q": 0.0}


@pytest.mark.parametrize("metric", [evaluate.ndcg, evaluate.recall, evaluate.mrr])
def test_unanswered_queries_count_as_zero_and_unjudged_ones_not_at_all(metric: object) -> None:
    """Leaving a judged question out can't raise the mean; one without a relevant document can't lower it."""
    qrels = {"q": {"a": 1}, "missing": {"b": 1}, "nothing relevant": {"c": 0}}
    values = metric({"q": ["a"], "nothing relevant": ["c"], "unjudged": ["z"]}, qrels)  # type: ignore[operator]
    assert values == {"q": 1.0, "missing": 0.0}
    assert evaluate.mean(values) == 0.5


def test_mean_of_nothing_is_zero() -> None:
    """No judged query gives 0.0 rather than NaN."""
    assert evaluate.mean({}) == 0.0


def test_metrics_refuse_what_can_not_be_scored() -> None:
    """A repeated document, k below 1, an unknown gain and a NaN grade are errors, not numbers."""
    with pytest.raises(InvalidInput, match="repeats one"):
        evaluate.ndcg({"q": ["a", "a"]}, GRADED)
    with pytest.raises(InvalidInput, match="at least 1"):
        evaluate.recall({"q": ["a"]}, GRADED, k=0)
    with pytest.raises(InvalidInput, match="linear, exponential"):
        evaluate.ndcg({"q": ["a"]}, GRADED, gain="square")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="finite"):
        evaluate.mrr({"q": ["a"]}, {"q": {"a": math.nan}})


@given(st.permutations(["a", "b", "c", "d"]))
def test_ndcg_is_one_for_the_ideal_order_only(order: list[str]) -> None:
    """Every order lies in (0, 1], and only the order by grade reaches 1."""
    value = evaluate.ndcg({"q": order}, GRADED)["q"]
    assert 0.0 < value <= 1.0 + 1e-12
    assert (value > 1.0 - 1e-12) == (order[:3] == ["a", "b", "c"])


def test_compare_gives_the_exact_interval_of_a_constant_difference() -> None:
    """If every query gains exactly 0.25 there is nothing to resample: difference and both ends are 0.25."""
    baseline = {str(n): 0.5 for n in range(20)}
    result = evaluate.compare(baseline, dict.fromkeys(baseline, 0.75))
    assert (result.difference, result.low, result.high) == (0.25, 0.25, 0.25)
    assert (result.queries, result.better, result.worse) == (20, 20, 0)


def test_compare_agrees_with_the_normal_interval_on_many_queries() -> None:
    """For 400 queries, half +0.1 and half −0.1, the interval is ± 1.96 standard errors around zero."""
    baseline = {str(n): 0.5 for n in range(400)}
    challenger = {str(n): 0.6 if n % 2 else 0.4 for n in range(400)}
    result = evaluate.compare(baseline, challenger)
    half = 1.96 * 0.1 / math.sqrt(400)
    assert result.low == pytest.approx(-half, abs=0.0005)
    assert result.high == pytest.approx(half, abs=0.0005)
    assert result.non_inferior(0.02)
    assert not result.non_inferior(0.005)


def test_compare_repeats_itself() -> None:
    """One seed, one interval, whatever the order of the queries; another seed gives another."""
    baseline = {str(n): (n * 7 % 10) / 10 for n in range(30)}
    challenger = {str(n): (n * 3 % 10) / 10 for n in reversed(range(30))}
    first = evaluate.compare(baseline, challenger)
    assert first == evaluate.compare(dict(reversed(baseline.items())), challenger)
    assert first != evaluate.compare(baseline, challenger, seed=1)


def test_compare_refuses_different_queries() -> None:
    """A paired comparison needs pairs."""
    with pytest.raises(InvalidInput, match="same queries"):
        evaluate.compare({"a": 1.0}, {"b": 1.0})
    with pytest.raises(InvalidInput, match="same queries"):
        evaluate.compare({}, {})
    with pytest.raises(InvalidInput, match="samples"):
        evaluate.compare({"a": 1.0}, {"a": 1.0}, samples=1)


def test_precision_counts_empty_places() -> None:
    """One relevant document of two found is a quarter of four places."""
    assert evaluate.precision({"q": ["a", "x"]}, GRADED, k=4) == {"q": 0.25}


DOCUMENTS = [f"d{n}" for n in range(12)]
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.5 + 1e-9, 1.0])  # few, so that there are ties, in float32 too
RUNS = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]), st.dictionaries(st.sampled_from(DOCUMENTS), SCORES, min_size=1), min_size=1
)
JUDGED = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 4), min_size=1),
    min_size=1,
)


@settings(deadline=None)
@given(RUNS, JUDGED, st.sampled_from([1, 3, 10]))
def test_metrics_agree_with_trec_eval(
    scores: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]], k: int
) -> None:
    """On any run, ties included, every metric of every answered query is trec_eval's to 1e-6."""
    run = {query: evaluate.ranked(found) for query, found in scores.items()}
    named = {f"ndcg_cut_{k}": evaluate.ndcg, f"P_{k}": evaluate.precision, f"recall_{k}": evaluate.recall}
    judge = pytrec_eval.RelevanceEvaluator(qrels, {f"ndcg_cut.{k}", f"P.{k}", f"recall.{k}", "recip_rank"})
    expected = judge.evaluate(scores)
    for query in expected.keys() & evaluate.mrr(run, qrels).keys():
        for name, metric in named.items():
            assert metric(run, qrels, k=k)[query] == pytest.approx(expected[query][name], abs=1e-6)
        assert evaluate.mrr(run, qrels, k=12)[query] == pytest.approx(expected[query]["recip_rank"], abs=1e-6)


@pytest.mark.parametrize(("gains", "p_value"), [([0.1, 0.2, 0.4], 0.25), ([0.3, -0.1], 1.0), ([0.0, 0.0], 1.0)])
def test_p_value_of_few_queries_is_exact(gains: list[float], p_value: float) -> None:
    """All sign patterns are counted: three gains of three are as far from zero in 2 of 8, whatever their sizes."""
    challenger = {str(n): gain for n, gain in enumerate(gains)}
    assert evaluate.compare(dict.fromkeys(challenger, 0.0), challenger).p_value == p_value


def test_drawn_p_values_agree_with_all_of_them() -> None:
    """Where there are more patterns than draws, the drawn share is that of all patterns, but for chance."""
    challenger = {str(n): (n * 7 % 11) / 10 - 0.4 for n in range(13)}
    baseline = dict.fromkeys(challenger, 0.0)
    exact = evaluate.compare(baseline, challenger, samples=2**13).p_value
    assert evaluate.compare(baseline, challenger, samples=2**13 - 1).p_value == pytest.approx(exact, abs=0.02)


def test_p_values_are_right_where_nothing_differs() -> None:
    """Of 400 comparisons of systems that are alike, about one in twenty falls below 0.05, in both directions."""
    random = np.random.default_rng(5)
    compared = []
    for _ in range(400):
        levels = random.beta(0.6, 0.6, size=40)  # as nDCG: many at 0 and at 1
        pair = [np.clip(np.round(levels + random.normal(0, 0.2, 40), 2), 0, 1) for _ in range(2)]
        values = [{str(n): float(value) for n, value in enumerate(side)} for side in pair]
        compared.append(evaluate.compare(*values, samples=400))
    significant = [comparison.difference > 0 for comparison in compared if comparison.p_value <= 0.05]
    assert 8 <= len(significant) <= 34  # 20, and three standard deviations
    assert sum(significant) <= 22  # 10, and four


def test_detectable_difference_is_detected_in_four_of_five_cases() -> None:
    """A true difference of that size falls below 0.05 in 80 % of samples; one query can't tell."""
    random = np.random.default_rng(6)
    noise = random.normal(0, 0.1, (300, 50))
    wanted = evaluate.compare(dict.fromkeys(map(str, range(50)), 0.0), _by_number(noise[0] / noise[0].std() * 0.1))
    assert wanted.detectable is not None
    found = [
        evaluate.compare(dict.fromkeys(map(str, range(50)), 0.0), _by_number(row + wanted.detectable), samples=400)
        for row in noise
    ]
    assert np.mean([comparison.p_value <= 0.05 for comparison in found]) == pytest.approx(0.8, abs=0.07)
    assert evaluate.compare({"a": 0.1}, {"a": 0.4}).detectable is None


def _by_number(values: np.ndarray) -> dict[str, float]:
    return {str(number): float(value) for number, value in enumerate(values)}


def test_corrections_by_hand() -> None:
    """Holm multiplies by the tests that are left, Benjamini–Hochberg by tests over rank; no order is turned round."""
    p_values = [0.02, 0.01, 0.8, 0.03]
    assert evaluate.holm(p_values) == pytest.approx([0.06, 0.04, 0.8, 0.06])
    assert evaluate.benjamini_hochberg(p_values) == pytest.approx([0.04, 0.04, 0.8, 0.04])
    assert evaluate.holm([]) == []
    assert evaluate.holm([0.9, 0.9]) == [1.0, 1.0]
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        evaluate.holm([0.2, math.nan])
