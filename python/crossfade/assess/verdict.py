"""Verdict: whether to migrate, how, by which rule, and what would change that."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

from .curves import Point
from .evidence import plain
from .thresholds import Thresholds

Decision: TypeAlias = Literal["go", "stay", "not enough evidence", "nothing to do"]
Strategy: TypeAlias = Literal["stay", "bridge only", "on-read", "dual index", "bulk"]


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
        commands: Commands of a shell that carry it out; empty where the new encoder has no name to load it by.
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
