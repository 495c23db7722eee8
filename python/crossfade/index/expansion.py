"""Expansion: how thoroughly a graph must be asked, measured when it is built.

HNSW (Malkov and Yashunin, 2018) keeps the best `ef` rows it has met while it walks the graph; what it finds of the true
neighbours depends on that, and on the rows: of real texts, where many are nearly the same, the 100 candidates that are
enough for one model's vectors find 89 % for another's. So every graph is asked for neighbours that are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossfade.index.blocks import Keys
from crossfade.index.vectors import Rows

# What is learned is the expansion for so many neighbours, and how much of them it must find.
NEIGHBOURS = 100
_RECALL = 0.97
_TRIED = (100, 150, 200, 300, 400, 600, 800)
_QUERIES = 128
# With less even a few neighbours are often missed.
_LEAST = 64
_ROWS_AT_ONCE = 4_096
# Scores are compared as float16 values allow.
_NEARLY = np.float32(1e-3)

Queries: TypeAlias = NDArray[np.float32]
# Queries, neighbours, expansion → keys (q, neighbours).
Search: TypeAlias = Callable[[Queries, int, int], Keys]


def expansion_for(count: int, learned: int) -> int:
    """The expansion for `count` neighbours, where `learned` is that for 100: in proportion up to there, 64 at least."""
    return max(_LEAST, count + (learned - NEIGHBOURS) * min(count, NEIGHBOURS) // NEIGHBOURS)


def learn(search: Search, keys: Keys, rows: Rows) -> int:
    """The least expansion that finds 97 % of the 100 nearest rows, on average over stand-ins for queries.

    A row stands in for a query with noise of its own length added: at 45° to its document (a cosine of .71), it is as
    far from all documents as questions are, and as hard to answer.

    Args:
        search: Asks the graph.
        keys: `(n,)` uint64, what the graph holds.
        rows: Their rows, float16 `(n, dim)`.
    """
    count = min(NEIGHBOURS, len(rows))
    queries = _stand_ins(rows)
    least = _scores_of_last(queries, rows, count)
    order = np.argsort(keys, kind="stable")
    for expansion in _TRIED:
        found = search(queries, count, expansion)
        places = order[np.searchsorted(keys, found, sorter=order).clip(max=len(keys) - 1)]
        scores = np.stack([rows[of].astype(np.float32) @ query for of, query in zip(places, queries, strict=True)])
        right = (scores >= least[:, np.newaxis]) & (keys[places] == found)
        if right.sum(axis=1).clip(max=count).mean() >= _RECALL * count:
            break
    return expansion


def _stand_ins(rows: Rows) -> Queries:
    generator = np.random.default_rng(0)
    chosen = rows[np.sort(generator.permutation(len(rows))[:_QUERIES])].astype(np.float32)
    noise = generator.standard_normal(chosen.shape, dtype=np.float32)
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    queries: Queries = chosen + lengths * noise
    return queries


def _scores_of_last(queries: Queries, rows: Rows, count: int) -> NDArray[np.float32]:
    """The score of each query's `count`-th best row, a little less."""
    best = np.full((len(queries), count), -np.inf, dtype=np.float32)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        scores = queries @ rows[start : start + _ROWS_AT_ONCE].astype(np.float32).T
        best = np.partition(np.concatenate([best, scores], axis=1), -count, axis=1)[:, -count:]
    return np.asarray(best[:, 0] - _NEARLY * np.abs(best[:, 0]), dtype=np.float32)
