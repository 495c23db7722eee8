"""How fast a graph is walked, and what is found: `kernels.walk`, with codes and without, beside usearch's own search.

    python -m bench.walks [--vectors FOLDER] [--model minilm-l3] [--documents 100000] [--queries 400] [--json FILE]

usearch builds a graph of int8 rows, and one of float16 rows; each is asked query by query in turns, one thread, as
one query or `--batch` many at a time, for 116 rows with growing numbers of candidates (`ef`): by usearch, by a walk
from the entry, and by one from the rows whose codes are most like the query's. Printed are medians of a query, the
ratio of usearch's and the walk's from the entry, the share of usearch's answers that this one gives too, and for both
walks the share that they find of the 10 and of the 100 rows that are best by comparing all; below, what it takes to
compare all with a query, and to make the codes. Rows are synthetic, or those of a folder (`<model>.docs.npy`,
`<model>.queries.npy`), mixed where they are too few.
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
from crossfade.kernels import Codes, rescore

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
    columns = "form|ef|usearch, µs|walk, µs|ratio|same answers|finds of 10, of 100|from codes, µs|finds of 10, of 100"
    sys.stdout.write("| " + " | ".join(columns.split("|")) + " |\n" + "|---" * len(columns.split("|")) + "|\n")
    for name, form in {"int8": Form.of(rows), "float16": FLOAT16}.items():
        for row in measured(rows, queries, form, options.batch):
            report["graphs"].append({"form": name, **row})
            took = f"{row['usearch']:.0f} | {row['walk']:.0f} | {row['usearch'] / row['walk']:.2f} | {row['same']:.4f}"
            found = {way: " ".join(f"{share:.4f}" for share in row["found"][way].values()) for way in row["found"]}
            tail = f"{found['walk']} | {row['codes']:.0f} | {found['codes']}"
            sys.stdout.write(f"| {name} | {row['ef']} | {took} | {tail} |\n")
    for name, form in {"int8": Form.of(rows), "float16": FLOAT16}.items():
        found = {"form": name, **at_once(np.ascontiguousarray(form.rows(rows)), queries)}
        report.setdefault("at once", []).append(found)
        sys.stdout.write(
            f"\n{name}: {len(rows):,} rows compared with a query in {found['compared']:.0f} µs; their codes are made "
            f"in {found['made']:.1f} ms, of {found['bytes']:.0f} bytes a row\n"
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def measured(rows: Any, queries: Any, form: Form, batch: int) -> Iterator[dict[str, Any]]:
    """By the number of candidates."""
    built = graph.new_graph(rows.shape[1], form)
    graph.add(built, form, np.arange(len(rows), dtype=np.uint64), rows, os.cpu_count() or 1)
    content = np.frombuffer(graph.serialize(built), np.uint8)
    opened = graph.read(content, Path("a graph"), len(rows), rows.shape[1], form)
    ways = {"walk": opened, "codes": opened._replace(codes=Codes.of(opened.rows))}
    best = nearest(rows, queries)
    asked = queries
    if form.scale:  # usearch compares int8 with int8
        asked = np.rint(queries * (LARGEST / np.abs(queries).max(axis=1, keepdims=True))).astype(np.int8)
    parts = [slice(start, start + batch) for start in range(0, len(queries) - batch + 1, batch)]
    for ef in EXPANSIONS:
        built.expansion_search = ef  # type: ignore[misc]  # its setter stands apart from its getter
        took: dict[str, list[float]] = {"usearch": [], "walk": [], "codes": []}
        answers: dict[str, list[Any]] = {name: [] for name in took}
        for part in parts * ROUNDS:
            began = time.perf_counter()
            theirs = built.search(asked[part], WANTED, threads=1, exact=False)
            took["usearch"].append(time.perf_counter() - began)
            answers["usearch"].append(theirs.keys.reshape(batch, -1))
            for name, way in ways.items():
                began = time.perf_counter()
                answers[name].append(graph.search(way, Path("a graph"), queries[part], WANTED, ef))
                took[name].append(time.perf_counter() - began)
        keys = {name: np.concatenate(of[: len(parts)]) for name, of in answers.items()}
        yield {
            "ef": ef,
            "same": share_of(keys["usearch"], keys["walk"]),
            "found": {name: {str(k): share_of(best[:, :k], keys[name]) for k in (10, NEIGHBOURS)} for name in ways},
            **{name: 1e6 * float(np.median(times)) / batch for name, times in took.items()},
        }


def at_once(rows: Any, queries: Any) -> dict[str, float]:
    """What it takes to compare all rows with a query, µs, and to make their codes, ms."""
    compared, made = [], []
    for query in queries:
        began = time.perf_counter()
        rescore(rows, None, query[np.newaxis])
        compared.append(time.perf_counter() - began)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        codes = Codes.of(rows)
        made.append(time.perf_counter() - began)
    size = codes.bits.nbytes / len(rows)
    return {"compared": 1e6 * float(np.median(compared)), "made": 1e3 * float(np.median(made)), "bytes": size}


def nearest(rows: Any, queries: Any) -> Any:
    """The best by comparing all `(q, 100)`."""
    scores = queries @ rows.astype(np.float32).T
    best = np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)


def share_of(wanted: Any, found: Any) -> float:
    """Of what is wanted, how much was found."""
    return sum(len(np.intersect1d(*pair)) for pair in zip(wanted, found, strict=False)) / wanted[: len(found)].size


if __name__ == "__main__":
    main()
