"""Documents a second of every contender, a panel for each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(reports: list[dict[str, Any]], path: Path) -> None:
    """Writes an SVG of horizontal bars; hatched ones failed the gate."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "crossfade"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(reports), figsize=(6.5 * len(reports), 4.2), squeeze=False)
    for axis, report in zip(axes[0], reports, strict=True):
        panel(axis, report)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def panel(axis: Any, report: dict[str, Any]) -> None:
    shown = [result for result in report["contenders"] if "not_available" not in result]
    shown.sort(key=lambda result: result["tokens_per_second"])
    tokens = report["contenders"][0]["tokens"] / report["contenders"][0]["documents"]
    for place, result in enumerate(shown):
        failed = not result.get("fidelity", {"passed": True})["passed"]
        color = "tab:blue" if result["name"].startswith("crossfade") else "lightgrey"
        value = result["tokens_per_second"] / tokens
        axis.barh(place, value, color=color, hatch="//" if failed else None, edgecolor="grey")
        axis.text(value, place, f" {value:.1f}", va="center", fontsize=7)
    axis.set_yticks(range(len(shown)), [result["name"] for result in shown], fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(f"documents of {tokens:.0f} tokens a second", fontsize=8)
    axis.set_title(f"{report['model']}, {report['threads']} thread(s), {report['texts']}", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
