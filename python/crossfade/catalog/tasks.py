"""Tasks: document revisions that a version has no vector for yet. They drive the fill."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from apsw import Connection

# Tasks of equal rank are spread evenly over the collection, the same way every time: Knuth's multiplicative hash
# of the key (The Art of Computer Programming 3, section 6.4), scaled below 1.
_SPREAD = "((document.key * 2654435761) % 4294967296) / 4294967296.0"
_RANK = f"document.hits + document.priority + {_SPREAD}"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A document the fill has given up, and why."""

    id: str
    attempts: int
    error: str


def add_all(connection: Connection, version: int) -> None:
    """Queues every current document, those searches returned most first."""
    connection.execute(
        f"INSERT INTO task (version, key, rank) SELECT ?, document.key, {_RANK} FROM document", (version,)
    )


def add(connection: Connection, version: int, keys: Iterable[int]) -> None:
    """Queues documents that were written after the migration began."""
    connection.executemany(
        f"INSERT INTO task (version, key, rank) SELECT ?, document.key, {_RANK} FROM document WHERE key = ?",
        ((version, key) for key in keys),
    )


def lease(
    connection: Connection, version: int, owner: str, until: float, count: int, keys: Sequence[int] | None = None
) -> list[int]:
    """Takes up to `count` waiting tasks, highest rank first (or those of `keys`); gives their document keys."""
    if keys is None:
        rows = connection.execute(
            "SELECT key FROM task WHERE version = ? AND state = 'waiting' ORDER BY rank DESC, key LIMIT ?",
            (version, count),
        )
        taken = [key for (key,) in rows]
    else:
        query = "SELECT 1 FROM task WHERE version = ? AND key = ? AND state = 'waiting'"
        taken = [key for key in keys[:count] if connection.execute(query, (version, key)).fetchone()]
    connection.executemany(
        "UPDATE task SET state = 'leased', lease = ?, lease_until = ? WHERE version = ? AND key = ?",
        ((owner, until, version, key) for key in taken),
    )
    return taken


def held(connection: Connection, version: int, owner: str, keys: Iterable[int]) -> set[int]:
    """Those of `keys` whose task this owner still holds: their documents are as they were when it was leased."""
    query = "SELECT 1 FROM task WHERE version = ? AND key = ? AND state = 'leased' AND lease = ?"
    return {key for key in keys if connection.execute(query, (version, key, owner)).fetchone()}


def done(connection: Connection, version: int, keys: Iterable[int]) -> None:
    connection.executemany("DELETE FROM task WHERE version = ? AND key = ?", ((version, key) for key in keys))


def release(connection: Connection, version: int, owner: str) -> None:
    """Gives back what an owner holds."""
    connection.execute(
        "UPDATE task SET state = 'waiting', lease = NULL, lease_until = NULL "
        "WHERE version = ? AND state = 'leased' AND lease = ?",
        (version, owner),
    )


def owners(connection: Connection, version: int, now: float) -> dict[str, bool]:
    """Who holds leases, and whether the last of them has run out."""
    return {
        owner: until < now
        for owner, until in connection.execute(
            "SELECT lease, max(lease_until) FROM task WHERE version = ? AND state = 'leased' GROUP BY lease", (version,)
        )
    }


def fail(connection: Connection, version: int, key: int, error: str, most_attempts: int) -> None:
    """Counts a failed attempt; after `most_attempts` the document is given up until it is edited or retried."""
    connection.execute(
        "UPDATE task SET attempts = attempts + 1, error = ?, lease = NULL, lease_until = NULL, rank = rank - 1, "
        "state = CASE WHEN attempts + 1 >= ? THEN 'failed' ELSE 'waiting' END WHERE version = ? AND key = ?",
        (error, most_attempts, version, key),
    )


def retry(connection: Connection, version: int) -> None:
    """Queues again what was given up."""
    connection.execute(
        "UPDATE task SET state = 'waiting', attempts = 0, error = NULL WHERE version = ? AND state = 'failed'",
        (version,),
    )


def failures(connection: Connection, version: int) -> list[Failure]:
    """What was given up."""
    return [
        Failure(*row)
        for row in connection.execute(
            "SELECT document.id, attempts, coalesce(error, '') FROM task JOIN document USING (key) "
            "WHERE version = ? AND state = 'failed' ORDER BY document.id",
            (version,),
        )
    ]


def pending_ids(connection: Connection, version: int, limit: int) -> list[str]:
    """Ids of documents without a vector in a version, at most `limit`."""
    rows = connection.execute(
        "SELECT document.id FROM task JOIN document USING (key) WHERE version = ? ORDER BY document.id LIMIT ?",
        (version, limit),
    )
    return [identifier for (identifier,) in rows]
