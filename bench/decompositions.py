"""What an eigendecomposition takes on one thread and on all, on idle cores and beside a process that uses them.

    python -m bench.decompositions [--dims 128,384,768] [--turns 20] [--json FILE]

A Bridge is learned from decompositions, often while the same machine embeds and serves. Both ways take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from crossfade._blas import one_thread
from crossfade.encoder import usable_cores

WAYS: dict[str, Callable[[int], Any]] = {"one thread": one_thread, "all threads": contextlib.nullcontext}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", default="128,384,768")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dims = [int(dim) for dim in options.dims.split(",")]
    rows = []
    for busy in (False, True):
        with other_work() if busy else contextlib.nullcontext():
            rows += [{"dim": dim, "cores": "busy" if busy else "idle", **timed(dim, options.turns)} for dim in dims]
    report = {"machine": machine.facts(("numpy", "threadpoolctl")), "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write("| dims | cores | one thread, ms (longest) | all threads |\n|---|---|---|---|\n")
    for row in rows:
        sys.stdout.write(f"| {row['dim']} | {row['cores']} | {row['one thread']} | {row['all threads']} |\n")


def timed(dim: int, turns: int) -> dict[str, str]:
    """Median and longest of each way, in milliseconds."""
    rows = np.random.default_rng(0).standard_normal((2 * dim, dim))
    covariance = rows.T @ rows
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(turns):
        for name, way in WAYS.items():
            with way(dim):
                began = time.perf_counter()
                np.linalg.eigh(covariance)
                took[name].append(1e3 * (time.perf_counter() - began))
    return {name: f"{np.median(times):.1f} ({max(times):.1f})" for name, times in took.items()}


@contextlib.contextmanager
def other_work() -> Iterator[None]:
    """Keeps every core busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(usable_cores())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    main()
