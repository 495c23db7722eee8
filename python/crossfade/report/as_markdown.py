"""The report as Markdown, of the kind that knows tables (GitHub's)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crossfade.assess.assessment import Assessment

from .contents import page
from .page import Asked, Bars, Block, Code, Differences, Found, Lines, Lists, Page, Queries, Section, Table

# Of each list; HTML folds them away, Markdown can't.
LISTED = 5
_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]<>|~$&])")


def markdown(assessment: Assessment) -> str:
    """All that an assessment found as Markdown, with tables in the place of charts.

    Args:
        assessment: What `Collection.assess` found.

    Example:
        >>> print(markdown(docs.assess(new)))  # doctest: +SKIP
    """
    told = page(assessment)
    lines = [*_head(told)]
    for section in told.sections:
        lines += _section(section)
    return "\n".join([*lines, "---", "", plain(told.foot), ""])


def plain(text: str) -> str:
    """A text of one line that means nothing but itself.

    Example:
        >>> plain("a|b *c*")
        'a\\\\|b \\\\*c\\\\*'
    """
    return _MEANS_SOMETHING.sub(r"\\\1", text)


def _head(told: Page) -> Iterator[str]:
    yield from (f"# {plain(told.word)}: {plain(told.headline)}", "")
    yield from _badge(told.badge)
    yield from (plain(told.rule), "", plain(told.about), "")
    rows = tuple((tile.label + (" (provisional)" if tile.badge else ""), tile.value, tile.note) for tile in told.tiles)
    yield from _rows(("at first", "", ""), rows)


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {plain(section.title)}", "")
    yield from _badge(section.badge)
    yield from (plain(section.lead), "") if section.lead else ()
    for block in section.blocks:
        yield from _WRITERS[type(block)](block)


def _badge(badge: str) -> Iterator[str]:
    if badge:
        yield from (f"> **{plain(badge)}**", "")


def _table(block: Table) -> Iterator[str]:
    yield from (f"**{plain(block.caption)}**", "")
    yield from _rows(block.head, block.rows)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        written = cells if cells and cells[0] == "---" else [plain(cell) for cell in cells]
        yield f"| {' | '.join(written)} |"
    yield ""


def _lists(block: Lists) -> Iterator[str]:
    for part in block.lists:
        yield from (f"**{plain(part.title)}**", "")
        yield from (f"* {plain(item)}" for item in part.items)
        yield ""


def _code(block: Code) -> Iterator[str]:
    fence = "`" * max(3, 1 + max((len(run) for line in block.lines for run in re.findall("`+", line)), default=0))
    yield from (f"**{plain(block.title)}**", "", f"{fence}{block.language}", *block.lines, fence, "")


def _nothing(block: object) -> Iterator[str]:
    """A chart: the tables beside it tell the same."""
    yield from ()


def _queries(block: Queries) -> Iterator[str]:
    sides = (block.better, block.worse)
    rows = [
        tuple(cell for side in sides for cell in _brief(side[place] if place < len(side) else None))
        for place in range(max(map(len, sides)))
    ]
    yield from _rows(("most improved", block.metric, "most harmed", block.metric), rows)
    for title, asked in zip(("Most improved", "Most harmed"), sides, strict=True):
        yield from (f"### {title}", "") if asked else ()
        for query in asked:
            yield from (f"**{plain(query.text)}**: {query.old} → {query.new} ({query.difference})", "")
            columns = [[_document(found) for found in documents[:LISTED]] for documents in query.lists]
            deepest = max(map(len, columns))
            padded = [[*column, *[""] * (deepest - len(column))] for column in columns]
            yield from _rows(
                ("", *block.models), [(str(n), *pair) for n, pair in enumerate(zip(*padded, strict=True), 1)]
            )


def _brief(asked: Asked | None) -> tuple[str, str]:
    return ("", "") if asked is None else (asked.text, f"{asked.old} → {asked.new} ({asked.difference})")


def _document(found: Found) -> str:
    judged = f" ({found.judged})" if found.judged else ""
    return f"{found.name}{judged}: {found.text}"


_WRITERS: dict[type[Block], Callable[[Any], Iterator[str]]] = {
    Table: _table,
    Lists: _lists,
    Code: _code,
    Queries: _queries,
    Bars: _nothing,
    Differences: _nothing,
    Lines: _nothing,
}
