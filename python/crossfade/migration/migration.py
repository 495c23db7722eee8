"""Migration: carries a collection to another encoder while it is searched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, Literal

from crossfade._values import shown
from crossfade.bridge import Quality
from crossfade.catalog import tasks, versions
from crossfade.encoder import check_threads
from crossfade.encoders import Encoders
from crossfade.errors import CollectionClosed, InvalidInput, NotReady
from crossfade.judged import Qrels, Queries, judged
from crossfade.orders import Order, parse
from crossfade.search.fade import Fade
from crossfade.search.judgement import Judgement
from crossfade.space import Space
from crossfade.store import Store

from . import roles
from .fill import OVER, Filler, catch_up
from .fit import fit
from .guard import judge
from .learning import Refits
from .ordering import rank_tasks
from .stopping import Stop

SEED = 0

_log = logging.getLogger("crossfade")


@dataclasses.dataclass(frozen=True)
class MigrationStatus:
    """How far a migration is.

    Args:
        state: "filling", "cut over", "rolled back", "abandoned" or "done".
        source: Number of the version it started from.
        target: Number of the version it fills.
        documents: How many documents the collection has.
        done: How many of them have a vector of the new model.
        failed: How many were given up after three attempts.
        fitted: Whether the Bridge is there: only then do searches use new vectors before the cutover.
        order: What is re-embedded first, as text (`crossfade.orders`).
        serve: What answers after the cutover, "new" (the new version alone) or "blend" (both).
    """

    state: str
    source: int
    target: int
    documents: int
    done: int
    failed: int
    fitted: bool
    order: str
    serve: str

    @property
    def share(self) -> float:
        """`done` as a share of `documents`; 1.0 in an empty collection."""
        return self.done / self.documents if self.documents else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), "share": self.share}


class Migration:
    """A collection on its way to another encoder. Made by `Collection.migrate`; all its state is on disk.

    Example:
        fade = docs.migrate(cf.Encoder.load("minilm-l6"))
        fade.run()        # blocks; Ctrl-C or a crash leaves it resumable
        fade.cutover()
    """

    def __init__(self, store: Store, encoders: Encoders, number: int) -> None:
        self._store = store
        self._encoders = encoders
        self._number = number

    @property
    def space(self) -> Space:
        """The Space it leads to."""
        state, current = self._read()
        return state.versions[current.target].space

    def fit(
        self,
        *,
        sample: int | None = None,
        seed: int = SEED,
        progress: Callable[[int, int], None] | None = None,
        cores: int | None = None,
    ) -> Quality | None:
        """Learns the Bridge and the blend of both versions' scores from a sample, and measures them.

        The sample is re-embedded for real and counts as filled. Where 30 documents of it have titles, both models are
        then asked up to 150 titles, and each is looked for by its text without the title: up to 300 more texts that
        either encoder embeds once, and a service is paid for. What they say is provisional (`validate`).

        Args:
            sample: Documents to learn from. By default 200, doubled while that gains more held-out recall@10 than its
                standard error, up to a twentieth of the collection (but 64 at least) and 5,000; where the old encoder
                is not at hand, up to 5,000 whatever the collection's size.
            seed: Of the choice of the sample.
            progress: Called with (documents done, documents), as by `run`.
            cores: Cores to re-embed on, as for `run`.

        Returns:
            What the Bridge reached on held-out pairs; None where there is too little to learn from (under 64
            documents, or vectors that are all the same), and the old version answers alone until the cutover.

        Raises:
            NotReady: The migration is over.
            EncodingFailed: The new encoder failed.
        """
        state, current = self._read()
        if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 1):
            raise InvalidInput(f"sample must be a positive whole number of documents, got {shown(sample)}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(f"seed must be a whole number from 0 on, got {shown(seed)}")
        if cores is not None:
            check_threads(cores, "cores")
        with Stop() as asked:
            return fit(self._store, self._encoders, state, current, sample, seed, progress, asked, cores)

    def run(
        self,
        *,
        until: float = 1.0,
        order: Order | str | None = None,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
        cores: int | None = None,
    ) -> MigrationStatus:
        """Re-embeds, what searches look at meanwhile first, the rest in an order; blocks until it is done.

        Searches, edits and deletes go on meanwhile. Interrupted or killed, the next `run` goes on where it stopped.
        It fits first where that is still to do, fits again when it has twice as many pairs (a better Bridge on held-out
        documents replaces the one in use), and never cuts over by itself. Several processes may run the same
        migration: they share what is left. A document that can't be embedded is tried three times, with growing
        pauses, and then listed by `failures`.

        Called in the main thread of a program that has no handlers of its own, it ends on Ctrl-C (KeyboardInterrupt)
        and SIGTERM (SystemExit, 143) as soon as the batch in hand is given back.

        Args:
            until: Stop when this share of the documents has new vectors, 0 to 1. Where searches are logged, the sample
                to fit from takes a quarter of it at most: the rest is for what they look at.
            order: From now on, in every process, another order than the one `Collection.migrate` was given.
            progress: Called with (documents done, documents).
            stop: Asked before every batch and while the run waits; True stops it.
            cores: Cores to re-embed on; None for all this process may use. It works in threads of the lowest priority,
                so that queries on the same machine hardly notice; in another container they might.

        Raises:
            NotReady: The migration is over.
            EncodingFailed: The new encoder fails for every text, and did so for a minute.
            SpendLimitReached: The limit of an `http` encoder is reached; the next run goes on from here.
            InvalidInput: `until` is no share, `order` no order, or `cores` not positive.
        """
        wanted = None if order is None else parse(order)
        if cores is not None:
            check_threads(cores, "cores")
        if isinstance(until, bool) or not isinstance(until, (int, float)) or not 0.0 <= until <= 1.0:
            raise InvalidInput(f"until must be a share between 0 and 1, got {shown(until)}")
        state, current = self._read()
        target = state.versions[current.target]
        encoder = self._encoders.get(target)
        if wanted is not None:
            with self._store.writing() as connection:
                roles.set_order(connection, current, wanted)
            state, current = self._read()
        with Stop(stop) as asked:
            if state.pair and until > 0.0 and self._fade(current) is None:
                fit(self._store, self._encoders, state, current, None, SEED, progress, asked, cores, until)
            if until > 0.0:
                rank_tasks(self._store, self._encoders, current, asked)
            refits = Refits(self._store, current, SEED, asked) if current.state == "filling" else None
            filler = Filler(self._store, encoder, target.id, cores, asked)
            filler.run(until, progress, refits.consider if refits else None)
            failure = catch_up(self._store, self._encoders, current.source, asked, cores)
        if failure and current.state != "cut over":
            raise failure
        if failure:
            _log.warning("version %d still lacks documents, its encoder failed: %s", current.source, failure)
        return self.status()

    def status(self) -> MigrationStatus:
        """How far it is; costs the same whatever the size of the collection."""
        with self._store.reading() as connection:
            state = versions.read(connection)
            row = versions.read_migration(connection, self._number)
        target = state.versions.get(row.target)
        pending, failed = (target.pending, target.failed) if target else (state.documents, 0)
        done = state.documents - pending
        learned = row.bridge is not None, row.fill_order, row.serve
        return MigrationStatus(row.state, row.source, row.target, state.documents, done, failed, *learned)

    def validate(self, queries: Queries, qrels: Qrels) -> Judgement:
        """Asks both models judged queries, and lets new evidence count during the migration as they show it should.

        Old model, new model and blend answer among the documents that have both vectors: after `run` these are all.
        Where the new model or the blend is worse (a 95 % interval of the difference in nDCG@10 below zero) the guard
        closes, and the old model answers alone until the cutover. Another weight than the usual one is only taken where
        a paired test speaks for it. What was judged last counts, also through later fits. Every query is embedded once
        by either encoder.

        Args:
            queries: `{query id: text}`, or a BEIR folder.
            qrels: `{query id: {document id: grade}}`, or a BEIR folder; a grade above zero is relevant.

        Returns:
            What came out; under 30 queries it says so, and changes nothing.

        Raises:
            NotReady: Nothing is learned yet, or the migration is over.
            EncoderMissing: An encoder is not at hand.
            InvalidInput: The queries can't be used, or no relevant document has a new vector.
            EncodingFailed: An encoder failed.

        Example:
            fade.run()
            print(fade.validate("scifact", "scifact").verdict)
        """
        _, current = self._read()
        with Stop() as asked:
            return judge(self._store, self._encoders, current, judged(queries, qrels), asked)

    @property
    def quality(self) -> Quality | None:
        """What the Bridge in use has reached on held-out pairs; None where none is fitted, or it is damaged."""
        fade = self._fade(self._read()[1])
        return fade.bridge.quality if fade else None

    def failures(self) -> list[tasks.Failure]:
        """The documents that either version's fill has given up, each with its last error."""
        _, current = self._read()
        with self._store.reading() as connection:
            return tasks.failures(connection, [current.source, current.target])

    def retry(self) -> int:
        """Queues again what was given up, for the next `run`.

        Returns:
            How many documents that were.
        """
        _, current = self._read()
        with self._store.writing() as connection:
            return tasks.retry(connection, current.source) + tasks.retry(connection, current.target)

    def cutover(self, force: str | None = None, *, serve: Literal["new", "blend"] = "new") -> None:
        """Makes the new version the live one, in one small transaction; the same call again changes nothing.

        Args:
            force: The reason to go on although documents have no new vector; it is recorded. Where the new version
                answers alone they are not found until `run` has embedded them.
            serve: What answers from now on. "new": the new version alone, as the new model ranks, with one encoder.
                "blend": both as before the cutover, in the same order, with scores on the new model's scale; it takes
                both encoders and indices, and where the old encoder can't be called the new version answers alone
                (`Hits.method` says so). It lasts until a call with the other word, `rollback` or `prune(force=True)`;
                the old version's retention begins when it no longer answers.

        Raises:
            NotReady: Documents are missing (its `ids` name some) and no reason was given, the migration is over, or
                nothing was learned that the versions could be blended by.
            InvalidInput: `force` is no text, or `serve` neither of these.
        """
        roles.cut_over(self._store, self._number, force, serve)

    def abandon(self) -> None:
        """Drops the new version; the collection stays as it is.

        Raises:
            NotReady: The migration is cut over, or over.
        """
        roles.abandon(self._store, self._number)

    def _fade(self, current: versions.MigrationRow) -> Fade | None:
        folder = self._store.layout.bridges(current.source, current.target)
        return Fade.find(folder / current.bridge) if current.bridge is not None else None

    def _read(self) -> tuple[versions.State, versions.MigrationRow]:
        with self._store.reading() as connection:
            state = versions.read(connection)
        if state.migration is None or state.migration.id != self._number:
            raise NotReady(OVER)
        return state, state.migration

    def __repr__(self) -> str:
        try:
            status = self.status()
        except CollectionClosed:
            return "Migration(closed)"
        return f"Migration({status.state}, {status.done} of {status.documents} documents, {status.failed} failed)"
