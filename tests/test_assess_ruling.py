"""The rules of a verdict: what measured differences decide, and the thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from crossfade import evaluate
from crossfade.assess import Measure, Thresholds
from crossfade.assess.ruling import Ruling, by_other_metrics, by_queries
from crossfade.errors import InvalidInput

LEAST = 30


def measured(lift: float, count: int, spread: float = 0.1, old: float = 0.5, seed: int = 0) -> Measure:
    """A metric of so many queries, whose mean difference is exactly `lift` of the old mean."""
    random = np.random.default_rng(seed)
    differences = random.normal(0.0, spread, count)
    differences += lift * old - differences.mean()
    before = {str(query): old for query in range(count)}
    after = {str(query): old + float(difference) for query, difference in enumerate(differences)}
    compared = evaluate.compare(before, after, samples=2_000)
    return Measure("ndcg@10", old, evaluate.mean(after), evaluate.mean(after), compared)


def ruled(measure: Measure, *, provisional: bool = False, favours_new: bool = False, **limits: float) -> Ruling:
    return by_queries(measure, Thresholds(**limits), provisional=provisional, favours_new=favours_new)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lift", "count", "decision", "rule"),
    [
        (0.20, 100, "go", "better"),
        (0.20, LEAST - 1, "not enough evidence", "29 queries are too few to tell: it takes 30"),
        (-0.10, 100, "stay", "the new model is worse"),
        (0.00, 400, "stay", "all of the interval is below the least lift of 5.0%"),
        (0.03, 2_000, "stay", "all of the interval is below"),
        (0.045, 400, "not enough evidence", "better, but whether by the least lift of 5.0% can't be told"),
        (0.04, 40, "not enough evidence", "whether there is the least lift of 5.0% can't be told"),
        (0.08, 10_000, "go", "better"),
    ],
)
def test_the_rules_of_queries(lift: float, count: int, decision: str, rule: str) -> None:
    """Lift, interval, p-value and number of queries decide; the rule that did is named with its numbers."""
    found = ruled(measured(lift, count))
    assert (found.decision, found.rule.startswith(rule)) == (decision, True), found.rule
    assert found.would_change


def test_a_lift_that_would_have_been_seen() -> None:
    """Where no difference is shown, and one of the least lift would have been, it is a stay, not a lack of evidence."""
    found = ruled(measured(0.005, 1_000, spread=0.3), min_lift=0.055)
    assert found.decision == "stay"
    unseen = ruled(measured(0.029, 150, spread=0.1), min_lift=0.0459)
    assert unseen.decision == "not enough evidence" or "would have been seen" in unseen.rule


def test_made_queries_need_a_clear_lift() -> None:
    """By queries made from documents only a whole interval above the least lift is a go, and none is refuted."""
    clear, unclear, none, worse = (measured(*it) for it in ((0.20, 400), (0.07, 100), (0.0, 400), (-0.1, 400)))
    assert [ruled(it, provisional=True).decision for it in (clear, worse)] == ["go", "stay"]
    assert [ruled(it, provisional=True).decision for it in (unclear, none)] == ["not enough evidence"] * 2
    assert [ruled(it).decision for it in (unclear, none)] == ["go", "stay"]
    assert any("users" in line for line in ruled(unclear, provisional=True).would_change)


def test_a_sample_that_favours_the_new_model_gives_no_go() -> None:
    """What looks better on too few documents is not enough; what looks worse even there is a stay."""
    assert ruled(measured(0.20, 100), favours_new=True).decision == "not enough evidence"
    assert ruled(measured(-0.20, 100), favours_new=True).decision == "stay"


def test_who_must_leave_the_old_model_asks_for_no_lift() -> None:
    """With a least lift of 0 the margin decides: not worse by more, worse by more, or not to be told."""
    for lift, count, decision in ((0.0, 2_000, "go"), (-0.10, 400, "stay"), (-0.01, 40, "not enough evidence")):
        assert ruled(measured(lift, count), min_lift=0.0).decision == decision
    assert ruled(measured(-0.04, 2_000), min_lift=0.0, margin=0.06).decision == "go"
    assert ruled(measured(0.0, 2_000), min_lift=0.0, provisional=True).decision == "not enough evidence"


def test_more_queries_are_as_many_as_it_takes() -> None:
    """The number of queries that is said to be missing makes the least lift detectable, and not many more do."""
    found = measured(0.04, 40)
    (told,) = [line for line in ruled(found).would_change if "would be visible" in line]
    more = int(told.split()[1].replace(",", ""))
    detectable = found.comparison.detectable
    assert detectable is not None
    assert detectable * np.sqrt(40 / (40 + more)) == pytest.approx(0.05 * 0.5, rel=0.02)


def test_another_metric_may_lose_no_more_than_the_margin() -> None:
    """A significant loss of another metric beyond the margin is a stay; within it, or by chance, it is none."""
    limits = Thresholds()
    lost, little, chance = measured(-0.10, 400), measured(-0.015, 20_000), measured(-0.10, 5, spread=0.3)
    assert by_other_metrics([little, chance], limits) is None
    stay = by_other_metrics([little, lost], limits)
    assert stay is not None
    assert stay.decision == "stay"


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_lift", -0.1), ("margin", 2.0), ("significance", 0.0), ("least_queries", 0), ("max_money", float("nan"))],
)
def test_thresholds_are_checked(name: str, value: float) -> None:
    """Each has a range, and its name is in the message."""
    with pytest.raises(InvalidInput, match=name):
        Thresholds(**{name: value})  # type: ignore[arg-type]
