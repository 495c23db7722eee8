"""The fit: a sample of the documents is embedded by both models, and what lies between the two is learned from it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import numpy as np

from crossfade.bridge import Bridge, Quality
from crossfade.catalog import documents, versions
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput, NotReady
from crossfade.search.blend import Blend
from crossfade.search.fade import Fade
from crossfade.search.onesided import OneSided
from crossfade.store import Store

from .fill import BATCH, OVER, Filler
from .stopping import Stop

# Measured: Bridges gain little beyond 4,000 pairs, and below 200 documents their scores can't be put on one scale.
LEAST_PAIRS, MOST_PAIRS = 200, 4_000
SHARE = 0.1


def fit(
    store: Store,
    encoders: Encoders,
    state: versions.State,
    migration: versions.MigrationRow,
    sample: int | None,
    seed: int,
    progress: Callable[[int, int], None] | None,
    stop: Stop,
    cores: int | None = None,
) -> Quality | None:
    """Embeds a uniform sample, fits Bridge and blend, and publishes them; None where it can't, or is to stop."""
    target = state.versions[migration.target]
    pairs = sample or min(max(round(SHARE * state.documents), LEAST_PAIRS), MOST_PAIRS)
    if min(pairs, state.documents) < LEAST_PAIRS:
        return None
    with store.reading() as connection:
        current = documents.all_keys(connection)
    chosen = np.random.default_rng(seed).permutation(current)[:pairs]
    filler = Filler(store, encoders.get(target), target.id, cores, stop)
    store.release_dead_leases(target.id)
    for start in range(0, len(chosen), BATCH):
        filler.fill(chosen[start : start + BATCH].tolist())
        if stop.over:
            return None
        if progress:
            progress(*filler.done())
    filler.wait_for_others(chosen.tolist())
    if stop.over:
        return None
    snapshot = store.snapshot()
    if target.id not in snapshot.indices:
        raise NotReady(OVER)
    old, new = snapshot.indices[migration.source], snapshot.indices[target.id]
    keys = np.sort(chosen).astype(np.uint64)
    keys = keys[old.has(keys) & new.has(keys)]
    if len(keys) < LEAST_PAIRS:
        return None
    old_rows, new_rows = old.gather(keys), new.gather(keys)
    source_space, target_space = state.versions[migration.source].space, target.space
    try:
        with stop.droppable():
            bridge, back = Bridge.fit_both(old_rows, new_rows, source=source_space, target=target_space, seed=seed)
            blend = Blend.fit(old_rows, new_rows, bridge, seed=seed)
            one_sided = OneSided.learn(old_rows, new_rows, (bridge, back), (blend.old, blend.new), seed)
    except InvalidInput as error:  # of rows that don't vary nothing can be learned, but they can be replaced
        with store.writing() as connection:
            versions.note(connection, "not fitted", {"pairs": len(keys), "reason": str(error)})
        return None
    name = uuid.uuid4().hex[:8]
    Fade(bridge, blend, one_sided).save(store.layout.bridges(migration.source, migration.target) / name)
    with store.writing() as connection:
        versions.set_bridge(connection, migration.id, name)
        detail = {"pairs": len(keys), "method": bridge.quality.method, "recall_at_10": bridge.quality.recall_at_10}
        versions.note(connection, "fitted", detail)
    return bridge.quality
