"""The fill: documents that a version has no vector for are embedded, batch by batch, the most wanted first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from crossfade.catalog import documents, tasks, versions
from crossfade.document import Document
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.errors import EncodingFailed, InvalidInput, NotReady
from crossfade.store import Store

BATCH = 64  # documents: what a kill loses, and how long a stop waits; a second or two of work
LEASE_SECONDS = 300.0
MOST_ATTEMPTS = 3
PROBE = "A text that every encoder can embed."
OVER = "this migration is over (abandoned, pruned, or followed by another); call migrate() again"


class Filler:
    """Fills one version. Several may work at once, in threads or processes: tasks are leased.

    A result counts only while its lease holds, and an edited document has a new key: what was computed from an old
    text is dropped. Killed at any moment, at most the batch in hand is done again.
    """

    def __init__(self, store: Store, encoder: Encoder, version: int) -> None:
        self._store = store
        self._encoder = encoder
        self._version = version

    def run(
        self,
        until: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Fills until a share of the documents has vectors, nothing is left, or `stop` says so.

        Raises:
            NotReady: The version is dropped.
        """
        self._store.release_dead_leases(self._version)
        while not (stop and stop()):
            version, total = self._read()
            if progress:
                progress(total - version.pending, total)
            wanted = math.ceil(until * total - 1e-9)  # a product like 0.1 * 30 lies a little above the whole number
            missing = wanted - (total - version.pending)
            if missing <= 0 or version.pending == version.failed:
                return
            if self.step(min(BATCH, missing)) == 0:
                self._store.release_dead_leases(self._version)
                time.sleep(0.05)  # another worker holds what is left

    def step(self, count: int = BATCH, keys: Sequence[int] | None = None) -> int:
        """Embeds one batch of waiting documents (of `keys`, if given); gives how many tasks it took."""
        store = self._store
        with store.writing() as connection:
            store.flush_hits(connection)
            version = self._find(versions.read(connection))
            lease = store.new_lease(connection, version)
            taken = tasks.lease(connection, version.id, lease, time.time() + LEASE_SECONDS, count, keys)
            found = documents.fetch(connection, taken)
        if not taken:
            return 0
        try:
            self._fill(lease, [(key, found[key]) for key in taken])
        except BaseException:
            store.release(version.id, lease)
            raise
        store.seal_when_due()
        return len(taken)

    def _fill(self, lease: str, batch: Sequence[tuple[int, Document]]) -> None:
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
            for place, message in failures.items():
                tasks.fail(connection, version.id, batch[place][0], message, MOST_ATTEMPTS)
            keys = [batch[place][0] for place in good]
            self._store.fill(connection, version, lease, keys, [hashes[place] for place in good], rows[good], cut[good])

    def done(self) -> tuple[int, int]:
        """How many documents have a vector in the version, and how many there are."""
        version, total = self._read()
        return total - version.pending, total

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
            rows[places] = self._encoder.encode([document.content for document in batch], cut=marks)
            cut[places] = marks
            return {}
        except (EncodingFailed, InvalidInput) as error:
            # Where even an ordinary text fails it is not the documents' fault, and none of them is blamed.
            self._encoder.encode([PROBE])
            if len(batch) == 1:
                return {int(places[0]): str(error)}
        half = len(batch) // 2
        left = self._encode(batch[:half], places[:half], rows, cut)
        return left | self._encode(batch[half:], places[half:], rows, cut)


def catch_up(store: Store, encoders: Encoders, number: int, stop: Callable[[], bool] | None = None) -> None:
    """Fills what a version lacks, where its encoder is at hand: documents written while it was not."""
    with store.reading() as connection:
        version = versions.read(connection).versions.get(number)
    if version is None or version.pending == version.failed:
        return
    encoder = encoders.find(version)
    if encoder:
        Filler(store, encoder, number).run(stop=stop)
