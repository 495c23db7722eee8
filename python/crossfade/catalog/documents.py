"""Documents: current revisions, their metadata, and the keys that died."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from apsw import Connection

from crossfade.document import Document

from .database import MOST_PARAMETERS, marks
from .values import checked, checked_columns, json_object

_FIELDS = "id, text, title, meta, updated_at, priority"
_KINDS = (str, str, str | None, str, float | None, float)
_SHOWN = _KINDS[:3]


class Shown(NamedTuple):
    """What a search shows of a document."""

    id: str
    text: str
    title: str | None
    meta: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A document with the key of its current revision."""

    key: int
    text_hash: bytes
    document: Document


def find(connection: Connection, ids: Sequence[str]) -> dict[str, Stored]:
    """The current revisions of those ids that exist."""
    return {
        row[2]: Stored(row[0], row[1], _document(row[2:]))
        for chunk in _chunks(ids)
        for row in connection.execute(
            f"SELECT key, text_hash, {_FIELDS} FROM document WHERE id IN ({marks(len(chunk))})", chunk
        )
    }


def keys_of(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """The keys of those ids that exist."""
    return {
        identifier: key
        for chunk in _chunks(ids)
        for identifier, key in connection.execute(
            f"SELECT id, key FROM document WHERE id IN ({marks(len(chunk))})", chunk
        )
    }


def fetch(connection: Connection, keys: Iterable[int]) -> dict[int, Document]:
    """The documents of those keys that are current."""
    return {
        row[0]: _document(row[1:])
        for chunk in _chunks(list(keys))
        for row in connection.execute(f"SELECT key, {_FIELDS} FROM document WHERE key IN ({marks(len(chunk))})", chunk)
    }


def shown(connection: Connection, keys: Sequence[int]) -> dict[int, Shown]:
    """What searches show of those keys that are current; half as dear as whole documents, which are checked anew."""
    found = {}
    for chunk in _chunks(keys):
        columns = f"SELECT id, text, title, meta, key FROM document WHERE key IN ({marks(len(chunk))})"
        rows = connection.execute(columns, chunk).fetchall()
        for identifier, text, title, meta, key in checked_columns(rows, _SHOWN):
            found[key] = Shown(identifier, text, title, json_object(meta))
    return found


def same(one: Document, other: Document) -> bool:
    """Whether nothing differs, compared as it is stored: Python calls `True`, 1 and 1.0 equal."""
    return _values(one) == _values(other)


def insert(connection: Connection, document: Document, hits: float = 0, failing: float = 0) -> int:
    """Adds a new revision; gives its key, which was never used before."""
    connection.execute(
        f"INSERT INTO document ({_FIELDS}, text_hash, hits, failing) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*_values(document), document.text_hash, hits, failing),
    )
    key = int(connection.last_insert_rowid())
    _add_facets(connection, key, document.meta or {})
    return key


def replace(connection: Connection, old_key: int, document: Document) -> int:
    """Puts a new revision in the place of `old_key`, which becomes a tombstone."""
    hits, failing = next(connection.execute("SELECT hits, failing FROM document WHERE key = ?", (old_key,)))
    remove(connection, [old_key])
    return insert(connection, document, hits, failing)


def update(connection: Connection, key: int, document: Document) -> None:
    """Changes what goes with a text, not the text: the key stays."""
    connection.execute(
        "UPDATE document SET id = ?, text = ?, title = ?, meta = ?, updated_at = ?, priority = ? WHERE key = ?",
        (*_values(document), key),
    )
    connection.execute("DELETE FROM facet WHERE key = ?", (key,))
    _add_facets(connection, key, document.meta or {})


def remove(connection: Connection, keys: Iterable[int]) -> None:
    """Deletes revisions; triggers leave a tombstone each, and tasks and facets go with them."""
    connection.executemany("DELETE FROM document WHERE key = ?", ((key,) for key in keys))


def tombstones(connection: Connection, after_seq: int) -> npt.NDArray[np.int64]:
    """Keys that died in commits after `after_seq`."""
    rows = connection.execute("SELECT key FROM tombstone WHERE seq > ?", (after_seq,))
    return np.fromiter((key for (key,) in rows), np.int64)


def matching(connection: Connection, conditions: Mapping[str, Sequence[Any]]) -> npt.NDArray[np.int64]:
    """Keys of the documents that have, for every field, one of its values."""
    parts, parameters = [], []
    for field, values in conditions.items():
        # As one parameter: of those a statement may have 32,766.
        parts.append("SELECT key FROM facet WHERE field = ? AND value IN (SELECT value FROM json_each(?))")
        parameters += [field, json.dumps([facet_value(value) for value in values])]
    rows = connection.execute(" INTERSECT ".join(parts), parameters)
    return np.fromiter((key for (key,) in rows), np.int64)


def all_keys(connection: Connection) -> npt.NDArray[np.int64]:
    """The keys of every current revision, in order."""
    return np.fromiter((key for (key,) in connection.execute("SELECT key FROM document ORDER BY key")), np.int64)


def largest_key(connection: Connection) -> int:
    """The largest key ever given, 0 where none was."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'document'").fetchone()
    return int(row[0]) if row else 0


def facet_value(value: Any) -> str:
    """A JSON value in the one form it is compared in: 1.0 and 1 are the same number, true is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _values(document: Document) -> tuple[Any, ...]:
    return (
        document.id,
        document.text,
        document.title,
        json.dumps(document.meta),
        document.updated_at,
        document.priority,
    )


def _document(row: Sequence[Any]) -> Document:
    identifier, text, title, meta, updated_at, priority = checked(row, _KINDS)
    return Document(identifier, text, title=title, meta=json_object(meta), updated_at=updated_at, priority=priority)


def _add_facets(connection: Connection, key: int, meta: Mapping[str, Any]) -> None:
    facets = {
        (field, facet_value(item), key)
        for field, value in meta.items()
        for item in (value if isinstance(value, list) else [value])
    }
    connection.executemany("INSERT INTO facet (field, value, key) VALUES (?, ?, ?)", sorted(facets))


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), MOST_PARAMETERS):
        yield items[start : start + MOST_PARAMETERS]
