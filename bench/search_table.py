"""The tables of `bench.search`.

    python -m bench.search_table FILE [--out docs/search.md]

writes the page from what `python -m bench.search --json FILE` measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.search_data import SHARES

ASKED = 1.3  # times two plain searches, at most
RESAMPLED = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/search.md"))
    options = parser.parse_args()
    lines = [*HEAD]
    for file in options.files:
        lines += ["", *table(json.loads(file.read_text()))]
    options.out.write_text("\n".join(lines) + "\n")


HEAD = (
    "# What a search costs during a migration",
    "",
    "Written by `python -m bench.search_table` from what `python -m bench.search --json FILE` measured. A whole search "
    "(both versions asked, all scores exact, documents fetched; encoding aside) stands beside the two plain usearch "
    "searches it can't do without: one index of each version's rows, asked for 100 rows with the least expansion that "
    f"finds 95 % of the true 100, in turns. Asked is at most {ASKED} times as long. The plain ones keep float16, as "
    "their scores are what they answer with; crossfade's graphs, which only propose, keep int8 (docs/decisions/0010), "
    "and a kernel walks them from the rows with the nearest codes (docs/decisions/0011, 0012). "
    "Real rows are dearer than synthetic ones: where many texts are nearly the same, graphs are asked until they find "
    "97 % of what is nearest to stand-ins for queries, which is 99 % for real ones, the plain ones 95 %; and known "
    "errors are carried over between documents alike. [search-avx2.md](search-avx2.md) has an earlier commit on a "
    "processor without AVX-512.",
)


def table(report: dict[str, Any]) -> Iterator[str]:
    """What is printed, and written into the documentation."""
    facts = report["machine"]
    yield from (
        f"{facts['cpu']}, {facts['cores']} cores, instruction set {facts['instruction_set']}, Python "
        f"{facts['python']}, usearch {facts['versions']['usearch']}, commit {facts['commit']}, load "
        f"average {report['load']} before it began; "
        f"{report['documents']:,} documents, "
        f"{report['rows']} rows of {report['dims'][0]} and {report['dims'][1]} values.",
        "",
        "| new vectors | clients | search p50, ms | two plain | ratio | p99, ms | two plain | ratio | searches/s "
        "| two plain |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for share, found in report["shares"].items():
        first = found["first time"]
        yield line(f"{share} %", "1, new queries", f"{first['p50']:.2f}", "", "", f"{first['p99']:.2f}", *[""] * 4)
        for clients in (1, 2, 8):
            row = found[f"{clients} clients"]
            whole, plain, rate = row["whole"], row["plain"], row["a second"]
            cells = [f"{share} %", clients]
            for at in ("p50", "p99"):
                cells += [f"{whole[at]:.2f}", f"{plain[at]:.2f}", f"{whole[at] / plain[at]:.2f}"]
            yield line(*cells, f"{rate['whole']:.0f}", f"{rate['plain']:.0f}")
    encoders = ", ".join(f"{name} {it['p50']:.2f} ms (p99 {it['p99']:.2f})" for name, it in report["encoding"].items())
    if encoders:
        yield from ("", f"Encoding a query, not in these figures: {encoders}.")
    yield from logs(report)
    yield from recalls(report)
    yield from filters(report)


def logs(report: dict[str, Any]) -> Iterator[str]:
    """What the log of searches costs them."""
    yield from (
        "",
        "With the log of searches and without, by pairs of turns of 10 s; and, as turns differ by what else the "
        "machine does, all searches of the turns with the log beside those of them that met no write of it.",
        "",
        "| new vectors | logged p50, ms | not logged | ratio by pairs | logged p99, ms | not logged | ratio by pairs "
        "| pairs | met a write | all / the others: p50 | p99 | the note alone p50, µs | p99, µs |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    )
    logs = {f"{share} %": found["log"] for share, found in report["shares"].items()}
    for share, log in logs.items():
        cells: list[object] = [share]
        for at in ("p50", "p99"):
            cells += [f"{log['with'][at]:.2f}", f"{log['without'][at]:.2f}", interval(log["ratios"][at])]
        cells += [len(log["ratios"]["p99"]), f"{log['met']:.2%}"]
        cells += [f"{ratio:.4f} ({low:.4f} to {high:.4f})" for ratio, low, high in log["met ratio"].values()]
        yield line(*cells, log["note"]["p50"], log["note"]["p99"])
    together = {at: [ratio for log in logs.values() for ratio in log["ratios"][at]] for at in ("p50", "p99")}
    cells = ["together", "", "", interval(together["p50"]), "", "", interval(together["p99"]), len(together["p99"])]
    yield line(*cells, *[""] * 5)


def interval(ratios: Sequence[float]) -> str:
    """The mean of the middle half, and its 95 % interval from resampled ratios.

    Turns in which the machine was busy with something else are left out so; a median would leave out most others too.
    """
    drawn = np.random.default_rng(0).choice(ratios, (RESAMPLED, len(ratios)))
    low, high = np.quantile(middle(drawn), (0.025, 0.975))
    return f"{middle(np.array([ratios]))[0]:.3f} ({low:.3f} to {high:.3f})"


def middle(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each row, the mean of the middle half."""
    quarter = values.shape[1] // 4
    found: npt.NDArray[np.float64] = np.sort(values, axis=1)[:, quarter : values.shape[1] - quarter].mean(axis=1)
    return found


def recalls(report: dict[str, Any]) -> Iterator[str]:
    yield from (
        "",
        "| new vectors | version | segments | tail | candidate recall@100 | 4 segments, a tail of 8,192 | plain "
        "| expansion |",
        "|---|---|---|---|---|---|---|---|",
    )
    for share, found in report["shares"].items():
        for number, name in enumerate(("old", "new")):
            plain, pieces = found["plain"][number], found.get("in pieces")
            yield line(
                f"{share} %",
                name,
                found["segments"][number],
                f"{found['tail'][number]:,}",
                f"{found['recall'][number]:.3f}",
                f"{pieces['recall'][number]:.3f}" if pieces else "",
                f"{plain['recall']:.3f}",
                plain["expansion"],
            )


def filters(report: dict[str, Any]) -> Iterator[str]:
    yield from ("", "| new vectors | selectivity | recall@10 | p50, ms | p99, ms |", "|---|---|---|---|---|")
    for share, found in report["shares"].items():
        for percent in SHARES:
            row = found["filters"][str(percent)]
            yield line(f"{share} %", f"{percent:g} %", f"{row['recall']:.3f}", row["p50"], row["p99"])


def line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
