"""What the sample of an assessment costs and says, beside what the whole collection says.

    python -m bench.assess_quality --data FOLDER --vectors FOLDER --from minilm-l6 --to mpnet --sample 1000 2000

For every size of the sample a line of JSON: nDCG@10 of the whole collection with both models, by exact search, for the
queries that were measured; the measured difference, with its interval; and the difference without the correction.
`--made` measures with queries made from the documents.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import crossfade as cf
from bench.fade_data import Judged, Unusable, model
from crossfade import assess, evaluate
from crossfade.assess import measuring
from crossfade.known_items import known_items


def full(encoders: list[cf.Encoder], judged: Judged) -> list[dict[str, float]]:
    """nDCG@10 of every query by both models, among all documents."""
    ids = np.array([document.id for document in judged.documents])
    values = []
    for encoder in encoders:
        rows = encoder.encode([document.content for document in judged.documents])
        scores = encoder.encode(list(judged.queries.values()), "query") @ rows.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        run = {query: ids[row].tolist() for query, row in zip(judged.queries, best, strict=True)}
        values.append(evaluate.ndcg(run, {query: judged.qrels[query] for query in judged.queries}, gain=judged.gain))
    return values


def line(
    docs: cf.Collection, new: cf.Encoder, judged: Judged, values: list[dict[str, float]], size: int, seed: int
) -> str:
    """What a sample says."""
    begin = time.perf_counter()
    queries = assess.given(judged.queries, {query: judged.qrels[query] for query in judged.queries})
    quality = assess.measure(docs._store, docs._encoders, new, queries, sample=size, gain=judged.gain, seed=seed)
    asked = measuring._questions(docs._store, queries, False, size, seed)
    first, pool = quality.measures[0], quality.pool
    true = [evaluate.mean({question.id: side[question.id] for question in asked}) for side in values]
    figures = {
        "sample": size,
        "queries": quality.queries,
        "embedded": pool.embedded,
        "depth": pool.depth,
        "missing": round(pool.missing, 1),
        "pairs": pool.pairs,
        "old": round(first.old, 4),
        "old, whole": round(true[0], 4),
        "difference, whole": round(true[1] - true[0], 4),
        "difference": round(first.comparison.difference, 4),
        "interval": [round(first.comparison.low, 4), round(first.comparison.high, 4)],
        "p": round(first.comparison.p_value, 4),
        "detectable": round(first.comparison.detectable or 0.0, 4),
        "uncorrected": round(first.uncorrected - first.old, 4),
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return json.dumps(figures)


def made_line(docs: cf.Collection, new: cf.Encoder, judged: Judged, size: int, seed: int) -> str:
    """What a sample says with queries made from documents."""
    order = np.random.default_rng(seed).permutation(len(judged.documents))[:size]
    queries = assess.made(known_items([judged.documents[place] for place in order]))
    quality = assess.measure(docs._store, docs._encoders, new, queries, sample=size, seed=seed)
    first = quality.measures[0]
    return json.dumps(
        {
            "made": len(queries.texts),
            "sample": size,
            "queries": quality.queries,
            "old": round(first.old, 4),
            "difference": round(first.comparison.difference, 4),
            "interval": [round(first.comparison.low, 4), round(first.comparison.high, 4)],
            "uncorrected": round(first.uncorrected - first.old, 4),
        }
    )


def main() -> int:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--from", dest="old", required=True)
    parser.add_argument("--to", dest="new", required=True)
    parser.add_argument("--sample", type=int, nargs="+", default=[1_000, 2_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--made", action="store_true")
    arguments = parser.parse_args()
    try:
        judged = Judged.load(arguments.data, "linear")
        vectors = None if arguments.made else arguments.vectors
        old, new = (model(name, judged, vectors) for name in (arguments.old, arguments.new))
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with tempfile.TemporaryDirectory() as folder, cf.Collection.create(Path(folder) / "kb.cf", old) as docs:
        docs.upsert(judged.documents)
        sys.stdout.write(f"{judged.name}, {len(docs)} documents, {arguments.old} to {arguments.new}\n")
        values = [] if arguments.made else full([old, new], judged)
        for size in arguments.sample:
            told = made_line(docs, new, judged, size, arguments.seed) if arguments.made else None
            sys.stdout.write((told or line(docs, new, judged, values, size, arguments.seed)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
