"""On read: what a search looks at is re-embedded before the rest, in the background or before it answers."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

import numpy as np

from crossfade._values import one_of, shown
from crossfade.catalog import documents, tasks, versions
from crossfade.document import Document
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.errors import CollectionBusy, InvalidInput, ModelError, ReadOnlyCollection
from crossfade.search import OnRead
from crossfade.search.ranking import Keys, Ranking, View
from crossfade.store import Store

MODES = ("background", "sync", "off")
BUDGET_SECONDS = 0.2
FIRST, MOST = 4, 32  # documents: the first batch tells the pace, and none takes long
MOST_DOCUMENTS = 1_000  # of one call, which may ask for many texts
LEAST_PATIENCE = 0.02  # seconds that a search waits for its turn to write, though its budget is used

_log = logging.getLogger("crossfade")


def on_read(store: Store, encoders: Encoders, mode: str, budget: float, texts: Sequence[str]) -> OnRead | None:
    """What a search does with what it looked at, before it answers; None for nothing.

    Raises:
        InvalidInput: There is no such mode, or the budget is no time.
        ReadOnlyCollection: The mode is "sync" and the collection can't be written to.
    """
    one_of(mode, "on_read", MODES)
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not 0.0 <= budget < math.inf:
        raise InvalidInput(f"budget must be a number of seconds from 0 on, got {shown(budget)}")
    if mode == "off":
        return None
    if mode == "sync" and store.read_only:
        raise ReadOnlyCollection(
            f'{store.root} was opened with read_only=True, and on_read="sync" writes vectors; open it again without'
        )

    def look(view: View, rankings: Sequence[Ranking]) -> bool:
        found = mode == "sync" and _refresh(store, encoders, view, rankings, time.monotonic() + budget)
        store.note(texts, [ranking.considered for ranking in rankings])
        return found

    return look


def _refresh(store: Store, encoders: Encoders, view: View, rankings: Sequence[Ranking], deadline: float) -> bool:
    """Re-embeds what was looked at, best first, until the deadline; whether there is something new to be found.

    Only one transaction is made, after the encoding. Who can't have it in time has encoded in vain, as has one whose
    documents somebody else holds or has edited meanwhile: there the queue does it.
    """
    filling = view.snapshot.state.filling
    encoder = encoders.find(filling) if filling and view.fade else None
    if filling is None or encoder is None:
        return False
    keys = _head(rankings)
    keys = keys[~view.snapshot.indices[filling.id].has(keys)][:MOST_DOCUMENTS]
    with store.reading() as connection:
        found = documents.fetch(connection, keys.tolist())
    batch = [(key, found[key]) for key in keys.tolist() if key in found]
    rows, cut = _encode(encoder, [document for _, document in batch], deadline)
    if not len(rows):
        return False
    done = batch[: len(rows)]
    hashes = [document.text_hash for _, document in done]
    try:
        with store.writing(max(deadline - time.monotonic(), LEAST_PATIENCE)) as connection:
            version = versions.read(connection).versions.get(filling.id)
            if version is None:
                return False
            lease = store.new_lease(connection, version)
            tasks.claim(connection, version.id, lease, [key for key, _ in done])
            written = store.fill(connection, version, lease, [key for key, _ in done], hashes, rows, cut)
    except CollectionBusy:
        return False
    store.seal_when_due(wait=False)
    return written > 0


def _head(rankings: Sequence[Ranking]) -> Keys:
    """What several searches looked at, each key once: what is first in any of them before what is second."""
    keys = np.concatenate([ranking.considered for ranking in rankings])
    places = np.concatenate([np.arange(len(ranking.considered)) for ranking in rankings])
    keys = keys[np.argsort(places, kind="stable")]
    _, firsts = np.unique(keys, return_index=True)
    return keys[np.sort(firsts)]


def _encode(
    encoder: Encoder, batch: Sequence[Document], deadline: float
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Vectors of as many of the documents, from the first on, as there is time for; and which of them were cut."""
    rows, cut = np.empty((len(batch), encoder.space.dim), np.float32), np.zeros(len(batch), np.bool_)
    done, size = 0, FIRST
    while done < len(batch) and (left := deadline - time.monotonic()) > 0:
        part = slice(done, min(done + size, len(batch)))
        try:
            rows[part] = encoder.encode([document.content for document in batch[part]], cut=cut[part])
        except (InvalidInput, ModelError) as error:
            _log.warning("documents could not be re-embedded for a search: %s", error)
            break
        seconds = (left - (deadline - time.monotonic())) / (part.stop - part.start)
        done = part.stop
        size = min(int((deadline - time.monotonic()) / max(seconds, 1e-6)), MOST)
        if size < 1:
            break
    return rows[:done], cut[:done]
