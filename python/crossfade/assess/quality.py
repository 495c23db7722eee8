"""Quality: how well the old and the new model answer the same queries."""

from __future__ import annotations

import dataclasses
from typing import Any

from crossfade.evaluate import Comparison

from .pool import PoolSize


@dataclasses.dataclass(frozen=True)
class Measure:
    """One metric of both models.

    Args:
        name: As "ndcg@10".
        old: Its mean of the old model.
        new: Its mean of the new model; the mean of the draws where documents are missing.
        uncorrected: Its mean of the new model among what was embedded, which is never less.
        comparison: Of new and old, query by query.
    """

    name: str
    old: float
    new: float
    uncorrected: float
    comparison: Comparison


@dataclasses.dataclass(frozen=True)
class Slice:
    """The first metric on the queries of one slice.

    Args:
        field: A metadata field, "query length" or "document length".
        value: Its value; "short", "middle" or "long".
        old: Mean of the old model.
        new: Mean of the new model.
        comparison: Of new and old, query by query.
        adjusted: Its p-value, corrected by Holm for all slices.
    """

    field: str
    value: str
    old: float
    new: float
    comparison: Comparison
    adjusted: float


@dataclasses.dataclass(frozen=True)
class Listed:
    """A document in a list; `grade` is None where nobody judged it."""

    id: str
    title: str | None
    text: str
    grade: float | None


@dataclasses.dataclass(frozen=True)
class Changed:
    """A query that gets better or worse, with the first documents of both models.

    Args:
        id: The query's id.
        text: Its text.
        old: The first metric of the old model.
        new: That of the new one.
        old_list: What the old model finds.
        new_list: What the new model finds among what was embedded.
    """

    id: str
    text: str
    old: float
    new: float
    old_list: tuple[Listed, ...]
    new_list: tuple[Listed, ...]


@dataclasses.dataclass(frozen=True)
class Quality:
    """How well two models answer the same queries.

    Args:
        queries: How many were measured.
        left_out: How many were not: no relevant document of theirs is in the collection, or the sample is full.
        source: Where they come from: "given", "log" or "made".
        provisional: Whether they were made from documents, so that all this is a first idea.
        judged: Whether a judge was asked for grades.
        pool: What was embedded.
        measures: nDCG, recall, precision and reciprocal rank.
        slices: The first metric by slice.
        better: The queries that gain most, most first.
        worse: Those that lose most.
        bias: What the numbers may be wrong by for reasons other than chance.
    """

    queries: int
    left_out: int
    source: str
    provisional: bool
    judged: bool
    pool: PoolSize
    measures: tuple[Measure, ...]
    slices: tuple[Slice, ...]
    better: tuple[Changed, ...]
    worse: tuple[Changed, ...]
    bias: str

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return dataclasses.asdict(self)


def bias_of(size: PoolSize, by_program: bool) -> str:
    """What a pool of that size makes numbers wrong by."""
    if size.complete:
        return "none by the sample: the whole collection was embedded"
    if by_program:
        return (
            "favours the old model: good documents that only the new one would find are missed where they were not "
            "embedded"
        )
    if size.corrected:
        return (
            "small, and rather against the new model: documents that were not embedded take part with estimated "
            "scores; documents that nobody judged count as irrelevant"
        )
    return "favours the new model: what it would have ranked above relevant documents is partly missing"
