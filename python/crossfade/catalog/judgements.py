"""Judgements: how well documents answer queries, as people or programs have said."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable

from apsw import Connection

from .values import made


@dataclasses.dataclass(frozen=True)
class Judgement:
    """How well a document answers a query.

    Args:
        query: The query's text.
        id: The document's id.
        grade: Above 0 is relevant, the higher the better.
        at: When it was said, in Unix seconds.
        judge: Who said so: "person", "clicks", or another name.
    """

    query: str
    id: str
    grade: float
    at: float
    judge: str


def add(connection: Connection, judgements: Iterable[tuple[str, str, float, str]]) -> None:
    """Keeps judgements, given as query, document id, grade and judge; the latest of a query and document counts."""
    at = time.time()
    connection.executemany(
        "INSERT OR REPLACE INTO judgement (query, document, grade, judge, at) VALUES (?, ?, ?, ?, ?)",
        ((*judgement, at) for judgement in judgements),
    )


def remove(connection: Connection, query: str, identifier: str) -> None:
    """Forgets what was said of a document for a query."""
    connection.execute("DELETE FROM judgement WHERE query = ? AND document = ?", (query, identifier))


def all_judgements(connection: Connection) -> list[Judgement]:
    """All of them, by query, then id."""
    rows = connection.execute("SELECT query, document, grade, at, judge FROM judgement ORDER BY query, document")
    return [made(Judgement, row) for row in rows]
