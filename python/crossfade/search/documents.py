"""Documents: those of a ranking are fetched, those that a filter lets through are looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from crossfade._forks import lock
from crossfade._values import json_copy, shown
from crossfade.catalog import documents, versions
from crossfade.catalog.documents import Shown
from crossfade.document import hash_bytes
from crossfade.errors import InvalidInput

from .calibration import METHODS, Calibration
from .hits import Hit, Hits
from .ranking import Mask, Ranking, View

KEPT_FILTERS = 16


@overload
def documents_of(view: View, rankings: Sequence[Ranking]) -> list[Hits] | None: ...
@overload
def documents_of(view: View, rankings: Sequence[Ranking], *, partial: Literal[True]) -> list[Hits]: ...
def documents_of(view: View, rankings: Sequence[Ranking], *, partial: bool = False) -> list[Hits] | None:
    """Fetches the documents of rankings.

    Where one of them was edited or deleted since the snapshot it gives None, or what is left with `partial`.
    """
    wanted = list({key for ranking in rankings for key in ranking.keys.tolist()})
    with view.database.reading() as connection:
        found = documents.shown(connection, wanted)
    if len(found) < len(wanted) and not partial:
        return None
    return [_hits(ranking, found, view.calibration) for ranking in rankings]


def _hits(ranking: Ranking, found: Mapping[int, Shown], calibration: Calibration | None) -> Hits:
    keys = ranking.keys.tolist()
    calibration = calibration if ranking.method in METHODS else None
    columns = zip(keys, ranking.scores.tolist(), ranking.versions.tolist(), strict=True)
    hits = [
        Hit(shown.id, score, version, shown.text, shown.title, shown.meta, calibration)
        for key, score, version in columns
        if (shown := found.get(key))
    ]
    why = ranking.why
    if len(hits) < len(keys):
        why = why.of([place for place, key in enumerate(keys) if key in found])
    return Hits(tuple(hits), ranking.method, ranking.coverage, ranking.weight, why)


class Filters:
    """Which documents filters let through. The latest ones asked for are kept, a bit a key: to read the keys of half a
    collection from the catalog takes longer than to search it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = lock()
        # By filter: of which state of the documents, and the bits; the latest one comes last.
        self._kept: dict[bytes, tuple[int, npt.NDArray[np.uint8]]] = {}

    def allowed(self, view: View, conditions: Mapping[str, Any] | None) -> tuple[Mask | None, bool]:
        """The keys a filter lets through, by key, None where there is no filter; and whether the view is still current.

        Where it isn't, a document that was edited meanwhile has another key than in the view, and would be missed.

        Args:
            view: What is searched.
            conditions: Field → value, or a list of values of which one must match.
        """
        lists = _lists_of(conditions) if conditions is not None else None
        if not lists:
            return None, True
        length, seq = len(view.snapshot.dead), view.snapshot.state.seq
        name = hash_bytes(json.dumps(lists, sort_keys=True).encode())
        of, bits = self._kept.get(name, (-1, None))
        if bits is not None and of == seq and 8 * len(bits) >= length:
            self._keep(name, seq, bits)
            return np.unpackbits(bits, count=length).view(np.bool_), True
        mask = np.zeros(length, np.bool_)
        with view.database.reading() as connection:
            current = versions.seq(connection) == seq
            keys = documents.matching(connection, lists)
        mask[keys[keys < length]] = True
        if current:
            self._keep(name, seq, np.packbits(mask))
        return mask, current

    def _keep(self, name: bytes, seq: int, bits: npt.NDArray[np.uint8]) -> None:
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = seq, bits
            while len(self._kept) > KEPT_FILTERS:
                del self._kept[next(iter(self._kept))]


def _lists_of(conditions: Any) -> dict[str, list[Any]]:
    if not isinstance(conditions, Mapping) or not all(isinstance(field, str) for field in conditions):
        raise InvalidInput(f"filter must map fields to a value or a list of values, got {shown(conditions)}")
    lists = {
        field: list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        for field, value in conditions.items()
    }
    nested = [field for field, values in lists.items() if any(isinstance(value, Mapping) for value in values)]
    if nested:
        raise InvalidInput(
            f"filter compares values only, it has no operators: give {', '.join(nested)} a value or a list"
        )
    empty = [field for field, values in lists.items() if not values]
    if empty:
        raise InvalidInput(f"filter needs at least one value for {', '.join(empty)}")
    copy: dict[str, list[Any]] = json_copy(lists, "filter")
    return copy
