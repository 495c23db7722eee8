"""The fill: documents that a version has no vector for are embedded, batch by batch, the most wanted first."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crossfade.catalog import documents, tasks, versions
from crossfade.document import Document
from crossfade.encoder import Encoder, usable_cores
from crossfade.encoders import Encoders
from crossfade.errors import DamagedFile, EncodingFailed, InvalidInput, ModelError, NotReady
from crossfade.store import Store

from .stopping import Stop

if TYPE_CHECKING:
    import tenacity

BATCH = 64  # documents: what a kill loses, and how long a stop waits; a second or two of work
OUTAGE_SECONDS = 60.0  # how long an encoder that fails for every text is tried again
LOOK_SECONDS = 1.0  # a worker with nothing to do looks so often what others have added or given back
PROBE = "A text that every encoder can embed."
OVER = "this migration is over (abandoned, pruned, or followed by another); call migrate() again"

_log = logging.getLogger("crossfade")


class Filler:
    """Fills one version, on so many cores. Several may work at once, in threads or processes: tasks are leased.

    A result counts only while its lease holds, and an edited document has a new key: what was computed from an old
    text is dropped. Killed at any moment, at most the batch in hand is done again.

    A document that can't be embedded is tried again later, and given up in the end. An encoder that fails for every
    text is tried again for `patience` seconds (`OUTAGE_SECONDS`), and no document is blamed.
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        version: int,
        cores: int | None = None,
        stop: Stop | None = None,
        patience: float | None = None,
    ) -> None:
        self._store = store
        self._cores = usable_cores() if cores is None else cores
        self._encoder = encoder
        self._version = version
        self._stop = stop or Stop()
        self._patience = OUTAGE_SECONDS if patience is None else patience

    def run(
        self,
        until: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
        after_batch: Callable[[], None] | None = None,
    ) -> None:
        """Fills until a share of the documents has vectors, nothing is left that is not given up, or it is to stop.

        Raises:
            NotReady: The version is dropped.
            EncodingFailed: The encoder fails for every text.
        """
        self._store.release_dead_leases(self._version)
        while not self._stop():
            version, total = self._read()
            if progress:
                progress(total - version.pending, total)
            if after_batch:
                after_batch()
            wanted = math.ceil(until * total - 1e-9)  # a product like 0.1 * 30 lies a little above the whole number
            missing = wanted - (total - version.pending)
            if missing <= 0 or version.pending == version.failed:
                return
            if self._step(min(BATCH, missing)) == 0 and not self._stop.over:
                self._require_tasks()
                self._store.release_dead_leases(self._version)
                self._stop.pause(self._seconds_to_wait())

    def fill(self, keys: Sequence[int]) -> None:
        """Embeds those of `keys` that can be taken now; in more than one batch where they may only come in parts."""
        left = len(keys)
        while left > 0 and not self._stop():
            taken = self._step(keys=keys)
            left = left - taken if taken else 0

    def wait_for_others(self, keys: Sequence[int]) -> None:
        """Returns when nobody holds any of `keys`; embeds those of them that the dead leave behind."""
        while not self._stop.over:
            with self._store.reading() as connection:
                held = tasks.leased(connection, self._version) & set(keys)
            if not held:
                return
            self._store.release_dead_leases(self._version)
            self.fill(sorted(held)[:BATCH])
            self._stop.pause(LOOK_SECONDS / 10)

    def done(self) -> tuple[int, int]:
        """How many documents have a vector in the version, and how many there are."""
        version, total = self._read()
        return total - version.pending, total

    def _require_tasks(self) -> None:
        """Waiting for tasks that don't exist would never end."""
        with self._store.reading() as connection:
            version = versions.read(connection).versions.get(self._version)
            if version and version.pending > version.failed and not tasks.is_open(connection, self._version):
                raise DamagedFile(
                    f"the catalog of {self._store.root} counts {version.pending - version.failed} documents to embed "
                    "and names none; crossfade doctor --repair counts again"
                )

    def _seconds_to_wait(self) -> float:
        with self._store.reading() as connection:
            due = tasks.seconds_to_wait(connection, self._version)
        return LOOK_SECONDS / 10 if due is None else min(due, LOOK_SECONDS)

    def _step(self, count: int = BATCH, keys: Sequence[int] | None = None) -> int:
        """A batch, as soon as the encoder can do one; gives how many tasks it took, 0 also when it is to stop."""
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(EncodingFailed),
            wait=tenacity.wait_random_exponential(multiplier=tasks.FIRST_WAIT, max=tasks.LONGEST_WAIT),
            stop=tenacity.stop_before_delay(self._patience),
            sleep=self._stop.pause,
            before_sleep=_warn,
            reraise=True,
        )
        return retrying(self._batch, count, keys)

    def _batch(self, count: int, keys: Sequence[int] | None) -> int:
        """Embeds one batch of waiting documents (of `keys`, if given); gives how many tasks it took."""
        if self._stop.over:  # while the encoder was waited for
            return 0
        store = self._store
        with store.writing() as connection:
            store.write_log_part(connection)
            version = self._find(versions.read(connection))
            lease = store.new_lease(connection, version)
            taken = tasks.lease(connection, version.id, lease, count, keys)
            found = documents.fetch(connection, taken)
        if not taken:
            return 0
        try:
            self._embed(lease, [(key, found[key]) for key in taken])
        except BaseException:
            store.release(version.id, lease)
            raise
        store.seal_when_due()
        return len(taken)

    def _embed(self, lease: str, batch: Sequence[tuple[int, Document]]) -> None:
        hashes = [document.text_hash for _, document in batch]
        known = self._store.known(self._version, self._encoder.space.dim, hashes)
        rows = np.empty((len(batch), self._encoder.space.dim), np.float32)
        cut = np.zeros(len(batch), np.bool_)
        rows[known.found], cut[known.found] = known.rows, known.cut
        places = np.flatnonzero(~known.found)
        failures = self._encode([batch[place][1] for place in places.tolist()], places, rows, cut)
        good = [place for place in range(len(batch)) if place not in failures]
        with self._store.writing() as connection:
            version = self._find(versions.read(connection))
            held = tasks.held(connection, version.id, lease, [batch[place][0] for place in failures])
            for place, message in failures.items():
                if batch[place][0] in held:
                    tasks.fail(connection, version.id, batch[place][0], message)
            keys = [batch[place][0] for place in good]
            self._store.fill(connection, version, lease, keys, [hashes[place] for place in good], rows[good], cut[good])

    def _read(self) -> tuple[versions.Version, int]:
        with self._store.reading() as connection:
            state = versions.read(connection)
        return self._find(state), state.documents

    def _find(self, state: versions.State) -> versions.Version:
        if self._version not in state.versions:
            raise NotReady(OVER)
        return state.versions[self._version]

    def _encode(
        self,
        batch: Sequence[Document],
        places: npt.NDArray[np.int64],
        rows: npt.NDArray[np.float32],
        cut: npt.NDArray[np.bool_],
    ) -> dict[int, str]:
        """Writes the documents' rows and marks to their places; gives, by place, why some can't be embedded."""
        marks = np.zeros(len(batch), np.bool_)
        try:
            contents = [document.content for document in batch]
            with self._stop.droppable():
                encoded = self._encoder.encode(contents, cut=marks, threads=self._cores)
            rows[places], cut[places] = encoded, marks
            return {}
        except (EncodingFailed, InvalidInput) as error:
            # Where even an ordinary text fails it is not the documents' fault, and none of them is blamed.
            with self._stop.droppable():
                self._encoder.encode([PROBE])
            if len(batch) == 1:
                return {int(places[0]): str(error)}
        half = len(batch) // 2
        left = self._encode(batch[:half], places[:half], rows, cut)
        return left | self._encode(batch[half:], places[half:], rows, cut)


def _warn(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning("the encoder fails for every text, next attempt in %.1f s: %s", state.upcoming_sleep, error)


def catch_up(
    store: Store,
    encoders: Encoders,
    number: int,
    stop: Stop | None = None,
    cores: int | None = None,
    patience: float | None = None,
) -> ModelError | None:
    """Fills what a version lacks, where its encoder is at hand: documents written while it was not.

    Returns:
        Why its encoder could not do it; None where there was nothing to do, none was at hand, or all went well.
    """
    stop = stop or Stop()
    with store.reading() as connection:
        version = versions.read(connection).versions.get(number)
    if version is None or version.pending == version.failed:
        return None
    with stop.droppable():
        encoder = encoders.find(version)
    try:
        if encoder:
            Filler(store, encoder, number, cores, stop, patience).run()
    except ModelError as error:
        return error
    return None
