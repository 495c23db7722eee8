"""Tasks: document revisions that a version has no vector for yet. They drive the fill."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterable, Sequence

from apsw import Connection

from .database import marks
from .values import WrongValue, checked, made

MOST_ATTEMPTS = 3
LEASE_SECONDS = 300.0  # how long one who lives, but has stopped, holds up the others
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds, at most, before the second attempt and before any
FEWER = 8  # what a worker died over is done again in parts so many times smaller
DIED = "the process that embedded it, and nothing beside it, died: out of memory, or a crash of the model's engine?"

# A moment further away than the longest wait was set by a clock that has been put back since.
_DUE = "state = 'waiting' AND coalesce(due, 0) NOT BETWEEN ? AND ?"

# Tasks that nothing else orders are spread evenly over the collection, the same way every time: Knuth's multiplicative
# hash of the key (The Art of Computer Programming 3, section 6.4), scaled below 1.
_SPREAD = "((document.key * 2654435761) % 4294967296) / 4294967296.0"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A document the fill of a version has given up, and why."""

    id: str
    attempts: int
    error: str
    version: int


def add_all(connection: Connection, version: int) -> None:
    """Queues every current document; `searched.rank` gives them their order."""
    connection.execute("INSERT INTO task (version, key, rank) SELECT ?, key, 0 FROM document ORDER BY key", (version,))


def add(connection: Connection, version: int, keys: Iterable[int]) -> None:
    """Queues documents that were written after the migration began: of priority first, others among the rest."""
    connection.executemany(
        f"INSERT INTO task (version, key, rank) SELECT ?, key, iif(priority > 0, 1, {_SPREAD}) FROM document "
        "WHERE key = ?",
        ((version, key) for key in keys),
    )


def lease(connection: Connection, version: int, owner: str, count: int, keys: Sequence[int] | None = None) -> list[int]:
    """Takes up to `count` waiting tasks that are due, highest rank first (or those of `keys`); gives their keys.

    What may come only in parts (see `bury`) is taken with its like, and no more of it than that.
    """
    now = time.time()
    which = (version, now, now + LONGEST_WAIT)
    if keys is None:
        query = f"SELECT key, part FROM task WHERE version = ? AND {_DUE} ORDER BY rank DESC, key LIMIT ?"
        found = list(connection.execute(query, (*which, count)))
    else:
        query = f"SELECT key, part FROM task WHERE version = ? AND {_DUE} AND key = ?"
        found = [row for key in keys[:count] for row in connection.execute(query, (*which, key))]
    most = checked(found[0], (int, int | None))[1] if found else None
    if most is not None and most < 1:
        raise WrongValue(f"tasks come in parts of at least one, not of {most}")
    taken = [key for key, part in found if part == most][:most]
    connection.executemany(
        "UPDATE task SET state = 'leased', lease = ?, lease_until = ? WHERE version = ? AND key = ?",
        ((owner, now + LEASE_SECONDS, version, key) for key in taken),
    )
    return taken


def claim(connection: Connection, version: int, owner: str, keys: Iterable[int]) -> None:
    """Takes those of `keys` that nobody holds, also what is not due and what was given up: their vectors are there."""
    now = time.time()
    connection.executemany(
        "UPDATE task SET state = 'leased', lease = ?, lease_until = ? "
        "WHERE version = ? AND key = ? AND state != 'leased'",
        ((owner, now, version, key) for key in keys),
    )


def seconds_to_wait(connection: Connection, version: int) -> float | None:
    """Until the first waiting task is due; None where none waits: others hold what is left."""
    row = connection.execute(
        "SELECT min(coalesce(due, 0)) FROM task WHERE version = ? AND state = 'waiting'", (version,)
    ).fetchone()
    return None if row is None or row[0] is None else min(max(row[0] - time.time(), 0.0), LONGEST_WAIT)


def leased(connection: Connection, version: int) -> set[int]:
    """The documents that anybody holds."""
    rows = connection.execute("SELECT key FROM task WHERE version = ? AND state = 'leased'", (version,))
    return {key for (key,) in rows}


def is_open(connection: Connection, version: int) -> bool:
    """Whether anything is waiting or being done."""
    query = "SELECT 1 FROM task WHERE version = ? AND state IN ('waiting', 'leased') LIMIT 1"
    return connection.execute(query, (version,)).fetchone() is not None


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


def owners(connection: Connection, version: int) -> dict[str, bool]:
    """Who holds leases, and whether the last of them has run out.

    So has one that ends later than a lease can: the clock has been put back since. Results count by lease, whatever the
    clock says: a step of it costs work that is done twice.
    """
    now = time.time()
    return {
        owner: not now <= until <= now + 2 * LEASE_SECONDS
        for owner, until in connection.execute(
            "SELECT lease, max(lease_until) FROM task WHERE version = ? AND state = 'leased' GROUP BY lease", (version,)
        )
    }


def fail(connection: Connection, version: int, key: int, error: str) -> None:
    """Counts a failed attempt; after `MOST_ATTEMPTS` the document is given up until it is edited or retried.

    The next attempt comes after a random part of a time that doubles with each.
    """
    connection.execute(
        "UPDATE task SET attempts = attempts + 1, error = ?, lease = NULL, lease_until = NULL, rank = rank - 1, "
        "due = ? + ? * min(?, ? * (1 << attempts)), "
        "state = CASE WHEN attempts + 1 >= ? THEN 'failed' ELSE 'waiting' END WHERE version = ? AND key = ?",
        (error, time.time(), random.random(), LONGEST_WAIT, FIRST_WAIT, MOST_ATTEMPTS, version, key),
    )


def bury(connection: Connection, version: int, owner: str) -> int:
    """Gives back what a process held that has died; gives how many tasks that were.

    It may have died of one of these documents, or have been killed. A death over several is an attempt of none of
    them: they are done again in parts `FEWER` times smaller, down to single ones (64, 8, 1). A death over a single
    document is an attempt of it. So a document that kills its workers is given up after two deaths in company and
    `MOST_ATTEMPTS` alone, no other is blamed, and workers can be killed without a document being given up, unless
    they are killed over the same single one that often.
    """
    rows = connection.execute(
        "SELECT key FROM task WHERE version = ? AND state = 'leased' AND lease = ?", (version, owner)
    )
    keys = [key for (key,) in rows]
    release(connection, version, owner)
    part = max(1, len(keys) // FEWER)
    connection.executemany(
        "UPDATE task SET part = ? WHERE version = ? AND key = ?", ((part, version, key) for key in keys)
    )
    if len(keys) == 1:
        fail(connection, version, keys[0], DIED)
    return len(keys)


def retry(connection: Connection, version: int) -> int:
    """Queues again what was given up; gives how many documents that were."""
    connection.execute(
        "UPDATE task SET state = 'waiting', attempts = 0, error = NULL, due = NULL "
        "WHERE version = ? AND state = 'failed'",
        (version,),
    )
    return int(connection.changes())


def failures(connection: Connection, versions: Sequence[int]) -> list[Failure]:
    """What was given up in these versions."""
    return [
        made(Failure, row)
        for row in connection.execute(
            "SELECT document.id, attempts, coalesce(error, ''), version FROM task JOIN document USING (key) "
            f"WHERE version IN ({marks(len(versions))}) AND state = 'failed' ORDER BY version, document.id",
            versions,
        )
    ]


def pending_ids(connection: Connection, version: int, limit: int) -> list[str]:
    """Ids of documents without a vector in a version, at most `limit`, in order; those that were given up first."""
    rows = connection.execute(
        "SELECT document.id FROM task JOIN document USING (key) WHERE version = ? "
        "ORDER BY state, rank DESC, key LIMIT ?",
        (version, limit),
    )
    return sorted(identifier for (identifier,) in rows)
