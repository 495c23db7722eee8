"""What the tables about runs of `bench.fade` have in common."""

from __future__ import annotations

from typing import Any

MODELS = {"minilm-l3": "L3", "minilm-l6": "L6"}
LEAST_GAIN = 0.01  # of the new model: below it there is no upgrade to have a share of


def title(report: dict[str, Any]) -> str:
    old, new = (MODELS.get(report["models"][which], report["models"][which]) for which in ("old", "new"))
    names = {"scifact": "SciFact"}
    return f"{names.get(report['data'], report['data'].capitalize())}, {old} → {new}"


def is_upgrade(report: dict[str, Any]) -> bool:
    return bool(report["new"]["ndcg10"] - report["old"]["ndcg10"] >= LEAST_GAIN)


def cell(value: float, asked: float | None, how: str) -> str:
    """A figure, and whether it is what is asked."""
    if asked is None:
        return f"{value:{how}}"
    return f"{value:{how}}{'' if value >= asked else f' (asked {asked:{how}}, **missed**)'}"
