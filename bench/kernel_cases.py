"""What `bench.kernels` compares: each kernel beside its peers, with the ratios asked for and the work counted by hand.

The first contender of a case is crossfade's. Every contender gets warm, contiguous arrays, and an `out` where its
function takes one; all of a case's results are compared before anything is timed.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numkong
import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from bench.machine import in_threads
from crossfade import kernels

Array = NDArray[Any]
Call = Callable[[], Any]
DIMS = (384, 768, 1536)


@dataclasses.dataclass(frozen=True)
class Case:
    """One kernel at one size.

    Args:
        kernel: Its name.
        size: The size in words.
        contenders: Name → call; the first is ours. A call returns what is compared, or None.
        asked: Contender → how many times faster than it ours has to be.
        bytes_moved: Bytes that must be read and written, counted by hand.
        operations: Additions and multiplications, counted by hand.
        ceiling: Which of the machine's ceilings bounds it; None for calls that are mostly overhead.
        tolerance: How far results may differ from ours; None where they need not be alike.
        most_seconds: How long ours may take at most, where that is asked.
    """

    kernel: str
    size: str
    contenders: dict[str, Call]
    asked: dict[str, float]
    bytes_moved: float
    operations: float
    ceiling: str | None
    tolerance: float | None = 1e-5
    most_seconds: float | None = None


def cases(threads: int, quick: bool) -> Iterator[Case]:
    """All cases; arrays of one are gone before those of the next are made."""
    n = 20_000 if quick else 100_000
    for d in DIMS:
        yield from normalize_cases(n, d, threads)
        yield from project_cases(n, d, threads)
    if threads == 1:
        for d in DIMS:
            yield from query_cases(d)
        yield merge_case()
    for lists in (2, 4, 16):
        yield merge_batch_case(1_000 if quick else 10_000, lists, threads)
    for d in DIMS[:2]:
        yield rescore_case(100_000 if quick else 1_000_000, d, threads)
    yield from covariance_cases(n, 768, threads)
    yield from streamed_cases(10 * n, 768, threads)


def normalize_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    x, out = _rows(0, n, d), np.empty((n, d), np.float32)
    size = f"{n:,} × {d}"

    def idiom() -> Array:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def idiom_out() -> Array:
        return np.divide(x, np.linalg.norm(x, axis=1, keepdims=True), out=out)

    def apart() -> Array:
        return kernels.normalize(x, out, threads=threads)

    def copy() -> None:
        parts = [slice(n * i // threads, n * (i + 1) // threads) for i in range(threads)]
        in_threads([lambda part=part: np.copyto(out[part], x[part]) for part in parts])

    yield Case(
        "normalize, out=",
        size,
        {"crossfade": apart, "numpy": idiom, "numpy, out=": idiom_out, "copy": copy},
        {"numpy": 6, "copy": 0.9},
        8.0 * n * d,
        3.0 * n * d,
        "copy",
    )
    ours, theirs = x.copy(), x.copy()

    def in_place() -> Array:
        return kernels.normalize(ours, ours, threads=threads)

    def by_faiss() -> Array:
        faiss.normalize_L2(theirs)
        return theirs

    yield Case(
        "normalize, in place",
        size,
        {"crossfade": in_place, "numpy": idiom, "numpy, out=": idiom_out, "faiss": by_faiss},
        {"numpy": 6, "faiss": 1},
        8.0 * n * d,
        3.0 * n * d,
        "copy",
    )
    for name, dtype, bits, narrowed in _narrow_kinds():
        small = np.empty((n, d), dtype)

        def into(small: Array = small) -> Array:
            return kernels.normalize(x, small, threads=threads)

        def two_steps(narrowed: Callable[[Array], Array] = narrowed) -> Array:
            return narrowed(x / np.linalg.norm(x, axis=1, keepdims=True))

        yield Case(
            f"normalize to {name}",
            size,
            {"crossfade": into, "numpy": two_steps},
            {"numpy": 6},
            (4.0 + bits / 8) * n * d,
            3.0 * n * d,
            "copy",
            tolerance=1.0 if name == "int8" else 1e-2,
        )


def _narrow_kinds() -> Iterator[tuple[str, Any, int, Callable[[Array], Array]]]:
    yield "float16", np.float16, 16, lambda unit: unit.astype(np.float16)
    yield "bfloat16", bfloat16, 16, lambda unit: unit.astype(bfloat16)
    yield "int8", np.int8, 8, lambda unit: np.rint(unit * 127).astype(np.int8)


def project_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    x, matrix, out, other = _rows(1, n, d), _rotation(d), np.empty((n, d), np.float32), np.empty((n, d), np.float32)
    packed = numkong.dots_pack(matrix.T.astype(bfloat16, order="C"), dtype="bf16")
    parts = [slice(n * i // threads, n * (i + 1) // threads) for i in range(threads)]

    def by_numpy() -> Array:
        np.matmul(x, matrix, out=other)
        return np.divide(other, np.linalg.norm(other, axis=1, keepdims=True), out=other)

    def by_numkong() -> None:
        in_threads([lambda part=part: numkong.dots_packed(numkong.astype(x[part], "bf16"), packed) for part in parts])

    work = {"bytes_moved": 8.0 * n * d, "operations": 2.0 * n * d * d + 3.0 * n * d}
    yield Case(
        "project, float32",
        f"{n:,} × {d}",
        {"crossfade": lambda: kernels.project(x, matrix, out=out, threads=threads), "numpy": by_numpy},
        {"numpy": {384: 1.25, 768: 1.15, 1536: 1.08}[d]},
        ceiling="float32",
        **work,
    )
    # NumKong's rows are cast in its time, since ours are; they are not scaled to length one, as ours are.
    yield Case(
        "project, bfloat16",
        f"{n:,} × {d}",
        {
            "crossfade": lambda: kernels.project(x, matrix, out=out, precision="bfloat16", threads=threads),
            "numpy": by_numpy,
            "numkong": by_numkong,
        },
        {"numpy": 5, "numkong": 1},
        ceiling="bfloat16",
        tolerance=1e-2,
        **work,
    )


def query_cases(d: int) -> Iterator[Case]:
    query, matrix = _rows(2, 1, d)[0], _rotation(d)
    center, offset = 0.1 * _rows(3, 1, d)[0], 0.1 * _rows(4, 1, d)[0]

    def by_numpy() -> Array:
        mapped = (query - center) @ matrix + offset
        return mapped / np.linalg.norm(mapped)

    for name, weights in (("float32", matrix), ("float16 matrix", matrix.astype(np.float16))):

        def ours(weights: Array = weights) -> Array:
            return kernels.project(query, weights, center, offset)

        yield Case(
            f"project one query, {name}",
            f"1 × {d}",
            {"crossfade": ours, "numpy": by_numpy},
            {384: {"numpy": 2.5}, 768: {"numpy": 4.0}}.get(d, {}),
            float(weights.itemsize) * d * d,
            2.0 * d * d,
            None,
            tolerance=1e-3,
        )


def merge_case() -> Case:
    import ranx

    keys, scores = _lists(1, 2)
    runs = []
    for one, its in zip(keys[0], scores[0], strict=True):
        runs.append(ranx.Run({"q": {str(key): float(score) for key, score in zip(one, its, strict=True)}}))

    def by_ranx() -> None:
        ranx.fuse(runs=runs, norm=None, method="max")

    return Case(
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


def merge_batch_case(queries: int, lists: int, threads: int) -> Case:
    keys, scores = _lists(queries, lists)
    # faiss wants the shards outside; it gets them so before the clock runs.
    shard_keys = keys.astype(np.int64).transpose(1, 0, 2).copy()
    shard_scores = scores.transpose(1, 0, 2).copy()
    return Case(
        "merge_topk, batch",
        f"{queries:,} × {lists} × 100 → 100",
        {
            "crossfade": lambda: kernels.merge_topk(keys, scores, 100, threads=threads)[0],
            "dict": lambda: np.stack([_merge_by_dict(*pair, 100) for pair in zip(keys, scores, strict=True)]),
            "faiss": lambda: _ignore(faiss.merge_knn_results(shard_scores, shard_keys, keep_max=True)),
        },
        {"dict": 50, "faiss": 1},
        12.0 * queries * (lists * 100 + 100),
        1.0 * queries * lists * 100,
        "copy",
    )


def rescore_case(n: int, d: int, threads: int) -> Case:
    vectors, query = _rows(5, n, d).astype(np.float16), _rows(6, 1, d)[0]
    generator = np.random.default_rng(10)
    # All begin with the same rows, for comparison; then each has its own, so that none finds what another has fetched.
    first = generator.integers(0, n, 200)
    turns = {
        name: itertools.cycle([first, *generator.integers(0, n, (511, 200))])
        for name in ("crossfade", "numpy", "numkong")
    }
    half = query.astype(np.float16)[np.newaxis]
    return Case(
        "rescore",
        f"200 of {n:,} × {d}, float16",
        {
            "crossfade": lambda: kernels.rescore(vectors, next(turns["crossfade"]), query, threads=threads),
            "numpy": lambda: vectors[next(turns["numpy"])].astype(np.float32) @ query,
            "numkong": lambda: _ignore(numkong.cdist(vectors[next(turns["numkong"])], half, "dot")),
        },
        {"numpy": 8, "numkong": 1},
        2.0 * 200 * d,
        2.0 * 200 * d,
        "copy",
        tolerance=1e-3,
    )


def covariance_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    x, y = _rows(7, n, d), _rows(8, n, d)

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


def streamed_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    """From a memory-mapped file to another, beside a copy of the same bytes between the same files."""
    matrix = _rotation(d)
    for dtype in (np.float32, np.float16):
        with tempfile.TemporaryDirectory() as folder:
            x, out = (np.memmap(Path(folder) / name, dtype, "w+", shape=(n, d)) for name in ("x", "out"))
            for begin in range(0, n, 10_000):
                x[begin : begin + 10_000] = _rows(begin, 10_000, d)
            parts = list(zip(np.array_split(out, threads), np.array_split(x, threads), strict=True))

            def ours(x: Array = x, out: Array = out) -> None:
                kernels.project(x, matrix, out=out, threads=threads)

            def copy(parts: list[tuple[Array, Array]] = parts) -> None:
                in_threads([lambda pair=pair: np.copyto(*pair) for pair in parts])

            yield Case(
                f"project, streamed {np.dtype(dtype).name} files",
                f"{n:,} × {d}",
                {"crossfade": ours, "copy": copy},
                {},
                2.0 * x.nbytes,
                2.0 * n * d * d,
                "float32",
            )


def _ignore(result: object) -> None:
    """What was computed in another precision or order, and is not compared."""


def _merge_by_dict(keys: Array, scores: Array, k: int) -> Array:
    best: dict[int, float] = {}
    for key, score in zip(keys.ravel().tolist(), scores.ravel().tolist(), strict=True):
        if score > best.get(key, -np.inf):
            best[key] = score
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
    return np.array([key for key, _ in ranked], np.uint64)


def _rows(seed: int, n: int, d: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


def _rotation(d: int) -> Array:
    return np.linalg.qr(_rows(9, d, d))[0].copy()


def _lists(queries: int, lists: int) -> tuple[Array, Array]:
    """Ranked lists of 100 different keys, of which most stand in another list too; `lists` is a power of two."""
    generator = np.random.default_rng(10)
    shape = (queries, lists, 1)
    steps = 2 * generator.integers(0, 64 * lists, shape) + 1
    keys = (generator.integers(0, 128 * lists, shape) + steps * np.arange(100)) % (128 * lists)
    scores = -np.sort(-generator.random((queries, lists, 100), dtype=np.float32))
    return keys.astype(np.uint64), scores
