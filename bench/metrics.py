"""Metrics beside trec_eval's on the runs of real models, and how often two systems that are alike seem to differ.

    python -m bench.metrics --data FOLDER --vectors FOLDER --model minilm-l6 minilm-l3

`--data` is a BEIR folder, `--vectors` holds `<model>.docs.npy` and `<model>.queries.npy`; without it texts are encoded.
Scores are rounded to three places, so that there are ties. trec_eval is the one in pytrec-eval-terrier (`test` group).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytrec_eval

from bench.fade_data import Judged, Unusable, model
from crossfade import evaluate

DEPTH, PLACES = 100, 3
COMPARISONS, QUERIES = 1_000, 100


def runs(judged: Judged, name: str, vectors: Path | None) -> dict[str, dict[str, float]]:
    """The scores of each query's best documents, rounded."""
    encoder = model(name, judged, vectors)
    documents = encoder.encode([document.content for document in judged.documents])
    ids = [document.id for document in judged.documents]
    scores = np.round(encoder.encode(list(judged.queries.values()), "query") @ documents.T, PLACES)
    return {
        query: {ids[place]: float(row[place]) for place in np.argsort(-row)[:DEPTH]}
        for query, row in zip(judged.queries, scores, strict=True)
    }


def farthest(scores: dict[str, dict[str, float]], qrels: dict[str, dict[str, float]]) -> dict[str, float]:
    """The largest difference to trec_eval of any query, by metric."""
    grades = {query: {document: int(grade) for document, grade in of.items()} for query, of in qrels.items()}
    judge = pytrec_eval.RelevanceEvaluator(grades, {"ndcg_cut.10", "P.10", "recall.10", "recip_rank"})
    expected = judge.evaluate(scores)
    run = {query: evaluate.ranked(found) for query, found in scores.items()}
    ours = {
        "ndcg_cut_10": evaluate.ndcg(run, qrels),
        "P_10": evaluate.precision(run, qrels),
        "recall_10": evaluate.recall(run, qrels),
        "recip_rank": evaluate.mrr(run, qrels, k=DEPTH),
    }
    return {name: max(abs(values[q] - expected[q][name]) for q in values) for name, values in ours.items()}


def alike(values: list[dict[str, float]], seed: int) -> dict[str, int]:
    """Comparisons of systems that are alike: each gives a query the value of either model, by a coin of its own.

    Queries are drawn anew for each, without replacement.
    """
    random = np.random.default_rng(seed)
    names = sorted(values[0])
    table = np.array([[side[name] for name in names] for side in values])
    counts = {"p ≤ 0.05": 0, "better at p ≤ 0.05": 0, "interval above 0": 0}
    for _ in range(COMPARISONS):
        chosen = random.permutation(len(names))[: min(QUERIES, len(names))]
        coins = random.integers(2, size=(2, len(chosen)))
        sides = [{names[at]: float(table[coin, at]) for at, coin in zip(chosen, row, strict=True)} for row in coins]
        compared = evaluate.compare(*sides, samples=1_000)
        counts["p ≤ 0.05"] += compared.p_value <= 0.05
        counts["better at p ≤ 0.05"] += compared.p_value <= 0.05 and compared.difference > 0
        counts["interval above 0"] += compared.low > 0
    return counts


def main() -> int:
    """Print a line of JSON: the differences by model, and the counts of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--model", nargs=2, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        judged = Judged.load(arguments.data, "linear")
        scores = [runs(judged, name, arguments.vectors) for name in arguments.model]
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    qrels = {query: judged.qrels[query] for query in judged.queries}
    run = [{query: evaluate.ranked(found) for query, found in side.items()} for side in scores]
    figures = {
        "data": judged.name,
        "queries": len(judged.queries),
        "largest difference": dict(zip(arguments.model, (farthest(side, qrels) for side in scores), strict=True)),
        f"of {COMPARISONS:,} comparisons": alike([evaluate.ndcg(side, qrels) for side in run], arguments.seed),
    }
    sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
    return 0 if max(max(found.values()) for found in figures["largest difference"].values()) <= 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
