"""Write docs/performance.md from what `python -m bench.kernels --json FILE` measured.

python -m bench.report_kernels FILE [--out docs/performance.md]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.kernels import cells

# Kernel → what keeps it from a figure that was asked for.
LIMITS = {
    "normalize, in place": (
        "Memory: ours and faiss' read and write every byte once; NumPy's idiom is slower by the bytes it moves in "
        "excess of that."
    ),
    "normalize, out=": (
        "Memory: nothing can be written sooner than it is copied; NumPy's idiom is slower by the bytes it moves in "
        "excess of that."
    ),
    "normalize to": "One pass reads four bytes and writes one or two: what limits it is the conversion of each value.",
    "project, float32": (
        "Multiply-adds: a loop of nothing else reaches about 250 GFLOP/s on a core like this, and OpenBLAS' product "
        "240. What is left to gain is NumPy's separate pass for the norms, which weighs less the deeper the matrix."
    ),
    "project, bfloat16": (
        "AVX512-BF16 doubles the multiply-adds of float32 and no more (460 GFLOP/s in a loop of nothing else): five "
        "times NumPy's float32 takes AMX. Three bfloat16 products for a nearly exact one would be slower than float32."
    ),
    "project one query": (
        "The matrix has to be read: 0.6 MB from the second-level cache at 384 dims, 2.4 MB from the third at 768, "
        "which gives about 100 GB/s to one core. A float16 matrix halves that; the call itself takes 0.6 µs."
    ),
    "merge_topk, batch": (
        "Which list is next can't be foretold, nor whether a key is written already: some 8 ns for each candidate "
        "taken. faiss looks for no keys that come twice."
    ),
    "rescore": "200 rows at random addresses: the latency of memory, hidden as far as asking ahead goes.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/performance.md"))
    options = parser.parse_args()
    options.out.write_text("\n".join(page(json.loads(options.file.read_text()))) + "\n")


def page(report: dict[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield from (
        "# Performance of the kernels",
        "",
        "Written by `python -m bench.report_kernels` from one run of `python -m bench.kernels --json FILE`.",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, instruction set {machine['instruction_set']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}, {versions}; commit {machine['commit']}.",
        "Contenders take turns, warm, with the same number of threads; times are medians. A ratio says how many times "
        "faster than the peer crossfade is, in brackets what is asked of it on a machine with AMX. The last column is "
        "the share of the machine's own ceiling, measured in the same run:",
        "",
        "| threads | copy, GB/s | float32, GFLOP/s (NumPy) | bfloat16, GFLOP/s (NumKong) |",
        "|---|---|---|---|",
    )
    for threads, ceilings in report["ceilings"].items():
        yield f"| {threads} | " + " | ".join(f"{value / 1e9:.0f}" for value in ceilings.values()) + " |"
    yield from ("", "| kernel | size | threads | time | beside | of the ceiling |", "|---|---|---|---|---|---|")
    for case in report["cases"]:
        yield "| " + " | ".join(cells(case)) + " |"
    yield from neighbours(report.get("neighbours", {}))
    yield from work(report["cases"])
    yield from limits(report["cases"])


def neighbours(kept: dict[str, float]) -> Iterator[str]:
    if kept:
        shares = ", ".join(f"{name} {share:.4f}" for name, share in kept.items())
        yield from ("", f"Share of a query's ten nearest documents that stay the same, real vectors: {shares}.")


def work(cases: list[dict[str, Any]]) -> Iterator[str]:
    """Bytes and operations of each case, once for all thread counts."""
    yield from ("", "## Work, counted by hand", "", "| kernel | size | MB moved | MFLOP |", "|---|---|---|---|")
    for case in cases:
        if case["threads"] == cases[0]["threads"]:
            moved, operations = case["bytes"] / 1e6, case["operations"] / 1e6
            yield f"| {case['kernel']} | {case['size']} | {moved:,.3g} | {operations:,.3g} |"


def limits(cases: list[dict[str, Any]]) -> Iterator[str]:
    """For each kernel that misses a figure, what limits it."""
    missed = {
        case["kernel"] for case in cases if any(case["ratios"][name] < asked for name, asked in case["asked"].items())
    }
    yield from ("", "## Figures not reached, and what limits them", "")
    for prefix, limit in LIMITS.items():
        if any(kernel.startswith(prefix) for kernel in missed):
            yield f"- **{prefix}**: {limit}"


if __name__ == "__main__":
    main()
