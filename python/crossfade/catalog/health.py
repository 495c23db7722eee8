"""Health: what the catalog says twice and must say alike, counted; and its own tables put right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from apsw import Connection

from crossfade.document import TEXT_HASH_BYTES, hash_bytes

_COUNTS = """
SELECT 'documents', NULL, documents, (SELECT count(*) FROM document) FROM collection
UNION ALL SELECT 'pending', id, pending, (SELECT count(*) FROM task WHERE task.version = version.id) FROM version
UNION ALL SELECT 'failed', id, failed,
    (SELECT count(*) FROM task WHERE task.version = version.id AND task.state = 'failed') FROM version
UNION ALL SELECT 'cut', id, cut, (SELECT count(*) FROM cut WHERE cut.version = version.id) FROM version
"""
_CORRECT = """
UPDATE collection SET documents = (SELECT count(*) FROM document);
UPDATE version SET
    pending = (SELECT count(*) FROM task WHERE task.version = version.id),
    failed = (SELECT count(*) FROM task WHERE task.version = version.id AND task.state = 'failed'),
    cut = (SELECT count(*) FROM cut WHERE cut.version = version.id);
"""
# As bytes: what a damaged page gives need not be UTF-8.
_CONTENTS = """
SELECT CAST(id AS BLOB), CAST(title AS BLOB), CAST(text AS BLOB), CAST(text_hash AS BLOB), json_valid(meta)
FROM document ORDER BY key
"""


class Count(NamedTuple):
    """A number the catalog keeps, of one version or (None) of the collection, and what it should be."""

    name: str
    version: int | None
    kept: int
    counted: int


def integrity(connection: Connection) -> list[str]:
    """What SQLite finds wrong with the file and with references between rows; nothing where all is well."""
    found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    broken = [
        f"a row of {table} refers to none of {parent}"
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check")
    ]
    return [*(line for line in found if line != "ok"), *dict.fromkeys(broken)]


def wrong_counts(connection: Connection) -> list[Count]:
    """The numbers that differ from what they count."""
    return [count for row in connection.execute(_COUNTS) if (count := Count(*row)).kept != count.counted]


def correct_counts(connection: Connection) -> None:
    """Counts again."""
    connection.execute(_CORRECT)


def contents_that_differ(connection: Connection) -> Iterator[str]:
    """Ids of documents whose title and text are not those their hash was made of, or whose metadata is no JSON."""
    for identifier, title, text, text_hash, valid in connection.execute(_CONTENTS):
        content = title + b" " + text if title else text
        if hash_bytes(content) != text_hash or not valid:
            yield identifier.decode(errors="replace")


def revisions(connection: Connection) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """Keys `(n,)`, ascending, and text hashes `(n, 16)` of the current revisions."""
    rows = list(connection.execute("SELECT key, CAST(text_hash AS BLOB) FROM document ORDER BY key"))
    keys = np.fromiter((key for key, _ in rows), np.uint64, len(rows))
    joined = b"".join(text_hash[:TEXT_HASH_BYTES].ljust(TEXT_HASH_BYTES) for _, text_hash in rows)
    return keys, np.frombuffer(joined, np.uint8).reshape(len(rows), TEXT_HASH_BYTES)


def task_keys(connection: Connection, version: int) -> npt.NDArray[np.uint64]:
    """Keys of the documents that a version has tasks for."""
    rows = connection.execute("SELECT key FROM task WHERE version = ? ORDER BY key", (version,))
    return np.fromiter((key for (key,) in rows), np.uint64)


def live_versions(connection: Connection) -> tuple[int, list[int]]:
    """The number the live pointer names, and those of the versions that say they are live."""
    pointer = next(connection.execute("SELECT live FROM collection"))[0]
    rows = connection.execute("SELECT id FROM version WHERE state = 'live' ORDER BY id")
    return int(pointer), [number for (number,) in rows]


def forget_leases(connection: Connection) -> None:
    """Gives back every task, whoever holds it: for a copy, of which nobody holds any."""
    connection.execute("UPDATE task SET state = 'waiting', lease = NULL, lease_until = NULL WHERE state = 'leased'")
