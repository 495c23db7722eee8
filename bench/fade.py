"""Is a half-migrated collection ever worse than before? nDCG@10, recall@10 and MRR at every share re-embedded.

    python -m bench.fade --data FOLDER --old minilm-l3 --new minilm-l6 [--vectors FOLDER] [--order random] [--seeds 3]

`--data` is a BEIR folder (corpus.jsonl, queries.jsonl, qrels/test.tsv). A Collection in a temporary folder goes through
a migration, once for each seed; it is stopped at every share and asked all judged queries, by every method: crossfade's
("fade"), the classic merges, "bridged" (the old encoder not callable), "bridge_only" (all documents by old vectors
carried over), "new_query" (against whatever vector a document has, if the dims are equal) and "old_until_cutover".
Documents embedded to learn the Bridge count in the share.

With `--vectors`, a folder of `<model>.docs.npy` and `<model>.queries.npy` in the order of the jsonl files, nothing is
encoded; all else is the same. lift = (result − old) / (new − old), area is that of the lift over the share, by
trapezoids, and "ci" the 95 % interval of result − old for nDCG@10, a bootstrap over the queries.

At 100 % "fade" is measured after `cutover(serve="blend")`, beside what it found before. "score_shift" of a share is the
distance (Kolmogorov and Smirnov's) between the distributions of crossfade's top-10 scores then and before the
migration, the largest of any seed. "guard" is what `Migration.validate` finds in the judged queries once all is
re-embedded, and "hindsight" the most nDCG@10 that any one weight would give to a sum of both models' scores.

Also measured: after `cutover(serve="new")`, beside what comparing all vectors finds; `--on-read`, the candidates of
every query re-embedded and the same queries asked again; `--traffic zipf`, queries drawn with Zipf's law, the order
learned on the first half and measured on the second, for one order, or
`--orders hot uncertain "hot*uncertain" age random oracle`, beside each other and without the curves.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import crossfade as cf
from bench import fade_traffic, machine
from bench.fade_data import METRICS, Judged, Unusable, Values, model, say
from bench.fade_state import (
    DEPTH,
    HOT,
    METHODS,
    RANDOM,
    WITHOUT_OLD,
    Rankings,
    ask,
    collection,
    ranked,
    scores_of,
    shift,
)
from crossfade import evaluate, kernels
from crossfade.encoder import usable_cores

SHARES = (0.0, 0.02, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
READ_DEPTHS = (50, 100)
WEIGHTS = np.linspace(0.0, 1.0, 21)
Point = dict[str, Any]


class Bench:
    """One collection, two models, and how often to measure between them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.judged = Judged.load(options.data, options.gain)
        self.old, self.new = (model(name, self.judged, options.vectors) for name in (options.old, options.new))
        self.methods = WITHOUT_OLD if options.old_gone else tuple(options.methods or METHODS)

    def report(self, folder: Path) -> dict[str, Any]:
        """Everything that was asked for, as plain values."""
        options = self.options
        exact = {name: self.judged.values(self.exact(name)) for name in ("old", "new")}
        runs = [] if options.orders else [self._run(folder / f"{seed}.cf", seed) for seed in range(options.seeds)]
        old = runs[0]["old"] if runs else exact["old"]
        new = _mean_of([run["new"] for run in runs]) if runs else exact["new"]
        report: dict[str, Any] = {
            "data": self.judged.name,
            "documents": len(self.judged.documents),
            "queries": len(self.judged.queries),
            "models": {"old": options.old, "new": options.new, "vectors": options.vectors is not None},
            "order": options.order,
            "seeds": options.seeds,
            "gain": options.gain,
            "sample": options.sample,
            "old": _means(old),
            "new": _means(new),
            "exact": {name: _means(values) for name, values in exact.items()},
            "methods": {},
            "summary": {},
        }
        if runs:
            report["same_top10_as_exact_after_cutover"] = float(np.mean([run["identical"] for run in runs]))
            report["same_top10_blended_after_cutover"] = float(np.mean([run["kept"] for run in runs]))
            report["guard"] = runs[0]["guard"]
            report["hindsight"] = self._hindsight()
            report["methods"] = self._curves(runs, old, new)
        report["summary"] = {name: _summary(points, report) for name, points in report["methods"].items() if points}
        if options.on_read:
            report["on_read"] = self._on_read(folder, old, new)
        if options.traffic:
            report["traffic"] = fade_traffic.measure(self, folder, options.orders or [options.order])
        report["machine"] = machine.facts(("numpy", "usearch", "apsw"))
        return report

    def _curves(self, runs: list[dict[str, Any]], old: Values, new: Values) -> dict[str, list[Point]]:
        """Every method's points, over the seeds."""
        curves = {}
        for name in self.methods:
            by_seed = [run["points"][name] for run in runs]
            curves[name] = [_point(list(points), old) for points in zip(*by_seed, strict=True) if points[0]]
        curves["old_until_cutover"] = [
            _point([{"share": share, "embedded": share, "values": new if share == 1.0 else old}], old)
            for share in SHARES
        ]
        return curves

    def _run(self, folder: Path, seed: int) -> dict[str, Any]:
        """One migration: what every method finds at every share, and what the models alone find at its ends."""
        judged, began = self.judged, time.perf_counter()
        points: dict[str, list[Point | None]] = {name: [] for name in self.methods}
        with self._collection(folder, seed) as state:
            old = judged.values(ask(state.asking, judged.queries))
            scores = scores_of(state.asking, judged.queries)
            if HOT in self.options.order:  # every query was asked once
                state.docs.search(list(judged.queries.values()), k=DEPTH)
            state.start(self.options.order)
            for share in SHARES:
                state.advance(share)
                for name in self.methods:
                    found = METHODS[name](state, judged, self.new)
                    point = {"share": share, "embedded": state.embedded, "values": found and judged.values(found)}
                    if name == "fade":
                        point["score_shift"] = shift(scores, scores_of(state.asking, judged.queries))
                    points[name].append(point if found else None)
                say(f"seed {seed}, {share:4.0%} re-embedded, {time.perf_counter() - began:.0f} s")
            before = blended = ask(state.asking, judged.queries)
            guard = None
            if state.fade() and state.migration:
                state.cutover("blend")
                blended = ask(state.asking, judged.queries)
                guard = state.migration.validate(judged.queries, judged.qrels).to_dict()  # of what was measured
            if "fade" in points:
                points["fade"][-1] = {**points["fade"][-1], "values": judged.values(blended)}
            state.cutover("new")
            after = ask(state.asking, judged.queries)
        same = {"identical": _same(self.exact("new"), after), "kept": _same(before, blended)}
        return {"old": old, "new": judged.values(after), "points": points, "guard": guard, **same}

    def _collection(self, folder: Path, seed: int, order: str | None = None) -> Any:
        order = order or self.options.order
        return collection(folder, self.judged, self.old, self.new, order, seed, self.options.sample)

    def exact(self, which: str) -> Rankings:
        """What a model finds by comparing all rows, as they are stored, so that what is equal ties."""
        return self._ranked(self._scores(which))

    def _scores(self, which: str) -> Any:
        encoder = {"old": self.old, "new": self.new}[which]
        rows = encoder.encode([it.content for it in self.judged.documents]).astype(np.float16)
        queries = encoder.encode(list(self.judged.queries.values()), kind="query")
        return kernels.rescore(rows, None, queries, threads=usable_cores())

    def _ranked(self, scores: Any) -> Rankings:
        return ranked(scores, [it.id for it in self.judged.documents], self.judged.queries)

    def _hindsight(self) -> float:
        """The most that one weight gives to a sum of both models' scores in standard units, as the judgements tell."""
        old, new = (
            (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
            for scores in map(self._scores, ("old", "new"))
        )
        found = [self._ranked((1.0 - weight) * old + weight * new) for weight in WEIGHTS]
        return max(_means(self.judged.values(rankings))["ndcg10"] for rankings in found)

    def _on_read(self, folder: Path, old: Values, new: Values) -> list[Point]:
        """The candidates of each query are re-embedded after it is answered, and all queries are asked again."""
        judged, measured = self.judged, []
        for seed in range(self.options.seeds):
            with self._collection(folder / f"read {seed}.cf", seed, RANDOM) as state:
                state.start(RANDOM)
                state.fit()
                row = []
                for depth in READ_DEPTHS:
                    seen = ask(state.asking, judged.queries, k=depth)
                    state.embed(sorted({id_ for ids in seen.values() for id_ in ids}))
                    values = judged.values(ask(state.asking, judged.queries))
                    row.append({"candidates": depth, "embedded": state.embedded, "values": values})
                measured.append(row)
        say("on read measured")
        points = [_point(list(row), old, "candidates") for row in zip(*measured, strict=True)]
        return [{**point, "lift": _lift(point, _means(old), _means(new))} for point in points]


def _same(some: Rankings, others: Rankings) -> float:
    """The share of the queries that find the same documents in the same order."""
    return float(np.mean([some[query] == ids for query, ids in others.items()]))


def _means(values: Values) -> dict[str, float]:
    return {metric: evaluate.mean(values[metric]) for metric in METRICS}


def _mean_of(several: list[Values]) -> Values:
    """Each query's mean over the seeds."""
    return {
        metric: {query: float(np.mean([it[metric][query] for it in several])) for query in several[0][metric]}
        for metric in METRICS
    }


def _point(points: list[Point], old: Values, at: str = "share") -> Point:
    """One share, over the seeds; the interval is that of the difference from the old model, over the queries."""
    values = _mean_of([point["values"] for point in points])
    compared = evaluate.compare(old["ndcg10"], values["ndcg10"])
    of_seeds = [evaluate.mean(point["values"]["ndcg10"]) for point in points]
    return {
        at: points[0][at],
        "embedded": float(np.mean([point["embedded"] for point in points])),
        **_means(values),
        "ci": [compared.low, compared.high],
        "worst_seed": min(of_seeds),
    } | ({"score_shift": max(point["score_shift"] for point in points)} if "score_shift" in points[0] else {})


def _lift(point: Point, old: dict[str, float], new: dict[str, float]) -> float | None:
    gained = new["ndcg10"] - old["ndcg10"]
    return (point["ndcg10"] - old["ndcg10"]) / gained if gained > 0.0 else None


def _summary(points: list[Point], report: dict[str, Any]) -> Point:
    """Lift at every share, its area, and the lowest point of the means and of any seed, less the old model's."""
    old, new = report["old"], report["new"]
    lifts = [_lift(point, old, new) for point in points]
    whole = len(points) == len(SHARES) and None not in lifts
    return {
        "lift": lifts,
        "area": float(np.trapezoid(np.array(lifts), SHARES)) if whole else None,
        "lowest_minus_old": min(point["ndcg10"] for point in points) - old["ndcg10"],
        "lowest_minus_worse": min(point["ndcg10"] for point in points) - min(old["ndcg10"], new["ndcg10"]),
        "lowest_of_any_seed_minus_old": min(point["worst_seed"] for point in points) - old["ndcg10"],
    }


def table(report: dict[str, Any]) -> str:
    """What a terminal shows: nDCG@10 at every share."""
    models, old, new = report["models"], report["old"], report["new"]
    lines = [
        f"{report['data']}: {report['documents']:,} documents, {report['queries']:,} queries, {report['gain']} gain, "
        f"order {report['order']}, {report['seeds']} seeds",
        f"{models['old']} {old['ndcg10']:.4f} → {models['new']} {new['ndcg10']:.4f} nDCG@10",
        f"{'':18}" + "".join(f"{share:>8.0%}" for share in SHARES) + "    area   lowest − old",
    ]
    for name, points in report["methods"].items():
        at = {point["share"]: f"{point['ndcg10']:8.4f}" for point in points}
        about = report["summary"].get(name, {})
        area = about.get("area")
        end = f"{'' if area is None else f'{area:.3f}':>8}{about.get('lowest_minus_old', 0.0):+15.4f}"
        lines.append(f"{name:18}" + "".join(at.get(share, f"{'':8}") for share in SHARES) + end)
    lines += [report["guard"]["verdict"]] if report.get("guard") else []
    for point in report.get("on_read", ()):
        lines.append(f"on read, {point['candidates']}: {point['ndcg10']:.4f}, lift {_shown(point['lift'])}")
    for order, found in report.get("traffic", {}).get("orders", {}).items():
        lifts = ", ".join(f"{point['share']:.0%} {_shown(point['lift'])}" for point in found["points"])
        lines.append(f"traffic, order {order}, lift at {lifts}; area {_shown(found['area'])}")
    return "\n".join(lines)


def _shown(lift: float | None) -> str:
    return "none: the new model is no better" if lift is None else f"{lift:.2f}"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder")
    parser.add_argument("--vectors", type=Path, help="folder of <model>.docs.npy and .queries.npy")
    parser.add_argument("--old", required=True, help="a model's name, or that of its vectors")
    parser.add_argument("--new", required=True)
    parser.add_argument("--order", default=RANDOM, help="random, hot, or another order that migrations know")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sample", type=int, help="documents to learn the Bridge from; the product's own unless given")
    parser.add_argument("--gain", choices=("linear", "exponential"), default="linear", help="linear as in trec_eval")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), help="all unless given")
    parser.add_argument("--old-gone", action="store_true", help="the old encoder can't be called")
    parser.add_argument("--on-read", action="store_true", help="also re-embed what the queries find")
    parser.add_argument("--traffic", choices=("zipf",), help="also measure an order learned from traffic")
    parser.add_argument("--orders", nargs="+", help="with --traffic: several orders, and no curves")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    if options.orders and not options.traffic:
        parser.error("--orders goes with --traffic zipf")
    return options


def main(words: list[str] | None = None) -> int:
    """Measures, and writes a table or JSON."""
    options = arguments(words)
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = Bench(options).report(Path(folder))
    except (Unusable, cf.CrossfadeError) as error:
        say(f"error: {error}")
        return 1
    sys.stdout.write((json.dumps(report, indent=1) if options.json else table(report)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
