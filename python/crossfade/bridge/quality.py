"""Quality: what was measured of a Bridge before it was kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from crossfade.bridge.measuring import Interval, Measured, interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One method, measured on the held-out pairs after being fitted on the others.

    Args:
        method: "procrustes", "low rank + diagonal" or "ridge".
        regularisation: λ of ridge, in units of the mean eigenvalue of the old rows' covariance; 0 for
            Procrustes.
        cosine: Mean cosine between a carried row and its counterpart, −1 to 1.
        recall_at_10: Mean share of a row's 10 nearest held-out rows that are found where the rows searched are
            carried ones, 0 to 1.
    """

    method: str
    regularisation: float
    cosine: float
    recall_at_10: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality(Candidate):
    """What a Bridge measured: the candidate that was kept, and all of them.

    Intervals hold 95 % of what other held-out pairs would have given (a seeded bootstrap); they and the retention are
    None in what was saved before they were measured.

    Args:
        pairs: How many pairs were given.
        held_out: How many of them the measurement was made on.
        candidates: Every method that was tried.
        retention: How much of the new model's nDCG@10 a search of carried rows is expected to keep, 0 to 1: documents
            stand in for queries, and the right answer to each is the one that the new model finds nearest.
        cosine_interval: Of the cosine.
        recall_interval: Of the recall.
        retention_interval: Of the retention.
    """

    pairs: int
    held_out: int
    candidates: tuple[Candidate, ...]
    retention: float | None = None
    cosine_interval: Interval | None = None
    recall_interval: Interval | None = None
    retention_interval: Interval | None = None

    @classmethod
    def of(
        cls, kind: tuple[str, float], measured: Measured, candidates: tuple[Candidate, ...], pairs: int, seed: int
    ) -> Quality:
        """Of the method that was kept; the seed is the bootstrap's."""
        return cls(
            pairs=pairs,
            held_out=len(measured.cosine),
            candidates=candidates,
            retention=float(measured.retention.mean()),
            cosine_interval=interval(measured.cosine, seed),
            recall_interval=interval(measured.recall, seed),
            retention_interval=interval(measured.retention, seed),
            **dataclasses.asdict(candidate_of(kind, measured)),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Quality:
        """From what `dataclasses.asdict` gave, as JSON has kept it; fields may be missing that have a default."""
        fields: dict[str, Any] = {
            name: tuple(it) if name.endswith("_interval") and it else it for name, it in values.items()
        }
        fields["candidates"] = tuple(Candidate(**candidate) for candidate in values["candidates"])
        return cls(**fields)


def candidate_of(kind: tuple[str, float], measured: Measured) -> Candidate:
    """A method and its strength, as measured."""
    cosine, recall = measured.means()
    return Candidate(method=kind[0], regularisation=kind[1], cosine=cosine, recall_at_10=recall)
