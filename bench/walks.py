"""How fast a graph is walked: `kernels.walk` beside usearch's own search of the same bytes.

    python -m bench.walks [--vectors FOLDER] [--model minilm-l3] [--documents 100000] [--queries 400] [--json FILE]

usearch builds a graph of int8 rows, and one of float16 rows; each is then asked by both, query by query in turns, one
thread, as one query or `--batch` many at a time, for 116 rows with growing numbers of candidates (`ef`). Printed are
medians of a query, their ratio, and the share of usearch's answers that the walk gives too. Rows are synthetic, or
those of a folder (`<model>.docs.npy`, `<model>.queries.npy`), mixed where they are too few.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.search_data import real, synthetic
from crossfade.index import graph
from crossfade.index.expansion import NEIGHBOURS, SPARE
from crossfade.index.form import FLOAT16, Form

EXPANSIONS = (116, 200, 400)
ROUNDS = 3
WANTED = NEIGHBOURS + SPARE
LARGEST = 127  # of an int8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--model", default="minilm-l3")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.model, options.model
    world = real(options.vectors, names, options.documents) if options.vectors else synthetic(options.documents)
    rows, queries = world.old[0].astype(np.float16), world.old[1][: options.queries]
    report: dict[str, Any] = {"machine": machine.facts(("numpy", "usearch")), "load": os.getloadavg()[0], "graphs": []}
    sys.stdout.write("| form | MB | ef | walk, µs | usearch, µs | ratio | same answers |\n" + "|---" * 7 + "|\n")
    for name, form in {"int8": Form.of(rows), "float16": FLOAT16}.items():
        for row in measured(rows, queries, form, options.batch):
            report["graphs"].append({"form": name, **row})
            shown = f"{row['megabytes']:.1f} | {row['ef']} | {row['walk']:.0f} | {row['usearch']:.0f}"
            sys.stdout.write(f"| {name} | {shown} | {row['usearch'] / row['walk']:.2f} | {row['same']:.4f} |\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def measured(rows: Any, queries: Any, form: Form, batch: int) -> Iterator[dict[str, Any]]:
    """By the number of candidates."""
    built = graph.new_graph(rows.shape[1], form)
    graph.add(built, form, np.arange(len(rows), dtype=np.uint64), rows, os.cpu_count() or 1)
    content = np.frombuffer(graph.serialize(built), np.uint8)
    opened = graph.read(content, Path("a graph"), len(rows), rows.shape[1], form)
    asked = queries
    if form.scale:  # usearch compares int8 with int8
        asked = np.rint(queries * (LARGEST / np.abs(queries).max(axis=1, keepdims=True))).astype(np.int8)
    for ef in EXPANSIONS:
        built.expansion_search = ef  # type: ignore[misc]  # its setter stands apart from its getter
        took: dict[str, list[float]] = {"walk": [], "usearch": []}
        same = 0
        for start in (start for _ in range(ROUNDS) for start in range(0, len(queries) - batch + 1, batch)):
            part = slice(start, start + batch)
            began = time.perf_counter()
            walked = graph.search(opened, Path("a graph"), queries[part], WANTED, ef)
            between = time.perf_counter()
            theirs = built.search(asked[part], WANTED, threads=1, exact=False)
            took["usearch"].append(time.perf_counter() - between)
            took["walk"].append(between - began)
            found = theirs.keys.reshape(batch, -1)
            same += sum(len(np.intersect1d(*pair)) for pair in zip(walked, found, strict=True))
        micros = {name: 1e6 * float(np.median(times)) / batch for name, times in took.items()}
        share = same / (len(took["walk"]) * batch * WANTED)
        yield {"ef": ef, "megabytes": len(content) / 1e6, "same": share, **micros}


if __name__ == "__main__":
    main()
