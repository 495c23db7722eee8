"""Spaces: how far the two models' vectors, settings and tokenizers differ on this collection."""

from __future__ import annotations

from typing import Any

from crossfade.assess.assessment import Assessment
from crossfade.assess.evidence import Evidence
from crossfade.assess.vocabulary import Coverage

from . import figures
from .page import Bar, Bars, Section, Table
from .rows import HEAD, MOST_MEANING, MOST_NAME, MOST_VALUE, rows
from .texts import excerpt, sentence

# Of a hash so much is enough to tell it from another one.
MOST_HASH = 13

_UNRELATED = (
    "The new model knows less of these texts than their words alone tell: check its weights, its tokenizer and its "
    "pooling."
)


def neighbours(assessment: Assessment) -> Section:
    """How far documents keep their neighbours, and what a Bridge would keep."""
    near = assessment.facts.neighbourhoods
    compared = (
        ("old and new model", near.overlap),
        ("old model and words", near.words_old),
        ("new model and words", near.words_new),
    )
    chart = Bars(
        title="Neighbours in common",
        summary=" ".join(f"{label}: {_tenths(found)} of ten." for label, found in compared),
        series=("overlap@10",),
        groups=tuple((label, (_bar(found),)) for label, found in compared if found.value is not None),
        mark=("by chance", near.chance),
    )
    table = rows(
        ("overlap@10, old and new model", near.overlap, figures.score),
        ("rank correlation", near.order, figures.score),
        ("overlap@10, old model and words", near.words_old, figures.score),
        ("overlap@10, new model and words", near.words_new, figures.score),
        ("score of the nearest, old model", near.nearest_old, figures.score),
        ("score of the nearest, new model", near.nearest_new, figures.score),
        ("a Bridge's cosine", near.cosine, figures.score),
        ("a Bridge's recall@10", near.recall, figures.score),
        ("a Bridge's retention of nDCG@10", near.retention, figures.score),
    )
    stay = f"Of a document's ten nearest others {_tenths(near.overlap)} stay with the new model."
    return Section(
        name="neighbours",
        title="Neighbourhood shift",
        lead=_UNRELATED
        if near.unrelated
        else f"{stay} Many that change say that results will differ, not that they get worse.",
        blocks=(
            *((chart,) if chart.groups else ()),
            Table(caption=f"Among {near.documents:,} documents", head=HEAD, rows=table, layout="evidence"),
        ),
    )


def changes(assessment: Assessment) -> Section:
    """The fields in which the Spaces differ, with what breaks."""
    found = assessment.facts.changes
    fields = tuple(
        (
            excerpt(one.field, MOST_NAME),
            _setting(one.field, one.old),
            _setting(one.field, one.new),
            excerpt(one.breaks, MOST_MEANING),
        )
        for one in found.fields
    )
    cut = rows(
        ("unchanged vectors", found.unchanged, figures.share),
        ("texts cut by the old model", assessment.facts.truncated_old, figures.share),
        ("texts cut by the new model", assessment.facts.truncated_new, figures.share),
    )
    tables = (
        Table(caption="Settings that differ", head=("setting", "old", "new", "what breaks"), rows=fields),
        Table(caption="Vectors and texts", head=HEAD, rows=cut, layout="evidence"),
    )
    return Section(
        name="changes",
        title="What changes",
        lead=f"{sentence(found.kinship)}: {excerpt(found.unchanged.meaning, MOST_MEANING)}.",
        blocks=tuple(table for table in tables if table.rows),
    )


def words(assessment: Assessment) -> Section:
    """How both tokenizers spell the collection's words."""
    found = assessment.facts.vocabulary
    head = ("", "old", "new")
    kinds = (
        ("pieces per word", "fertility", figures.points),
        ("words in several pieces", "continued", figures.share),
        ("unknown words", "unknown", figures.share),
        ("pieces per word, recent less older", "drift", figures.points),
    )
    spelt = tuple(
        (label, *(_spelt(side, field, figure) for side in (found.old, found.new))) for label, field, figure in kinds
    )
    terms = tuple(
        (label, excerpt(term.word, MOST_NAME), figures.share(term.documents), _pieces(term.old), _pieces(term.new))
        for label, listed in (
            ("better", found.helped),
            ("worse", found.harmed),
            ("more frequent of late", found.emerging),
        )
        for term in listed
    )
    tables = (
        Table(caption="Spelling", head=head, rows=spelt, layout="numbers"),
        Table(
            caption="Words that are spelt better, worse, or more frequent of late",
            head=("", "word", "share of texts", "pieces, old", "pieces, new"),
            rows=terms,
            layout="numbers",
        ),
    )
    return Section(
        name="words",
        title="Vocabulary",
        lead=f"How the tokenizers spell the words of {found.texts:,} texts; recent is told by {found.by}.",
        blocks=tuple(table for table in tables if table.rows),
    )


def _bar(found: Evidence) -> Bar:
    return Bar(value=found.value or 0.0, shown=figures.score(found.value or 0.0), interval=found.interval)


def _tenths(found: Evidence) -> str:
    return "an unknown number" if found.value is None else f"{10 * found.value:.1f}"


def _setting(field: str, value: Any) -> str:
    most = MOST_HASH if field in ("weights", "tokenizer") else MOST_VALUE
    return "none" if value is None or value == "" else excerpt(value, most)


def _spelt(side: Coverage, field: str, figure: figures.Figure) -> str:
    found: Evidence = getattr(side, field)
    if found.value is None:
        return figures.UNKNOWN
    reach = figures.interval(found.interval, figure)
    return figure(found.value) + ("" if reach == figures.UNKNOWN else f" ({reach})")


def _pieces(pieces: int | None) -> str:
    return figures.UNKNOWN if pieces is None else "unknown" if pieces == 0 else str(pieces)
