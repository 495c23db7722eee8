"""Documents: those of a ranking are fetched, those that a filter lets through are looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from crossfade._values import json_copy, shown
from crossfade.catalog import documents, versions
from crossfade.catalog.documents import Shown
from crossfade.errors import InvalidInput

from .hits import Hit, Hits
from .ranking import Mask, Ranking, View


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
    return [_hits(ranking, found) for ranking in rankings]


def _hits(ranking: Ranking, found: Mapping[int, Shown]) -> Hits:
    columns = zip(ranking.keys.tolist(), ranking.scores.tolist(), ranking.versions.tolist(), strict=True)
    hits = [
        Hit(shown.id, score, version, shown.text, shown.title, shown.meta)
        for key, score, version in columns
        if (shown := found.get(key))
    ]
    return Hits(tuple(hits), ranking.method, ranking.coverage, ranking.weight)


def allowed_keys(view: View, conditions: Mapping[str, Any] | None) -> tuple[Mask | None, bool]:
    """Which keys a filter lets through, by key, None where there is no filter; and whether the view is still current.

    Where it isn't, a document that was edited meanwhile has another key than in the view, and would be missed.

    Args:
        view: What is searched.
        conditions: Field → value, or a list of values of which one must match.
    """
    if conditions is None:
        return None, True
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
    if not lists:
        return None, True
    lists = json_copy(lists, "filter")
    mask = np.zeros(len(view.snapshot.dead), np.bool_)
    with view.database.reading() as connection:
        current = versions.seq(connection) == view.snapshot.state.seq
        keys = documents.matching(connection, lists)
    mask[keys[keys < len(mask)]] = True
    return mask, current
