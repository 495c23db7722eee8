"""Pilot: the first part of a migration is made for real, and what it took is measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from crossfade import migration as migrations
from crossfade.assess.pilot import STRATA, Pilot, stratified
from crossfade.assess.sample import Batch, Sample, embedded, paid_tokens, spent_since, stored
from crossfade.assess.sizes import sizes_of
from crossfade.catalog import documents, texts, versions
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.migration.fill import BATCH, Filler
from crossfade.migration.stopping import Stop
from crossfade.store import Store

# Of fewer documents nothing can be told.
LEAST = 64


def pilot(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    share: float,
    *,
    seed: int = 0,
    cores: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Sample, Pilot]:
    """Starts a migration, or resumes it, and re-embeds a stratified sample of the documents.

    Returns:
        The sample with its rows as they are stored, and what it took.

    Raises:
        MigrationConflict: As from `Collection.migrate`.
        NotReady: No document could be embedded.
        EncodingFailed, SpendLimitReached: As from a run.
    """
    migrations.start(store, new)
    encoders.add(new)
    with store.reading() as connection:
        state = versions.read(connection)
        keys, lengths = texts.lengths(connection)
    target = next(
        version.id for version in state.versions.values() if version.space.fingerprint == new.space.fingerprint
    )
    chosen = stratified(keys, lengths, max(round(share * len(keys)), LEAST), seed)
    before, batches = new.spent, list[Batch]()
    if before is None:  # engines get ready with their first text
        embedded(new, _contents(store, chosen[:1].tolist()))
    with Stop() as asked:
        filler = Filler(store, new, target, cores, asked)
        store.release_dead_leases(target)
        for start in range(0, len(chosen), BATCH):
            batches += _fill(store, filler, target, new, chosen[start : start + BATCH].tolist())
            if progress:
                progress(min(start + BATCH, len(chosen)), len(chosen))
            if asked():
                break
    spent = spent_since(new, before)
    sample = stored(store, new, target, chosen, batches=batches, spent=spent, seed=seed)
    measured = Pilot(
        documents=len(sample),
        share=len(sample) / max(len(keys), 1),
        strata=STRATA,
        seconds=sum(batch.seconds for batch in batches),
        cpu_seconds=sum(batch.cpu_seconds for batch in batches),
        spent=spent,
        failed=sample.refused,
    )
    return sample, measured


def _fill(store: Store, filler: Filler, target: int, new: Encoder, keys: list[int]) -> list[Batch]:
    """Fills those that have no vector yet; gives what that took."""
    index = store.snapshot().indices[target]
    left = [key for key, there in zip(keys, index.has(np.array(keys, np.uint64)).tolist(), strict=True) if not there]
    contents = list(dict.fromkeys(_contents(store, left)))
    if not contents:
        return []
    tokens = int(sizes_of(new, contents).tokens.sum())
    paid, clock, cpu = paid_tokens(new), time.perf_counter(), time.process_time()
    filler.fill(left)
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    return [Batch(len(contents), tokens, seconds, cpu_seconds, paid_tokens(new) - paid)]


def _contents(store: Store, keys: list[int]) -> list[str]:
    with store.reading() as connection:
        return [document.content for document in documents.fetch(connection, keys).values()]
