"""What searches of `bench.search` miss that exact ones find."""

from __future__ import annotations

import dataclasses
import tempfile
import time
import uuid
from typing import Any

import numpy as np

import crossfade as cf
from bench.search_data import SHARES, World
from crossfade.index import OpenSegment, RowRange, VersionIndex, build_segment
from crossfade.search.asked import Asked
from crossfade.search.documents import Filters
from crossfade.search.ranking import CANDIDATES, View
from crossfade.search.search import rank_texts
from crossfade.store import Snapshot

ASKED = 200
K = 10
SEGMENTS, TAIL = 4, 8_192


def candidate_recall(docs: cf.Collection, world: World) -> list[float]:
    """Share of the true 100 nearest of a query that each version proposes."""
    return recall_of(docs._store.snapshot(), world)


def recall_of(snapshot: Snapshot, world: World) -> list[float]:
    true = exact(snapshot)
    found = []
    for number, rows in ((1, world.old[1]), (2, world.new[1])):
        queries = rows[:ASKED]
        near, _ = snapshot.indices[number].candidates(queries, CANDIDATES, snapshot.dead)
        wanted, _ = true.indices[number].candidates(queries, CANDIDATES, snapshot.dead)
        found.append(share_found(near, wanted))
    return found


def in_pieces(docs: cf.Collection, world: World) -> dict[str, Any]:
    """The same where every version's rows stand in four segments, and as many as are left unsealed at most."""
    snapshot = docs._store.snapshot()
    with tempfile.TemporaryDirectory() as folder:
        indices = {number: _cut(index, folder) for number, index in snapshot.indices.items()}
        cut = dataclasses.replace(snapshot, indices=indices)
        return {"recall": recall_of(cut, world), "ms": _latencies(docs, cut, world)}


def _cut(index: VersionIndex, folder: str) -> VersionIndex:
    ((number, rows),) = index._files
    keys = index._locations.keys(RowRange(number, 0, len(rows)))
    sealed = max(0, len(rows) - TAIL)
    segments = []
    for start in range(SEGMENTS):
        part = slice(sealed * start // SEGMENTS, sealed * (start + 1) // SEGMENTS)
        if part.stop > part.start:
            info = build_segment(folder, uuid.uuid4().hex[:8], keys[part], np.ascontiguousarray(rows[part]), threads=2)
            assert info is not None
            segments.append(OpenSegment(folder, info, index.dim, verified=_Nothing()))
    return VersionIndex(index.dim, index._locations, {number: rows}, segments, [RowRange(number, sealed, len(rows))])


class _Nothing:
    def is_verified(self, identity: str) -> bool:
        return True

    def remember(self, identity: str) -> None:
        pass


def filtered(docs: cf.Collection, world: World) -> dict[str, Any]:
    """Recall@10 of filtered searches, and what a search takes, by selectivity in percent."""
    queries = world.queries()[:ASKED]
    found = {}
    for percent, of in SHARES.items():
        took, ids = [], []
        for query in queries:
            began = time.perf_counter()
            ids.append(docs.search(query, k=K, filter={f"of {of}": 0}).ids)
            took.append(time.perf_counter() - began)
        view = docs._searcher._view()
        allowed, _ = Filters().allowed(view, {f"of {of}": 0})
        true = dataclasses.replace(view, snapshot=exact(view.snapshot))
        rankings = rank_texts(true, Asked(queries), K, allowed)
        wanted = [_ids(view, ranking.keys) for ranking in rankings]
        hit = sum(len(set(one) & set(other)) for one, other in zip(ids, wanted, strict=True))
        found[str(percent)] = {
            "recall": hit / sum(map(len, wanted)),
            "p50": round(1e3 * float(np.quantile(took, 0.5)), 2),
            "p99": round(1e3 * float(np.quantile(took, 0.99)), 2),
        }
    return found


def _ids(view: View, keys: Any) -> list[str]:
    return [str(key - 1) for key in keys.tolist()]  # keys count from 1, documents from 0


def _latencies(docs: cf.Collection, snapshot: Snapshot, world: World) -> dict[str, float]:
    """Of searches of a snapshot, without fetching documents."""
    view = dataclasses.replace(docs._searcher._view(), snapshot=snapshot)
    took = []
    for query in world.queries()[:ASKED]:
        began = time.perf_counter()
        rank_texts(view, Asked([query]), K, None)
        took.append(time.perf_counter() - began)
    return {name: round(1e3 * float(np.quantile(took, at)), 2) for name, at in (("p50", 0.5), ("p99", 0.99))}


def exact(snapshot: Snapshot) -> Snapshot:
    """The same rows with no segments: all are scanned."""
    scanned = {
        number: VersionIndex(
            index.dim,
            index._locations,
            dict(index._files),
            (),
            [RowRange(file, 0, len(rows)) for file, rows in index._files],
        )
        for number, index in snapshot.indices.items()
    }
    return dataclasses.replace(snapshot, indices=scanned)


def share_found(near: Any, wanted: Any) -> float:
    """Mean share of the wanted keys that are near, row by row."""
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(wanted, near, strict=True)]))
