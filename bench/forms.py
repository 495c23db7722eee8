"""What int8 rows in a graph find, and what they take, beside float16 ones.

    python -m bench.forms --vectors FOLDER [--queries 400] [--json FILE]

For every model of a folder (`<model>.docs.npy`, `<model>.queries.npy`): a graph in either form, and by the number of
candidates (`ef`) the recall of the true 100 and 10 nearest rows among 116 asked for, and the median time of a search.
The two forms take turns, query by query. Beside it what stand-ins for queries find of their 100, by which a segment
learns its `ef`, and what rows themselves find, which are too easy to learn from.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from crossfade.index import graph
from crossfade.index.expansion import NEIGHBOURS, SPARE, stand_ins
from crossfade.index.form import FLOAT16, Form
from crossfade.kernels import Graph, normalize

EXPANSIONS = (100, 150, 200, 300, 400)
# What counts as found: as near as the last one, as sums of float32 values allow.
NEARLY = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    models = sorted(path.name.removesuffix(".docs.npy") for path in options.vectors.glob("*.docs.npy"))
    report = {"machine": machine.facts(("numpy", "usearch")), "models": {}}
    out = sys.stdout
    out.write(
        "| model | rows | form | seconds to build | MB | ef | recall@100 | recall@10 | µs "
        "| stand-ins' recall@100 | rows' |\n" + "|---" * 11 + "|\n"
    )
    for model in models:
        rows, queries = (
            normalize(np.load(options.vectors / f"{model}.{kind}.npy").astype(np.float32))
            for kind in ("docs", "queries")
        )
        report["models"][model] = found = measure(rows.astype(np.float16), queries[: options.queries])
        for form, facts in found.items():
            for ef, (at_100, at_10, micros, *others) in facts["by ef"].items():
                shown = f"{facts['seconds']:.1f} | {facts['megabytes']:.1f} | {ef} | {at_100:.3f} | {at_10:.3f}"
                out.write(f"| {model} | {rows.shape[0]} × {rows.shape[1]} | {form} | {shown} | {micros:.0f} |")
                out.write(f" {others[0]:.3f} | {others[1]:.3f} |\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(rows: np.ndarray[Any, Any], queries: np.ndarray[Any, Any]) -> dict[str, Any]:
    """By form."""
    keys = np.arange(len(rows), dtype=np.uint64)
    true = queries @ rows.astype(np.float32).T
    last = [np.partition(true, -count, axis=1)[:, -count] - NEARLY for count in (NEIGHBOURS, 10)]
    others = [stand_ins(rows, len(queries)), rows[:: max(1, len(rows) // len(queries))].astype(np.float32)]
    forms = {"float16": FLOAT16, "int8": Form.of(rows)}
    graphs, found = {}, {}
    for name, form in forms.items():
        built = graph.new_graph(rows.shape[1], form)
        began = time.perf_counter()
        graph.add(built, form, keys, rows, 1)
        seconds = time.perf_counter() - began
        content = np.frombuffer(graph.serialize(built), np.uint8)
        graphs[name] = graph.read(content, Path(name), len(rows), rows.shape[1], form)
        found[name] = {"seconds": seconds, "megabytes": len(content) / 1e6, "by ef": {}}
    for ef in EXPANSIONS:
        took: dict[str, list[float]] = {name: [] for name in forms}
        hits: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
        for number, query in enumerate(queries):
            for name in forms:
                began = time.perf_counter()
                near = graph.search(graphs[name], Path(name), query[np.newaxis], NEIGHBOURS + SPARE, ef)[0]
                took[name].append(time.perf_counter() - began)
                scores = true[number][near.astype(np.int64)]
                at_100, at_10 = ((scores >= least[number]).sum() for least in last)
                hits[name].append((min(at_100 / NEIGHBOURS, 1.0), min(at_10 / 10, 1.0)))
        for name in forms:
            at_100, at_10 = np.mean(hits[name], axis=0)
            micros = 1e6 * float(np.median(took[name]))
            easier = [recall(graphs[name], rows, asked, ef) for asked in others]
            found[name]["by ef"][ef] = [round(float(it), 4) for it in (at_100, at_10, micros, *easier)]
    return found


def recall(built: Graph, rows: np.ndarray[Any, Any], queries: np.ndarray[Any, Any], ef: int) -> float:
    """The share of the true 100 nearest rows that is found."""
    true = queries @ rows.astype(np.float32).T
    last = np.partition(true, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS] - NEARLY
    near = graph.search(built, Path("a graph"), queries, NEIGHBOURS + SPARE, ef)
    hits = (np.take_along_axis(true, near.astype(np.int64), axis=1) >= last[:, np.newaxis]).sum(axis=1)
    return float(hits.clip(max=NEIGHBOURS).mean()) / NEIGHBOURS


if __name__ == "__main__":
    main()
