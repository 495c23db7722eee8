"""Ruling: what facts and queries decide, by which rule, and what would change that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

from crossfade.evaluate import POWER, Comparison

from .changes import Changes
from .judgements import CLICKS_CAVEAT
from .neighbourhoods import Neighbourhoods
from .quality import Measure, Quality
from .thresholds import Thresholds
from .verdict import Decision

# A model whose neighbours are mostly those by words alone is one of words: that another is less like it says nothing.
OF_WORDS = 0.6


class Ruling(NamedTuple):
    """What was decided.

    Args:
        decision: The decision.
        rule: The rule, in one line with its numbers.
        would_change: What would change it, a line each.
    """

    decision: Decision
    rule: str
    would_change: tuple[str, ...] = ()


def by_facts(changes: Changes, near: Neighbourhoods) -> Ruling | None:
    """What is decided without any query; None where queries must tell.

    Nothing is to be done where the vectors are the same ones; and nobody needs to be asked about a model that knows
    less of the texts than their plain words tell.
    """
    if changes.kinship in ("same space", "same vectors"):
        what = "it is the same Space" if changes.kinship == "same space" else "it gives the vectors that are stored"
        told = f"{changes.unchanged.value:.0%} of the sample's vectors are the same ones: {what}, under whatever name"
        return Ruling("nothing to do", told, ("vectors that differ: another model, or other settings of this one",))
    if near.unrelated and (near.words_old.value or 0.0) < OF_WORDS:
        told = (
            f"the new model knows less of these texts than their words tell: of ten neighbours it keeps "
            f"{10 * (near.overlap.value or 0.0):.1f}, plain words {10 * (near.words_old.value or 0.0):.1f}"
        )
        return Ruling("stay", told, ("sound weights, the right tokenizer and pooling, or a model made for search",))
    return None


def by_queries(
    measure: Measure, thresholds: Thresholds, *, provisional: bool = False, favours_new: bool = False
) -> Ruling:
    """What a comparison decides; the rules are tried one after the other, and docs/assess.md has them in words.

    Args:
        measure: The metric that decides.
        thresholds: What decides.
        provisional: Whether the queries were made from documents: then only a clear lift is one, and none is refuted.
        favours_new: Whether the new model looks better than it is, since too few documents were embedded.
    """
    found, wanted = measure.comparison, thresholds.min_lift * measure.old
    shown = _shown(measure)
    if found.queries < thresholds.least_queries:
        told = f"{found.queries} queries are too few to tell: it takes {thresholds.least_queries}"
        more = f"{thresholds.least_queries - found.queries} more judged queries"
        return Ruling("not enough evidence", told, (more,))
    if thresholds.min_lift == 0.0:
        return _leaving(measure, thresholds, shown, trusted=not (provisional or favours_new))
    differs = found.p_value <= thresholds.significance
    least = f"the least lift of {thresholds.min_lift:.1%}"
    if differs and found.difference < 0.0:
        return Ruling("stay", f"the new model is worse: {shown}", (_other_queries(provisional),))
    if differs and found.low > 0.0 and found.difference >= wanted:
        return _better(measure, wanted, shown, provisional, favours_new)
    if provisional:
        told = f"queries made from documents are no users', and do not exclude {least}: {shown}"
        return Ruling("not enough evidence", told, tuple(_more(measure, wanted, provisional)))
    if found.high < wanted:
        return Ruling("stay", f"all of the interval is below {least}: {shown}", tuple(_lower(measure)))
    if not differs and found.detectable is not None and found.detectable <= wanted:
        return Ruling("stay", f"{least} would have been seen, and none was: {shown}", tuple(_lower(measure)))
    what = f"better, but whether by {least} can't be told" if differs else f"whether there is {least} can't be told"
    return Ruling("not enough evidence", f"{what}: {shown}", tuple(_more(measure, wanted, provisional)))


def by_other_metrics(measures: Sequence[Measure], thresholds: Thresholds) -> Ruling | None:
    """A "go" is none where another metric loses more than the margin, beyond chance."""
    for measure in measures:
        found = measure.comparison
        if found.p_value <= thresholds.significance and found.difference < -thresholds.margin * measure.old:
            told = f"another metric loses more than the margin of {thresholds.margin:.1%}: {_shown(measure)}"
            return Ruling("stay", told, (f"a margin above {-_share(found.difference, measure.old):.1%}",))
    return None


def by_quality(quality: Quality, thresholds: Thresholds) -> Ruling:
    """What both models' answers decide."""
    pool = quality.pool
    favours_new = not (pool.corrected or quality.judged)
    found = by_queries(quality.measures[0], thresholds, provisional=quality.provisional, favours_new=favours_new)
    if found.decision == "go":
        return by_other_metrics(quality.measures[1:], thresholds) or found
    return found


def reservations(quality: Quality, thresholds: Thresholds, clicked: bool) -> Iterator[str]:
    """What to mind beside a decision, a line each."""
    if quality.provisional:
        yield (
            "provisional: the queries were made from documents, which are worded like their answers; judged queries of "
            "users may say otherwise"
        )
    for part in quality.slices:
        if part.adjusted <= thresholds.significance and part.comparison.difference < -thresholds.margin * part.old:
            yield f"worse where {part.field} is {part.value}: {part.old:.3f} → {part.new:.3f}, p = {part.adjusted:.2g}"
    for measure in quality.measures[1:]:
        if not measure.comparison.non_inferior(thresholds.margin * measure.old):
            lost = -_share(measure.comparison.low, measure.old)
            yield f"a loss in {measure.name} of up to {lost:.1%} is not excluded"
    if clicked:
        yield CLICKS_CAVEAT
    if not quality.bias.startswith("none"):
        yield f"beside chance: {quality.bias}"
    if quality.left_out and not quality.provisional:  # of made ones there are always more
        yield f"{quality.left_out:,} queries were left out: no relevant document is there, or the sample has no room"


def _leaving(measure: Measure, thresholds: Thresholds, shown: str, trusted: bool) -> Ruling:
    """Where the old model must be left, it is enough not to be worse by more than the margin.

    What is not trusted (made queries, too small a sample) makes losses look smaller, so that it must show none at all.
    """
    found, margin = measure.comparison, thresholds.margin * measure.old
    if found.non_inferior(margin if trusted else 0.0):
        told = f"not worse by more than the margin of {thresholds.margin:.1%}: {shown}"
        change = f"a margin below {-_share(found.low, measure.old):.1%}" if found.low < 0.0 else _other_queries(False)
        return Ruling("go", told, (change,))
    if found.high < -margin:
        told = f"worse by more than the margin of {thresholds.margin:.1%}: {shown}"
        return Ruling("stay", told, (f"a margin above {-_share(found.low, measure.old):.1%}",))
    told = f"a loss of more than the margin of {thresholds.margin:.1%} can't be excluded: {shown}"
    return Ruling("not enough evidence", told, tuple(_more(measure, margin, False)))


def _better(measure: Measure, wanted: float, shown: str, provisional: bool, favours_new: bool) -> Ruling:
    found = measure.comparison
    if favours_new:
        told = f"it looks better, but too few documents were embedded to tell what stands in the way: {shown}"
        return Ruling("not enough evidence", told, ("a larger sample",))
    if provisional and found.low < wanted:
        told = f"it looks better, but queries made from documents only count where the whole interval does: {shown}"
        return Ruling("not enough evidence", told, tuple(_more(measure, wanted, provisional)))
    z = NormalDist().inv_cdf((1.0 + found.confidence) / 2.0)
    enough = math.ceil(found.queries * (z * _error(found) / found.difference) ** 2)
    return Ruling(
        "go",
        f"better: {shown}",
        (
            f"a least lift above {_share(found.difference, measure.old):.1%} (min_lift)",
            f"fewer than {max(enough, 2):,} such queries: the same difference would not be told from none",
            _other_queries(provisional),
        ),
    )


def _lower(measure: Measure) -> Iterator[str]:
    high = _share(measure.comparison.high, measure.old)
    if high > 0.0:
        yield f"a least lift below {high:.1%} (min_lift): the interval does not exclude one"
    yield _other_queries(provisional=False)


def _more(measure: Measure, wanted: float, provisional: bool) -> Iterator[str]:
    """How many more queries would show what is asked for."""
    found = measure.comparison
    if provisional:
        yield _other_queries(provisional)
        return
    if found.detectable is not None and wanted > 0.0:
        more = math.ceil(found.queries * (found.detectable / wanted) ** 2) - found.queries
        if more > 0:
            seen = f"a difference of {wanted:.3f} ({_share(wanted, measure.old):.1%}) would be visible"
            yield f"with {more:,} more such queries {seen} in four of five cases; now it takes {found.detectable:.3f}"
    short = wanted - found.difference
    if 0.0 < short < found.high - found.difference:
        more = math.ceil(found.queries * ((found.high - found.difference) / short) ** 2) - found.queries
        yield f"with {more:,} more such queries of the same mean the interval would end below what is asked for: a stay"
    if found.difference > 0.0:
        yield f"a least lift below {_share(found.difference, measure.old):.1%} (min_lift), where it is significant"


def _other_queries(provisional: bool) -> str:
    if provisional:
        return "judged queries of users in the place of those made from documents"
    return "queries of another kind than these: nothing is known of those"


def _shown(measure: Measure) -> str:
    found = measure.comparison
    lift = f"{_share(found.difference, measure.old):+.1%}"
    between = f"{_share(found.low, measure.old):+.1%} to {_share(found.high, measure.old):+.1%}"
    name = f"{measure.name} {measure.old:.3f} → {measure.new:.3f}"
    return f"{name}, {lift} ({between}), p = {found.p_value:.2g}, {found.queries} queries"


def _share(difference: float, old: float) -> float:
    """Of the old model's value; where that is nothing, any gain is infinite."""
    return difference / old if old > 0.0 else math.copysign(math.inf, difference) if difference else 0.0


def _error(found: Comparison) -> float:
    """The standard error of the difference."""
    normal = NormalDist()
    reach = normal.inv_cdf((1.0 + found.confidence) / 2.0) + normal.inv_cdf(POWER)
    return (found.detectable or 0.0) / reach
