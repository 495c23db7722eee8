"""Metrics against values worked out by hand, and what the bootstrap interval promises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
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
