"""What the kernels compute, as slowly and plainly as NumPy can say it, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
PADDING = 2**64 - 1


def normalize(x: Array) -> Array:
    x = x.astype(np.float64)
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True))


def project(x: Array, matrix: Array, center: Array, offset: Array) -> Array:
    return (x.astype(np.float64) - center) @ matrix.astype(np.float64) + offset


def rescore(vectors: Array, rows: Array, queries: Array) -> Array:
    return queries.astype(np.float64) @ vectors[rows].astype(np.float64).T


def merge_topk(keys: Array, scores: Array, k: int) -> list[tuple[int, float]]:
    best: dict[int, float] = {}
    for key, score in zip(keys.ravel().tolist(), scores.ravel().tolist(), strict=True):
        best[key] = max(score, best.get(key, -np.inf))
    ranked = sorted((-score, key) for key, score in best.items() if key != PADDING)[:k]
    return [(key, -score) for score, key in ranked] + [(PADDING, -np.inf)] * (k - len(ranked))


def covariance(x: Array, y: Array) -> Array:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return (x - x.mean(axis=0)).T @ (y - y.mean(axis=0)) / len(x)
