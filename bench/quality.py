"""nDCG@10 of a model on a BEIR folder, by exact search.

    python bench/quality.py --data FOLDER --model minilm-l6

A document's text is its title, a space and its text; every model of ours cuts at 256 tokens.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path

import numpy as np

from crossfade.encoder import Encoder
from crossfade.evaluate import ndcg

K = 10


def read_lines(path: Path) -> dict[str, str]:
    """Identifier → title and text of every line of a jsonl file."""
    with path.open(encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    return {entry["_id"]: f"{entry.get('title') or ''} {entry['text']}".strip() for entry in entries}


def read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """Query id → document id → grade."""
    grades: dict[str, dict[str, float]] = {}
    with path.open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            grades.setdefault(row["query-id"], {})[row["corpus-id"]] = float(row["score"])
    return grades


def main() -> int:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with corpus.jsonl, queries.jsonl, qrels/test.tsv"
    )
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    encoder = Encoder.load(arguments.model)
    corpus = {key: text for key, text in read_lines(arguments.data / "corpus.jsonl").items() if text}
    qrels = read_qrels(arguments.data / "qrels" / "test.tsv")
    queries = {key: text for key, text in read_lines(arguments.data / "queries.jsonl").items() if key in qrels}
    begin = time.perf_counter()
    documents = encoder.encode(list(corpus.values()))
    seconds = time.perf_counter() - begin
    scores = encoder.encode(list(queries.values()), "query") @ documents.T
    keys = list(corpus)
    run = {
        query: [keys[row] for row in np.argsort(-scores[number], kind="stable")[:K]]
        for number, query in enumerate(queries)
    }
    figures = {
        "data": arguments.data.name,
        "model": arguments.model,
        "documents": len(corpus),
        "queries": len(queries),
        "ndcg@10": round(float(np.mean(list(ndcg(run, qrels, k=K).values()))), 4),
        "documents_per_second": round(len(corpus) / seconds, 1),
        "engine": encoder.engine,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
