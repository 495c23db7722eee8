"""Replay: what the logged queries look at when they are asked again, which is more than they have returned."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from crossfade.catalog import searched, versions
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput, ModelError
from crossfade.store import Store, amounts

from .ranking import CANDIDATES, present

MOST_REPLAYED = 2_000


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """The most frequent queries of the log, and what they look at.

    Args:
        counts: How often each was asked `(q,)`, float64.
        candidates: Keys of the documents that each looks at, best first.
    """

    counts: npt.NDArray[np.float64]
    candidates: tuple[npt.NDArray[np.uint64], ...]

    def __len__(self) -> int:
        return len(self.counts)

    def hits(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """How much all of them look at each document of `keys` `(n,)`, which ascend."""
        looked_at = np.zeros(len(keys))
        if len(keys):
            for count, found in zip(self.counts.tolist(), self.candidates, strict=True):
                places = np.searchsorted(keys, found.astype(np.int64)).clip(max=len(keys) - 1)
                known = keys[places] == found.astype(np.int64)
                looked_at[places[known]] += count * amounts(found)[known]
        return looked_at


def replay(store: Store, encoders: Encoders, number: int) -> Replay:
    """Asks a version the logged queries.

    Nobody is asked where its encoder is not at hand, or a service: it would charge for them, and what they cost would
    be missing from the limit that searches keep to.
    """
    nothing = Replay(np.empty(0), ())
    with store.reading() as connection:
        logged = searched.queries(connection, MOST_REPLAYED)
        version = versions.read(connection).versions.get(number)
    encoder = encoders.find(version) if logged and version else None
    if encoder is None or encoder.spent is not None:
        return nothing
    try:
        rows = encoder.encode([query.text for query in logged], kind="query")
    except (InvalidInput, ModelError):
        return nothing
    snapshot = store.snapshot()
    if number not in snapshot.indices:  # another process has dropped it
        return nothing
    found, _ = snapshot.indices[number].candidates(rows, CANDIDATES, snapshot.dead)
    counts = np.array([query.count for query in logged], np.float64)
    return Replay(counts, tuple(present(row) for row in found))
