"""What a collection costs as it grows: opening, recovery, status, memory, searches.

    python -m bench.scale [--sizes 10000,100000,1000000] [--json FILE] [--folder FOLDER]

Vectors are synthetic (384 dims, kept as float16) and come ready-made. Every size is measured with one version, and
again with two of them at the end of a migration, before its cutover, when both are whole: the second model differs from
the first by its name only, so that its segments are copies. Up to 100,000 documents there is also one version of 1,536
dims. Every figure comes from a fresh process; the cache of files is warm, and a writer was killed just before an
opening. Collections are built in a temporary folder, or in the one given, where they stay and are used the next time: a
million takes half an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import crossfade as cf
from bench import machine
from bench.encoding_memory import anonymous
from bench.synthetic import documents, encoder
from crossfade.catalog import files
from crossfade.encoder import usable_cores
from crossfade.index import build_segment, segment_path
from crossfade.store import Store, sealing

WIDE = 1_536
BATCH = 10_000
PAIRS = 1_000
OPENINGS, ASKED, READERS = 5, 200, (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,30000,100000,1000000", help="documents, comma-separated")
    parser.add_argument("--folder", type=Path, help="where collections are built and stay")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("collection", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        CHILDREN[options.child](options.collection)
        return
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        report = measure([int(float(size)) for size in options.sizes.split(",")], folder)
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if options.json:
        options.json.write_text(text)


def measure(sizes: list[int], folder: Path) -> dict[str, Any]:
    empty = folder / "empty.cf"
    if not empty.exists():
        with cf.Collection.create(empty, encoder(0)) as docs:
            docs.upsert(documents(0, 10))
    report: dict[str, Any] = {
        "machine": machine.facts(("numpy", "usearch", "apsw")),
        "floor_bytes": ask("reader", empty)["anonymous"],
        "sizes": [],
    }
    for size in sizes:
        row: dict[str, Any] = {"documents": size}
        for state, build in STATES.items():
            if state == WIDE_ROWS and size > MOST_WIDE:
                continue
            path, seconds = built(folder, size, state, build)
            row[state] = {"load_seconds": seconds, **costs(path, size, report["floor_bytes"])}
            on_disk = sum(it.stat().st_size for it in path.rglob("*") if it.is_file())
            row[state]["disk_bytes_per_document"] = round(on_disk / size)
        report["sizes"].append(row)
        sys.stderr.write(json.dumps(row) + "\n")
    return report


def built(folder: Path, size: int, state: str, build: Callable[[Path, int], None]) -> tuple[Path, float]:
    """A collection of that size, and how long it took to load; an earlier run may have left it."""
    path, told = folder / f"{size} {state}.cf", folder / f"{size} {state}.json"
    if not told.exists():
        shutil.rmtree(path, ignore_errors=True)
        began = time.perf_counter()
        build(path, size)
        told.write_text(json.dumps(round(time.perf_counter() - began, 1)))
    return path, json.loads(told.read_text())


def with_one_version(path: Path, size: int) -> None:
    with cf.Collection.create(path, encoder(0)) as docs:
        load(docs, encoder(0), size)


def with_two_versions(path: Path, size: int) -> None:
    one, _ = built(path.parent, size, ONE, with_one_version)
    shutil.copytree(one, path)
    usual, sealing.TAIL_ROWS = sealing.TAIL_ROWS, 2 * size
    with cf.Collection.open(path, encoder(0)) as docs:
        docs.migrate(encoder(1)).fit(sample=min(PAIRS, size // 10))
        write(docs, encoder(1), size)
        copy_segments(docs._store)
    sealing.TAIL_ROWS = usual


def copy_segments(store: Store) -> None:
    """Gives the second version the segments of the first: keys are shared, and the two models differ by name only."""
    with store.writing() as connection:
        (file,) = [file for file in files.all_files(connection) if file.version == 2]
        at = 0
        for segment in files.all_segments(connection):
            name = uuid.uuid4().hex[:8]
            folders = store.layout.version(1), store.layout.version(2)
            shutil.copy2(segment_path(folders[0], segment.name), segment_path(folders[1], name))
            rows = [files.Range(file.number, at, min(at + segment.rows, file.rows))]
            files.publish_segment(connection, dataclasses.replace(segment, name=name, version=2), rows, [])
            at += segment.rows


def with_wide_rows(path: Path, size: int) -> None:
    with cf.Collection.create(path, encoder(0, WIDE)) as docs:
        load(docs, encoder(0, WIDE), size)


ONE, TWO, WIDE_ROWS = "one version", "two versions", f"{WIDE} dims"
STATES = {ONE: with_one_version, TWO: with_two_versions, WIDE_ROWS: with_wide_rows}
MOST_WIDE = 100_000


def load(docs: cf.Collection, model: cf.Encoder, count: int) -> None:
    """Writes that many documents, and seals them.

    Rows are sealed later than usual, so that few are built into segments twice, and with all cores.
    """
    usual, sealing.TAIL_ROWS = sealing.TAIL_ROWS, max(sealing.TAIL_ROWS, count // 3)
    sealing.build_segment = functools.partial(build_segment, threads=usable_cores())
    write(docs, model, count)
    docs._store._sealer.wait()
    sealing.TAIL_ROWS = usual
    docs._store.seal()


def write(docs: cf.Collection, model: cf.Encoder, count: int) -> None:
    """Writes that many documents with ready-made vectors, or new vectors for those that are there."""
    for start in range(0, count, BATCH):
        batch = documents(start, min(start + BATCH, count))
        docs.upsert(batch, vectors=model.encode([it.text for it in batch]), space=model.space)
        sys.stderr.write(f"{start + len(batch)} of {count}\r")


def costs(path: Path, size: int, floor: int) -> dict[str, Any]:
    """Figures of a collection on disk."""
    ask("reader", path)  # the cache becomes warm
    forget_what_was_verified(path)
    first = ask("reader", path)["open"]
    openings = []
    for _ in range(OPENINGS):
        kill_a_writer(path)
        openings.append(ask("reader", path))
    medians = {key: statistics.median(it[key] for it in openings) for key in openings[0]}
    found: dict[str, Any] = {
        "open_seconds": round(medians["open"], 3),
        "first_open_seconds": round(first, 3),
        "status_ms": round(1e3 * medians["status"], 3),
        "search_p50_ms": round(1e3 * medians["p50"], 2),
        "search_p99_ms": round(1e3 * medians["p99"], 2),
    }
    for readers in READERS:
        memory = [it["anonymous"] - floor for it in together(path, readers)]
        found[f"anonymous_bytes_{readers}"] = round(statistics.median(memory) / size, 1)
    return found


def ask(child: str, path: Path) -> dict[str, float]:
    with started(child, path) as process:
        return dict(json.loads(line(process)))


def together(path: Path, count: int) -> list[dict[str, float]]:
    """What as many readers say while all of them have the collection open."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(started("reader", path)) for _ in range(count)]
        return [json.loads(line(reader)) for reader in readers]


@contextlib.contextmanager
def started(child: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.scale", "--child", child, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.communicate("over\n")


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def kill_a_writer(path: Path) -> None:
    """Leaves what a process leaves that dies while it writes."""
    with started("writer", path) as process:
        line(process)
        process.send_signal(signal.SIGKILL)
        process.wait()


def forget_what_was_verified(path: Path) -> None:
    """So that the next to open compares every checksum, as with a folder that was copied."""
    with cf.Collection.open(path, *models_of(path)) as docs, docs._store.writing() as connection:
        files.forget_verified(connection)


def models_of(path: Path) -> list[cf.Encoder]:
    """The encoders of a collection, one or two."""
    return [encoder(0, WIDE)] if path.stem.endswith(WIDE_ROWS) else [encoder(0), encoder(1)]


def read(path: Path) -> None:
    """Child: opens, searches, tells what it took, and keeps all open until it is told to end."""
    models = models_of(path)
    began = time.perf_counter()
    with cf.Collection.open(path, *models) as docs:
        docs.search("document 17")
        opened = time.perf_counter() - began
        searches = [timed(lambda number=number: docs.search(f"document {number * 37}")) for number in range(ASKED)]
        told = {
            "open": opened,
            "status": statistics.median(timed(docs.status) for _ in range(20)),
            "p50": float(np.quantile(searches, 0.5)),
            "p99": float(np.quantile(searches, 0.99)),
            "anonymous": anonymous(),
        }
        say(told)
        sys.stdin.readline()


def edit(path: Path) -> None:
    """Child: edits one document again and again, until it is killed."""
    with cf.Collection.open(path, *models_of(path)) as docs:
        for number in range(sys.maxsize):
            docs.upsert([cf.Document("document 3", f"document 3 {number}")])
            if number == 3:
                say({"writing": number})


CHILDREN = {"reader": read, "writer": edit}


def timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
