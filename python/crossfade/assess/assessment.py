"""Assessment: everything that was found out about a new model, and the verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from crossfade.space import Space

from .curves import Point
from .evidence import Evidence, plain
from .facts import Facts
from .pilot import Pilot
from .quality import Quality
from .verdict import Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assessment:
    """What `Collection.assess` found.

    Args:
        path: The collection's folder.
        made_at: When, in Unix seconds.
        old, new: The Spaces of the live version and of the new model.
        encoder: The name that the new model is loaded by; None for callables and services.
        facts: What needs no queries: changes, neighbourhoods, vocabulary, price.
        quality: What queries say; None where none were asked, and `verdict.rule` says why.
        evidence: The numbers that matter most, from both.
        verdict: What to do.
        curves: By order, what is expected at each share.
        pilot: The part of a migration that was made to measure; None where none was.
    """

    path: str
    made_at: float
    old: Space
    new: Space
    encoder: str | None
    facts: Facts
    quality: Quality | None
    evidence: tuple[Evidence, ...]
    verdict: Verdict
    curves: Mapping[str, tuple[Point, ...]]
    pilot: Pilot | None = None

    @property
    def provisional(self) -> bool:
        """Whether its quality was measured with queries that were made from documents."""
        return self.quality is not None and self.quality.provisional

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "made_at": self.made_at,
            "old": self.old.to_dict(),
            "new": self.new.to_dict(),
            "encoder": self.encoder,
            "provisional": self.provisional,
            "verdict": self.verdict.to_dict(),
            "evidence": [item.to_dict() for item in self.evidence],
            "facts": self.facts.to_dict(),
            "quality": self.quality.to_dict() if self.quality else None,
            "curves": {order: [plain(point) for point in points] for order, points in self.curves.items()},
            "pilot": plain(self.pilot),
        }

    def __repr__(self) -> str:
        return f"Assessment({self.old.model} → {self.new.model}: {self.verdict})"
