"""Learning: Bridge and blend from pairs that are there, judged on documents that no map is ever fitted to."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crossfade._uniform import held_out, in_order
from crossfade.bridge import Bridge, Quality
from crossfade.bridge.measuring import HeldOut, Measured
from crossfade.catalog import documents, versions
from crossfade.errors import InvalidInput, NotReady
from crossfade.search.blend import FULL_WEIGHT, MIN_DOCUMENTS, Blend
from crossfade.search.fade import Fade
from crossfade.search.judgement import Judgement
from crossfade.search.onesided import OneSided
from crossfade.store import GRACE_SECONDS, Store, listed, only_builder

from .fill import OVER
from .stopping import Stop

Keys: TypeAlias = npt.NDArray[np.uint64]

# Under so many documents their scores can't be put on one scale; beyond so many pairs Bridges gain little
# (docs/decisions/0009), and a fit takes a second or two of one core.
LEAST_PAIRS, MOST_PAIRS = MIN_DOCUMENTS, 5_000


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What was learned.

    Args:
        quality: Of the Bridge that is in use now.
        gain: What it gained in held-out recall@10 over the one before, in standard errors; None where there was none.
    """

    quality: Quality
    gain: float | None


def learn(store: Store, migration: versions.MigrationRow, keys: Keys, seed: int, stop: Stop) -> Lesson | None:
    """Learns from the pairs of these documents, and publishes it.

    A Bridge replaces the one in use only where it is better on documents that neither was fitted to. How scores are
    blended is learned anew in any case.

    Args:
        store: The collection's.
        migration: Between its two versions.
        keys: Of the documents. A uniform sample, or what is embedded meanwhile: that is what searches look at.
        seed: Of the stand-in queries, the folds and the bootstrap.
        stop: A signal is raised at once while it fits.

    Returns:
        None where there is too little to learn from.
    """
    snapshot = store.snapshot()
    if migration.target not in snapshot.indices:
        raise NotReady(OVER)
    old, new = snapshot.indices[migration.source], snapshot.indices[migration.target]
    keys = np.sort(keys[old.has(keys) & new.has(keys)])
    judges = held_out(keys)
    if len(keys) < LEAST_PAIRS or judges.sum() < 2:
        return None
    rows = old.gather(keys), new.gather(keys)
    spaces = [snapshot.state.versions[number].space for number in (migration.source, migration.target)]
    present = current_fade(store, migration)
    try:
        with stop.droppable():
            tried = Bridge.fit(*rows, source=spaces[0], target=spaces[1], seed=seed, held_out=judges)
            compared = _compared(tried, present, rows[0][judges], rows[1][judges]) if present else None
            better = not compared or compared[0].is_better(compared[1])
            fade = _fade(
                tried if better or not present else present.bridge, rows, snapshot.state.documents, seed, present
            )
    except InvalidInput as error:  # of rows that don't vary nothing can be learned, but they can be replaced
        with store.writing() as connection:
            versions.note(connection, "not fitted", {"pairs": len(keys), "reason": str(error)})
        return None
    publish(store, migration, fade, "fitted" if better else "fit not adopted", _figures(tried.quality))
    return Lesson(fade.bridge.quality, (_gain(*compared) if better else 0.0) if compared else None)


def current_fade(store: Store, migration: versions.MigrationRow) -> Fade | None:
    """What is in use; None where nothing is, or it is damaged."""
    with store.reading() as connection:
        name = versions.read_migration(connection, migration.id).bridge
    return Fade.find(store.layout.bridges(migration.source, migration.target) / name) if name else None


@contextlib.contextmanager
def only_learner(store: Store, migration: versions.MigrationRow) -> Iterator[bool]:
    """Whether nobody else learns for this migration; nobody does for as long as this holds.

    Raises:
        NotReady: The migration is over.
    """
    with store.reading() as connection:
        if migration.target not in versions.read(connection).versions:
            raise NotReady(OVER)
    with only_builder(store.layout.version(migration.target), "fit.lock") as alone:
        yield alone


class Refits:
    """Learns again during a fill, each time there are twice as many pairs as were learned from."""

    def __init__(self, store: Store, migration: versions.MigrationRow, seed: int, stop: Stop) -> None:
        self._store = store
        self._migration = migration
        self._seed = seed
        self._stop = stop
        fade = current_fade(store, migration)
        self._pairs = fade.bridge.quality.pairs if fade else MOST_PAIRS

    def consider(self) -> None:
        """Learns again where it is time to; to be called after every batch."""
        wanted = min(2 * self._pairs, MOST_PAIRS)
        if self._pairs >= MOST_PAIRS or self._stop.over or self._done() < wanted:
            return
        with only_learner(self._store, self._migration) as alone:
            if not alone:
                return
            fade = current_fade(self._store, self._migration)  # another process may have been faster
            self._pairs = max(self._pairs, fade.bridge.quality.pairs) if fade else MOST_PAIRS
            if self._done() >= min(2 * self._pairs, MOST_PAIRS) > self._pairs:
                self._learn()

    def _learn(self) -> None:
        with self._store.reading() as connection:
            keys = in_order(documents.all_keys(connection), self._seed)
        new = self._store.snapshot().indices.get(self._migration.target)
        if new is None:
            return
        keys = keys[new.has(keys)][:MOST_PAIRS]
        learn(self._store, self._migration, keys, self._seed, self._stop)
        self._pairs = max(2 * self._pairs, len(keys))

    def _done(self) -> int:
        with self._store.reading() as connection:
            state = versions.read(connection)
        target = state.filling
        return state.documents - target.pending if target and target.id == self._migration.target else 0


def _fade(bridge: Bridge, rows: tuple[np.ndarray, np.ndarray], documents: int, seed: int, present: Fade | None) -> Fade:
    weight = present.blend.full_weight if present else FULL_WEIGHT  # what judged queries have said stays
    blend = Blend.fit(*rows, bridge, full_weight=weight, seed=seed)
    one_sided = OneSided.learn(*rows, bridge, (blend.old, blend.new), documents, seed)
    return Fade(bridge, blend, one_sided, present.judgement if present else Judgement())


def _compared(bridge: Bridge, present: Fade, old: np.ndarray, new: np.ndarray) -> tuple[Measured, Measured]:
    held = HeldOut(old, new)
    return held.measure(bridge.apply(old)), held.measure(present.bridge.apply(old))


def _gain(new: Measured, old: Measured) -> float:
    gains = new.recall - old.recall
    error = gains.std() / np.sqrt(len(gains))
    return float(gains.mean() / error) if error > 0 else 0.0


def publish(
    store: Store, migration: versions.MigrationRow, fade: Fade, event: str, detail: Mapping[str, object]
) -> None:
    """Puts in use what was learned, and notes why; only for who is alone (`only_learner`)."""
    folder, name = store.layout.bridges(migration.source, migration.target), uuid.uuid4().hex[:8]
    fade.save(folder / name)
    with store.writing() as connection:
        replaced = versions.read_migration(connection, migration.id).bridge
        versions.set_bridge(connection, migration.id, name)
        versions.note(connection, event, detail)
    if replaced:
        with contextlib.suppress(OSError):  # a folder that is gone or can't be touched is none to wait for
            os.utime(folder / replaced)  # from now on it is being left; who is about to open it still finds it
    for path in listed(folder):
        if path.is_dir() and path.name != name and _is_old(path):
            shutil.rmtree(path, ignore_errors=True)


def _figures(quality: Quality) -> dict[str, object]:
    names = ("pairs", "held_out", "method", "regularisation", "cosine", "recall_at_10", "retention")
    return {name: getattr(quality, name) for name in names}


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > GRACE_SECONDS
    except FileNotFoundError:
        return False
