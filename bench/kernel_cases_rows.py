"""Cases of what makes rows of rows: normalize and project."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numkong
import numpy as np
from ml_dtypes import bfloat16

from bench.kernel_case import Array, Case, rotation, rows
from bench.machine import in_threads
from crossfade import kernels

# Names of the kernels that each function below has cases of.
NORMALIZE = (
    "normalize, out=",
    "normalize, in place",
    "normalize to float16",
    "normalize to bfloat16",
    "normalize to int8",
)
PAIRS = ("avx512bf16", "amx")  # multiply bfloat16; elsewhere one exact product takes the place of three
PROJECT = ("project, float32", "project, bfloat16x3", "project, bfloat16")
QUERY = ("project one query, float32", "project one query, float16 matrix")
STREAMED = ("project, streamed float32 files", "project, streamed float16 files")


def normalize_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    x, out = rows(0, n, d), np.empty((n, d), np.float32)
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
    yield from _narrowing_cases(x, size, threads)


def _narrowing_cases(x: Array, size: str, threads: int) -> Iterator[Case]:
    n, d = x.shape
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
    x, matrix, out, other = rows(1, n, d), rotation(d), np.empty((n, d), np.float32), np.empty((n, d), np.float32)
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
    yield Case(
        "project, bfloat16x3",
        f"{n:,} × {d}",
        {
            "crossfade": lambda: kernels.project(x, matrix, out=out, precision="bfloat16x3", threads=threads),
            "numpy": by_numpy,
        },
        {"numpy": 2},
        ceiling="bfloat16",
        **{**work, "operations": (3 if kernels.instruction_set() in PAIRS else 1) * work["operations"]},
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
    query, matrix = rows(2, 1, d)[0], rotation(d)
    center, offset = 0.1 * rows(3, 1, d)[0], 0.1 * rows(4, 1, d)[0]

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
            note="Drift-Adapter publishes 3.0–9.8 µs",
        )


def streamed_cases(n: int, d: int, threads: int) -> Iterator[Case]:
    """From a memory-mapped file to another, beside a copy of the same bytes between the same files."""
    matrix = rotation(d)
    for dtype in (np.float32, np.float16):
        with tempfile.TemporaryDirectory() as folder:
            x, out = (np.memmap(Path(folder) / name, dtype, "w+", shape=(n, d)) for name in ("x", "out"))
            for begin in range(0, n, 10_000):
                x[begin : begin + 10_000] = rows(begin, 10_000, d)
            sample = slice(None, None, n // 97)

            def ours(x: Array = x, out: Array = out, sample: slice = sample) -> Array:
                kernels.project(x, matrix, out=out, threads=threads)
                return out[sample]

            def by_numpy(x: Array = x, sample: slice = sample) -> Array:
                mapped = x[sample].astype(np.float32) @ matrix
                return mapped / np.linalg.norm(mapped, axis=1, keepdims=True)

            if np.abs(ours().astype(np.float32) - by_numpy()).max() > 1e-3:
                raise SystemExit("streamed rows aren't what NumPy makes of them")
            parts = list(zip(np.array_split(out, threads), np.array_split(x, threads), strict=True))

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
                tolerance=None,
            )
