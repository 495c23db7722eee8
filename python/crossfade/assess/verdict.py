"""Verdict: whether to migrate, how, by which rule, and what would change that."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

from .curves import Point
from .evidence import plain

Decision: TypeAlias = Literal["go", "stay", "not enough evidence", "nothing to do"]
Strategy: TypeAlias = Literal["stay", "bridge only", "on-read", "dual index", "bulk"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What decides.

    Args:
        min_lift: Least lift of the first metric that is worth a migration, as a share of the old model's value. With 0 the
            new model only has not to be worse by more than `margin`: for those who must leave the old one.
        margin: What may be lost in any metric, as a share of the old model's value.
        significance: Level of the tests.
        least_queries: With fewer queries nothing is decided by them.
        window_seconds: A fill that takes no longer goes into a maintenance window.
        max_seconds: What a fill may take; None for as long as it takes.
        max_money: What it may cost; None for whatever it costs.
    """

    min_lift: float = 0.05
    margin: float = 0.02
    significance: float = 0.05
    least_queries: int = 30
    window_seconds: float = 900.0
    max_seconds: float | None = None
    max_money: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do.

    Args:
        decision: "go", "stay", "not enough evidence" or "nothing to do".
        strategy: "stay", "bridge only", "on-read", "dual index" (a background fill, hot documents first) or "bulk" (at
            once, in a maintenance window). Where there is not enough evidence, the one that a "go" would lead to.
        rule: The rule that decided, in one line with its numbers.
        strategy_rule: The rule that chose the strategy, likewise.
        reasons: What speaks for the decision, a line each.
        reservations: What to mind beside it, a line each: slices that lose, biases, made queries.
        would_change: What would change the decision, a line each.
        commands: Commands of a shell that carry the strategy out; empty where the new encoder has no name to load it by.
        code: The same in Python, with `docs` and `new` as in `docs.assess(new)`.
        end_state: Where the strategy ends.
        order: What is re-embedded first, as `Collection.migrate` takes it.
        provisional: Whether it rests on queries that were made from documents.
        thresholds: What decided.
        curve: The expected quality over time and money, in that order; empty for "stay" and "nothing to do".
    """

    decision: Decision
    strategy: Strategy
    rule: str
    strategy_rule: str
    reasons: tuple[str, ...]
    reservations: tuple[str, ...]
    would_change: tuple[str, ...]
    commands: tuple[str, ...]
    code: tuple[str, ...]
    end_state: str
    order: str
    provisional: bool
    thresholds: Thresholds
    curve: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = plain(self)
        return found

    def __str__(self) -> str:
        how = f", {self.strategy}" if self.strategy != "stay" else ""
        return f"{self.decision}{how}{' (provisional)' if self.provisional else ''}: {self.rule}"
