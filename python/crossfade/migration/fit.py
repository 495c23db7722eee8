"""The fit: a sample of the documents is embedded by both models, and what lies between the two is learned from it.

The sample is the beginning of one random order of all documents, the same for every worker. It is doubled while that
gains more held-out recall@10 than its standard error, up to a share of the collection and, where searches are logged, a
part of what is to be embedded: what the sample takes counts as filled, but is not what searches look at most. Where the
old encoder can't be called any more all answers depend on the Bridge, and the sample may be as large as Bridges gain
from.
"""

from __future__ import annotations

from collections.abc import Callable

from crossfade._uniform import in_order
from crossfade.bridge import Quality
from crossfade.catalog import documents, searched, versions
from crossfade.encoders import Encoders
from crossfade.store import Store

from .fill import BATCH, LOOK_SECONDS, Filler
from .guard import judge_by_titles
from .learning import LEAST_PAIRS, MOST_PAIRS, Keys, Lesson, current_fade, learn, only_learner
from .stopping import Stop

SHARE = 0.05
# Where it is known what searches look at, no more than this part of what a run is to embed is for the sample.
PART = 0.25
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

    More than the share `until` of the documents (where it is known what searches look at, a quarter of that) is only
    embedded where that would be less than `LEAST_PAIRS`.
    """
    target = state.versions[migration.target]
    budget = sample or max(LEAST_PAIRS, min(int(_most(store, encoders, state, migration, until)), MOST_PAIRS))
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
            break
        pairs = min(2 * pairs, budget)
    judge_by_titles(store, encoders, migration, chosen, cores, stop)
    return learned.quality if learned else None


def _most(
    store: Store, encoders: Encoders, state: versions.State, migration: versions.MigrationRow, until: float
) -> float:
    """How many documents may be embedded to learn from them."""
    share = until
    if encoders.find(state.versions[migration.source]) is not None:
        store.write_log()
        with store.reading() as connection:
            share = min(SHARE, PART * until if searched.is_used(connection) else until)
    return share * state.documents + 1e-9  # a product like 0.07 * 100 may lie a little beside the whole number


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
                return learn(store, migration, chosen, seed, stop)
        waited = True
        stop.pause(LOOK_SECONDS / 10)
    return None
