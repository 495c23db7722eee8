"""Assessable: the part of a collection's façade that tells whether to migrate."""

from __future__ import annotations

from typing import Unpack

from crossfade import judged
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders, checked_encoder
from crossfade.store import Store

from . import assessing
from .assessing import Options, Progress
from .assessment import Assessment
from .judgements import Judge

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
        progress: Progress | None = None,
        **options: Unpack[Options],
    ) -> Assessment:
        """Tells whether a migration to another encoder is worth it, by which strategy, what it costs, and how sure that is.

        A capped sample is embedded with the new model, once; nothing of it is kept. docs/assess.md has the rules.

        Args:
            new: The encoder that would take over.
            queries: `{query id: text}`, a BEIR folder, or a file (TREC topics, JSON lines, CSV). Unless you say, those
                of the log that were judged (`judge`), where they are enough; else queries are made from documents, and
                everything that rests on them is `provisional`.
            qrels: `{query id: {document id: grade}}`, a BEIR folder, or a file; above 0 is relevant.
            judge: A function of the texts of query and document to a grade, asked for what either model finds.
            sample: How many documents are embedded at most, 400 or more; queries that were made cost one text more of
                both models each. It has room for a tenth as many queries.
            progress: Called with the documents embedded so far, and how many there will be at most.
            options: Thresholds (`min_lift`, `margin`, `significance`, …), `k`, `gain`, `fields`, `seed`, `cores` and
                prices: `crossfade.assess.Options` has them all.

        Raises:
            InvalidInput: An argument can't be used, or no query has a relevant document in the collection.
            NotReady: The collection has no document with a vector, or the new model can take none of them.
            EncodingFailed, SpendLimitReached: As from `encode`.

        Example:
            found = docs.assess(cf.Encoder.load("minilm-l6"), queries="scifact")
            print(found.verdict.decision, found.verdict.commands)
        """
        asked = assessing.request(queries, qrels, judge, sample, options)
        checked_encoder(new)
        if not self._store.read_only:
            self._store.write_log()
        return assessing.assess(self._store, self._encoders, new, asked, progress)
