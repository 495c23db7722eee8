"""What a search costs during a migration, beside the two plain usearch searches that it can't do without.

    python -m bench.search [--documents 100000] [--shares 10,50,90] [--vectors FOLDER] [--folder FOLDER] [--json FILE]

A collection with ready-made rows migrates: 10, 50 and 90 % of its documents have a vector of the new model, some were
deleted, both versions are sealed as they are by default. Whole searches (queries come ready-made, what their look-up
takes is subtracted) are measured in turns (A B A B …) with the plain alternative: a usearch index of each version's
rows, asked for 100 rows with the least expansion that finds 95 % of the true 100. All queries were asked once before,
which is measured as well. Rows are synthetic, or those in a
folder (`<model>.docs.npy`, `<model>.queries.npy`, unit rows in one order), mixed where they are too few.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import crossfade as cf
from bench import machine
from bench.search_data import Rows, World, real, synthetic, timed_encoders
from bench.search_recall import candidate_recall, filtered, in_pieces, share_found
from bench.search_table import table
from crossfade.index import graph
from crossfade.index.form import FLOAT16
from crossfade.store.log import INTERVAL_SECONDS, SearchLog

K = 100
LEAST_RECALL = 0.95
DELETED = 0.02
TURN, TURNS = 50, 24  # searches of a client in a turn; turns of either side
RESAMPLED = 200
LOGGED_PAIRS = 12  # of turns with the log and without, each as long as the log waits between two writes
QUANTILES = {"p50": 0.5, "p99": 0.99}
CLIENTS = (1, 2, 8)
BATCH = 10_000
ENCODED = 200
NOTES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--shares", default="10,50,90", help="percent that have a new vector, ascending")
    parser.add_argument("--vectors", type=Path, help="real rows")
    parser.add_argument("--old", default="minilm-l3")
    parser.add_argument("--new", default="minilm-l6")
    parser.add_argument("--folder", type=Path, help="where collections are built and stay")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--log-pairs", type=int, default=LOGGED_PAIRS, help="of 20 s, for what the log costs")
    parser.add_argument("--no-pieces", action="store_true", help="leave out 4 segments and the longest tail")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        report = measure(options, folder)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write("\n".join(table(report)) + "\n")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    count = options.documents
    names = options.old, options.new
    world = real(options.vectors, names, count) if options.vectors else synthetic(count)
    report: dict[str, Any] = {
        "machine": machine.facts(("numpy", "usearch", "apsw", "onnxruntime")),
        "load": round(os.getloadavg()[0], 1),
        "documents": count,
        "rows": f"{names[0]} and {names[1]} over {options.vectors.name}" if options.vectors else "synthetic",
        "dims": [world.old[0].shape[1], world.new[0].shape[1]],
        "encoding": encoding(names),
        "shares": {},
    }
    for share in [int(share) for share in options.shares.split(",")]:
        path = built(folder, world, share)
        encoders = world.encoders()
        with cf.Collection.open(path, *encoders) as docs:
            report["shares"][share] = figures(docs, world, encoders, folder, share, options)
        sys.stderr.write(json.dumps(report["shares"][share]) + "\n")
    return report


def figures(
    docs: cf.Collection,
    world: World,
    encoders: Sequence[cf.Encoder],
    folder: Path,
    share: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    plain = [Plain(docs, number, folder / f"{share}.{number}.usearch", rows) for number, rows in sides(world)]
    found: dict[str, Any] = {
        "segments": [len(index._segments) for index in docs._store.snapshot().indices.values()],
        "tail": [sum(p.stop - p.start for p in index._tail) for index in docs._store.snapshot().indices.values()],
        "plain": [{"expansion": it.expansion, "recall": round(it.recall, 4)} for it in plain],
        "recall": candidate_recall(docs, world),
        "filters": filtered(docs, world),
    }
    if not options.no_pieces:
        found["in pieces"] = in_pieces(docs, world)
    spent = timed_encoders(encoders)
    found["first time"] = spread([whole(docs, query, spent) for query in world.queries()])
    found["log"] = logged(docs, world, spent, options.log_pairs)
    for clients in CLIENTS:
        found[f"{clients} clients"] = beside(docs, world, plain, spent, clients, options.turns)
    return found


def sides(world: World) -> list[tuple[int, Rows]]:
    return [(1, world.old[1]), (2, world.new[1])]


class Plain:
    """One usearch index of the rows a version holds."""

    def __init__(self, docs: cf.Collection, number: int, path: Path, queries: Rows) -> None:
        snapshot = docs._store.snapshot()
        version = snapshot.indices[number]
        keys = version._locations.known()
        keys = keys[version.has(keys) & ~snapshot.dead[keys]]
        rows = version.gather(keys).astype(np.float16)
        self.path, self.queries = path, queries
        if not path.exists():
            index = graph.new_graph(version.dim, FLOAT16)
            index.add(keys, rows, threads=0)
            index.save(str(path))
        asked = queries[:200]
        exact = keys[np.argpartition(-(asked @ rows.T.astype(np.float32)), K, axis=1)[:, :K]]
        index = self.open(64)
        for self.expansion in (64, 128, 160, 192, 256, 384, 512):
            index.expansion_search = self.expansion
            self.recall = share_found(np.stack([index.search(row, K, threads=1).keys for row in asked]), exact)
            if self.recall >= LEAST_RECALL:
                break

    def open(self, expansion: int | None = None) -> Any:
        """All calls on one object wait for each other, so every client has its own."""
        index = graph.new_graph(self.queries.shape[1], FLOAT16)
        index.load(str(self.path))
        index.expansion_search = expansion or self.expansion
        return index


def beside(
    docs: cf.Collection, world: World, plain: Sequence[Plain], spent: Any, clients: int, turns: int
) -> dict[str, Any]:
    """Latencies in ms and searches a second of whole searches and of two plain ones, in turns."""
    queries = world.queries()
    handles = [[it.open() for it in plain] for _ in range(clients)]

    def two(client: int, number: int) -> float:
        began = time.perf_counter()
        for it, handle in zip(plain, handles[client], strict=True):
            handle.search(it.queries[number], K, threads=1)
        return time.perf_counter() - began

    calls = {"whole": lambda client, number: whole(docs, queries[number], spent), "plain": two}
    length = 1 if clients == 1 else TURN  # several have to meet
    latencies: dict[str, list[float]] = {name: [] for name in calls}
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for start in range(-TURN, turns * TURN, length):
        for name, call in calls.items():
            took, lasted = together(call, clients, range(start, start + length), len(queries))
            if start >= 0:
                latencies[name] += took
                rates[name].append(len(took) / lasted)
    return {
        **{name: spread(took) for name, took in latencies.items()},
        "a second": {name: round(statistics.median(rate), 1) for name, rate in rates.items()},
    }


def logged(docs: cf.Collection, world: World, spent: threading.local, pairs: int) -> dict[str, Any]:
    """Latencies in ms with the log and without, in turns (A B B A …), each as long as the log waits between two writes.

    A turn with the log begins with writing what the one before has noted, of which the first does not count for that
    reason. Turns differ by what else the machine does:
    so of those with the log it is kept as well which searches met a write, as the others show what these would have
    taken without; and what a note costs a search itself, in µs.
    """
    queries, store = world.queries(), docs._store
    took: dict[str, list[list[float]]] = {"background": [], "off": []}
    met: list[list[bool]] = []
    for pair in range(-1, pairs):
        for mode in sorted(took, reverse=bool(pair % 2)):
            seconds: list[float] = []
            writes: list[bool] = []
            end = time.monotonic() + INTERVAL_SECONDS
            while time.monotonic() < end:
                before = writing(store.log)
                seconds.append(whole(docs, queries[len(seconds) % len(queries)], spent, on_read=mode))
                writes.append(before is not None or writing(store.log) is not None)
            if pair < 0:
                continue
            took[mode].append(seconds)
            if mode == "background":
                met.append(writes)
    found = [np.array(hits.ids, np.uint64) for hits in docs.search(queries[:100], K, on_read="off")]
    notes = []
    for number in range(NOTES):
        at = number % len(found)
        began = time.perf_counter()
        store.note([queries[at]], [found[at]])
        notes.append(time.perf_counter() - began)
    return {
        "with": spread(np.concatenate(took["background"])),
        "without": spread(np.concatenate(took["off"])),
        "ratios": {name: ratios(took["background"], took["off"], at) for name, at in QUANTILES.items()},
        "met": round(float(np.concatenate(met).mean()), 5),
        "met ratio": {name: met_ratio(took["background"], met, at) for name, at in QUANTILES.items()},
        "note": {name: round(1e3 * value, 2) for name, value in spread(notes).items()},
    }


def writing(log: SearchLog) -> threading.Thread | None:
    """The thread that writes the log, while it does."""
    thread = log._thread
    return thread if thread is not None and thread.is_alive() else None


def met_ratio(turns: Sequence[Sequence[float]], met: Sequence[Sequence[bool]], at: float) -> list[float]:
    """Of a quantile of all searches and of those that met no write: the ratio, and its 95 % interval by turns."""
    every = [np.asarray(turn) for turn in turns]
    others = [turn[~np.asarray(marks)] for turn, marks in zip(every, met, strict=True)]

    def ratio_of(drawn: Sequence[int]) -> float:
        some, rest = (np.concatenate([part[turn] for turn in drawn]) for part in (every, others))
        return float(np.quantile(some, at) / np.quantile(rest, at))

    generator = np.random.default_rng(0)
    drawn = [ratio_of(generator.integers(0, len(every), len(every)).tolist()) for _ in range(RESAMPLED)]
    return [round(it, 4) for it in (ratio_of(range(len(every))), *np.quantile(drawn, (0.025, 0.975)).tolist())]


def ratios(some: Sequence[Sequence[float]], others: Sequence[Sequence[float]], at: float) -> list[float]:
    """Of a quantile, by pairs of turns."""
    return [round(float(np.quantile(a, at) / np.quantile(b, at)), 4) for a, b in zip(some, others, strict=True)]


def whole(docs: cf.Collection, query: str, spent: threading.local, on_read: str = "background") -> float:
    """Seconds of a search, without what its encoding took."""
    spent.seconds = 0.0
    began = time.perf_counter()
    docs.search(query, on_read=on_read)
    return time.perf_counter() - began - float(spent.seconds)


def together(call: Callable[[int, int], float], clients: int, turn: range, queries: int) -> tuple[list[float], float]:
    """What each call of a turn took, and how long the turn lasted."""
    took: list[list[float]] = [[] for _ in range(clients)]

    def ask(client: int) -> None:
        for number in turn:
            took[client].append(call(client, (number + client * 117) % queries))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(1, clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    ask(0)
    for thread in threads:
        thread.join()
    return [one for each in took for one in each], time.perf_counter() - began


def spread(seconds: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    return {name: round(1e3 * float(np.quantile(seconds, at)), 3) for name, at in QUANTILES.items()}


def encoding(names: tuple[str, str]) -> dict[str, dict[str, float]]:
    """What either real model takes for a query of some ten words."""
    found = {}
    for name in names:
        encoder = cf.Encoder.load(name)
        took = []
        for number in range(ENCODED + 20):
            began = time.perf_counter()
            encoder.encode([f"how do I reset the password of account number {number}"], kind="query")
            took.append(time.perf_counter() - began)
        found[name] = spread(took[20:])
    return found


def built(folder: Path, world: World, share: int) -> Path:
    """A collection of which so many percent have a new vector; an earlier run may have left it."""
    path = folder / f"{share}.cf"
    if path.exists():
        return path
    earlier = sorted(int(it.stem) for it in folder.glob("*.cf") if it.stem.isdigit() and int(it.stem) < share)
    draft = folder / "draft.cf"
    shutil.rmtree(draft, ignore_errors=True)
    old, new = world.encoders()
    if earlier:
        shutil.copytree(folder / f"{earlier[-1]}.cf", draft)
    else:
        load(draft, world, old)
    with cf.Collection.open(draft, old, new) as docs:
        if docs.migration is None:
            docs.migrate(new)
        docs.migration.run(until=share / 100)
        docs._store._sealer.wait()
    draft.rename(path)
    return path


def load(path: Path, world: World, old: cf.Encoder) -> None:
    count = len(world.old[0])
    with cf.Collection.create(path, old) as docs:
        for start in range(0, count, BATCH):
            batch = world.documents(start, start + BATCH)
            docs.upsert(batch, vectors=world.old[0][start : start + BATCH], space=old.space)
            sys.stderr.write(f"{start + len(batch)} of {count}\r")
        gone = np.random.default_rng(0).choice(count, int(count * DELETED), replace=False)
        docs.delete([str(number) for number in gone.tolist()])
        docs._store._sealer.wait()


if __name__ == "__main__":
    main()
