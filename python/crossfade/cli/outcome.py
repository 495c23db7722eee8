"""Outcome: what the demo measured, as plain values and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from crossfade.cli.load import Latency

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

BEFORE, DURING, AFTER = "before", "during", "after"


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """What was measured when a share of the documents had new vectors.

    Args:
        share: Of the documents, 0 to 1.
        ndcg: Mean nDCG@10 over all questions.
        p50_ms: Median latency of the searches since the last point.
        p99_ms: 99th percentile of the same.
    """

    share: float
    ndcg: float
    p50_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the demo found.

    Args:
        documents: How many were indexed and re-embedded.
        questions: How many quality was measured with.
        searches: Searches of the load that were answered.
        failures: Why searches of the load failed, one line each.
        ndcg_old: Mean nDCG@10 before the migration.
        ndcg_new: Mean nDCG@10 after the cutover.
        rollback_identical: Whether a rollback gave the old rankings back, every one.
        points: Measured at fixed shares, before the cutover.
        phases: Latency of the load before, during and after. Searches sent while quality was measured are
            left out, since the measuring itself takes the processor.
        docs_per_second: Re-embedded under the load, the fit included.
        seconds: Of the whole demo, fetching the models included.
        seed: Of the choice of questions and of the load.
        machine: What it was measured on.
    """

    documents: int
    questions: int
    searches: int
    failures: tuple[str, ...]
    ndcg_old: float
    ndcg_new: float
    rollback_identical: bool
    points: tuple[Point, ...]
    phases: dict[str, Latency]
    docs_per_second: float
    seconds: float
    seed: int
    machine: str

    @property
    def worst(self) -> float:
        """The lowest mean nDCG@10 at any share."""
        return min(point.ndcg for point in self.points)

    @property
    def held(self) -> bool:
        """Whether no search failed, no share was worse than the old model, and the rollback was exact."""
        return not self.failures and self.worst >= self.ndcg_old and self.rollback_identical

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        during = self.phases[DURING]
        return {
            "documents": self.documents,
            "failed_searches": len(self.failures),
            "ndcg_old": round(self.ndcg_old, 4),
            "ndcg_worst_during": round(self.worst, 4),
            "ndcg_new": round(self.ndcg_new, 4),
            "search_p50_ms": round(during.p50_ms, 2),
            "search_p99_ms": round(during.p99_ms, 2),
            "seconds": round(self.seconds, 1),
            "questions": self.questions,
            "searches": self.searches,
            "first_failure": self.failures[0] if self.failures else None,
            "docs_per_second": round(self.docs_per_second, 1),
            "rollback_identical": self.rollback_identical,
            "held": self.held,
            "seed": self.seed,
            "machine": self.machine,
            "shares": [dataclasses.asdict(point) for point in self.points],
            "phases": {name: dataclasses.asdict(latency) for name, latency in self.phases.items()},
        }


def shown(outcome: Outcome) -> Iterator[RenderableType]:
    """What people read at the end: the shares, the numbers, and a sentence that says whether it held."""
    yield _shares(outcome)
    yield _numbers(outcome)
    yield _verdict(outcome)
    yield f"{outcome.questions:,} questions, seed {outcome.seed}; {outcome.machine}"


def _shares(outcome: Outcome) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("re-embedded", "nDCG@10", "p50 ms", "p99 ms", box=SIMPLE)
    for point in outcome.points:
        timed = (f"{point.p50_ms:.1f}", f"{point.p99_ms:.1f}") if point.p50_ms else ("–", "–")
        table.add_row(f"{point.share:.0%}", f"{point.ndcg:.4f}", *timed)
    return table


def _numbers(outcome: Outcome) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(show_header=False, box=SIMPLE)
    table.add_row("documents", f"{outcome.documents:,}, {outcome.docs_per_second:.0f} re-embedded a second")
    table.add_row("searches answered", f"{outcome.searches:,}")
    table.add_row("searches failed", f"{len(outcome.failures):,}")
    quality = f"{outcome.ndcg_old:.4f} / {outcome.worst:.4f} / {outcome.ndcg_new:.4f}"
    table.add_row("nDCG@10 old / worst during / new", quality)
    for phase in (BEFORE, DURING, AFTER):
        latency = outcome.phases[phase]
        table.add_row(f"latency {phase}", f"p50 {latency.p50_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms")
    table.add_row("old rankings after rollback", "identical" if outcome.rollback_identical else "DIFFERENT")
    table.add_row("seconds", f"{outcome.seconds:.0f}")
    return table


def _verdict(outcome: Outcome) -> str:
    if outcome.held:
        return "Every search was answered, no share was worse than the old model, and the way back was exact."
    wrong = []
    if outcome.failures:
        wrong.append(f"{len(outcome.failures):,} searches failed, the first with: {outcome.failures[0]}")
    if outcome.worst < outcome.ndcg_old:
        wrong.append(f"nDCG@10 fell to {outcome.worst:.4f}, below the old model's {outcome.ndcg_old:.4f}")
    if not outcome.rollback_identical:
        wrong.append("after the rollback some rankings were not the old ones")
    return f"This did not hold: {'; '.join(wrong)}."
