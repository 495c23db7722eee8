"""Page: what a report says, as values, whatever it is written in."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, TypeAlias

PROVISIONAL = "provisional: queries made from documents"

Row: TypeAlias = tuple[str, ...]
Tone: TypeAlias = Literal["go", "stay", "unsure", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of texts.

    Args:
        caption: What they are.
        head: Names of the columns.
        rows: A text for each column.
        layout: "facts" reads as sentences and is stacked where there is no room. So is "evidence", which has the
            columns of `rows.HEAD`. "numbers" is scrolled.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: Row
    rows: tuple[Row, ...]
    layout: Literal["facts", "evidence", "numbers"] = "facts"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items:
    """A short list.

    Args:
        title: What they have in common.
        items: A sentence each.
    """

    title: str
    items: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lists:
    """Short lists beside each other; those without an item are left out."""

    kind: ClassVar[str] = "lists"
    lists: tuple[Items, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Code:
    """Lines to be copied.

    Args:
        title: For what they are.
        lines: The lines.
        language: "sh" or "python".
    """

    kind: ClassVar[str] = "code"
    title: str
    lines: tuple[str, ...]
    language: Literal["sh", "python"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """A value with its interval, and how it is written."""

    value: float
    shown: str
    interval: tuple[float, float] | None = None

    @property
    def end(self) -> float:
        """How far all of it reaches."""
        return max(self.value, *(self.interval or (self.value,)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bars:
    """Groups of bars from 0 on.

    Args:
        title, summary: What is shown, and what one sees in it, for those who can't see it.
        series: Names of the bars of a group; there are one or two.
        groups: By label, a bar for each of the series.
        mark: A value that all bars are to be compared with, and its name.
    """

    kind: ClassVar[str] = "chart"
    title: str
    summary: str
    series: tuple[str, ...]
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]
    mark: tuple[str, float] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference with its interval, and whether it is more than chance."""

    label: str
    value: float
    interval: tuple[float, float]
    sure: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Differences:
    """Differences around 0, one below the other."""

    kind: ClassVar[str] = "chart"
    title: str
    summary: str
    axis: str
    rows: tuple[Difference, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A value at each share of the documents, and the least and most of what it was in such cases."""

    label: str
    shares: tuple[float, ...]
    values: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines:
    """Values over the share that is re-embedded, a line for each order.

    Args:
        title, summary: As of `Bars`.
        axis: What the values are.
        lines: The first one is drawn with its bounds, and in front.
        levels: Values to be compared with, by name.
    """

    kind: ClassVar[str] = "chart"
    title: str
    summary: str
    axis: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """A document in a list: its title or id, the beginning of its text, and what was judged of it, "" for nothing."""

    name: str
    text: str
    judged: str
    relevant: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A query with both models' lists, and its metric before and after."""

    text: str
    old: str
    new: str
    difference: str
    lists: tuple[tuple[Found, ...], tuple[Found, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Queries:
    """The queries that gain most beside those that lose most.

    Args:
        metric: What they gain or lose in.
        models: The names of both models.
        better, worse: Most first.
    """

    kind: ClassVar[str] = "queries"
    metric: str
    models: tuple[str, str]
    better: tuple[Asked, ...]
    worse: tuple[Asked, ...]


Chart: TypeAlias = Bars | Differences | Lines
Block: TypeAlias = Table | Lists | Code | Chart | Queries


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page.

    Args:
        name: A word for links to it.
        title: Its heading.
        lead: What it says, in a sentence or two.
        blocks: What it shows.
        badge: A warning beside its title; "" for none.
    """

    name: str
    title: str
    lead: str
    blocks: tuple[Block, ...]
    badge: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """One of the few numbers to look at first.

    Args:
        label: What it is.
        value: The number.
        note: What belongs to it.
        badge: As of `Section`.
    """

    label: str
    value: str
    note: str
    badge: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report.

    Args:
        title: Of the document.
        about: Which collection, and when.
        tone: What the verdict is like.
        word: The verdict in a word or two.
        headline: The verdict in half a sentence.
        rule: What decided.
        badge: As of `Section`.
        tiles: The numbers to look at first.
        sections: All the rest.
        foot: By what it was made.
    """

    title: str
    about: str
    tone: Tone
    word: str
    headline: str
    rule: str
    badge: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    foot: str
