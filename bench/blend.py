"""Does a half-filled collection ever rank worse than it did before? nDCG@10 and lift at every share.

    python -m bench.blend --data DIR --vectors DIR --old minilm-l3 --new minilm-l6 [--json]

`--data` is a BEIR folder (corpus.jsonl, queries.jsonl, qrels/test.tsv); `--vectors` holds `<model>.docs.npy` and
`<model>.queries.npy`, unit rows in the order of the jsonl files. Search is exact, in numpy: what is measured is
how scores are blended, not an index. Lift = (result − old) / (new − old); its area is over the share, by
trapezoids.

The order "random" is the mean of `--seeds` orders; its lowest point is that of any one of them. "hot" re-embeds
what the queries' old rankings show most often first: the case where the queries measured are those that were
logged.

Beside it the lift at full coverage as far as documents alike smooth each other's scores: by γ, and how many of the best
candidates are compared. 0 is the weighted sum of both models alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from crossfade import evaluate
from crossfade.bridge import Bridge
from crossfade.search import smoothing
from crossfade.search.blend import Blend

Float32 = NDArray[np.float32]
Positions = NDArray[np.int64]

SHARES = (0.0, 0.02, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
CANDIDATES = 100
SAMPLE = 5_000
SMOOTHED = [(0.0, 64), *((share, compared) for share in (0.1, 0.2, 0.3, 0.4) for compared in (32, 64, 128))]


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """A judged collection with the vectors of two models, and what a fade learns from a sample of it."""

    ids: list[str]
    queries: list[str]
    qrels: dict[str, dict[str, float]]
    gain: evaluate.Gain
    old_queries: Float32
    new_queries: Float32
    old: Float32
    new: Float32
    bridged: Float32
    bridge: Bridge
    blend: Blend
    old_rows: Float32
    new_rows: Float32

    @classmethod
    def load(cls, data: Path, vectors: Path, old: str, new: str, gain: evaluate.Gain, seed: int) -> Bench:
        """Read a collection and fit on a uniform sample of at most 5,000 of its documents.

        The three matrices of scores, `(queries, documents)` float32, are kept whole.
        """
        qrels = _qrels(data / "qrels" / "test.tsv")
        names = _ids(data / "queries.jsonl")
        judged = [row for row, name in enumerate(names) if any(grade > 0 for grade in qrels.get(name, {}).values())]
        old_rows, new_rows = _rows(vectors / f"{old}.docs.npy"), _rows(vectors / f"{new}.docs.npy")
        old_queries = _rows(vectors / f"{old}.queries.npy")[judged]
        new_queries = _rows(vectors / f"{new}.queries.npy")[judged]
        sample = np.random.default_rng(seed).permutation(len(old_rows))[:SAMPLE]
        bridge = Bridge.fit(old_rows[sample], new_rows[sample])
        return cls(
            ids=_ids(data / "corpus.jsonl"),
            queries=[names[row] for row in judged],
            qrels=qrels,
            gain=gain,
            old_queries=old_queries,
            new_queries=new_queries,
            old=old_queries @ old_rows.T,
            new=new_queries @ new_rows.T,
            bridged=new_queries @ bridge.apply(old_rows).T,
            bridge=bridge,
            blend=Blend.fit(old_rows[sample], new_rows[sample], bridge),
            old_rows=old_rows,
            new_rows=new_rows,
        )

    def ndcg(self, rankings: list[Positions]) -> float:
        """Mean nDCG@10 of one ranking per query, as positions of documents."""
        run = {
            query: [self.ids[position] for position in ranking[:10]]
            for query, ranking in zip(self.queries, rankings, strict=True)
        }
        judged = {query: self.qrels[query] for query in self.queries}
        return evaluate.mean(evaluate.ndcg(run, judged, gain=self.gain))

    def fade(self, embedded: Positions, heads: list[Positions]) -> float:
        """Mean nDCG@10 while only the `embedded` documents have a new vector."""
        covered = np.zeros(len(self.ids), np.bool_)
        covered[embedded] = True
        return self.ndcg([self._rank(query, head, embedded, covered) for query, head in enumerate(heads)])

    def _rank(self, query: int, head: Positions, embedded: Positions, covered: NDArray[np.bool_]) -> Positions:
        found = embedded[best(self.new[query, embedded], CANDIDATES)]
        candidates = np.concatenate([head, found[~np.isin(found, head)]])
        blended = self.blend.score(
            self.old_queries[query],
            self.new_queries[query],
            self.old[query, candidates],
            np.where(covered[candidates], self.new[query, candidates], np.float32(np.nan)),
            self.bridged[query, candidates],
            head=len(head),
            old_rows=self.old_rows[candidates],
            new_rows=self.new_rows[candidates],
        )
        return candidates[np.lexsort((candidates, -blended.scores))]

    def hot_order(self, heads: list[Positions]) -> Positions:
        """Documents by how often and how high the queries' old rankings show them; the rest by position."""
        votes = np.zeros(len(self.ids))
        for head in heads:
            votes[head] += 1.0 / (np.arange(len(head)) + 10.0)
        return np.argsort(-votes, kind="stable")


def best(scores: Float32, count: int) -> Positions:
    """Positions of the highest scores, best first, ties by position."""
    if count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        positions = np.flatnonzero(scores >= threshold)
    else:
        positions = np.arange(len(scores))
    return positions[np.argsort(-scores[positions], kind="stable")][:count]


def measure(bench: Bench, seeds: int) -> dict[str, Any]:
    """Both models, and the fade between them in either order."""
    heads = [best(scores, CANDIDATES) for scores in bench.old]
    old, new = bench.ndcg(heads), bench.ndcg([best(scores, 10) for scores in bench.new])
    orders = {
        "random": [np.random.default_rng(seed).permutation(len(bench.ids)) for seed in range(seeds)],
        "hot": [bench.hot_order(heads)],
    }
    return {
        "documents": len(bench.ids),
        "queries": len(bench.queries),
        "gain": bench.gain,
        "old": old,
        "new": new,
        "bridge": dataclasses.asdict(bench.bridge.quality),
        "estimate": dataclasses.asdict(bench.blend.estimate),
        "shares": list(SHARES),
        "orders": {name: _fade_in(bench, group, heads, old, new) for name, group in orders.items()},
        "smoothed": [_smoothed(bench, *how, heads, old, new) for how in SMOOTHED] if new > old else [],
    }


def _smoothed(bench: Bench, share: float, compared: int, heads: list[Positions], old: float, new: float) -> Any:
    """Lift at full coverage, smoothed in that way."""
    with mock.patch.multiple(smoothing, SHARE=share, COMPARED=compared):
        found = bench.fade(np.arange(len(bench.ids)), heads)
    return {"share": share, "compared": compared, "lift": (found - old) / (new - old)}


def _fade_in(bench: Bench, orders: list[Positions], heads: list[Positions], old: float, new: float) -> dict[str, Any]:
    """One kind of order: means at every share, and the lowest point that any single order of it reached."""
    counts = [round(len(bench.ids) * share) for share in SHARES]
    values = np.array([[bench.fade(np.sort(order[:count]), heads) for count in counts] for order in orders])
    means = values.mean(axis=0)
    # Where the new model is no better there is nothing to have a share of.
    lift = (means - old) / (new - old) if new > old else None
    return {
        "ndcg": means.tolist(),
        "lift": None if lift is None else lift.tolist(),
        "area": None if lift is None else float(np.trapezoid(lift, SHARES)),
        "lowest_minus_old": float(values.min() - old),
    }


def _ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [str(json.loads(line)["_id"]) for line in lines]


def _qrels(path: Path) -> dict[str, dict[str, float]]:
    qrels: dict[str, dict[str, float]] = {}
    with path.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            query, document, grade = line.rstrip("\n").split("\t")
            qrels.setdefault(query, {})[document] = float(grade)
    return qrels


def _rows(path: Path) -> Float32:
    rows = np.load(path).astype(np.float32)
    unit: Float32 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['documents']} documents, {result['queries']} queries, {result['gain']} gain: "
        f"old {result['old']:.4f}, new {result['new']:.4f}",
        "order   " + "".join(f"{share:>8.0%}" for share in SHARES) + "    area  lowest − old",
    ]
    for name, order in result["orders"].items():
        lines.append(f"{name:8}" + "".join(f"{value:8.4f}" for value in order["ndcg"]))
        shown = "".join(f"{value:+8.2f}" for value in order["lift"] or ())
        area = f"{order['area']:8.3f}" if order["lift"] else "no lift: the new model is no better".rjust(80)
        lines.append(f"  lift  {shown}{area}{order['lowest_minus_old']:+15.4f}")
    lines += [
        f"lift at full coverage {it['lift']:.3f} with γ {it['share']:.1f} among {it['compared']}"
        for it in result["smoothed"]
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, measure, and write a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder")
    parser.add_argument("--vectors", type=Path, required=True, help="folder of <model>.docs.npy and .queries.npy")
    parser.add_argument("--old", required=True, help="name of the old model's vectors")
    parser.add_argument("--new", required=True, help="name of the new model's vectors")
    parser.add_argument("--gain", choices=("linear", "exponential"), default="linear")
    parser.add_argument("--seeds", type=int, default=3, help="random orders to average")
    parser.add_argument("--sample-seed", type=int, default=0, help="of the sample the fade is learned from")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    bench = Bench.load(given.data, given.vectors, given.old, given.new, given.gain, given.sample_seed)
    result = measure(bench, given.seeds)
    sys.stdout.write((json.dumps(result, indent=2) if given.json else _table(result)) + "\n")


if __name__ == "__main__":
    main()
