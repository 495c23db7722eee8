"""Write docs/performance.md from what `python -m bench.kernels --json FILE` measured.

python -m bench.report_kernels FILE [--out docs/performance.md] [--note TEXT]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.kernel_limits import LIMITS
from bench.kernel_plot import draw
from bench.kernels import cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/performance.md"))
    parser.add_argument("--note", default="", help="what else a reader must know of the run")
    options = parser.parse_args()
    report = json.loads(options.file.read_text())
    plot = options.out.with_suffix(".svg")
    options.out.write_text("\n".join(page(report, plot.name, options.note)) + "\n")
    draw(report, plot)


def page(report: dict[str, Any], plot: str, note: str = "") -> Iterator[str]:
    """The lines of the page; `plot` is the picture's name."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield from (
        "# Performance of the kernels",
        "",
        "Written by `python -m bench.report_kernels` from what `python -m bench.kernels --json FILE` measured, in "
        "one run for each commit named; later ones took the place of some kernels' figures.",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, instruction set {machine['instruction_set']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}, {versions}; commit {machine['commit']}.",
        "Contenders take turns, warm, with the same number of threads; times are medians. A ratio says how many times "
        "faster than the peer crossfade is; in brackets stands what is asked of it, on a machine with AMX. The "
        "last column "
        "is the share of the machine's own ceiling, measured in the same run:",
        "",
        *ceilings(report["ceilings"]),
        *(("", note) if note else ()),
        "",
        "| kernel | size | threads | time | beside | of the ceiling |",
        "|---|---|---|---|---|---|",
    )
    for case in report["cases"]:
        yield "| " + " | ".join(cells(case)) + " |"
    yield from ("", f"![rows a second by dims, beside the best peer and the ceiling]({plot})")
    yield from neighbours(report.get("neighbours", {}))
    if calls := report.get("concurrent_calls"):
        rates = ", ".join(f"{name} {rate:,.0f} a second" for name, rate in calls.items())
        yield from ("", f"Calls of `project` for 64 rows of 384 from Python's threads, all together: {rates}.")
    yield from work(report["cases"])
    yield from limits(report)


def ceilings(by_threads: dict[str, dict[str, float]]) -> Iterator[str]:
    """A line for each thread count."""
    yield (
        "| threads | copy, GB/s | float32 multiply-adds in registers, GFLOP/s | bfloat16 ones | NumPy's float32 "
        "product | "
        "NumKong's bfloat16 product |"
    )
    yield "|---|---|---|---|---|---|"
    for threads, values in by_threads.items():
        yield f"| {threads} | " + " | ".join(f"{value / 1e9:.0f}" for value in values.values()) + " |"


def neighbours(by_set: dict[str, dict[str, float]]) -> Iterator[str]:
    if not by_set:
        return
    names = list(next(iter(by_set.values())))
    yield from (
        "",
        "## Neighbours kept",
        "",
        "Share of a query's ten nearest documents, of real vectors carried over by a",
    )
    yield from ("Bridge, that stay the same when it is applied with less precision than float32:", "")
    yield from ("| set | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|")
    for name, kept in by_set.items():
        yield f"| {name} | " + " | ".join(f"{kept[it]:.4f}" for it in names) + " |"


def work(cases: list[dict[str, Any]]) -> Iterator[str]:
    """Bytes and operations of each case, once for all thread counts."""
    yield from ("", "## Work, counted by hand", "", "| kernel | size | MB moved | MFLOP |", "|---|---|---|---|")
    for case in cases:
        if case["threads"] == cases[0]["threads"]:
            moved, operations = case["bytes"] / 1e6, case["operations"] / 1e6
            yield f"| {case['kernel']} | {case['size']} | {moved:,.3g} | {operations:,.3g} |"


def limits(report: dict[str, Any]) -> Iterator[str]:
    """For each kernel that misses a figure, what limits it."""
    missed = [
        case
        for case in report["cases"]
        if any(case["ratios"][name] < asked for name, asked in case["asked"].items())
        or (case["most_seconds"] and case["median_seconds"]["crossfade"] > case["most_seconds"])
    ]
    yield from ("", "## Figures not reached on this machine, and what limits them", "")
    for prefix, limit in LIMITS.items():
        cases = [case for case in missed if case["kernel"].startswith(prefix)]
        if cases:
            yield f"- **{prefix}**: {limit(report, cases)}"


if __name__ == "__main__":
    main()
