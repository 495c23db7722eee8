"""Explanation: how an answer came about: what decided, why, and which scores each hit was ranked by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .blend import Blended
from .units import Float32

if TYPE_CHECKING:
    from .hits import Hit, Hits

NewScore = Literal["true", "bridged + estimated", "missing"]

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "alone": "one version serves, and answers alone",
        "not fitted": "nothing is learned yet of the two models (fit and run do that): the old one answers alone",
        "new encoder missing": "the new model's encoder is not at hand in this process: the old one answers alone",
        "old encoder missing": "the old model's encoder is not at hand, or fails: the live version answers alone",
        "old vector": "a query vector of the live Space is compared with that version alone",
        "not covered": "no candidate of this query has a new vector yet: the old model answers alone",
        "few documents": "the models were compared on too few documents: the old one answers alone",
        "guard": "the guard is closed, queries do not show that the new model is as good: the old one answers alone",
        "covered": "both models score every candidate; the new one counts the more, the more of them it has embedded",
        "new query": "only the new model has encoded the query: true new scores where there are some, else the Bridges",
        "merge": "a classic merge of both versions' lists was asked for",
    }
)


class Used(NamedTuple):
    """What a query's candidates were ranked by: arrays `(m,)` that the search had anyway.

    Args:
        old: Old scores.
        new: New scores; NaN where there is none.
        bridged: New query times carried old rows; NaN where nobody asked.
        blended: What the blend made of them.
    """

    old: Float32 | None
    new: Float32
    bridged: Float32
    blended: Blended | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Why:
    """Why an answer is what it is: a key of `REASONS`, of two models the one that answered alone, and the place of each
    hit in the arrays it was ranked by."""

    reason: str = "alone"
    model: Literal["old", "new"] | None = None
    places: npt.NDArray[np.int64] | None = None
    used: Used | None = None

    def of(self, some: slice | list[int]) -> Why:
        """The same for some of the hits."""
        return self if self.places is None else dataclasses.replace(self, places=self.places[some])


ALONE = Why()


@dataclasses.dataclass(frozen=True, kw_only=True)
class HitExplanation:
    """Which scores a hit was ranked by. Units are standard deviations above what the query scores on average, on the
    old model's scale; what played no part is None.

    Args:
        id: The document's.
        score: As in the hit.
        version: As in the hit.
        new_score: "true", "bridged + estimated", or "missing" where no new score counted.
        old: Old cosine.
        old_units: The same in units.
        new: New cosine.
        new_units: The same in units.
        bridged: Cosine of the new query and the old row carried over.
        estimate: Estimate of the missing new score, in units.
        correction: What similar documents add to it: their errors, and where every candidate has a new vector their
            scores.
        bonus: The benefit of the doubt, less what all candidates pay for it.
        blended: Weighted sum of old and new evidence, in units; the hits are in its order.
    """

    id: str
    score: float
    version: int
    new_score: NewScore
    old: float | None = None
    old_units: float | None = None
    new: float | None = None
    new_units: float | None = None
    bridged: float | None = None
    estimate: float | None = None
    correction: float | None = None
    bonus: float | None = None
    blended: float | None = None

    def __str__(self) -> str:
        parts = [f"{self.score:.4f}  {self.id}  version {self.version}"]
        if self.old is not None:
            parts.append(f"old {_in_units(self.old, self.old_units)}")
        if self.new is not None:
            parts.append(f"new {_in_units(self.new, self.new_units)}, true")
        elif self.estimate is not None and self.bridged is not None:
            parts.append(f"new {self.estimate:.2f}, estimated; bridged {self.bridged:.4f}")
        else:
            parts.append(f"new {self.new_score}")
        adds = [
            f"{value:+.2f} {name}"
            for name, value in (("from similar documents", self.correction), ("bonus", self.bonus))
            if value
        ]
        parts += [" ".join(adds)] if adds else []
        parts += [f"blended {self.blended:.2f}"] if self.blended is not None else []
        return " | ".join(parts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation:
    """How an answer came about; `str()` of it is for people.

    Args:
        method: What decided, as in `Hits`.
        coverage: As in `Hits`.
        weight: As in `Hits`.
        reason: A key of `REASONS`.
        text: The reason in words.
        hits: The scores of each hit, best first.
    """

    method: str
    coverage: float
    weight: float
    reason: str
    text: str
    hits: tuple[HitExplanation, ...]

    @classmethod
    def of(cls, hits: Hits) -> Explanation:
        """Made of what the search has left with its hits."""
        why = hits.why
        return cls(
            method=hits.method,
            coverage=float(hits.coverage),
            weight=float(hits.weight),
            reason=why.reason,
            text=REASONS[why.reason],
            hits=tuple(_explained(hit, why, at) for at, hit in enumerate(hits)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def lines(self) -> Iterator[str]:
        """What `str()` is made of."""
        yield f"{self.method}, coverage {self.coverage:.2f}, weight of the new evidence {self.weight:.2f}: {self.text}"
        for rank, hit in enumerate(self.hits, 1):
            yield f"{rank:>3}  {hit}"

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _explained(hit: Hit, why: Why, at: int) -> HitExplanation:
    common: dict[str, Any] = {"id": hit.id, "score": float(hit.score), "version": hit.version}
    if why.used is None or why.places is None:
        told: dict[str, Any] = {why.model: common["score"]} if why.model else {}
        return HitExplanation(new_score="true" if why.model == "new" else "missing", **told, **common)
    place, used = why.places[at], why.used
    true = not np.isnan(used.new[place])
    figures: dict[str, npt.NDArray[Any] | None] = {"old": used.old, "new": used.new, "bridged": used.bridged}
    if used.blended is not None and used.blended.parts is not None:
        parts = used.blended.parts
        figures |= {"old_units": parts.old, "new_units": parts.new, "bonus": parts.bonus, "blended": parts.blended}
        if not true:
            figures |= {"estimate": parts.guess, "correction": parts.expected - parts.guess}
        elif parts.expected[place] != parts.new[place]:
            figures |= {"correction": parts.expected - parts.new}
    told = {name: float(values[place]) for name, values in figures.items() if values is not None}
    common |= {name: value for name, value in told.items() if not np.isnan(value)}
    return HitExplanation(new_score="true" if true else "bridged + estimated", **common)


def _in_units(cosine: float, units: float | None) -> str:
    return f"{cosine:.4f}" if units is None else f"{cosine:.4f} = {units:.2f}"
