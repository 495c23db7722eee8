"""Searched: what searches looked at and what for, and the ranks of tasks that follow from it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from apsw import Connection

from .values import checked, made

MOST_QUERIES = 10_000
LONGEST_QUERY = 1_000  # characters; longer ones are no questions, and not kept
# A query that was last asked so long ago counts half.
_HALF_SECONDS = 30 * 24 * 3600.0
# Rows by one parameter: one statement, of which SQLite does all without coming back to Python.
_GIVEN = "(SELECT value ->> 0 AS key, value ->> 1 AS amount FROM json_each(?)) AS given"

_QUERIES = "SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true"
_COUNT = (
    "INSERT INTO query (text, count, last_at) {} ON CONFLICT (text) DO UPDATE SET "
    "count = count + excluded.count, last_at = max(last_at, excluded.last_at)"
)

Amounts = Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Query:
    """A text that was searched for.

    Args:
        text: The text.
        count: How often; an estimate where it was one of more than 50 searches a second.
        last_at: When for the last time, in Unix seconds.
        failing: How often it was reported as failing.
    """

    text: str
    count: int
    last_at: float
    failing: int


def add_hits(connection: Connection, hits: Amounts) -> None:
    """Counts what searches looked at, and moves its waiting tasks to the front of the queue, by so much."""
    rows = _rows(hits)
    connection.execute(
        f"UPDATE document SET hits = hits + amount FROM {_GIVEN} WHERE document.key = given.key", (rows,)
    )
    _raise(connection, rows)


def add_failing(connection: Connection, found: Amounts) -> None:
    """Counts what queries found that were reported as failing, and moves its waiting tasks to the front as well."""
    rows = _rows(found)
    connection.execute(
        f"UPDATE document SET failing = failing + amount FROM {_GIVEN} WHERE document.key = given.key", (rows,)
    )
    _raise(connection, rows)


def _raise(connection: Connection, rows: str) -> None:
    if connection.execute("SELECT 1 FROM task LIMIT 1").fetchone():
        connection.execute(
            f"UPDATE task SET rank = max(rank, 1) + amount FROM {_GIVEN} "
            "WHERE task.key = given.key AND state = 'waiting'",
            (rows,),
        )


def is_used(connection: Connection) -> bool:
    """Whether any search was counted."""
    return connection.execute("SELECT 1 FROM document WHERE hits > 0 LIMIT 1").fetchone() is not None


def add_queries(connection: Connection, queries: Mapping[str, tuple[int, float]]) -> None:
    """Counts queries, given as how often and when last; beyond `MOST_QUERIES` the rarest and oldest are forgotten."""
    kept = [(text, count, at) for text, (count, at) in queries.items() if len(text) <= LONGEST_QUERY]
    # SQLite reads JSON's strings up to a NUL.
    connection.execute(
        _COUNT.format(_QUERIES), (json.dumps([row for row in kept if "\0" not in row[0]], ensure_ascii=False),)
    )
    connection.executemany(_COUNT.format("VALUES (?, ?, ?)"), [row for row in kept if "\0" in row[0]])
    excess = next(connection.execute("SELECT count(*) FROM query"))[0] - MOST_QUERIES
    if excess > 0:  # a tenth at once, so that it is not to be done again with the next one
        connection.execute(
            "DELETE FROM query WHERE text IN (SELECT text FROM query WHERE NOT failing "
            f"ORDER BY count / (1 + max(? - last_at, 0) / {_HALF_SECONDS}), last_at LIMIT ?)",
            (time.time(), excess + MOST_QUERIES // 10),
        )


def report(connection: Connection, text: str) -> None:
    """Marks a query as failing, one that was never asked too."""
    connection.execute(
        "INSERT INTO query (text, count, last_at, failing) VALUES (?, 0, ?, 1) "
        "ON CONFLICT (text) DO UPDATE SET failing = failing + 1",
        (text, time.time()),
    )


def queries(connection: Connection, most: int) -> list[Query]:
    """The most frequent queries, at most so many."""
    rows = connection.execute(
        "SELECT text, count, last_at, failing FROM query ORDER BY count DESC, last_at DESC, text LIMIT ?", (most,)
    )
    return [made(Query, row) for row in rows]


def forget_queries(connection: Connection) -> None:
    """Deletes the texts of all queries."""
    connection.execute("DELETE FROM query")


def columns(connection: Connection) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The keys of all current documents, ascending, and their hits, failing, priority and updated_at in four rows.

    An unknown `updated_at` is NaN.
    """
    query = "SELECT key, hits, failing, priority, updated_at FROM document ORDER BY key"
    rows = np.fromiter(map(_numbers, connection.execute(query)), np.dtype((np.float64, 5)))
    return rows[:, 0].astype(np.int64), np.ascontiguousarray(rows[:, 1:].T)


def _numbers(row: Sequence[Any]) -> tuple[float, ...]:
    key, hits, failing, priority, updated_at = checked(row, _COLUMNS)
    return key, hits, failing, priority, np.nan if updated_at is None else updated_at


_COLUMNS = (int, int | float, int | float, int | float, int | float | None)


def rank(connection: Connection, version: int, keys: Iterable[int], ranks: Iterable[float]) -> None:
    """Gives tasks their ranks, but for those that searches have moved to the front."""
    connection.execute(  # the plus keeps SQLite from going by the index of ranks, which is rewritten here
        f"UPDATE task SET rank = amount FROM {_GIVEN} "
        "WHERE task.key = given.key AND +version = ? AND rank < 1 AND state != 'leased'",
        (json.dumps(list(zip(keys, ranks, strict=True))), version),
    )


def _rows(amounts: Amounts) -> str:
    return json.dumps(list(amounts.items()))
