"""Rows: evidence as rows of a table."""

from __future__ import annotations

from crossfade.assess.assessment import Assessment
from crossfade.assess.evidence import Evidence

from . import figures
from .figures import Figure
from .page import Row
from .texts import excerpt

HEAD = ("", "value", "95% interval", "what it means")
MOST_NAME, MOST_VALUE, MOST_MEANING = 60, 80, 400

# A line of a table: its label, what was found out, and how that is written.
Entry = tuple[str, Evidence, Figure]


def rows(*entries: Entry) -> tuple[Row, ...]:
    """Label, value, interval and meaning of each; what a meaning begins with is not said twice."""
    return tuple(
        (label, shown, figures.interval(found.interval, figure), meaning.removeprefix(f"{shown}: "))
        for label, found, figure in entries
        for shown, meaning in [(value(found, figure), excerpt(found.meaning, MOST_MEANING))]
    )


def value(found: Evidence, figure: Figure) -> str:
    """A value as it is written; "–" where there is none."""
    return figures.UNKNOWN if found.value is None else figure(found.value)


def names(assessment: Assessment) -> tuple[str, str]:
    """What the old and the new model are called."""
    return excerpt(assessment.old.model, MOST_NAME), excerpt(assessment.new.model, MOST_NAME)


def told_apart(assessment: Assessment) -> tuple[str, str]:
    """The same, with which is which."""
    old, new = names(assessment)
    return f"{old} (old)", f"{new} (new)"
