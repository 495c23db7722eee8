"""Rows a second against dims, beside the best peer, with the machine's ceiling drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHOWN = ("normalize, in place", "normalize, out=", "project, float32", "project, bfloat16")


def draw(report: dict[str, Any], path: Path) -> None:
    """Writes an SVG: a column for each kernel, a row for each thread count."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "crossfade"
    import matplotlib.pyplot as plt

    counts = list(report["ceilings"])
    figure, axes = plt.subplots(
        len(counts), len(SHOWN), figsize=(3.4 * len(SHOWN), 3.0 * len(counts)), sharex=True, squeeze=False
    )
    for line, threads in zip(axes, counts, strict=True):
        for axis, kernel in zip(line, SHOWN, strict=True):
            cases = [it for it in report["cases"] if it["kernel"] == kernel and str(it["threads"]) == threads]
            panel(axis, cases, report["ceilings"][threads])
            axis.set_title(f"{kernel}, {threads} thread{'s' * (threads != '1')}", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("dims", fontsize=8)
    for line in axes:
        line[0].set_ylabel("million rows a second", fontsize=8)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def panel(axis: Any, cases: list[dict[str, Any]], ceilings: dict[str, float]) -> None:
    sizes = [case["size"].replace(",", "").split(" × ") for case in cases]
    n, dims = [int(size[0]) for size in sizes], [int(size[1]) for size in sizes]

    def plot(seconds: list[float], *style: Any, **words: Any) -> None:
        axis.plot(dims, [count / 1e6 / it for count, it in zip(n, seconds, strict=True)], *style, **words)

    bound = [case["bytes"] / ceilings["copy"] for case in cases]
    if cases and cases[0]["ceiling"] != "copy":
        bound = [max(it, case["operations"] / ceilings[case["ceiling"]]) for it, case in zip(bound, cases, strict=True)]
    plot(bound, "--", color="grey", label="ceiling")
    plot([case["median_seconds"]["crossfade"] for case in cases], "o-", label="crossfade")
    plot(
        [min(t for name, t in it["median_seconds"].items() if name not in ("crossfade", "copy")) for it in cases],
        "s-",
        label="best peer",
    )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(dims, [str(d) for d in dims], fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(alpha=0.3, which="both")
