"""The long form of the fault suite: `python -m faults --kills 1000 --mutations 10000`; figures as JSON at the end."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from faults import bugs
from faults.nursery import Nursery
from faults.suite import Suite, finds
from faults.tracing import strace

AIMED = ("seal", "cutover", "rollback", "upsert", "delete", "migrate", "fill", "fit", "prune", "abandon", "metadata")
Part = Callable[[Suite], object]


def parts(kills: int, mutations: int) -> dict[str, Part]:
    """The long form's parts by name; those that need strace are left out where it is not installed."""
    chosen: dict[str, Part] = {
        f"history {seed}": lambda suite, seed=seed: suite.walk(seed, 200) for seed in range(100, 103)
    }
    chosen |= {f"clock {seed}": lambda suite, seed=seed: suite.walk(seed, 100, clock=True) for seed in (200, 201)}
    chosen |= {
        f"random kills {place}": lambda suite, place=place: suite.kill_at_random(kills // 4, seed=10_000 * place + 7)
        for place in range(4)
    }
    chosen |= {
        f"damage {place}": lambda suite, place=place: suite.damage_files(mutations // 4, seed=place + 1)
        for place in range(4)
    }
    chosen["descriptors"] = lambda suite: suite.starve("upsert", "NOFILE", range(8, 60))
    chosen["memory"] = lambda suite: suite.starve("fit", "AS", range(0, 64 << 20, 2 << 20))
    chosen["a full disk"] = lambda suite: suite.fill_the_disk(1_500_000)
    if strace():
        for kind in AIMED:
            chosen[f"kills everywhere: {kind}"] = lambda suite, kind=kind: suite.kill_everywhere(kind)
            chosen[f"EIO everywhere: {kind}"] = lambda suite, kind=kind: suite.fail_everywhere(kind, "EIO")
            chosen[f"ENOSPC everywhere: {kind}"] = lambda suite, kind=kind: suite.fail_everywhere(kind, "ENOSPC")
            chosen[f"lasting EIO: {kind}"] = lambda suite, kind=kind: suite.fail_everywhere(kind, "EIO", lasting=True)
            chosen[f"power: {kind}"] = lambda suite, kind=kind: suite.lose_power(kind, 1 if kind == "seal" else 4, 4)
        chosen["EIO, then kills"] = lambda suite: suite.fail_and_kill("upsert")
        chosen["power: create"] = lambda suite: suite.lose_power_while_creating(4)
    return chosen


def run(name: str, part: Part) -> tuple[str, Counter[str], list[str]]:
    """One part in a nursery of its own."""
    nursery = Nursery()
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="faults-") as root:
            suite = Suite(nursery, Path(root))
            part(suite)
    finally:
        nursery.close()
    sys.stderr.write(f"{name}: {len(suite.violations)} violations, {time.monotonic() - started:.0f} s\n")
    return name, suite.figures, suite.violations


def found(name: str) -> bool:
    """Whether the suite finds a seeded bug."""
    nursery = Nursery()
    try:
        with tempfile.TemporaryDirectory(prefix="faults-") as root:
            return finds(Suite(nursery, Path(root), bug=name), bugs.BUGS[name].part)
    finally:
        nursery.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--only", default="", help="parts whose names begin so")
    parser.add_argument("--without-bugs", action="store_true", help="leave the seeded bugs out")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    figures: Counter[str] = Counter()
    violations: list[str] = []
    started = time.monotonic()
    every = parts(arguments.kills, arguments.mutations)
    chosen = {name: part for name, part in every.items() if name.startswith(arguments.only)}
    seeded = [] if arguments.without_bugs or arguments.only or not strace() else list(bugs.BUGS)
    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as workers:
        for name, counted, problems in workers.map(lambda item: run(*item), chosen.items()):
            figures.update(counted)
            violations += [f"{name}: {problem}" for problem in problems]
        caught = dict(zip(seeded, workers.map(found, seeded), strict=True))
    violations += [f"the seeded bug {name} was not found" for name, was in caught.items() if not was]
    inside = sum(count for name, count in figures.items() if name.startswith("kills inside"))
    report = {
        **dict(sorted(figures.items())),
        "share of kills inside publish and cutover": round(inside / max(1, figures["kills"]), 3),
        "seeded bugs found": f"{sum(caught.values())} of {len(caught)}",
        "seconds": round(time.monotonic() - started),
        "violations": violations[:100],
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
