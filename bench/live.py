"""What live queries pay while a migration re-embeds beside them.

    python -m bench.live --data FOLDER [--old minilm-l3] [--new minilm-l6] [--json FILE]

A collection is made of the folder's documents and migrates; a worker, in a process of its own and then in a thread of
the serving one, is paused and set going in turns (A B A B …) while queries come one by one at a steady pace. A figure
is the median over the turns of a turn's quantile of the search's latency, encoding of the query included.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import crossfade as cf
from bench import machine
from bench.quality import read_lines
from crossfade.encoder import usable_cores

PACE = 0.05  # seconds from one query to the next
WARM_UP = 20  # queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a BEIR folder")
    parser.add_argument("--old", default="minilm-l3")
    parser.add_argument("--new", default="minilm-l6")
    parser.add_argument("--documents", type=int, default=4_000, help="texts are repeated until there are so many")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--cores", type=int, help="of the worker; all unless you say")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.data, options.cores)
        return
    report = measure(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def work(folder: Path, cores: int | None) -> None:
    """The worker's process: re-embeds until it is killed."""
    with cf.Collection.open(folder) as docs:
        docs.migration.run(cores=cores)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    queries = list(read_lines(options.data / "queries.jsonl").values())
    report: dict[str, Any] = {
        "machine": machine.facts(("numpy", "onnxruntime", "usearch")),
        "data": options.data.name,
        "old": options.old,
        "new": options.new,
        "worker_cores": options.cores or usable_cores(),
        "pace": PACE,
        "turns": options.turns,
        "seconds": options.seconds,
    }
    for name, worker in (("process", in_process_of_its_own), ("thread", in_thread)):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "bench.cf")
            prepare(folder, options)
            with cf.Collection.open(folder) as docs, worker(folder, docs, options.cores) as turn:
                report[name] = take_turns(docs, queries, turn, options)
    return report


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """A collection whose migration is fitted, with all texts different."""
    texts = [text for text in read_lines(options.data / "corpus.jsonl").values() if text]
    documents = [
        cf.Document(id=str(number), text=f"{number // len(texts)} {texts[number % len(texts)]}")
        for number in range(options.documents)
    ]
    with cf.Collection.create(folder, cf.Encoder.load(options.old)) as docs:
        docs.upsert(documents)
        docs.migrate(cf.Encoder.load(options.new)).fit(sample=200)


Turn = Callable[[bool], None]


@contextlib.contextmanager
def in_process_of_its_own(folder: Path, docs: cf.Collection, cores: int | None) -> Iterator[Turn]:
    """A worker that is stopped and continued by signals."""
    options = ["--data", str(folder), "--work", *(["--cores", str(cores)] if cores else [])]
    process = subprocess.Popen([sys.executable, "-m", "bench.live", *options])
    try:
        time.sleep(3)  # imports, and both models
        yield lambda running: process.send_signal(signal.SIGCONT if running else signal.SIGSTOP)
        if process.poll() is not None:
            raise SystemExit("the worker ended before the last turn; ask for more documents")
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@contextlib.contextmanager
def in_thread(folder: Path, docs: cf.Collection, cores: int | None) -> Iterator[Turn]:
    """A worker in this process, which pauses between two batches."""
    going, over = threading.Event(), threading.Event()

    def pause_or_stop() -> bool:
        while not (going.wait(0.05) or over.is_set()):
            pass
        return over.is_set()

    thread = threading.Thread(target=lambda: docs.migration.run(stop=pause_or_stop, cores=cores))
    thread.start()

    def turn(running: bool) -> None:
        (going.set if running else going.clear)()
        time.sleep(0 if running else 2.5)  # the batch under way

    try:
        yield turn
        if not thread.is_alive():
            raise SystemExit("the worker ended before the last turn; ask for more documents")
    finally:
        over.set()
        thread.join()


def take_turns(docs: cf.Collection, queries: list[str], turn: Turn, options: argparse.Namespace) -> dict[str, Any]:
    """Latencies with the worker paused and running, and how fast it re-embeds meanwhile."""
    turn(False)
    for query in queries[:WARM_UP]:
        docs.search(query)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    embedded, working, load = 0, 0.0, []
    for number in range(2 * options.turns):
        running = bool(number % 2)
        turn(running)
        done, began = docs.migration.status().done, time.perf_counter()
        latencies = ask(docs, queries, options.seconds)
        if running:
            embedded += docs.migration.status().done - done
            working += time.perf_counter() - began
        else:
            load.append(sum(latencies) / options.seconds)
        found[running].append((float(np.quantile(latencies, 0.5)), float(np.quantile(latencies, 0.99))))
    medians = {
        state: [statistics.median(values) for values in zip(*found[running], strict=True)]
        for running, state in ((False, "paused"), (True, "running"))
    }
    return {
        **{
            f"{state}_{name}_ms": round(1e3 * value, 2)
            for state, values in medians.items()
            for name, value in zip(("p50", "p99"), values, strict=True)
        },
        "p50_ratio": round(medians["running"][0] / medians["paused"][0], 2),
        "p99_ratio": round(medians["running"][1] / medians["paused"][1], 2),
        "documents_per_second": round(embedded / working, 1),
        "busy_with_queries": round(statistics.median(load), 2),
    }


def ask(docs: cf.Collection, queries: list[str], seconds: float) -> list[float]:
    """Latencies of searches that begin at a steady pace, for so long."""
    latencies: list[float] = []
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        docs.search(queries[len(latencies) % len(queries)])
        latencies.append(time.perf_counter() - now)
        time.sleep(max(0.0, began + PACE * len(latencies) - time.perf_counter()))
    return latencies


if __name__ == "__main__":
    main()
