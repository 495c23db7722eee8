"""Orders under traffic: which documents to re-embed first, learned from what was searched, for what is searched next.

Queries are drawn by Zipf's law (s = 1). The first half of the searches is made, the second half measured by how often
its queries come. "oracle" is the order hot where the log holds the second half itself: what no order can know.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import crossfade as cf
from bench.fade_data import say
from bench.fade_state import DEPTH, HOT, RANDOM, ask, make, opened

if TYPE_CHECKING:
    from bench.fade import Bench

ORDERS = ("hot", "uncertain", "hot*uncertain", "age", "random")  # those that are asked for
ORACLE = "oracle"
SHARES = (0.0, 0.05, 0.10, 0.20, 0.50, 1.0)
TOLD = (0.10, 0.20)  # of the order that the curves are of
SEARCHES_A_QUERY = 10  # in the mean
RESAMPLES = 1_000

Floats = npt.NDArray[np.float64]


def measure(bench: Bench, folder: Path, orders: Sequence[str]) -> dict[str, Any]:
    """nDCG@10 and lift of each order at every share, with its area, over the seeds."""
    judged = bench.judged
    ends = [_of_queries(judged.values(bench.exact(which))) for which in ("old", "new")]
    values: dict[str, list[Floats]] = {order: [] for order in orders}
    weights = []
    for seed in range(bench.options.seeds):
        logged, later = draw(len(judged.queries), seed)
        weights.append(later / later.sum())
        for log, learning in ((logged, [it for it in orders if it != ORACLE]), (later, {ORACLE} & set(orders))):
            if learning:
                _searched(bench, folder / "made.cf", seed, log)
            for order in learning:
                shutil.copytree(folder / "made.cf", folder / "run.cf")
                values[order].append(_through(bench, folder / "run.cf", _meant(order, seed), later))
                shutil.rmtree(folder / "run.cf")
                say(f"seed {seed}, order {order}: traffic measured")
            shutil.rmtree(folder / "made.cf", ignore_errors=True)
    found = {order: _told(np.stack(values[order]), np.stack(weights), *ends) for order in orders}
    told = [point for point in found[orders[0]]["points"] if point["share"] in TOLD]
    old, new = (float(np.mean(np.stack(weights) @ end)) for end in ends)
    return {"law": "zipf", "order": orders[0], "old": old, "new": new, "points": told, "orders": found}


def _meant(order: str, seed: int) -> str:
    return {ORACLE: HOT, RANDOM: f"random({seed})"}.get(order, order)


def draw(count: int, seed: int) -> tuple[Floats, Floats]:
    """How often each query comes in the first half of the searches, and in the second."""
    random = np.random.default_rng((2, seed))
    chances = 1.0 / (1.0 + random.permutation(count))
    drawn = random.choice(count, SEARCHES_A_QUERY * count, p=chances / chances.sum())
    first, second = (np.bincount(half, minlength=count).astype(np.float64) for half in np.array_split(drawn, 2))
    return first, second


def _searched(bench: Bench, folder: Path, seed: int, log: Floats) -> None:
    """Makes a collection that was searched for each query so often."""
    make(folder, bench.judged, bench.old, HOT, seed)
    with cf.Collection.open(folder, bench.old) as docs:
        for text, often in zip(bench.judged.queries.values(), log, strict=True):
            docs.search([text] * int(often), k=DEPTH)


def _through(bench: Bench, folder: Path, order: str, later: Floats) -> Floats:
    """nDCG@10 `(shares, queries)` along one migration; NaN for queries that don't come any more."""
    queries = bench.judged.queries
    asked = {query: text for (query, text), often in zip(queries.items(), later, strict=True) if often}
    found = np.full((len(SHARES), len(queries)), np.nan)
    with opened(folder, bench.judged, bench.old, bench.new, bench.options.sample) as state:
        state.start(order)
        for row, share in enumerate(SHARES):
            state.advance(share)
            values = bench.judged.values(ask(state.asking, asked))
            found[row, later > 0] = [values["ndcg10"][query] for query in asked]
    return found


def _told(values: Floats, weights: Floats, old: Floats, new: Floats) -> dict[str, Any]:
    """Of values `(seeds, shares, queries)`, weights `(seeds, queries)` and both models' own."""
    gained = np.einsum("sq,swq->wq", weights, np.nan_to_num(values - old))
    possible = weights.sum(axis=0) * (new - old)
    times = np.random.default_rng(0).multinomial(len(old), np.full(len(old), 1.0 / len(old)), RESAMPLES)
    points = []
    for share, row in zip(SHARES, gained, strict=True):
        lift = _ratio(row.sum(), possible.sum())
        resampled = [_ratio(float(n @ row), float(n @ possible)) for n in times]
        known = [it for it in resampled if it is not None]
        low_high = np.quantile(known, (0.025, 0.975)).tolist() if lift is not None and known else None
        value = float(np.mean(weights @ old) + row.sum() / len(weights))
        points.append({"share": share, "ndcg10": value, "lift": lift, "ci": low_high})
    lifts = [point["lift"] for point in points]
    return {"points": points, "area": float(np.trapezoid(lifts, SHARES)) if None not in lifts else None}


def _ratio(gained: float, possible: float) -> float | None:
    return float(gained / possible) if possible > 0.0 else None


def _of_queries(values: Mapping[str, Mapping[str, float]]) -> Floats:
    return np.array(list(values["ndcg10"].values()))
