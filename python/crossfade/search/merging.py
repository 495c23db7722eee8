"""Merging: two versions, one ranking by a classic merge, for those who ask for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossfade.catalog.versions import Version

from .explanation import Why
from .merges import MERGES, Found, Merge
from .ranking import CANDIDATES, Mask, Ranking, Rows, View, present


def rank_merged(
    view: View,
    pair: tuple[Version, Version],
    old_queries: Rows,
    encode_new: Callable[[Sequence[int]], Rows],
    merge: Merge,
    k: int,
    allowed: Mask | None,
) -> list[Ranking]:
    """Ranks documents by one of `MERGES`; each is looked for in one version, the new one where it has its vector."""
    snapshot = view.snapshot
    old, new = (snapshot.indices[version.id] for version in pair)
    embedded = new.has(np.arange(len(snapshot.dead), dtype=np.uint64))
    left = ~embedded if allowed is None else allowed & ~embedded
    count = max(CANDIDATES, k)
    new_queries = encode_new(range(len(old_queries)))
    old_found = old.candidates(old_queries, count, snapshot.dead, left)
    new_found = new.candidates(new_queries, count, snapshot.dead, allowed)
    least = [-1.0 if version.space.metric == "cos" else None for version in pair]
    rankings = []
    for row in range(len(old_queries)):
        lists = []
        for (keys, scores), floor in zip((old_found, new_found), least, strict=True):
            there = present(keys[row])  # missing keys stand last
            lists.append(Found(there, scores[row][: len(there)], floor))
        best = MERGES[merge](*lists)
        keys = best.keys[:k]
        versions = np.where(embedded[keys.astype(np.int64)], pair[1].id, pair[0].id)
        scores = best.scores[:k].astype(np.float32)
        rankings.append(Ranking(keys, scores, versions, best.keys, method=merge, why=Why("merge")))
    return rankings
