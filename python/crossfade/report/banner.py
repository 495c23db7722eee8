"""Banner: the verdict, and the numbers to look at first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from crossfade.assess.assessment import Assessment
from crossfade.assess.durations import duration

from . import figures
from .measures import metric
from .page import PROVISIONAL, Code, Items, Lists, Section, Table, Tile, Tone
from .rows import names, value
from .texts import excerpt, harmless, sentence

MOST_LINE, MOST_NOTE = 500, 90

# By decision: what it is like, in a word, and as a headline.
_WORDS: dict[str, tuple[Tone, str, str]] = {
    "go": ("go", "Go", "Change from {old} to {new}."),
    "stay": ("stay", "Stay", "Keep {old}: {new} is not worth the change."),
    "not enough evidence": (
        "unsure",
        "Not enough evidence",
        "Whether to change from {old} to {new} can't be told yet.",
    ),
    "nothing to do": ("none", "Nothing to do", "The vectors of {old} and {new} are the same ones."),
}
_STRATEGIES = {
    "bridge only": "stored vectors are carried over by a learned map; no document is embedded anew",
    "on-read": "documents are embedded anew when searches look at them",
    "dual index": "a fill in the background, hot documents first, while both versions answer",
    "bulk": "all documents at once, in a maintenance window",
}
_ORDERS = {
    "default": "what is searched most, then what was updated in half a year, then what fails or has priority",
    "hot": "what searches find most often",
    "random": "documents by chance",
}


def verdict(assessment: Assessment) -> tuple[Tone, str, str]:
    """What the verdict is like, its word, and its headline."""
    tone, word, headline = _WORDS[assessment.verdict.decision]
    old, new = names(assessment)
    return tone, word, headline.format(old=old, new=new)


def badge(assessment: Assessment) -> str:
    """The warning that belongs to all that queries said; "" where they are users' own."""
    return PROVISIONAL if assessment.provisional or assessment.verdict.provisional else ""


def tiles(assessment: Assessment) -> tuple[Tile, ...]:
    """Quality, time, money and neighbours."""
    return tuple(_tiles(assessment))


def why(assessment: Assessment) -> Section:
    """What speaks for the verdict, what to mind, and what would change it."""
    found = assessment.verdict
    lists = (
        Items(title="What speaks for it", items=_lines(found.reasons)),
        Items(title="What to mind", items=_lines(found.reservations)),
        Items(title="What would change it", items=_lines(found.would_change)),
    )
    return Section(
        name="why",
        title="Why",
        lead="",
        blocks=(Lists(lists=tuple(part for part in lists if part.items)),),
        badge=badge(assessment),
    )


def how(assessment: Assessment) -> Section | None:
    """The strategy, and how to carry it out; None where nothing is."""
    found = assessment.verdict
    if found.strategy == "stay":
        return None
    rows = (
        ("why this way", found.strategy_rule),
        ("re-embedded first", _ORDERS.get(found.order, found.order)),
        ("where it ends", found.end_state),
    )
    table = Table(
        caption="The way there",
        head=("", ""),
        rows=tuple((label, excerpt(text, MOST_LINE)) for label, text in rows if text),
    )
    code = (
        Code(title="In a shell", lines=_to_type(assessment, found.commands), language="sh"),
        Code(title="In Python", lines=_to_type(assessment, found.code), language="python"),
    )
    return Section(
        name="how",
        title="How" if found.decision == "go" else "How, if it came to that",
        lead=f"{sentence(found.strategy)}: {_STRATEGIES[found.strategy]}.",
        blocks=(table, *(part for part in code if part.lines)),
    )


def collection(assessment: Assessment) -> str:
    """The last part of the collection's path: reports are sent around."""
    return PurePath(assessment.path).name or assessment.path


def _lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(excerpt(line, MOST_LINE) for line in lines)


def _to_type(assessment: Assessment, lines: tuple[str, ...]) -> tuple[str, ...]:
    """Lines as they are typed beside the collection."""
    return tuple(harmless(line.replace(assessment.path, collection(assessment))) for line in lines)


def _tiles(assessment: Assessment) -> Iterator[Tile]:
    quality, price, near = assessment.quality, assessment.facts.price, assessment.facts.neighbourhoods
    tariff = price.tariff
    if quality is not None:
        first = quality.measures[0]
        compared = first.comparison
        low, high = figures.signed(compared.low), figures.signed(compared.high)
        yield Tile(
            label=f"{metric(first.name)}, {quality.queries:,} queries",
            value=f"{figures.score(first.old)} → {figures.score(first.new)}",
            note=f"{figures.signed(compared.difference)}, 95% between {low} and {high}",
            badge=badge(assessment),
        )
    yield Tile(
        label="Time to embed all anew",
        value=value(price.seconds, duration),
        note=_between(figures.interval(price.seconds.interval, duration)),
    )
    yield Tile(
        label="Money",
        value=value(price.money, figures.money(tariff.currency if tariff else "")),
        note=excerpt(tariff.source if tariff and not tariff.per_million_tokens else price.money.meaning, MOST_NOTE),
    )
    yield Tile(
        label="Disk",
        value=figures.change(price.storage.disk_now.value, price.storage.disk_after.value, figures.size),
        note=f"at most {value(price.storage.disk_during, figures.size)} meanwhile",
    )
    yield Tile(
        label="Of ten neighbours stay",
        value=figures.UNKNOWN if near.overlap.value is None else f"{10 * near.overlap.value:.1f}",
        note=f"{10 * near.chance:.1f} would stay by chance",
    )


def _between(interval: str) -> str:
    return "too little was measured to tell how sure" if interval == figures.UNKNOWN else f"95%: {interval}"
