"""Assessable: the part of a collection's façade that tells whether to migrate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Unpack

from crossfade import judged
from crossfade._values import shown
from crossfade.assess import Assessment, Judge, Options
from crossfade.assess.assessing import assess
from crossfade.assess.request import request
from crossfade.catalog import versions
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders, checked_encoder
from crossfade.errors import InvalidInput
from crossfade.pilot import pilot as make_pilot
from crossfade.store import Store

SAMPLE = 2_000


class Assessable:
    """What a collection can say of another model."""

    _store: Store
    _encoders: Encoders

    def assess(
        self,
        new: Encoder,
        *,
        queries: judged.Queries | None = None,
        qrels: judged.Qrels | None = None,
        judge: Judge | None = None,
        sample: int = SAMPLE,
        pilot: float = 0.0,
        progress: Callable[[int, int], None] | None = None,
        **options: Unpack[Options],
    ) -> Assessment:
        """Tells whether a migration to another encoder is worth it, how to do it, what it costs, and how sure that is.

        A capped sample is embedded with the new model, once; nothing of it is kept but a pilot. docs/assess.md has the
        rules.

        Args:
            new: The encoder that would take over.
            queries: `{query id: text}`, a BEIR folder, or a file (TREC topics, JSON lines, CSV). Unless you say, those
                of the log that were judged (`judge`), where they are enough; else queries are made from documents, and
                everything that rests on them is `provisional`.
            qrels: `{query id: {document id: grade}}`, a BEIR folder, or a file; above 0 is relevant.
            judge: A function of the texts of query and document to a grade, asked for what either model finds.
            sample: How many documents are embedded at most, 400 or more; queries that were made cost one text more of
                both models each. It has room for a tenth as many queries, for all judged ones if everything fits.
            pilot: Share of the documents, 0 to 1, that is re-embedded for real, with which a migration begins: what was
                estimated from the sample is measured by it. `docs.migrate(new).abandon()` drops it.
            progress: Called with the documents embedded so far, and how many there will be at most.
            options: Thresholds (`min_lift`, `margin`, `significance`, …), `k`, `gain`, `fields`, `seed`, `cores` and
                prices: `crossfade.assess.Options` has them all.

        Raises:
            InvalidInput: An argument can't be used, or no query has a relevant document in the collection.
            NotReady: The collection has no document with a vector, or the new model can take none of them.
            MigrationConflict: A pilot was asked for, and another migration is under way.
            EncodingFailed, SpendLimitReached: As from `encode`.

        Example:
            found = docs.assess(cf.Encoder.load("minilm-l6"), queries="scifact")
            print(found.verdict.decision, found.verdict.commands)
        """
        asked = request(queries, qrels, judge, sample, options)
        checked_encoder(new)
        if isinstance(pilot, bool) or not isinstance(pilot, (int, float)) or not 0.0 <= pilot <= 1.0:
            raise InvalidInput(f"pilot must be a share of the documents from 0 to 1, got {shown(pilot)}")
        if not self._store.read_only:
            self._store.write_log()
        with self._store.reading() as connection:
            live = versions.read(connection).live_version.space
        if not pilot or live.fingerprint == new.space.fingerprint:
            return assess(self._store, self._encoders, new, asked, progress=progress)
        seed, cores = asked.pricing["seed"], asked.pricing.get("cores")
        drawn, made = make_pilot(self._store, self._encoders, new, pilot, seed=seed, cores=cores, progress=progress)
        found = assess(self._store, self._encoders, new, asked, drawn, progress)
        return dataclasses.replace(found, pilot=made)
