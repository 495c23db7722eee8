"""Texts: which documents have the same one, and of which a version's model sees the beginning only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from apsw import Connection

_SAME = """
SELECT document.key, EXISTS (SELECT 1 FROM cut WHERE cut.key = document.key AND cut.version = :version)
FROM document
WHERE document.text_hash = :hash
    AND NOT EXISTS (SELECT 1 FROM task WHERE task.key = document.key AND task.version = :version)
LIMIT 1
"""


class SameText(NamedTuple):
    """A current revision that a version has a vector of."""

    key: int
    cut: bool


def embedded(connection: Connection, version: int, hashes: Sequence[bytes]) -> dict[bytes, SameText]:
    """By hash, a document with that text that a version need not embed any more; those without are left out."""
    found = {}
    for text_hash in dict.fromkeys(hashes):
        row = connection.execute(_SAME, {"version": version, "hash": text_hash}).fetchone()
        if row:
            found[text_hash] = SameText(row[0], bool(row[1]))
    return found


def distinct(connection: Connection) -> npt.NDArray[np.int64]:
    """For every text the key of the first document that has it, in no order."""
    rows = connection.execute("SELECT min(key) FROM document GROUP BY text_hash")
    return np.fromiter((key for (key,) in rows), np.int64)


def lengths(connection: Connection) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The keys of all current documents, ascending, and the characters of their texts."""
    rows = connection.execute("SELECT key, length(text) FROM document ORDER BY key")
    found = np.fromiter(rows, np.dtype((np.int64, 2)))
    return found[:, 0].astype(np.int64), found[:, 1].astype(np.int64)


def add_cut(connection: Connection, version: int, keys: Iterable[int]) -> None:
    """Notes documents of which the version's model sees the beginning only."""
    connection.executemany("INSERT OR IGNORE INTO cut (version, key) VALUES (?, ?)", ((version, key) for key in keys))
