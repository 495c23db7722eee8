"""Method: what was embedded for an assessment, and what decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from crossfade.assess.assessment import Assessment
from crossfade.assess.durations import duration
from crossfade.assess.quality import Quality
from crossfade.assess.thresholds import Thresholds

from . import figures
from .page import Row, Section, Table
from .rows import MOST_VALUE
from .texts import excerpt


def method(assessment: Assessment) -> Section:
    """The sample, the pool of the queries, and the thresholds."""
    rows = [*_sample(assessment)]
    if assessment.quality is not None:
        rows += _pool(assessment.quality)
    tables = (
        Table(caption="What was embedded for this", head=("", ""), rows=tuple(rows)),
        Table(
            caption="What decides", head=("threshold", "value"), rows=tuple(_thresholds(assessment.verdict.thresholds))
        ),
    )
    return Section(
        name="method",
        title="How this was found out",
        lead=(
            "An interval holds 95% of what another sample would have given; where there is none, the number is exact, "
            "or too little was measured to tell. Nothing was written to the collection."
        ),
        blocks=tables,
    )


def _sample(assessment: Assessment) -> Iterator[Row]:
    cost = assessment.facts.cost
    yield "documents of the sample", f"{cost['documents']:,} of {cost['population']:,}"
    if cost["refused"]:
        yield "documents that the new model refused", f"{cost['refused']:,}"
    yield "tokens of the sample", figures.count(cost["tokens"])
    yield "seconds of the sample", duration(cost["seconds"])
    if cost["spent"]:
        paid = ", ".join(f"{name} {value}" for name, value in cost["spent"].items())
        yield "paid for the sample", excerpt(paid, MOST_VALUE)
    yield "seed", str(cost["seed"])


def _pool(quality: Quality) -> Iterator[Row]:
    pool = quality.pool
    yield "documents embedded for the queries", f"{pool.embedded:,} of {pool.documents:,}, {pool.uniform:,} by chance"
    yield "documents of each of a query's two lists", f"{pool.depth:,}"
    if pool.pairs:
        yield "candidates with drawn scores, per query", figures.count(pool.missing)
        yield "pairs that the draws were learned from", figures.count(pool.pairs)
    yield "judge", "a program was asked for grades" if quality.judged else "none was asked"


def _thresholds(found: Thresholds) -> Iterator[Row]:
    for field in dataclasses.fields(found):
        setting = getattr(found, field.name)
        yield field.name.replace("_", " "), "no limit" if setting is None else f"{setting:g}"
