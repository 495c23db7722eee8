"""How fast are the kernels? Beside their peers and the machine's own ceilings, in one run.

    python -m bench.kernels [--json FILE] [--quick] [--only WORDS …] [--update]

The contenders of a case take turns (A B A B …), warm; a figure is the median over the rounds. Ratios are what
counts: they are taken within a case, where all contenders saw the same machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Settings that would choose other kernels in numpy's OpenBLAS than those it takes by itself.
HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
# Seconds after which the threads of OpenBLAS no longer spin on a core that the next contender needs.
IDLE = 0.2
SHORTEST = 300e-6  # seconds; shorter calls are timed several at once


def main() -> None:
    if any(name in os.environ for name in HANDICAPS):
        environment = {name: value for name, value in os.environ.items() if name not in HANDICAPS}
        os.execve(sys.executable, [sys.executable, "-m", "bench.kernels", *sys.argv[1:]], environment)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--update", action="store_true", help="keep what the file has of cases that aren't run this time"
    )
    parser.add_argument("--quick", action="store_true", help="smaller arrays, fewer rounds")
    parser.add_argument("--only", nargs="+", default=[""], help="only cases whose kernel has one of these in its name")
    parser.add_argument(
        "--vectors",
        type=Path,
        nargs="+",
        default=[],
        help="folders of <model>.docs.npy and .queries.npy, of whose first two models the neighbours kept are counted",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    report = measure(options.threads, options.quick, options.only)
    report["neighbours"] = {folder.name: neighbours_kept(folder) for folder in options.vectors}
    say(json.dumps(report["neighbours"]))
    if options.json and options.update:
        report = updated(json.loads(options.json.read_text()), report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def measure(thread_counts: list[int], quick: bool, only: list[str]) -> dict[str, Any]:
    """Runs everything, printing a line for each case, and returns what `--json` writes."""
    from threadpoolctl import threadpool_limits

    from bench import kernel_cases, machine

    def wanted(kernel: str) -> bool:
        return any(words in kernel for words in only)

    report: dict[str, Any] = {"machine": machine.facts(), "quick": quick, "ceilings": {}, "cases": []}
    stolen = machine.stolen()
    say(json.dumps(report["machine"], ensure_ascii=False))
    for threads in thread_counts:
        with threadpool_limits(limits=threads):
            ceilings = machine.ceilings(threads, quick)
            report["ceilings"][str(threads)] = ceilings
            say(
                f"{threads} thread(s): "
                + ", ".join(f"{name} {value / 1e9:.1f} G/s" for name, value in ceilings.items())
            )
            for case in kernel_cases.cases(threads, quick, wanted):
                report["cases"].append(run(case, threads, ceilings, 0.5 if quick else 4.0))
                say(line(report["cases"][-1]))
                del case
                gc.collect()
            if threads > 1 and wanted("concurrent calls"):
                report["concurrent_calls"] = concurrent_calls(threads, 0.5 if quick else 4.0)
                say(json.dumps(report["concurrent_calls"]))
    report["stolen_ticks"] = machine.stolen() - stolen
    return report


def updated(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """An earlier report with the cases of a later one in their places; it names the commits of both."""
    machines = [{name: fact for name, fact in it["machine"].items() if name != "commit"} for it in (earlier, later)]
    if machines[0] != machines[1] or earlier["quick"] != later["quick"]:
        raise SystemExit("these reports are of different machines, versions or sizes; run everything again")
    commits = dict.fromkeys(it["machine"]["commit"] for it in (earlier, later))

    def identity(case: dict[str, Any]) -> tuple[str, str, int]:
        return case["kernel"], case["size"], case["threads"]

    again = {identity(case): case for case in later["cases"]}
    cases = [again.get(identity(case), case) for case in earlier["cases"]]
    kept = {name: later[name] for name in ("neighbours", "concurrent_calls") if later.get(name)}
    machine = {**earlier["machine"], "commit": ", ".join(commits)}
    return {
        **earlier,
        **kept,
        "machine": machine,
        "cases": cases,
        "stolen_ticks": earlier["stolen_ticks"] + later["stolen_ticks"],
    }


def concurrent_calls(threads: int, seconds: float) -> dict[str, float]:
    """How many calls a second as many of Python's threads make together, of a kernel that keeps its own to one."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from bench.kernel_case import rotation, rows
    from crossfade import kernels

    x, matrix = rows(1, 64, 384), rotation(384)

    def call_for(end: float) -> int:
        out, calls = np.empty_like(x), 0
        while time.perf_counter() < end:
            kernels.project(x, matrix, out=out)
            calls += 1
        return calls

    report = {}
    for count in (1, threads):
        with ThreadPoolExecutor(count) as pool:
            made = pool.map(call_for, [time.perf_counter() + seconds] * count)
            report[f"{count} thread(s)"] = sum(made) / seconds
    return report


def neighbours_kept(folder: Path) -> dict[str, float]:
    """Which share of its ten nearest documents a query keeps, by precision, when a bridge maps the documents."""
    import numpy as np

    from crossfade import kernels
    from crossfade.bridge import Bridge

    old, new = sorted(folder.glob("*.docs.npy"))[:2]
    rows = [np.load(path).astype(np.float32) for path in (old, new)]
    queries = np.load(str(new).replace(".docs.", ".queries.")).astype(np.float32)
    bridge = Bridge.fit(*rows)

    def nearest(matrix: Any, precision: str) -> Any:
        mapped = kernels.project(rows[0], matrix, bridge.center, bridge.offset, precision=precision)
        # In double precision, so that documents with the same vector have the same score.
        scores = queries.astype(np.float64) @ mapped.T.astype(np.float64)
        return np.argsort(-scores, axis=1, kind="stable")[:, :10]

    exact = nearest(bridge.matrix, "float32")
    others = {
        "bfloat16": nearest(bridge.matrix, "bfloat16"),
        "bfloat16x3": nearest(bridge.matrix, "bfloat16x3"),
        "float16 matrix": nearest(bridge.matrix.astype(np.float16), "float32"),
    }
    return {
        name: float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, other, strict=True)]))
        for name, other in others.items()
    }


def run(case: Any, threads: int, ceilings: dict[str, float], budget: float) -> dict[str, Any]:
    """One case: results compared, contenders timed in turns for about `budget` seconds and at least five rounds."""
    anonymous = anonymous_bytes()
    compare(case)
    often = {name: repeats(call) for name, call in case.contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in case.contenders}
    began = time.perf_counter()
    while len(seconds["crossfade"]) < 5 or time.perf_counter() - began < budget:
        for name, call in case.contenders.items():
            if threads > 1:
                time.sleep(IDLE)
                call()
            seconds[name].append(timed(call, often[name]))
    grown = anonymous_bytes() - anonymous
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours = medians["crossfade"]
    rate = case.bytes_moved if case.ceiling == "copy" else case.operations
    return {
        "kernel": case.kernel,
        "size": case.size,
        "threads": threads,
        "rounds": len(seconds["crossfade"]),
        "median_seconds": medians,
        "least_seconds": {name: min(values) for name, values in seconds.items()},
        "ratios": {name: value / ours for name, value in medians.items() if name != "crossfade"},
        "asked": case.asked,
        "most_seconds": case.most_seconds,
        "bytes": case.bytes_moved,
        "operations": case.operations,
        "ceiling": case.ceiling,
        "anonymous_growth": grown,
        "note": case.note,
        "of_ceiling": rate / ours / ceilings[case.ceiling] if case.ceiling else None,
    }


def compare(case: Any) -> None:
    """Fails where a contender's result isn't ours."""
    import numpy as np

    expected = np.array(case.contenders["crossfade"](), np.float64)
    for name, call in case.contenders.items():
        result = None if name == "crossfade" else call()
        if result is not None and case.tolerance is not None:
            worst = np.abs(np.asarray(result, np.float64) - expected).max(initial=0.0)
            if not worst <= case.tolerance:
                raise SystemExit(f"{case.kernel}, {case.size}: {name} and crossfade differ by {worst:g}")


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(text.split()[1]) for text in lines if text.startswith("RssAnon"))


def repeats(call: Callable[[], object]) -> int:
    seconds = timed(call, 1)
    return 1 if seconds > 10 * SHORTEST else max(1, round(SHORTEST / min(timed(call, 1) for _ in range(3))))


def timed(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def line(result: dict[str, Any]) -> str:
    return " | ".join(cells(result))


def cells(result: dict[str, Any]) -> Iterator[str]:
    """What a table shows of a case: each asked ratio with a sign of whether it is reached."""
    ours = result["median_seconds"]["crossfade"]
    yield from (result["kernel"], result["size"], str(result["threads"]), duration(ours))
    ratios = []
    for name, ratio in result["ratios"].items():
        asked = result["asked"].get(name)
        wanted = "" if asked is None else f" ({'≥' if ratio >= asked else 'not'} {asked:g})"
        ratios.append(f"{name} {ratio:.2f}×{wanted}")
    if result["most_seconds"]:
        ratios.append(f"({'≤' if ours <= result['most_seconds'] else 'not'} {duration(result['most_seconds'])})")
    if "streamed" in result["kernel"]:
        ratios.append(f"anonymous memory + {result['anonymous_growth'] / 1e6:.0f} MB")
    if result["note"]:
        ratios.append(result["note"])
    yield ", ".join(ratios)
    yield f"{result['of_ceiling']:.2f} of {result['ceiling']}" if result["ceiling"] else ""


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} µs"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
