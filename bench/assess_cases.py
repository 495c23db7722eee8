"""Whether a verdict is right on cases whose answer is known.

    python -m bench.assess_cases --data FOLDER [--vectors FOLDER] [--json FILE]

`--data` holds the BEIR folders `scifact` and `cranfield`, `--vectors` a folder of the same names with
`<model>.docs.npy` and `<model>.queries.npy`; without it the texts are encoded. Exit code 1 where a verdict is wrong, or
where more than 65 of 1,000 comparisons of two systems that are alike come out as a "go".
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import crossfade as cf
from bench import machine
from bench.fade_data import Judged, Unusable, model, say
from crossfade import evaluate
from crossfade.assess import Assessment, Measure, Thresholds
from crossfade.assess.ruling import by_queries
from crossfade.encoder import pull
from crossfade.encoder.models import model_folder

COMPARISONS, QUERIES, MOST_FALSE = 1_000, 150, 65
FEW = 2


@dataclasses.dataclass(frozen=True)
class Case:
    """A case whose answer is known.

    Args:
        name: What it is.
        data: The judged collection.
        old, new: The models.
        right: The decisions that are right.
        options: Of `assess`.
        prepare: Makes the new encoder; None for the model of that name.
        at_once: Whether it must be decided without asking queries.
    """

    name: str
    data: str
    old: str
    new: str
    right: tuple[str, ...]
    options: Callable[[Judged], dict[str, Any]]
    prepare: Callable[[cf.Encoder, Path], cf.Encoder] | None = None
    at_once: bool = False


def judged(data: Judged) -> dict[str, Any]:
    """All judged queries."""
    return {"queries": data.queries, "qrels": {query: data.qrels[query] for query in data.queries}}


def few(data: Judged) -> dict[str, Any]:
    """Two of them."""
    some = list(data.queries)[:FEW]
    return {"queries": {query: data.queries[query] for query in some}, "qrels": {q: data.qrels[q] for q in some}}


def renamed(encoder: cf.Encoder, folder: Path) -> cf.Encoder:
    """The same vectors under another name, as a gateway may give."""
    space = dataclasses.replace(encoder.space, model="gateway/renamed")
    return cf.Encoder.wrap(lambda texts: rows_of(encoder, texts), space)


def rows_of(encoder: cf.Encoder, texts: list[str]) -> Any:
    """Of texts that have their prefixes already."""
    both = {encoder.space.query_prefix: "query", encoder.space.document_prefix: "document"}
    prefix = next(prefix for prefix in both if texts[0].startswith(prefix))
    return encoder.encode([text.removeprefix(prefix) for text in texts], both[prefix])


def shuffled(encoder: cf.Encoder, folder: Path) -> cf.Encoder:
    """all-MiniLM-L6-v2 with the numbers of each of its tensors in another order."""
    pull("minilm-l6", say)
    shutil.copytree(model_folder("minilm-l6"), folder / "shuffled", ignore=shutil.ignore_patterns("model.safetensors"))
    random = np.random.default_rng(0)
    weights = safetensors.numpy.load_file(model_folder("minilm-l6") / "model.safetensors")
    mixed = {
        name: random.permutation(values.ravel()).reshape(values.shape) if values.dtype == np.float32 else values
        for name, values in weights.items()
    }
    safetensors.numpy.save_file(mixed, folder / "shuffled" / "model.safetensors")
    return cf.Encoder.load(folder / "shuffled", precision="float32", engine="onnxruntime")


NOT_GO = ("stay", "not enough evidence")
CASES = (
    Case("a real upgrade", "scifact", "minilm-l3", "minilm-l6", ("go",), judged),
    Case("a real upgrade", "cranfield", "minilm-l3", "minilm-l6", ("go",), judged),
    Case("larger and no better", "scifact", "minilm-l6", "mpnet", NOT_GO, judged),
    Case("a downgrade", "scifact", "minilm-l6", "minilm-l3", ("stay",), judged),
    Case("shuffled weights", "scifact", "minilm-l3", "minilm-l6", ("stay",), judged, shuffled, at_once=True),
    Case("another name", "scifact", "minilm-l6", "minilm-l6", ("nothing to do",), judged, renamed, at_once=True),
    Case("two queries", "scifact", "minilm-l3", "minilm-l6", ("not enough evidence",), few),
)


def run(case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """What is decided, and whether that is right."""
    data = Judged.load(arguments.data / case.data, "linear")
    vectors = arguments.vectors / case.data if arguments.vectors else None
    old, new = (model(name, data, vectors) for name in (case.old, case.new))
    with tempfile.TemporaryDirectory() as folder, cf.Collection.create(Path(folder) / "kb.cf", old) as docs:
        docs.upsert(data.documents)
        new = case.prepare(new, Path(folder)) if case.prepare else new
        began = time.perf_counter()
        found = docs.assess(new, sample=arguments.sample, seed=arguments.seed, **case.options(data))
        seconds = time.perf_counter() - began
    verdict = found.verdict
    right = verdict.decision in case.right and not (case.at_once and found.quality is not None)
    return {
        "case": case.name,
        "data": case.data,
        "old": case.old,
        "new": case.new,
        "right": list(case.right),
        "decision": verdict.decision,
        "strategy": verdict.strategy,
        "rule": verdict.rule,
        "embedded": embedded(found),
        "seconds": round(seconds, 1),
        "ok": right,
    }


def embedded(found: Assessment) -> int:
    """How many documents the assessment has cost."""
    return found.quality.pool.embedded if found.quality else len(found.facts.sample)


def alike(arguments: argparse.Namespace) -> dict[str, Any]:
    """Comparisons of systems that are alike: each gives a query the value of either model, by a coin of its own."""
    data = Judged.load(arguments.data / "scifact", "linear")
    vectors = arguments.vectors / "scifact" if arguments.vectors else None
    table = np.array([list(values(name, data, vectors).values()) for name in ("minilm-l3", "minilm-l6")])
    random, thresholds = np.random.default_rng(arguments.seed), Thresholds()
    counts: dict[str, int] = {}
    for _ in range(COMPARISONS):
        chosen = random.permutation(table.shape[1])[:QUERIES]
        coins = random.integers(2, size=(2, len(chosen)))
        old, new = ({str(at): float(table[coin, at]) for at, coin in zip(chosen, row, strict=True)} for row in coins)
        means = evaluate.mean(old), evaluate.mean(new)
        measure = Measure("ndcg@10", *means, means[1], evaluate.compare(old, new, samples=2_000))
        decision = by_queries(measure, thresholds).decision
        counts[decision] = counts.get(decision, 0) + 1
    return {
        "case": f"{COMPARISONS:,} comparisons of two that are alike, {QUERIES} queries each",
        "decisions": counts,
        "most": MOST_FALSE,
        "ok": counts.get("go", 0) <= MOST_FALSE,
    }


def values(name: str, data: Judged, vectors: Path | None) -> dict[str, float]:
    """nDCG@10 of each query among all documents."""
    encoder = model(name, data, vectors)
    rows = encoder.encode([document.content for document in data.documents])
    best = np.argsort(-(encoder.encode(list(data.queries.values()), "query") @ rows.T), axis=1, kind="stable")[:, :10]
    ids = np.array([document.id for document in data.documents])
    found = {query: ids[row].tolist() for query, row in zip(data.queries, best, strict=True)}
    return evaluate.ndcg(found, {query: data.qrels[query] for query in data.queries})


def lines(report: dict[str, Any]) -> Iterator[str]:
    """A table for people."""
    for case in report["cases"]:
        where = f"{case['data']}, {case['old']} → {case['new']}"
        mark = "right" if case["ok"] else "WRONG"
        said = f"{case['decision']:<20} {case['strategy']:<11} {case['seconds']:>6.1f} s"
        yield f"{mark}  {case['case']:<22} {where:<36} {said}"
        yield f"       {case['rule']}"
    same = report["alike"]
    mark = "right" if same["ok"] else "WRONG"
    yield f"{mark}  {same['case']}: {same['decisions']}, at most {same['most']} may be a go"


def main() -> int:
    """Run the cases, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--sample", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    began = time.perf_counter()
    try:
        report = {
            "cases": [run(case, arguments) for case in CASES],
            "alike": alike(arguments),
            "sample": arguments.sample,
            "seed": arguments.seed,
            "seconds": 0.0,
            "machine": machine.facts(("onnxruntime", "tokenizers", "usearch")),
        }
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    report["seconds"] = round(time.perf_counter() - began, 1)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in lines(report)))
    return 0 if report["alike"]["ok"] and all(case["ok"] for case in report["cases"]) else 1


if __name__ == "__main__":
    sys.exit(main())
