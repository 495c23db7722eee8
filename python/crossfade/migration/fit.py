"""The fit: a sample of the documents is embedded by both models, and what lies between the two is learned from it.

The sample is the beginning of one random order of all documents, the same for every worker. It is doubled while that
gains more held-out recall@10 than its standard error, up to a share of the collection: what is embedded for it counts
as filled, but is not what searches look at most. Where the old encoder can't be called any more all answers depend on
the Bridge, and the sample may be as large as Bridges gain from.
"""

from __future__ import annotations

from collections.abc import Callable

from crossfade._uniform import in_order
from crossfade.bridge import Quality
from crossfade.catalog import documents, versions
from crossfade.encoders import Encoders
from crossfade.store import Store

from .fill import BATCH, LOOK_SECONDS, Filler
from .learning import LEAST_PAIRS, MOST_PAIRS, Keys, Lesson, current_fade, learn, only_learner
from .stopping import Stop

SHARE = 0.05
# Taken first, where the share allows it: on a fifth of so many documents a gain in recall can be told from chance.
FIRST_PAIRS = 200


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
    until: float = 1.0,
) -> Quality | None:
    """Embeds a uniform sample, fits Bridges and blend, and publishes them; None where it can't, or is to stop.

    More than the share `until` of the documents is only embedded where that would be less than `LEAST_PAIRS`.
    """
    target = state.versions[migration.target]
    most = min(_budget(encoders, state, migration), int(until * state.documents), MOST_PAIRS)
    budget = sample or max(LEAST_PAIRS, most)
    pairs = sample or min(FIRST_PAIRS, budget)
    if min(pairs, state.documents) < LEAST_PAIRS:
        return None
    filler = Filler(store, encoders.get(target), target.id, cores, stop)
    store.release_dead_leases(target.id)
    learned: Lesson | None = None
    while True:
        with store.reading() as connection:
            chosen = in_order(documents.all_keys(connection), seed)[:pairs]
        _fill(filler, chosen.tolist(), progress, stop)
        lesson = None if stop.over else _learn_alone(store, migration, chosen, seed, stop)
        learned = lesson or learned
        pays = lesson is not None and (lesson.gain is None or lesson.gain > 1.0)
        if not pays or pairs >= budget:
            return learned.quality if learned else None
        pairs = min(2 * pairs, budget)


def _budget(encoders: Encoders, state: versions.State, migration: versions.MigrationRow) -> int:
    reachable = encoders.find(state.versions[migration.source]) is not None
    return round(SHARE * state.documents) if reachable else state.documents


def _fill(filler: Filler, keys: list[int], progress: Callable[[int, int], None] | None, stop: Stop) -> None:
    for start in range(0, len(keys), BATCH):
        filler.fill(keys[start : start + BATCH])
        if stop.over:
            return
        if progress:
            progress(*filler.done())
    filler.wait_for_others(keys)


def _learn_alone(store: Store, migration: versions.MigrationRow, chosen: Keys, seed: int, stop: Stop) -> Lesson | None:
    """Learns from a sample, or takes what another worker has learned from it meanwhile."""
    before, waited = current_fade(store, migration), False
    while not stop.over:
        with only_learner(store, migration) as alone:
            if alone:
                present = current_fade(store, migration) if waited else before
                if waited and present and present.bridge.quality.pairs >= len(chosen):
                    return Lesson(present.bridge.quality, None)
                return learn(store, migration, chosen, chosen[:0], seed, stop)
        waited = True
        stop.pause(LOOK_SECONDS / 10)
    return None
