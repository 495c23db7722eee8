"""How fast does crossfade encode? Beside its peers, with the same texts, tokens and threads, in one run.

    python -m bench.encoding --texts FOLDER --model minilm-l6 [--threads 2] [--documents 400] [--json FILE] [--quick]

The contenders, each a process in an environment of its own, take turns (A B A B …), loaded and warm; a figure is the
median over the rounds, and ratios are what counts. Environments, exports and model folders are made on first use. A
contender that is far slower than crossfade gets fewer documents, which the table says.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.encoding_contenders import REFERENCE, Contender, NotAvailable, Process, contenders, python_of
from bench.encoding_fidelity import fidelity
from bench.encoding_models import export_onnx, model_folder, texts_of
from bench.encoding_table import line

IDLE = 0.3  # seconds after which the threads of the last contender no longer spin
WARM_UP = 8  # documents
ALONE = 32  # documents that are encoded one by one too
SLOW = 6  # times as long as crossfade, beyond which a contender gets fewer documents
FEW = 12
Report = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="a BEIR folder, or a JSON-lines file with 'text'")
    parser.add_argument("--model", required=True, help="a model of crossfade's, such as minilm-l6 or mpnet")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--contenders", default="", help="only these, comma-separated; crossfade is always one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="chooses the documents")
    parser.add_argument("--cache", type=Path, help="where environments and models are kept")
    parser.add_argument("--quick", action="store_true", help="three rounds, a quarter of the documents")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.documents = 3, max(ALONE, options.documents // 4)
    # So that a contender's threads are as many as asked, whatever it starts: they share these cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    report = measure(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def measure(options: argparse.Namespace) -> Report:
    """Runs everything, printing a line for each contender, and returns what `--json` writes."""
    from bench import machine
    from crossfade.encoder.models import cache_folder

    cache = options.cache or cache_folder() / "encoding-bench"
    texts, queries = texts_of(options.texts, options.documents, options.seed)
    names = {name.strip() for name in options.contenders.split(",") if name.strip()}
    chosen = [it for it in contenders() if not names or it.name in names | {"crossfade", REFERENCE}]
    report: Report = {
        "machine": machine.facts(("numpy", "onnxruntime", "tokenizers")),
        "model": options.model,
        "texts": options.texts.name,
        "threads": options.threads,
        "seed": options.seed,
        "documents": len(texts),
        "rounds": options.rounds,
    }
    say(json.dumps(report, ensure_ascii=False))
    folder = model_folder(options.model, cache)
    export_onnx(folder, python_of(next(it for it in chosen if it.name == REFERENCE), cache))
    stolen = machine.stolen()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        field = Field(chosen, folder, options.threads, cache, Path(scratch), stack)
        field.warm_up(texts)
        for _ in range(options.rounds):
            field.take_turns(texts, queries)
        report["contenders"] = field.results()
        report["pipeline"] = field.pipeline(texts, options.rounds)
    report["stolen_ticks"] = machine.stolen() - stolen
    for result in report["contenders"]:
        say(line(result, report["contenders"][0]))
    say(json.dumps(report["pipeline"]))
    return report


class Field:
    """The contenders that run, and what was measured of all.

    Args:
        chosen: Contenders; the first is what the others' pace is compared with.
        model: Folder of the model.
        threads: Threads each may use.
        cache: Where environments are kept.
        scratch: Where rows are written.
        stack: Ends the processes.
    """

    def __init__(
        self,
        chosen: list[Contender],
        model: Path,
        threads: int,
        cache: Path,
        scratch: Path,
        stack: contextlib.ExitStack,
    ) -> None:
        self._scratch = scratch
        self._running: dict[str, Process] = {}
        self._figures: dict[str, dict[str, Any]] = {}
        for contender in chosen:
            figures = self._figures[contender.name] = {"name": contender.name, "seconds": [], "alone_seconds": []}
            try:
                process = Process(contender, model, threads, cache)
            except NotAvailable as error:
                figures["not_available"] = str(error)
                continue
            stack.callback(process.close)
            self._running[contender.name] = process
            figures.update(process.loaded)

    def warm_up(self, texts: list[str]) -> None:
        """A few documents, whose pace says how many a contender gets, and the first ones one by one."""
        pace: dict[str, float] = {}
        for name in list(self._running):
            self._ask(name, "encode", texts[:1])
            pace[name] = self._ask(name, "encode", texts[:WARM_UP]).get("seconds", 0.0)
            slow = pace[name] > SLOW * next(iter(pace.values()))
            figures = self._figures[name]
            figures["documents"] = min(FEW, len(texts)) if slow else len(texts)
            alone = texts[: min(ALONE, figures["documents"])]
            self._ask(name, "alone", alone, self._rows(name, "alone"))
            figures["tokens"] = self._ask(name, "tokens", texts[: figures["documents"]]).get("tokens", 0)

    def take_turns(self, texts: list[str], queries: list[str]) -> None:
        """One round: every contender the documents, then every contender some queries, one by one.

        Each round another one begins: what comes first finds the machine as the longer turns have left it.
        """
        done = len(self._figures[next(iter(self._figures))]["seconds"])
        asked = [queries[(20 * done + index) % len(queries)] for index in range(20)]
        names = list(self._running)
        names = names[done % len(names) :] + names[: done % len(names)]
        for name in names:
            figures = self._figures[name]
            answer = self._ask(name, "encode", texts[: figures["documents"]], self._rows(name, "rows"))
            if answer:
                figures["seconds"].append(answer["seconds"])
                figures["peak"] = max(figures.get("peak", 0), answer["peak"])
        for name in names:
            self._figures[name]["alone_seconds"] += self._ask(name, "alone", asked).get("seconds", [])

    def results(self) -> list[dict[str, Any]]:
        """What is written of every contender; the fidelity is that to the reference's rows where those are there."""
        reference = np.load(self._rows(REFERENCE, "rows")) if REFERENCE in self._running else None
        for name in self._running:
            figures = self._figures[name]
            seconds = statistics.median(figures["seconds"])
            p50, p99 = np.quantile(figures["alone_seconds"], (0.5, 0.99))
            figures |= {
                "documents_per_second": figures["documents"] / seconds,
                "tokens_per_second": figures["tokens"] / seconds,
                "latency_p50": float(p50),
                "latency_p99": float(p99),
            }
            if reference is not None:
                rows, alone = np.load(self._rows(name, "rows")), np.load(self._rows(name, "alone"))
                figures["fidelity"] = fidelity(rows, reference, alone)
        return list(self._figures.values())

    def pipeline(self, texts: list[str], rounds: int) -> dict[str, float]:
        """Medians of what crossfade needs besides running its session, from strings to rows on disk."""
        made = [self._ask("crossfade", "pipeline", texts) for _ in range(rounds)]
        return {name: statistics.median(it[name] for it in made) for name in made[0]}

    def _ask(self, name: str, do: str, texts: list[str], rows: Path | None = None) -> dict[str, Any]:
        """The answer; of a contender that fails, nothing, and it leaves the field."""
        if name not in self._running:
            return {}
        time.sleep(IDLE)
        try:
            return self._running[name].ask(do, texts, rows)
        except NotAvailable as error:
            self._figures[name]["not_available"] = str(error)
            del self._running[name]
            return {}

    def _rows(self, name: str, what: str) -> Path:
        return self._scratch / f"{name.replace(' ', '-')}.{what}.npy"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
