"""The long form of the fault suite: `python -m faults --kills 1000 --mutations 10000 --steps 100000 --json FILE`.

FILE is written after every part, so a run may be interrupted, and go on with --resume.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.machine import facts

from faults.nursery import Nursery
from faults.parts import Part, parts
from faults.suite import Suite
from faults.tracing import strace

PACKAGES = ("numpy", "usearch", "apsw", "hypothesis")


def run(name: str, part: Part, over: threading.Event) -> dict[str, Any]:
    """One part in a nursery of its own: what it did and found; `over` is set, and heard, where one can't go on."""
    if over.is_set():
        raise concurrent.futures.CancelledError
    nursery = Nursery()
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="faults-") as root:
            suite = Suite(nursery, Path(root))
            part(suite)
    except BaseException:
        over.set()
        raise
    finally:
        nursery.close()
    seconds = time.monotonic() - started
    sys.stderr.write(f"{name}: {len(suite.violations)} violations, {seconds:.0f} s\n")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "figures": dict(suite.figures),
        "violations": suite.violations[:20],
    }


def summary(done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """All parts' figures together."""
    figures = sum((Counter(part["figures"]) for part in done.values()), Counter[str]())
    inside = sum(count for name, count in figures.items() if name.startswith("kills inside"))
    return {
        **dict(sorted(figures.items())),
        "share of kills inside publish and cutover": round(inside / max(1, figures["kills"]), 3),
        "seconds of all parts": round(sum(part["seconds"] for part in done.values())),
        "violations": [f"{name}: {problem}" for name, part in done.items() for problem in part["violations"]],
    }


def earlier(file: Path | None, asked: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The parts that stand in FILE, if as much was asked of them."""
    if file is None or not file.exists():
        return {}
    report = json.loads(file.read_text())
    if report["asked"] != asked:
        sys.exit(f"{file} is of a run with {report['asked']}, not {asked}: name another file, or ask for the same")
    return dict(report["parts"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1_000, help="at random moments")
    parser.add_argument("--mutations", type=int, default=10_000, help="of files")
    parser.add_argument("--steps", type=int, default=100_000, help="of the state machine")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--resume", action="store_true", help="leave out the parts that stand in the file")
    parser.add_argument("--only", default="", help="parts whose names begin so; the file's other parts stay")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    if strace() is None:
        parser.error("strace puts the faults into system calls, and is not installed")
    asked = {name: getattr(arguments, name) for name in ("kills", "mutations", "steps")}
    machine = facts(PACKAGES)
    done = earlier(arguments.json, asked) if arguments.resume or arguments.only else {}
    chosen = {name: part for name, part in parts(**asked).items() if name.startswith(arguments.only)}
    left = {name: part for name, part in chosen.items() if not (arguments.resume and name in done)}
    over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as workers:
        under_way = {workers.submit(run, name, part, over): name for name, part in left.items()}
        try:
            for ended in concurrent.futures.as_completed(under_way):
                done[under_way[ended]] = {"commit": machine["commit"], **ended.result()}
                if arguments.json:
                    write(arguments.json, {"asked": asked, "machine": machine, **summary(done), "parts": done})
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
    report = summary(done)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return int(bool(report["violations"]))


def write(file: Path, report: dict[str, Any]) -> None:
    """Writes all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".partly")
    beside.write_text(json.dumps(report, indent=1) + "\n")
    beside.replace(file)


if __name__ == "__main__":
    sys.exit(main())
