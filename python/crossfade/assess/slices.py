"""Slices: queries that have something in common, so that a loss in one corner does not hide in the mean."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from crossfade.document import Document

# Fewer queries show nothing; fields of more values are no way to divide a collection.
LEAST_QUERIES, MOST_VALUES = 10, 20
LENGTHS = ("short", "middle", "long")


def slices_of(
    texts: Mapping[str, str], answers: Mapping[str, Document], fields: Sequence[str] | None
) -> dict[tuple[str, str], list[str]]:
    """Query ids by field and value; slices of fewer than ten queries are left out.

    A query belongs where its best judged document does. Beside metadata fields (those with two to twenty values where
    none are named; the language, if it is one), queries are divided by the length of their text and of that
    document, in characters, into three parts of the same size.

    Args:
        texts: Text by query id.
        answers: The best judged document by query id, of those that have one.
        fields: The metadata fields; None for all that divide.
    """
    found: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for query, document in answers.items():
        for field, value in (document.meta or {}).items():
            if fields is None or field in fields:
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, (str, int, float)):
                        found[field, str(item)].append(query)
    values = collections.Counter(field for field, _ in found)
    divided = {key: of for key, of in found.items() if fields is not None or 2 <= values[key[0]] <= MOST_VALUES}
    divided |= _thirds("query length", {query: len(text) for query, text in texts.items()})
    divided |= _thirds("document length", {query: len(document.content) for query, document in answers.items()})
    return {key: of for key, of in sorted(divided.items()) if len(of) >= LEAST_QUERIES}


def _thirds(name: str, lengths: Mapping[str, int]) -> dict[tuple[str, str], list[str]]:
    parts = np.array_split(sorted(lengths, key=lambda query: (lengths[query], query)), len(LENGTHS))
    return {(name, label): part.tolist() for label, part in zip(LENGTHS, parts, strict=True)}
