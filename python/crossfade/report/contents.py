"""Contents: an assessment as the page that a report shows."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from crossfade import __version__
from crossfade.assess.assessment import Assessment

from . import banner, costs, measures, spaces
from .method import method
from .page import Page, Section
from .rows import MOST_NAME, names
from .texts import excerpt, sentence


def page(assessment: Assessment) -> Page:
    """Everything that an assessment found, in the order in which one wants to know it."""
    old, new = names(assessment)
    tone, word, headline = banner.verdict(assessment)
    made = datetime.datetime.fromtimestamp(assessment.made_at, datetime.UTC)
    collection = excerpt(banner.collection(assessment), MOST_NAME)
    return Page(
        title=f"{word}: {old} → {new}",
        about=f"{collection}, {assessment.facts.price.documents.value:,.0f} documents, {made:%Y-%m-%d %H:%M} UTC",
        tone=tone,
        word=word,
        headline=headline,
        rule=sentence(excerpt(assessment.verdict.rule, banner.MOST_LINE)),
        badge=banner.badge(assessment),
        tiles=banner.tiles(assessment),
        sections=tuple(section for section in _sections(assessment) if section is not None),
        foot=f"crossfade {__version__}",
    )


def _sections(assessment: Assessment) -> Iterator[Section | None]:
    badge, quality = banner.badge(assessment), assessment.quality
    yield banner.why(assessment)
    yield banner.how(assessment)
    yield costs.price(assessment)
    if quality is not None:
        yield measures.total(assessment, quality, badge)
        yield measures.by_slice(quality, badge)
    yield costs.curve(assessment, badge)
    yield spaces.neighbours(assessment)
    if quality is not None:
        yield measures.one_by_one(assessment, quality, badge)
    yield spaces.changes(assessment)
    yield spaces.words(assessment)
    yield method(assessment)
