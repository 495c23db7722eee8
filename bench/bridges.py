"""Which kind of Bridge is best, in which direction, and from how many pairs?

    python -m bench.bridges --data DIR --vectors DIR --old minilm-l3 --new minilm-l6 [--pairs 500,1000,4000] [--json]

`--vectors` holds `<model>.docs.npy` and `<model>.queries.npy`, rows in the order of the jsonl files of `--data`, a BEIR
folder. Of every number of pairs a fifth is held out. Beside the kinds that crossfade fits there are two that it does
not (docs/decisions/0009): ridge by k-means cluster, and a residual network on top of ridge. Columns: cosine, recall@10
and expected retention on held-out pairs; nDCG@10 of the judged queries where documents are carried over and the new
query asks them ("there"), and where the new query is carried back and asks the old vectors ("back"); and the time to
carry one row on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality import read_lines, read_qrels
from crossfade import evaluate, kernels
from crossfade.bridge import fitting
from crossfade.bridge.fitting import Moments, Solver, unit
from crossfade.bridge.measuring import HeldOut

Float32 = NDArray[np.float32]
Carry = Callable[[Float32], Float32]
Fit = Callable[[Float32, Float32], Carry]

CLUSTERS = (4, 8)
ROUNDS = 20
HIDDEN, EPOCHS, BATCH, RATE = 256, 60, 128, 1e-3
STRENGTHS = (0.03, 0.1, 0.3, 1.0)
CALLS = 300


def linear(kind: tuple[str, float]) -> Fit:
    """One of crossfade's own kinds."""

    def fit(old: Float32, new: Float32) -> Carry:
        moments = Moments.of(old, new)
        matrix = np.ascontiguousarray(Solver(moments).solve(*kind), dtype=np.float32)
        center, offset = moments.center.astype(np.float32), moments.offset.astype(np.float32)
        return lambda rows: kernels.project(rows, matrix, center, offset)

    return fit


def clustered(clusters: int, strength: float) -> Fit:
    """Ridge by cluster of the rows carried, by Lloyd's k-means; a row is carried by its nearest centroid's map."""

    def fit(old: Float32, new: Float32) -> Carry:
        random = np.random.default_rng(0)
        centroids = old[random.permutation(len(old))[:clusters]]
        for _ in range(ROUNDS):
            nearest = (old @ centroids.T).argmax(axis=1)
            centroids = unit(np.stack([old[nearest == c].mean(axis=0) for c in range(clusters)]))
        nearest = (old @ centroids.T).argmax(axis=1)
        maps = [linear((fitting.RIDGE, strength))(old[nearest == c], new[nearest == c]) for c in range(clusters)]

        def carry(rows: Float32) -> Float32:
            routes = (rows @ centroids.T).argmax(axis=1)
            carried = np.empty((len(rows), new.shape[1]), np.float32)
            for route in np.unique(routes):
                carried[routes == route] = maps[route](np.ascontiguousarray(rows[routes == route]))
            return carried

        return carry

    return fit


def residual(strength: float) -> Fit:
    """Ridge, and a network of one hidden layer (ReLU, Adam, mean squared error) for what it leaves over."""

    def fit(old: Float32, new: Float32) -> Carry:
        moments = Moments.of(old, new)
        matrix = Solver(moments).solve(fitting.RIDGE, strength).astype(np.float32)
        center, offset = moments.center.astype(np.float32), moments.offset.astype(np.float32)
        scale = np.float32(1.0 / np.sqrt(np.trace(moments.covariance) / len(center)))
        inputs, wanted = (old - center) * scale, new - ((old - center) @ matrix + offset)
        weights = _trained(inputs, wanted)

        def carry(rows: Float32) -> Float32:
            centred = rows - center
            hidden = np.maximum(centred * scale @ weights[0] + weights[1], 0.0)
            return unit(centred @ matrix + offset + hidden @ weights[2])

        return carry

    return fit


def _trained(inputs: Float32, wanted: Float32) -> list[Float32]:
    random = np.random.default_rng(0)
    first = random.standard_normal((inputs.shape[1], HIDDEN)) / np.sqrt(inputs.shape[1])
    weights = [np.asarray(w, np.float32) for w in (first, np.zeros(HIDDEN), np.zeros((HIDDEN, wanted.shape[1])))]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    step = 0
    for _ in range(EPOCHS):
        order = random.permutation(len(inputs))
        for start in range(0, len(order), BATCH):
            some, step = order[start : start + BATCH], step + 1
            before = inputs[some] @ weights[0] + weights[1]
            hidden = np.maximum(before, 0.0)
            error = (hidden @ weights[2] - wanted[some]) * (2.0 / len(some))
            back = (error @ weights[2].T) * (before > 0)
            for place, slope in enumerate((inputs[some].T @ back, back.sum(axis=0), hidden.T @ error)):
                mean, square = moments[place]
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope * slope - square)
                weights[place] -= RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weights


def kinds() -> dict[str, list[Fit]]:
    """By name, one fit for every strength; the best on held-out pairs counts."""
    own: dict[str, list[Fit]] = {}
    for kind in fitting.CANDIDATES:
        own.setdefault(kind[0], []).append(linear(kind))
    routed = {f"ridge by {k} clusters": [clustered(k, strength) for strength in STRENGTHS] for k in CLUSTERS}
    return {**own, **routed, "ridge + network": [residual(strength) for strength in STRENGTHS[:2]]}


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """A judged collection with the vectors of two models."""

    ids: list[str]
    qrels: dict[str, dict[str, float]]
    queries: list[str]
    old: Float32
    new: Float32
    old_queries: Float32
    new_queries: Float32

    @classmethod
    def load(cls, data: Path, vectors: Path, old: str, new: str) -> Judged:
        """Queries without a relevant document are left out."""
        qrels, names = read_qrels(data / "qrels" / "test.tsv"), list(read_lines(data / "queries.jsonl"))
        judged = [row for row, name in enumerate(names) if any(grade > 0 for grade in qrels.get(name, {}).values())]
        docs = [unit(np.load(vectors / f"{model}.docs.npy")) for model in (old, new)]
        queries = [unit(np.load(vectors / f"{model}.queries.npy"))[judged] for model in (old, new)]
        return cls(list(read_lines(data / "corpus.jsonl")), qrels, [names[row] for row in judged], *docs, *queries)

    def ndcg(self, queries: Float32, rows: Float32) -> float:
        """Mean nDCG@10 by exact search."""
        run = {}
        for name, scores in zip(self.queries, queries @ rows.T, strict=True):
            best = np.argpartition(-scores, 10)[:10]
            run[name] = [self.ids[row] for row in best[np.argsort(-scores[best], kind="stable")]]
        return evaluate.mean(evaluate.ndcg(run, {name: self.qrels[name] for name in self.queries}))


def measure(judged: Judged, pairs: int) -> list[dict[str, Any]]:
    """Every kind, fitted to so many pairs."""
    order = np.random.default_rng(0).permutation(len(judged.old))[:pairs]
    held, kept = order[: len(order) // 5], order[len(order) // 5 :]
    there, back = HeldOut(judged.old[held], judged.new[held]), HeldOut(judged.new[held], judged.old[held], queries=True)
    rows = []
    for name, fits in kinds().items():
        carry, found = _best([fit(judged.old[kept], judged.new[kept]) for fit in fits], there)
        carry_back, _ = _best([fit(judged.new[kept], judged.old[kept]) for fit in fits], back)
        rows.append(
            {
                "kind": name,
                "pairs": len(order),
                "cosine": float(found.cosine.mean()),
                "recall_at_10": float(found.recall.mean()),
                "retention": float(found.retention.mean()),
                "there": judged.ndcg(judged.new_queries, carry(judged.old)),
                "back": judged.ndcg(carry_back(judged.new_queries), judged.old),
                "microseconds": _microseconds(carry, judged.old),
            }
        )
    return rows


def _best(carries: list[Carry], held: HeldOut) -> tuple[Carry, Any]:
    measured = [(carry, held.measure(carry(held.old))) for carry in carries]
    best = measured[0]
    for other in measured[1:]:
        best = other if other[1].is_better(best[1]) else best
    return best


def _microseconds(carry: Carry, rows: Float32) -> float:
    """Median time for one row."""
    times = []
    for row in range(min(CALLS, len(rows))):
        begin = time.perf_counter()
        carry(rows[row : row + 1])
        times.append(time.perf_counter() - begin)
    return float(np.median(times) * 1e6)


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['old']} {result['old_ndcg']:.4f} → {result['new']} {result['new_ndcg']:.4f} (nDCG@10)",
        "| kind | pairs | cosine | recall@10 | expected retention | nDCG@10 there | back | µs a row |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['kind']} | {row['pairs']:,} | {row['cosine']:.3f} | {row['recall_at_10']:.3f} "
        f"| {row['retention']:.3f} | {row['there']:.4f} | {row['back']:.4f} | {row['microseconds']:.0f} |"
        for row in result["kinds"]
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, measure, and write a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder")
    parser.add_argument("--vectors", type=Path, required=True, help="folder of <model>.docs.npy and .queries.npy")
    parser.add_argument("--old", required=True, help="name of the old model's vectors")
    parser.add_argument("--new", required=True, help="name of the new model's vectors")
    parser.add_argument("--pairs", default="1000,4000", help="numbers of pairs, with commas")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    judged = Judged.load(given.data, given.vectors, given.old, given.new)
    numbers = sorted({min(int(number), len(judged.old)) for number in given.pairs.split(",")})
    result = {
        "old": given.old,
        "new": given.new,
        "old_ndcg": judged.ndcg(judged.old_queries, judged.old),
        "new_ndcg": judged.ndcg(judged.new_queries, judged.new),
        "kinds": [row for number in numbers for row in measure(judged, number)],
    }
    sys.stdout.write((json.dumps(result, indent=2) if given.json else _table(result)) + "\n")


if __name__ == "__main__":
    main()
