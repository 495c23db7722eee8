"""Measures: what queries say, in total, by slices, and one by one."""

from __future__ import annotations

from crossfade.assess.assessment import Assessment
from crossfade.assess.quality import Changed, Listed, Measure, Quality, Slice

from . import figures
from .page import Asked, Bar, Bars, Block, Difference, Differences, Found, Queries, Row, Section, Table
from .rows import MOST_MEANING, MOST_NAME, told_apart
from .texts import excerpt

SHOWN, LISTED = 10, 10
MOST_QUERY, MOST_TITLE, MOST_TEXT = 300, 100, 160

_NAMES = {"ndcg": "nDCG", "recall": "Recall", "precision": "Precision", "mrr": "MRR"}
_MEANINGS = {
    "ndcg": "how near the top the relevant documents stand; 1 is the best order",
    "recall": "share of the relevant documents that is found",
    "precision": "share of what is found that is relevant",
    "mrr": "1 divided by the place of the first relevant document",
}
_SOURCES = {
    "given": "queries and judgements that were given",
    "log": "queries of the log of searches",
    "made": "queries made from documents, as nobody gave any",
}


def metric(name: str) -> str:
    """As people write it.

    Example:
        >>> metric("ndcg@10")
        'nDCG@10'
    """
    kind, at, k = name.partition("@")
    return f"{_NAMES.get(kind, kind)}{at}{k}"


def total(assessment: Assessment, quality: Quality, badge: str) -> Section:
    """All metrics of both models."""
    measures = quality.measures
    compared = measures[0].comparison
    chart = Bars(
        title="Quality of both models",
        summary=" ".join(_said(measure) for measure in measures),
        series=told_apart(assessment),
        groups=tuple((metric(measure.name), _bars(measure)) for measure in measures),
    )
    head = ("metric", "old", "new", "difference", "95% interval", "p", "detectable", "better / worse", "uncorrected")
    rows = tuple(_measured(measure) for measure in measures)
    meanings = tuple(
        (metric(measure.name), meaning)
        for measure in measures
        if (meaning := _MEANINGS.get(measure.name.partition("@")[0]))
    )
    left_out = f", {quality.left_out:,} left out" if quality.left_out else ""
    return Section(
        name="quality",
        title="Quality",
        lead=(
            f"{quality.queries:,} {_SOURCES[quality.source]}{left_out}; {compared.better:,} get better, "
            f"{compared.worse:,} worse. Bias: {excerpt(quality.bias, MOST_MEANING)}."
        ),
        blocks=(
            chart,
            Table(caption="All metrics", head=head, rows=rows, layout="numbers"),
            Table(caption="What they mean", head=("metric", "meaning"), rows=(*meanings, *_COLUMNS)),
        ),
        badge=badge,
    )


def by_slice(quality: Quality, badge: str) -> Section:
    """The first metric on parts of the queries."""
    name = metric(quality.measures[0].name)
    head = ("slice", "queries", "old", "new", "difference", "95% interval", "p, corrected")
    differences = tuple(_difference(part) for part in quality.slices)
    losing = [row.label for row in differences if row.sure and row.value < 0]
    blocks: tuple[Block, ...] = (
        Differences(
            title=f"Difference in {name} by slice",
            summary=" ".join(f"{row.label}: {figures.signed(row.value)}." for row in differences),
            axis=f"difference in {name}, new less old",
            rows=differences,
        ),
        Table(caption=f"{name} by slice", head=head, rows=tuple(map(_sliced, quality.slices)), layout="numbers"),
    )
    return Section(
        name="slices",
        title="Slices",
        lead=(
            f"These lose beyond chance: {', '.join(losing)}."
            if losing
            else "No part of the queries loses beyond chance."
            if differences
            else "No part of the queries is large enough to be looked at by itself."
        ),
        blocks=blocks if differences else (),
        badge=badge,
    )


def one_by_one(assessment: Assessment, quality: Quality, badge: str) -> Section:
    """The queries that gain most, and those that lose most."""
    name = metric(quality.measures[0].name)
    block = Queries(
        metric=name,
        models=told_apart(assessment),
        better=tuple(map(_asked, quality.better[:SHOWN])),
        worse=tuple(map(_asked, quality.worse[:SHOWN])),
    )
    return Section(
        name="queries",
        title="Queries that change most",
        lead=f"By {name}, with the first documents that either model finds. The mean hides both.",
        blocks=(block,),
        badge=badge,
    )


_COLUMNS = (
    ("p", "how often such a difference comes about by chance where both models are alike"),
    ("detectable", "the true difference that so many queries show in four of five cases"),
    ("uncorrected", "of the new model among what was embedded, where it misses some of its own wrong answers"),
)


def _said(measure: Measure) -> str:
    old, new = figures.score(measure.old), figures.score(measure.new)
    return f"{metric(measure.name)}: {old} before, {new} after."


def _bars(measure: Measure) -> tuple[Bar, Bar]:
    """The interval is that of the difference, from where the old bar ends."""
    compared = measure.comparison
    reach = measure.old + compared.low, measure.old + compared.high
    return (
        Bar(value=measure.old, shown=figures.score(measure.old)),
        Bar(value=measure.new, shown=figures.score(measure.new), interval=reach),
    )


def _measured(measure: Measure) -> Row:
    compared = measure.comparison
    return (
        metric(measure.name),
        figures.score(measure.old),
        figures.score(measure.new),
        figures.signed(compared.difference),
        figures.interval((compared.low, compared.high), figures.signed),
        figures.chance(compared.p_value),
        figures.UNKNOWN if compared.detectable is None else figures.score(compared.detectable),
        f"{compared.better:,} / {compared.worse:,}",
        figures.score(measure.uncorrected),
    )


def _label(part: Slice) -> str:
    return f"{excerpt(part.field, MOST_NAME // 2)}: {excerpt(part.value, MOST_NAME // 2)}"


def _difference(part: Slice) -> Difference:
    compared = part.comparison
    return Difference(
        label=_label(part),
        value=compared.difference,
        interval=(compared.low, compared.high),
        sure=part.adjusted < 1.0 - compared.confidence,
    )


def _sliced(part: Slice) -> Row:
    compared = part.comparison
    return (
        _label(part),
        figures.count(compared.queries),
        figures.score(part.old),
        figures.score(part.new),
        figures.signed(compared.difference),
        figures.interval((compared.low, compared.high), figures.signed),
        figures.chance(part.adjusted),
    )


def _asked(changed: Changed) -> Asked:
    return Asked(
        text=excerpt(changed.text, MOST_QUERY),
        old=figures.score(changed.old),
        new=figures.score(changed.new),
        difference=figures.signed(changed.new - changed.old),
        lists=(_found(changed.old_list), _found(changed.new_list)),
    )


def _found(listed: tuple[Listed, ...]) -> tuple[Found, ...]:
    return tuple(
        Found(
            name=excerpt(one.title or one.id, MOST_TITLE),
            text=excerpt(one.text, MOST_TEXT),
            judged="" if one.grade is None else f"relevant, grade {one.grade:g}" if one.grade > 0 else "not relevant",
            relevant=one.grade is not None and one.grade > 0,
        )
        for one in listed[:LISTED]
    )
