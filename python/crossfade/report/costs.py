"""Costs: what a migration takes, and when its benefit is there."""

from __future__ import annotations

import numpy as np

from crossfade.assess.assessment import Assessment
from crossfade.assess.curves import Point
from crossfade.assess.durations import duration

from . import figures
from .figures import Figure
from .measures import metric
from .page import Line, Lines, Section, Table
from .rows import HEAD, MOST_NAME, rows, value
from .texts import excerpt

# Shares at which the table tells what the lines show.
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
MOST_LINES = 6


def price(assessment: Assessment) -> Section:
    """Time, money, disk and memory."""
    found = assessment.facts.price
    kept = found.storage
    entries = (
        ("documents", found.documents, figures.count),
        ("distinct texts", found.texts, figures.count),
        ("tokens", found.tokens, figures.count),
        ("time", found.seconds, duration),
        ("processor time", found.cpu_hours, figures.hours),
        ("time for the index, of one core", found.index_seconds, duration),
        ("money", found.money, figures.money(found.tariff.currency if found.tariff else "")),
        ("disk now", kept.disk_now, figures.size),
        ("disk during", kept.disk_during, figures.size),
        ("disk after", kept.disk_after, figures.size),
        ("memory now", kept.memory_now, figures.size),
        ("memory during", kept.memory_during, figures.size),
        ("memory after", kept.memory_after, figures.size),
    )
    return Section(
        name="price",
        title="Price",
        lead=(
            f"Told from {assessment.facts.cost['documents']:,} documents that were embedded for this report. The time "
            "is that of this machine; no interval knows what else it will do then."
        ),
        blocks=(Table(caption="What a migration takes", head=HEAD, rows=rows(*entries), layout="evidence"),),
    )


def curve(assessment: Assessment, badge: str) -> Section | None:
    """What is expected at each share that is re-embedded, by the order; None where nothing is."""
    orders = _orders(assessment)
    if not orders or assessment.verdict.decision == "nothing to do":
        return None
    axis, levels, figure, start, lift = _scale(assessment)
    lines = tuple(_line(order, points, start, lift) for order, points in orders.items())
    chart = Lines(
        title=f"{axis} against the share re-embedded",
        summary=" ".join(_said(line, figure) for line in lines),
        axis=axis,
        lines=lines,
        levels=levels,
    )
    head = ("order", *map("{:.0%}".format, SHARES), "half of the benefit after", "nine tenths after")
    reached = _reached(assessment)
    expected = tuple(
        (line.label, *(figure(_at(line, share)) for share in SHARES), *reached.get(order, (figures.UNKNOWN,) * 2))
        for order, line in zip(orders, lines, strict=True)
    )
    table = Table(caption=f"Expected: {axis}, by the share re-embedded", head=head, rows=expected, layout="numbers")
    return Section(
        name="curve",
        title="While documents are re-embedded",
        lead=(
            "What searches gain by the share of the documents that is re-embedded, and by which come first. This is "
            "expected from what was measured on other collections; it was not measured here."
        ),
        blocks=(chart, table),
        badge=badge,
    )


def _scale(assessment: Assessment) -> tuple[str, tuple[tuple[str, float], ...], Figure, float, float]:
    """What the values are, what to compare them with, how they are written, and from where they rise by how much."""
    if assessment.quality is None:
        levels = (("half of the benefit", 0.5), ("nine tenths", 0.9))
        return "Share of the benefit", levels, figures.share, 0.0, 1.0
    first = assessment.quality.measures[0]
    levels = (("old model", first.old), ("new model", first.new))
    return metric(first.name), levels, figures.score, first.old, first.new - first.old


def _orders(assessment: Assessment) -> dict[str, tuple[Point, ...]]:
    """The orders with points, the verdict's first."""
    first = assessment.verdict.order
    known = sorted(assessment.curves.items(), key=lambda item: item[0] != first)
    return {order: points for order, points in known[:MOST_LINES] if points}


def _line(order: str, points: tuple[Point, ...], start: float, lift: float) -> Line:
    ends = [(start + lift * point.low, start + lift * point.high) for point in points]
    return Line(
        label=excerpt(order, MOST_NAME),
        shares=tuple(point.share for point in points),
        values=tuple(start + lift * point.benefit for point in points),
        bounds=tuple((min(pair), max(pair)) for pair in ends),
    )


def _at(line: Line, share: float) -> float:
    """Its value at a share, on the straight line between two points."""
    return float(np.interp(share, line.shares, line.values))


def _said(line: Line, figure: Figure) -> str:
    return f"{line.label}: {figure(_at(line, 0.1))} at 10%, {figure(_at(line, 0.5))} at 50%."


def _reached(assessment: Assessment) -> dict[str, tuple[str, str]]:
    """By order, when half of the benefit and nine tenths are there."""
    reached = assessment.facts.price.reached
    return {one.order: (value(one.half, duration), value(one.most, duration)) for one in reached}
