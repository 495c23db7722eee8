"""What readers see of cutovers, rollbacks, edits and whole migrations made by another process.

    python -m bench.cutover [--cutovers 1000] [--readers 8] [--json FILE]

Readers search all the time, in processes of their own that open the collection once, while one process switches it.
Every answer must be one of those computed beforehand, of one version alone, id by id and score by score. All clocks are
the system's monotonic one. A search is "at a switch" when it overlaps one, or is a reader's first from the new state.
Waits for a core count as latency, so that searches are also measured in the time they were computing, and with fewer
readers than cores.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import crossfade as cf
from bench import machine
from bench.cutover_readers import ERROR, MARKER, MIXED, QUERIES, WRONG, K, answer, encoder, read, say, text_of
from crossfade.store import sealing

TAIL_ROWS = 1_000  # most of the documents are in segments
FEW = 200  # switches with fewer readers

Turn: TypeAlias = tuple[int, Callable[[], object]]
Log: TypeAlias = dict[str, np.ndarray[Any, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cutovers", type=int, default=1_000, help="and as many rollbacks")
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--documents", type=int, default=4_000)
    parser.add_argument("--migrations", type=int, default=6, help="whole ones, there and back, each pruned")
    parser.add_argument("--edits", type=int, default=400)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two switches")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        CHILDREN[options.child](*options.arguments)
        return
    text = json.dumps(measure(options), indent=1) + "\n"
    sys.stdout.write(text)
    if options.json:
        options.json.write_text(text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "bench.cf")
        build(folder, options.documents)
        switches, pause = 2 * options.cutovers, str(options.pause)
        return {
            "machine": machine.facts(("numpy", "usearch", "apsw")),
            "documents": options.documents,
            "k": K,
            "seconds_between_switches": options.pause,
            **run(folder, options.readers, "switch", str(switches), pause),
            "fewer_readers": [run(folder, few, "switch", str(min(FEW, switches)), pause) for few in (1, 2)],
            "migrations": run(folder, options.readers, "migrate", str(options.migrations), pause),
            "edits": run(folder, 2, "edit", str(options.edits), "0.02"),
        }


def build(folder: Path, count: int) -> None:
    """A collection with two whole versions, and beside it the answers of each."""
    sealing.TAIL_ROWS = TAIL_ROWS
    with cf.Collection.create(folder, encoder(1)) as docs:
        docs.upsert([cf.Document(f"d{number}", text_of(number)) for number in range(count)])
        docs.migrate(encoder(2)).run()
        docs._store._sealer.wait()
        docs._store.seal()
    answers = {}
    with cf.Collection.open(folder, encoder(1), encoder(2)) as docs:
        fade = docs.migration
        assert fade is not None
        for version, switch in ((2, fade.cutover), (1, docs.rollback)):
            switch()
            answers[version] = [answer(docs.search(query, k=K)) for query in QUERIES]
    folder.with_suffix(".json").write_text(json.dumps(answers))


def run(folder: Path, readers: int, work: str, *arguments: str) -> dict[str, Any]:
    """What so many readers find while one process works."""
    logs = [folder.with_name(f"reader{number}.npz") for number in range(readers)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(started("read", str(folder), work, str(log))) for log in logs]
        for process in processes:
            line(process)
        with started(work, str(folder), *arguments) as worker:
            told = json.loads(line(worker))
        for process in processes:
            process.send_signal(signal.SIGTERM)
    found = [dict(np.load(log)) for log in logs]
    states, begun, done = (np.array(column) for column in told.pop("switches"))
    return {"readers": readers, **told, **counts(found), **judged(found, states, begun, done)}


@contextlib.contextmanager
def started(child: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.cutover", "--child", child, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
    if process.returncode:
        raise SystemExit(f"{child} ended with {process.returncode}")


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def counts(logs: list[Log]) -> dict[str, int]:
    states = np.concatenate([log["state"] for log in logs])
    bad = {name: int((states == code).sum()) for name, code in (("errors", ERROR), ("mixed", MIXED), ("wrong", WRONG))}
    return {"queries": len(states), **bad}


def judged(logs: list[Log], states: Any, begun: Any, done: Any) -> dict[str, Any]:
    """Whether each answer is of a state that was current during its search, and what searches at a switch cost.

    Args:
        logs: Of the readers.
        states: The first one, and that after each switch.
        begun: When each switch was asked for.
        done: When it had returned.
    """
    stale, visible, at, elsewhere = 0, [], [], []
    for log in logs:
        good = log["state"] >= 0
        start, end, state, cpu = (log[name][good] for name in ("start", "end", "state", "cpu"))
        first, last = np.searchsorted(done, start, "right"), np.searchsorted(begun, end, "right")
        stale += sum(found not in states[a : b + 1] for found, a, b in zip(state, first, last, strict=True))
        is_at = first != last
        for number, moment in enumerate(begun):
            stop = np.searchsorted(end, begun[number + 1]) if number + 1 < len(begun) else len(end)
            span = np.arange(np.searchsorted(end, moment), stop)
            new = span[state[span] == states[number + 1]]
            if len(new):
                visible.append(max(0.0, end[new[0]] - done[number]))
                is_at[new[0]] = True
        costs = np.stack([end - start, cpu])
        at.append(costs[:, is_at])
        elsewhere.append(costs[:, ~is_at])
    near, far = np.concatenate(at, 1), np.concatenate(elsewhere, 1)
    return {
        "switches": len(begun),
        "stale": stale,
        "switch_ms": quantiles(done - begun),
        "visible_ms": quantiles(np.array(visible)),
        "pause_ms": {
            f"{name}_over_{what}": round(1e3 * float(near[row].max() - np.quantile(far[row], share)), 2)
            for row, name in enumerate(("latency", "cpu"))
            for what, share in (("p99", 0.99), ("max", 1.0))
        },
        "search_ms": {"at_a_switch": quantiles(near[0]), "elsewhere": quantiles(far[0])},
        "search_cpu_ms": {"at_a_switch": quantiles(near[1]), "elsewhere": quantiles(far[1])},
    }


def quantiles(seconds: Any) -> dict[str, float]:
    found = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(1e3 * float(np.quantile(seconds, share)), 3) for name, share in found.items()}


def switch(folder: str, count: str, pause: str) -> None:
    """Child: cuts over and rolls back in turns."""
    with cf.Collection.open(folder, encoder(1), encoder(2)) as docs:
        fade = docs.migration
        assert fade is not None
        turns: list[Turn] = [(2, fade.cutover), (1, docs.rollback)]
        told = timed([1], itertools.islice(itertools.cycle(turns), int(count)), float(pause))
        say({"cutovers": -(-int(count) // 2), "rollbacks": int(count) // 2, "switches": told})


def migrate(folder: str, count: str, pause: str) -> None:
    """Child: migrates there and back; each time the old version is dropped."""

    def turns(docs: cf.Collection) -> Iterator[Turn]:
        assert docs.migration is not None
        yield 2, docs.migration.cutover
        docs.prune(force=True)
        for number in range(int(count)):
            fade = docs.migrate(encoder(1 + number % 2))
            fade.run(cores=1)
            yield 3 + number, fade.cutover
            docs.prune(force=True)

    with cf.Collection.open(folder, encoder(1), encoder(2)) as docs:
        say({"pruned": int(count) + 1, "switches": timed([1], turns(docs), float(pause))})


def edit(folder: str, count: str, pause: str) -> None:
    """Child: edits a document again and again; segments are built of a few edits each."""
    sealing.TAIL_ROWS = 50
    segments: set[str] = set()
    with cf.Collection.open(folder, encoder(1), encoder(2)) as docs:
        docs._store.seal()

        def turns() -> Iterator[Turn]:
            for number in range(1, 1 + int(count)):
                yield number, lambda: docs.upsert([cf.Document("marked", f"{MARKER} {number}")])  # noqa: B023
                segments.update(path.stem for path in Path(folder).glob("versions/*/*.segment"))

        told = timed([0], turns(), float(pause))
    say({"segments_published": len(segments), "switches": told})


CHILDREN: dict[str, Callable[..., None]] = {"read": read, "switch": switch, "migrate": migrate, "edit": edit}


def timed(states: list[int], turns: Any, pause: float) -> list[list[Any]]:
    """The states, when each change of them was asked for, and when it had returned."""
    begun, done = [], []
    for state, change in turns:
        begun.append(time.monotonic())
        change()
        done.append(time.monotonic())
        states.append(state)
        time.sleep(pause)
    return [states, begun, done]


if __name__ == "__main__":
    main()
