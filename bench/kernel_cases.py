"""What `bench.kernels` compares: each kernel beside its peers, with the ratios asked for and the work counted by hand.

The first contender of a case is crossfade's. Every contender gets warm, contiguous arrays, and an `out` where its
function takes one; all of a case's results are compared before anything is timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import faiss
import numkong
import numpy as np

from bench.kernel_case import DIMS, Array, Case, ignore, rows
from bench.kernel_cases_rows import (
    NORMALIZE,
    PROJECT,
    QUERY,
    STREAMED,
    normalize_cases,
    project_cases,
    query_cases,
    streamed_cases,
)
from crossfade import kernels


def cases(threads: int, quick: bool, wanted: Callable[[str], bool]) -> Iterator[Case]:
    """The cases whose kernel is wanted; arrays of one group are gone before those of the next are made."""
    n, queries = (20_000, 1_000) if quick else (100_000, 10_000)
    # What a group's kernels are called, so that none is prepared in vain.
    groups: list[tuple[tuple[str, ...], Callable[[], Iterator[Case]]]] = []
    for d in DIMS:
        groups.append((NORMALIZE, partial(normalize_cases, n, d, threads)))
        groups.append((PROJECT, partial(project_cases, n, d, threads)))
    if threads == 1:
        groups += [(QUERY, partial(query_cases, d)) for d in DIMS]
        groups.append((("merge_topk",), merge_cases))
    for lists in (2, 4, 16):
        groups.append((("merge_topk, batch",), partial(merge_batch_cases, queries, lists, threads)))
    for d in DIMS[:2]:
        groups.append((("rescore",), partial(rescore_cases, 10 * n, d, threads)))
    groups.append((("covariance", "cross-covariance"), partial(covariance_cases, n, 768, threads)))
    groups.append((STREAMED, partial(streamed_cases, 10 * n, 768, threads)))
    for names, group in groups:
        if any(map(wanted, names)):
            yield from (case for case in group() if wanted(case.kernel))


def merge_cases() -> Iterator[Case]:
    import ranx

    keys, scores = _lists(1, 2)
    runs = []
    for one, its in zip(keys[0], scores[0], strict=True):
        runs.append(ranx.Run({"q": {str(key): float(score) for key, score in zip(one, its, strict=True)}}))

    def by_ranx() -> None:
        ranx.fuse(runs=runs, norm=None, method="max")

    yield Case(
        "merge_topk",
        "2 × 100 → 10",
        {
            "crossfade": lambda: kernels.merge_topk(keys[0], scores[0], 10)[0],
            "dict": lambda: _merge_by_dict(keys[0], scores[0], 10),
            "ranx": by_ranx,
        },
        {"dict": 5, "ranx": 20},
        12.0 * 200,
        200.0,
        None,
        most_seconds=4e-6,
    )


def merge_batch_cases(queries: int, lists: int, threads: int) -> Iterator[Case]:
    keys, scores = _lists(queries, lists)
    # faiss wants the shards outside; it gets them so before the clock runs.
    shard_keys = keys.astype(np.int64).transpose(1, 0, 2).copy()
    shard_scores = scores.transpose(1, 0, 2).copy()
    yield Case(
        "merge_topk, batch",
        f"{queries:,} × {lists} × 100 → 100",
        {
            "crossfade": lambda: kernels.merge_topk(keys, scores, 100, threads=threads)[0],
            "dict": lambda: np.stack([_merge_by_dict(*pair, 100) for pair in zip(keys, scores, strict=True)]),
            "faiss": lambda: ignore(faiss.merge_knn_results(shard_scores, shard_keys, keep_max=True)),
        },
        {"dict": 50, "faiss": 1},
        12.0 * queries * (lists * 100 + 100),
        1.0 * queries * lists * 100,
        "copy",
    )


def rescore_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    vectors, query = rows(5, n, d).astype(np.float16), rows(6, 1, d)[0]
    generator = np.random.default_rng(10)
    # All begin with the same rows, for comparison; then each has its own, so that none finds what another has fetched.
    first = generator.integers(0, n, 200)
    turns = {
        name: itertools.cycle([first, *generator.integers(0, n, (511, 200))])
        for name in ("crossfade", "numpy", "numkong")
    }
    half = query.astype(np.float16)[np.newaxis]
    yield Case(
        "rescore",
        f"200 of {n:,} × {d}, float16",
        {
            "crossfade": lambda: kernels.rescore(vectors, next(turns["crossfade"]), query, threads=threads),
            "numpy": lambda: vectors[next(turns["numpy"])].astype(np.float32) @ query,
            "numkong": lambda: ignore(numkong.cdist(vectors[next(turns["numkong"])], half, "dot")),
        },
        {"numpy": 8, "numkong": 1},
        2.0 * 200 * d,
        2.0 * 200 * d,
        "copy",
        tolerance=1e-3,
    )


def covariance_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    x, y = rows(7, n, d), rows(8, n, d)

    def by_numpy(right: Array) -> Array:
        total, mean_x, mean_y = np.zeros((d, d)), x.mean(axis=0, dtype=np.float64), right.mean(axis=0, dtype=np.float64)
        for begin in range(0, n, 4096):
            block = x[begin : begin + 4096] - mean_x
            # NumPy computes half of a product of an array with itself.
            total += block.T @ (block if right is x else right[begin : begin + 4096] - mean_y)
        return total / n

    for name, right in (("covariance", None), ("cross-covariance", y)):
        yield Case(
            name,
            f"{n:,} × {d}",
            {
                "crossfade": lambda right=right: kernels.covariance(x, right, threads=threads).covariance,
                "numpy": lambda right=right: by_numpy(x if right is None else right),
            },
            {"numpy": 2},
            (4.0 if right is None else 8.0) * n * d,
            (1.0 if right is None else 2.0) * n * d * d,
            "float32",
        )


def _merge_by_dict(keys: Array, scores: Array, k: int) -> Array:
    best: dict[int, float] = {}
    for key, score in zip(keys.ravel().tolist(), scores.ravel().tolist(), strict=True):
        if score > best.get(key, -np.inf):
            best[key] = score
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
    return np.array([key for key, _ in ranked], np.uint64)


def _lists(queries: int, lists: int) -> tuple[Array, Array]:
    """Ranked lists of 100 different keys, of which most stand in another list too; `lists` is a power of two."""
    generator = np.random.default_rng(10)
    shape = (queries, lists, 1)
    steps = 2 * generator.integers(0, 64 * lists, shape) + 1
    keys = (generator.integers(0, 128 * lists, shape) + steps * np.arange(100)) % (128 * lists)
    scores = -np.sort(-generator.random((queries, lists, 100), dtype=np.float32))
    return keys.astype(np.uint64), scores
