"""The part of docs/fade.md about orders that are learned from traffic."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from bench.fade_state import HOT
from bench.fade_traffic import ORACLE, ORDERS, TOLD
from bench.report_cells import cell, title

# What is asked of the order "hot", and of which collections.
LIFTS, COLLECTIONS = {0.10: 0.60, 0.20: 0.75}, ("debian",)


def orders(reports: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Orders beside each other, learned from traffic."""
    if not reports:
        return
    yield from (
        "",
        "## Orders",
        "",
        "Queries drawn by Zipf's law; the order is learned on the first half of the traffic, the quality measured on "
        "the second, by how often a query comes. In brackets what 95 % of the resampled sets of queries give: with few "
        "queries most of the traffic hangs on a handful of them. oracle is the order hot where the log holds the "
        "second half itself, as if the traffic were known ahead. Each run is",
        "",
        "```",
        "python -m bench.fade --data FOLDER --old OLD --new NEW --vectors FOLDER --traffic zipf --seeds 3 --json \\",
        f"    --orders {shlex.join((*ORDERS, 'default', ORACLE))} > runs/NAME-orders.json",
        "```",
        "",
        "| collection, models | order | lift at 10 % | at 20 % | area |",
        "|---|---|---|---|---|",
    )
    for report in reports:
        wanted = LIFTS if report["data"] in COLLECTIONS else {}
        for order, found in report["traffic"]["orders"].items():
            points = {point["share"]: point for point in found["points"]}
            lifts = [_cell(points[share], wanted.get(share) if order == HOT else None) for share in TOLD]
            area = "" if found["area"] is None else f"{found['area']:.2f}"
            yield f"| {title(report)} | {order} | {' | '.join(lifts)} | {area} |"


def _cell(point: dict[str, Any], asked: float | None) -> str:
    """A lift with its interval."""
    if point["lift"] is None:
        return "no upgrade"
    low, high = point["ci"]
    return f"{cell(point['lift'], asked, '.2f')} ({low:.2f} to {high:.2f})"
