"""Write docs/scale.md from what `python -m bench.scale --json FILE` measured.

python -m bench.report_scale FILE [--sealing FILE] [--out docs/scale.md]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.scale import ONE, TWO, WIDE, WIDE_ROWS


class Cost(NamedTuple):
    """One figure: its name in the report, what a reader calls it, what it grows with, and what is asked at 10⁶."""

    key: str
    title: str
    unit: str
    grows_with: str
    asked: dict[str, float]


GROWTHS: dict[str, Callable[[Any], Any]] = {"documents": np.asarray, "log(documents)": np.log}
COSTS = (
    Cost("open_seconds", "open to first search, after a kill", "s", "documents", {ONE: 1.0, TWO: 2.0}),
    Cost("first_open_seconds", "the same, comparing every checksum", "s", "documents", {}),
    Cost("anonymous_1", "anonymous memory, 1 process", "MB", "documents", {ONE: 48.0, TWO: 48.0}),
    Cost("anonymous_8", "anonymous memory, each of 8 processes", "MB", "documents", {ONE: 48.0, TWO: 48.0}),
    Cost("status_ms", "status", "ms", "log(documents)", {}),
    Cost("search_p50_ms", "search, median", "ms", "log(documents)", {}),
    Cost("search_p99_ms", "search, p99", "ms", "log(documents)", {}),
)
GUESSED = (10**7, 10**8)
STATED, MILLION = 5 * 10**6, 10**6
LINK_BYTES = 150  # a row, in a graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--sealing", type=Path, help="what bench.sealing measured")
    parser.add_argument("--out", type=Path, default=Path("docs/scale.md"))
    options = parser.parse_args()
    report = json.loads(options.file.read_text())
    lines = [*page(report), *(sealed(json.loads(options.sealing.read_text())) if options.sealing else ())]
    options.out.write_text("\n".join(lines) + "\n")
    draw(report, options.out.with_suffix(".svg"))


def page(report: dict[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield from (
        "# Scale",
        "",
        "Written by `python -m bench.report_scale` from what `python -m bench.scale --json FILE` measured: synthetic "
        "vectors of 384 dims as float16, every figure from a fresh process with a warm cache of files, a writer killed "
        "before every opening. With two versions both are whole, the migration is not cut over, and a search asks "
        "both. Memory is what a process holds beyond an open collection of ten documents "
        f"({report['floor_bytes'] / 1e6:.0f} MB with Python and NumPy); pages of mapped files, which are shared, are "
        "left out.",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, instruction set {machine['instruction_set']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}, {versions}; commit {machine['commit']}.",
        "",
        "![costs by the number of documents](scale.svg)",
    )
    for state in (ONE, TWO):
        yield from table(report, state)
    yield from wide(report)


def table(report: dict[str, Any], state: str) -> Iterator[str]:
    """Measured at each size, the fit, and what it says of larger ones."""
    measured = [row["documents"] for row in report["sizes"]]
    yield from ("", f"## {state.capitalize()}", "")
    heads = [f"{n:,}" for n in measured] + ["fit", "10⁷, extrapolated", "10⁸, a guess"]
    yield "| cost | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    for cost in COSTS:
        fixed, slope = fit(report, state, cost)
        cells = [f"{value:.3g}{met(cost, state, n, value)}" for n, value in points(report, state, cost)]
        cells += [f"{fixed:.3g} + {slope:.3g} · {cost.grows_with}"]
        cells += [f"{at(cost, (fixed, slope), n):.3g}" for n in GUESSED]
        yield f"| {cost.title}, {cost.unit} | " + " | ".join(cells) + " |"
    growth = [row[state]["disk_bytes_per_document"] for row in report["sizes"]]
    yield f"| disk, bytes a document | {' | '.join(map(str, growth))} |  |  |  |"


def met(cost: Cost, state: str, size: int, value: float) -> str:
    """What is asked, beside the figure it is asked of; of memory it is bytes a document."""
    if size != MILLION or state not in cost.asked:
        return ""
    asked = cost.asked[state] * (size / 1e6 if cost.unit == "MB" else 1.0)
    return f" (asked ≤ {asked:g}{'' if value <= asked else ', **missed**'})"


def wide(report: dict[str, Any]) -> Iterator[str]:
    """Opening and memory hardly depend on the width of rows, so that they can be stated for wider ones."""
    opening, memory = COSTS[0], COSTS[2]
    both = [(row["documents"], row[ONE], row[WIDE_ROWS]) for row in report["sizes"] if WIDE_ROWS in row]
    yield from ("", "## Rows of 1,536 dims", "", "| documents | dims | open, s | memory, MB | search, median, ms |")
    yield "|---|---|---|---|---|"
    for size, narrow, broad in both:
        for dims, found in (("384", narrow), ("1,536", broad)):
            row = found["open_seconds"], value(found, memory, size), found["search_p50_ms"]
            yield f"| {size:,} | {dims} | " + " | ".join(f"{it:.3g}" for it in row) + " |"
    restart = [at(opening, fit(report, state, opening), STATED) for state in (ONE, TWO)]
    held = [at(memory, fit(report, state, memory), STATED) for state in (ONE, TWO)]
    yield from (
        "",
        "A start looks at keys and links, and at the rows of segments whose codes (docs/decisions/0012) take at most "
        "8 MiB, of which a version has four at most. Beyond that no width matters to it, nor to what a process holds, "
        "so the fits above hold for any: 5·10⁶ documents × 1,536 dims restart in "
        f"{restart[0]:.1f} s with one version and {restart[1]:.1f} s with two, and a process holds {held[0]:.0f} MB "
        f"and {held[1]:.0f} MB of anonymous memory (extrapolated). The mapped files are "
        f"{2 * STATED * WIDE / 1e9:.0f} GB of rows and {STATED * (WIDE + LINK_BYTES) / 1e9:.0f} GB of segments a "
        "version, whose graphs keep int8; searches are as fast as above only where the machine can cache what they "
        "touch.",
    )


def sealed(report: dict[str, Any]) -> Iterator[str]:
    """What searches pay while a segment is built."""
    ran = f"python -m bench.sealing --documents {report['documents']} --turns {len(report['turns'])}"
    yield from (
        "",
        "## While a segment is built",
        "",
        f"`{ran}`, commit {report['machine']['commit']}: searches in ms with the longest tail that "
        "is not sealed yet, and while a thread of the same process builds a segment of it, in the last turn of all "
        "documents. The longest ones are usearch's: it holds the interpreter's lock while it reads the segment that is "
        "added to, and while it writes.",
        "",
        "| documents | before: median | p99 | longest | while building: median | p99 | longest |",
        "|---|---|---|---|---|---|---|",
    )
    for turn in report["turns"]:
        cells = [turn[when][name] for when in ("idle_ms", "building_ms") for name in ("p50", "p99", "max")]
        yield f"| {turn['documents']:,} | " + " | ".join(map(str, cells)) + " |"


def points(report: dict[str, Any], state: str, cost: Cost) -> list[tuple[int, float]]:
    return [(row["documents"], value(row[state], cost, row["documents"])) for row in report["sizes"] if state in row]


def value(found: dict[str, float], cost: Cost, size: int) -> float:
    if cost.unit == "MB":
        return found[f"anonymous_bytes_{cost.key[-1]}"] * size / 1e6
    return found[cost.key]


def fit(report: dict[str, Any], state: str, cost: Cost) -> tuple[float, float]:
    """Fixed part and slope, by least squares of the relative errors."""
    sizes, values = np.array(points(report, state, cost), np.float64).T
    design = np.stack([np.ones_like(sizes), GROWTHS[cost.grows_with](sizes)], axis=1) / values[:, None]
    fixed, slope = np.linalg.lstsq(design, np.ones_like(sizes), rcond=None)[0]
    if slope < 0.0:  # it does not grow
        return float(np.median(values)), 0.0
    return float(fixed), float(slope)


def at(cost: Cost, fitted: tuple[float, float], size: float) -> float:
    return fitted[0] + fitted[1] * float(GROWTHS[cost.grows_with](size))


def draw(report: dict[str, Any], path: Path) -> None:
    """Writes an SVG: a panel for each cost, points as measured, lines as fitted, dashed where nothing was measured."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "crossfade"
    import matplotlib.pyplot as plt

    shown = [cost for cost in COSTS if cost.key in ("open_seconds", "anonymous_1", "search_p50_ms", "status_ms")]
    figure, axes = plt.subplots(1, len(shown), figsize=(3.6 * len(shown), 3.2))
    for axis, cost in zip(axes, shown, strict=True):
        for state, color in ((ONE, "tab:blue"), (TWO, "tab:orange")):
            sizes, values = zip(*points(report, state, cost), strict=True)
            axis.plot(sizes, values, "o", color=color, label=state)
            fitted = fit(report, state, cost)
            for grid, style in ((np.geomspace(sizes[0], sizes[-1]), "-"), (np.geomspace(sizes[-1], 1e8), ":")):
                axis.plot(grid, [at(cost, fitted, size) for size in grid], style, color=color)
        axis.set_xscale("log")
        axis.set_yscale("log" if cost.grows_with == "documents" else "linear")
        axis.set_title(f"{cost.title}, {cost.unit}", fontsize=8)
        axis.set_xlabel("documents", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
