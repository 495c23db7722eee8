"""Write the figures of docs/reliability.md from what `make faults` and `python -m bench.cutover --json FILE` found.

python -m bench.report_reliability build/faults.json [--cutover FILE] [--page docs/reliability.md]

The page keeps its words; what stands between the two marks is written anew.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Report = dict[str, Any]
Figures = Counter[str]
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def _kills(figures: Figures) -> str:
    inside = sum(count for name, count in figures.items() if name.startswith("kills inside"))
    return f"{figures['kills']:,} kills, {inside / max(1, figures['kills']):.0%} inside publish and cutover"


def _count(name: str, words: str) -> Callable[[Figures], str]:
    return lambda figures: f"{figures[name]:,} {words}"


# What was done, the parts of the suite that do it (their names begin so), and how it is counted.
ROWS: tuple[tuple[str, str, Callable[[Figures], str]], ...] = (
    ("SIGKILL at random moments, aimed at publish and cutover", "random kills", _kills),
    ("SIGKILL at every system call of an operation", "kills everywhere", _count("points", "calls")),
    ("a commit that fails, SIGKILL at every call of the next try", "EIO, then kills", _count("points", "calls")),
    ("EIO, once, at every write, sync and change of names", "EIO everywhere", _count("errors", "calls")),
    ("EIO from one of these on", "lasting EIO everywhere", _count("errors", "calls")),
    ("ENOSPC, once, at every write and change of names", "ENOSPC everywhere", _count("errors", "calls")),
    ("EIO at every read of an open, a search, an operation", "EIO on reads", _count("errors of reads", "calls")),
    ("EIO from one of these on", "lasting EIO on reads", _count("errors of reads", "calls")),
    ("power lost after a system call, unsynced data dropped", "power", _count("losses of power", "losses")),
    ("a file cut, altered, exchanged, emptied or gone", "damage", _count("mutations", "damages")),
    ("few descriptors", "descriptors", _count("starved", "limits")),
    ("little memory", "memory", _count("starved", "limits")),
    ("a disk that fills up and gets space again", "full disk", _count("operations until the disk was full", "writes")),
    ("a clock that jumps before every operation", "clock", _count("operations", "operations")),
    ("histories without a fault", "history", _count("operations", "operations")),
    (
        "a state machine over collection and migration, with crashes",
        "any order",
        lambda figures: (
            f"{figures['steps of the state machine']:,} steps, {figures['crashes of the state machine']:,} crashes"
        ),
    ),
    (
        "a rule of the protocol broken on purpose",
        "seeded bug",
        lambda figures: f"{figures['seeded bugs found']} of {figures['seeded bugs']} found",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what `make faults` wrote")
    parser.add_argument("--cutover", type=Path, help="what `python -m bench.cutover --json FILE` measured")
    parser.add_argument("--page", type=Path, default=Path("docs/reliability.md"))
    options = parser.parse_args()
    cutover = json.loads(options.cutover.read_text()) if options.cutover else None
    words = options.page.read_text()
    before, after = words.partition(BEGIN)[0], words.partition(END)[2]
    found = figures(json.loads(options.file.read_text()), cutover)
    lines = "\n".join(line if line.startswith("|") else textwrap.fill(line, 120) for line in found)
    options.page.write_text(f"{before}{BEGIN}\n\n{lines}\n\n{END}{after}")


def figures(report: Report, cutover: Report | None) -> Iterator[str]:
    """The lines between the marks."""
    parts, machine = report["parts"], report["machine"]
    commits = dict.fromkeys(part["commit"] for part in parts.values())
    dates = sorted(part["date"] for part in parts.values())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    asked = report["asked"]
    yield (
        f"Written by `python -m bench.report_reliability` from `make faults KILLS={asked['kills']} "
        f"MUTATIONS={asked['mutations']} STEPS={asked['steps']}`, {dates[0][:10]}, commit {', '.join(commits)}."
    )
    system = f"Linux {machine['kernel']}, Python {machine['python']}"
    yield f"{machine['cpu']}, {machine['cores']} cores, {system}, {versions}."
    yield from ("", "| what was done | part | how often | violations | minutes |", "|---|---|---|---|---|")
    for what, name, counted in ROWS:
        mine = [part for key, part in parts.items() if key.startswith(name)]
        if mine:
            violations = sum(len(part["violations"]) for part in mine)
            minutes = sum(part["seconds"] for part in mine) / 60
            yield f"| {what} | `{name}` | {counted(_sum(mine))} | {violations} | {minutes:.1f} |"
    everything = _sum(list(parts.values()))
    if (steps := everything["steps of the state machine"]) < asked["steps"]:
        yield from ("", f"Not complete: {steps:,} of {asked['steps']:,} steps of the state machine so far.")
    yield from (
        "",
        f"{everything['checks']:,} times a checker compared the whole collection with the model; "
        f"{everything['kills']:,} processes were killed in all. What came of the damaged files:",
        "",
        *_damages(everything),
    )
    if cutover:
        yield from _cutovers(cutover)


def _sum(parts: list[Report]) -> Figures:
    return sum((Counter(part["figures"]) for part in parts), Counter[str]())


def _cutovers(found: Report) -> Iterator[str]:
    """A row for each number of readers."""
    machine = found["machine"]
    yield from (
        "",
        f"`python -m bench.cutover`, commit {machine['commit']}, {machine['cores']} cores: one process cuts over and "
        "rolls back while others search. Wrong is an error, an answer that mixes versions or differs from the expected "
        "one, and one from before a switch whose search began after it. The first answer from after a switch comes as "
        "late as the reader's own search and its wait for a core take.",
        "",
        "| readers | switches | searches | wrong | first answer after: median, p99, ms | longest search at a switch, "
        "elsewhere, ms | computing |",
        "|---|---|---|---|---|---|---|",
    )
    for run in (*found["fewer_readers"], found):
        wrong = run["errors"] + run["mixed"] + run["wrong"] + run["stale"]
        seen, taken, computing = run["visible_ms"], run["search_ms"], run["search_cpu_ms"]
        cells = [f"{run[name]:,}" for name in ("readers", "switches", "queries")] + [str(wrong)]
        cells += [f"{seen['p50']:.1f}, {seen['p99']:.1f}"]
        cells += [f"{it['at_a_switch']['max']:.1f}, {it['elsewhere']['max']:.1f}" for it in (taken, computing)]
        yield f"| {' | '.join(cells)} |"


def _damages(counted: Figures) -> Iterator[str]:
    """By kind of file, how often its damage was refused, and how often the answers were right all the same."""
    found: dict[str, Counter[str]] = {}
    for name, count in counted.items():
        if name.startswith("mutations of "):
            kind, _, result = name.removeprefix("mutations of ").rpartition(", ")
            found.setdefault(kind, Counter())[result] += count
    yield from ("| file | answers right | refused | answers differ |", "|---|---|---|---|")
    for kind, results in sorted(found.items()):
        yield f"| `{kind}` | {results['right']:,} | {results['refused']:,} | {results['differs']:,} |"


if __name__ == "__main__":
    main()
