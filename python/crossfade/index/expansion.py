"""Expansion: how thoroughly a graph must be asked, measured when it is built.

HNSW (Malkov and Yashunin, 2018) keeps the best `ef` rows it has met while it walks the graph; what it finds of the true
neighbours depends on that, and on the rows: where many texts are nearly the same, the 116 candidates that find 97 % of
them among one model's vectors find 92 % among another's (`python -m bench.forms`). So every graph is asked for
neighbours that are known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossfade import kernels
from crossfade.index.blocks import Keys
from crossfade.index.form import Form
from crossfade.index.vectors import Rows

# What is learned is the expansion for so many neighbours, and how much of them it must find.
NEIGHBOURS = 100
_RECALL = 0.97
_TRIED = (100, 150, 200, 300, 400, 600, 800)
_QUERIES = 64
# With less even a few neighbours are often missed.
_LEAST = 64
# Graphs compare rounded values, so that the last places may be swapped with the next ones: more are asked for.
SPARE = 16
_ROWS_AT_ONCE = 4_096
# As sums of float32 values allow.
_NEARLY = np.float32(1e-5)

Queries: TypeAlias = NDArray[np.float32]
# Queries, neighbours, expansion → keys (q, neighbours).
Search: TypeAlias = Callable[[Queries, int, int], Keys]


def expansion_for(count: int, learned: int) -> int:
    """The expansion for `count` neighbours, where `learned` is that for 100: in proportion up to there, 64 at least."""
    return max(_LEAST, count + (learned - NEIGHBOURS) * min(count, NEIGHBOURS) // NEIGHBOURS)


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """Stand-ins for queries, and how near the 100 rows are that are nearest to them.

    Args:
        queries: `(q, dim)` float32.
        least: The score of each one's last neighbour, a little less `(q,)`.
        count: How many neighbours those are; fewer than 100 where there are fewer rows.
        kept: The share of them that is among the best 116 as a form has it.
    """

    queries: Queries
    least: NDArray[np.float32]
    count: int
    kept: float

    @classmethod
    def of(cls, rows: Rows, form: Form) -> Known:
        """For rows `(n, dim)` float16, and a form of them."""
        queries, count = stand_ins(rows, _QUERIES), min(NEIGHBOURS, len(rows))
        asked = np.ascontiguousarray(queries.T)
        best = np.full((len(queries), count), -np.inf, np.float32)
        formed = np.full((2, len(queries), min(NEIGHBOURS + SPARE, len(rows))), -np.inf, np.float32)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = np.ascontiguousarray(rows[start : start + _ROWS_AT_ONCE])
            scores = _products(part, asked)
            best = _best(np.concatenate([best, scores], axis=1)[np.newaxis], count)[0]
            as_formed = _products(form.rows(part).astype(np.float16), asked)
            formed = _best(np.concatenate([formed, [as_formed, scores]], axis=2), formed.shape[2])
        least = best.min(axis=1)
        least -= _NEARLY * np.abs(least)
        found = (formed[1] >= least[:, np.newaxis]).sum(axis=1).clip(max=count)
        return cls(queries, least, count, float(found.mean()) / count)

    def expansion(self, search: Search, keys: Keys, rows: Rows) -> int:
        """The least expansion that finds 97 % of the neighbours, on average.

        Args:
            search: Asks the graph.
            keys: `(n,)` uint64, what the graph holds.
            rows: Their rows, float16 `(n, dim)`.
        """
        for expansion in _TRIED:
            found = search(self.queries, min(self.count + SPARE, len(rows)), expansion)
            right = scores_of(keys, rows, found, self.queries) >= self.least[:, np.newaxis]
            if right.sum(axis=1).clip(max=self.count).mean() >= _RECALL * self.count:
                break
        return expansion


def scores_of(keys: Keys, rows: Rows, found: Keys, queries: Queries) -> NDArray[np.float32]:
    """Scores of the rows that were found for each query, `(q, m)`; -inf for a key that there is not."""
    order = np.argsort(keys, kind="stable")
    places = order[np.searchsorted(keys, found, sorter=order).clip(max=len(keys) - 1)]
    scores = np.stack([rows[of].astype(np.float32) @ query for of, query in zip(places, queries, strict=True)])
    return np.where(keys[places] == found, scores, np.float32(-np.inf))


def stand_ins(rows: Rows, count: int) -> Queries:
    """Rows with noise of their own length added, at most `count`: they stand in for queries `(q, dim)`.

    At 45° to its document (a cosine of .71) one is as far from all documents as questions are, and as hard to answer.
    """
    generator = np.random.default_rng(0)
    chosen = rows[np.sort(generator.permutation(len(rows))[:count])].astype(np.float32)
    noise = generator.standard_normal(chosen.shape, dtype=np.float32)
    lengths = np.linalg.norm(chosen, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    queries: Queries = chosen + lengths * noise
    return queries


def _products(rows: Rows, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products `(q, n)` of rows `(n, dim)` with queries `(dim, q)`."""
    products = np.empty((len(rows), queries.shape[1]), np.float32)
    kernels.project(rows, queries, normalize=False, out=products)
    return products.T


def _best(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The columns with the highest values of the first plane, `(planes, q, count)`."""
    chosen = np.argpartition(values[0], -count, axis=1)[:, -count:]
    return np.take_along_axis(values, chosen[np.newaxis], axis=2)
