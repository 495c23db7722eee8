"""Texts: a uniform sample of the collection's distinct ones, for what costs no embedding."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from crossfade._uniform import Keys, in_order
from crossfade.catalog import documents, texts
from crossfade.store import Store

MOST = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
    """Distinct texts of a collection.

    Args:
        documents: How many documents the collection has.
        distinct: How many different texts they have.
        keys: Of the texts that are looked at `(n,)`, uint64: of the first document with each.
        contents: These texts.
        updated_at: When the documents were updated, Unix seconds `(n,)`; NaN where that is not known.
    """

    documents: int
    distinct: int
    keys: Keys
    contents: tuple[str, ...]
    updated_at: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.keys)


def read_texts(store: Store, *, most: int = MOST, seed: int = 0) -> Texts:
    """At most so many of a collection's distinct texts, all of them where it has fewer."""
    with store.reading() as connection:
        count = len(documents.all_keys(connection))
        keys = in_order(texts.distinct(connection), seed)
        chosen = keys[:most]
        found = documents.fetch(connection, chosen.tolist())
    read = [found[key] for key in chosen.tolist()]
    times = [np.nan if document.updated_at is None else float(document.updated_at) for document in read]  # type: ignore[arg-type]
    contents = tuple(document.content for document in read)
    return Texts(count, len(keys), chosen, contents, np.array(times, np.float64))
