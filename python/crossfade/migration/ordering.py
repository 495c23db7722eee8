"""Ordering: the tasks of a fill get their ranks from an order."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from crossfade import orders
from crossfade._forks import lazy
from crossfade.catalog import searched, versions
from crossfade.encoders import Encoders
from crossfade.index import VersionIndex
from crossfade.search.replay import replay
from crossfade.store import Store

from .stopping import Stop

CHUNK = 5_000  # tasks that get their ranks in one transaction
SAMPLE = 4_000  # documents that a covariance is taken from
RIDGE = 0.1  # in units of the covariance's mean eigenvalue
# Beyond so many tasks a rank is exact to this part of it: where few ranks differ, few pages of their index are written.
EXACT, STEP = 20_000, 0.02
_ROWS_AT_ONCE = 16_384

Floats = npt.NDArray[np.float64]


def rank_tasks(store: Store, encoders: Encoders, migration: versions.MigrationRow, stop: Stop) -> None:
    """Gives the tasks of a migration their ranks, where they don't have them yet.

    In small transactions, so that nobody waits for long. Where it ends before its time, the next one begins again. What
    searches have moved to the front stays there.
    """
    if migration.ordered or migration.state != "filling":
        return
    order = orders.parse(migration.fill_order)
    store.write_log()
    with stop.droppable():
        facts = _Facts(store, encoders, migration.source)
        ranks = _ranks(order.grades(facts), facts.keys)
    for start in range(0, len(ranks), CHUNK):
        if stop.over:
            return
        part = slice(start, start + CHUNK)
        with store.writing() as connection:
            searched.rank(connection, migration.target, facts.keys[part].tolist(), ranks[part].tolist())
    with store.writing() as connection:
        versions.set_ordered(connection, migration.id, migration.fill_order)


class _Facts:
    """What orders go by; what takes long is computed when an order asks for it."""

    def __init__(self, store: Store, encoders: Encoders, source: int) -> None:
        self._store = store
        self._encoders = encoders
        self._source = source
        self.now = time.time()
        with store.reading() as connection:
            self.keys, columns = searched.columns(connection)
        self._counted, self.failing, self.priority, self.updated_at = columns

    @lazy
    def hits(self) -> Floats:
        """How much searches looked at each document: as counted, or as the logged queries do now, whatever is more."""
        replayed = replay(self._store, self._encoders, self._source)
        hits: Floats = np.maximum(self._counted, replayed.hits(self.keys))
        return hits

    @lazy
    def uncertainty(self) -> Floats:
        """The leverages of the old vectors; the largest where there is none."""
        index = self._store.snapshot().indices[self._source]
        keys = self.keys.astype(np.uint64)
        there = index.has(keys)
        found = np.full(len(keys), np.inf)
        if there.any():
            found[there] = leverages(index, keys[there])
            found[~there] = found[there].max()
        return np.where(np.isfinite(found), found, 0.0)


def leverages(index: VersionIndex, keys: npt.NDArray[np.uint64]) -> Floats:
    """How far the vectors of `keys` lie out, in the directions in which a sample of them varies little: `(n,)`."""
    sample = index.gather(keys[:: -(-len(keys) // SAMPLE)].copy()).astype(np.float64)
    center = sample.mean(axis=0)
    covariance = (sample - center).T @ (sample - center) / len(sample)
    dim = len(center)
    mean = np.trace(covariance) / dim
    if not mean > 0:
        return np.zeros(len(keys))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance + RIDGE * mean * np.eye(dim))).T.astype(np.float32)
    offset = (center @ whitening).astype(np.float32)
    found = np.empty(len(keys))
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        whitened = index.gather(keys[part]) @ whitening - offset
        found[part] = np.einsum("nd,nd->n", whitened, whitened)
    return found


def _ranks(grades: Floats, keys: npt.NDArray[np.int64]) -> Floats:
    """Ranks below 1, higher ones for higher grades; equal grades are spread evenly over the keys."""
    count = len(keys)
    spread = np.random.default_rng(0).permutation(count)
    places = np.empty(count)
    places[np.lexsort((spread, -grades))] = np.arange(count)
    if count > EXACT:
        level = np.floor(np.log1p(places) / np.log1p(STEP))
        places = np.expm1(level * np.log1p(STEP))
    ranks: Floats = 1.0 - (places + 1.0) / (count + 1.0)
    return ranks
