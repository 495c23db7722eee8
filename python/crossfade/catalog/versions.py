"""Versions: the vector spaces a collection is kept in, which one is live, and the migration between two of them."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from apsw import Connection

from crossfade.space import Space

from .values import WrongValue, checked, json_object, made, one

NEW, BLEND = "new", "blend"  # what answers after a cutover: the new version alone, or both
SERVES = (NEW, BLEND)
_MIGRATION = "id, source, target, state, started_at, bridge, serve, fill_order, ordered"


@dataclasses.dataclass(frozen=True)
class Version:
    """One vector space of a collection.

    `state` is "live", "filling" (a migration's target), "retained" (kept for rollback) or "dropped".
    """

    id: int
    space: Space
    encoder: str | None
    engine: Mapping[str, Any]
    state: str
    created_at: float
    retained_until: float | None
    pending: int
    failed: int
    cut: int


@dataclasses.dataclass(frozen=True)
class MigrationRow:
    """A migration as the catalog knows it; fields as in the schema."""

    id: int
    source: int
    target: int
    state: str
    started_at: float
    bridge: str | None
    serve: str
    fill_order: str
    ordered: int


@dataclasses.dataclass(frozen=True)
class State:
    """What decides how a collection answers, read in one transaction."""

    uuid: str
    epoch: int
    seq: int
    live: int
    documents: int
    versions: Mapping[int, Version]
    migration: MigrationRow | None

    @property
    def live_version(self) -> Version:
        return self.versions[self.live]

    @property
    def filling(self) -> Version | None:
        """The version a migration is filling, if one is under way."""
        return next((version for version in self.versions.values() if version.state == "filling"), None)

    @property
    def pair(self) -> tuple[Version, Version] | None:
        """Source and target of a migration while both serve: during the fill, and after a cutover to the blend."""
        current = self.migration
        if current is None:
            return None
        both = current.state == "filling" or (current.state == "cut over" and current.serve == BLEND)
        return (self.versions[current.source], self.versions[current.target]) if both else None


def initialise(connection: Connection, space: Space, encoder: str | None, engine: Mapping[str, Any]) -> None:
    """Writes the first version and the collection's one row."""
    connection.execute("PRAGMA defer_foreign_keys = ON")
    live = add(connection, space, encoder, engine, "live")
    connection.execute(
        "INSERT INTO collection (one, uuid, created_at, epoch, seq, live) VALUES (1, ?, ?, 1, 0, ?)",
        (uuid.uuid4().hex, time.time(), live),
    )
    note(connection, "created", {"version": live, "space": space.fingerprint})


def add(connection: Connection, space: Space, encoder: str | None, engine: Mapping[str, Any], state: str) -> int:
    """Adds a version without vectors; gives its number."""
    connection.execute(
        "INSERT INTO version (space, encoder, engine, state, created_at) VALUES (?, ?, ?, ?, ?)",
        (json.dumps(space.to_dict()), encoder, json.dumps(dict(engine)), state, time.time()),
    )
    return int(connection.last_insert_rowid())


def read(connection: Connection) -> State:
    """The state of the collection. Dropped versions are left out."""
    row = connection.execute("SELECT uuid, epoch, seq, live, documents FROM collection").fetchone() or ()
    uuid_, epoch, seq, live, documents = checked(row, (str, int, int, int, int))
    versions = {
        version.id: version
        for version in map(
            _version,
            connection.execute(
                "SELECT id, space, encoder, engine, state, created_at, retained_until, pending, failed, cut "
                "FROM version WHERE state != 'dropped' ORDER BY id"
            ),
        )
    }
    if live not in versions:
        raise WrongValue(f"version {live} is said to be live, and there is none")
    latest = connection.execute(
        f"SELECT {_MIGRATION} FROM migration WHERE state NOT IN ('abandoned', 'done') ORDER BY id DESC LIMIT 1"
    ).fetchone()
    migration = made(MigrationRow, latest) if latest else None
    for number in (migration.source, migration.target) if migration else ():
        if number not in versions:
            raise WrongValue(f"version {number} is said to be part of the migration, and there is none")
    return State(uuid_, epoch, seq, live, documents, versions, migration)


def _version(row: Sequence[Any]) -> Version:
    kinds = (int, str, str | None, str, str, float, float | None, int, int, int)
    number, space, encoder, engine, *rest = checked(row, kinds)
    return Version(number, Space.from_dict(json_object(space)), encoder, json_object(engine), *rest)


def shown(connection: Connection) -> str:
    """What `read` and the lists of files and segments give, in one text: equal where these are.

    To compare it costs a tenth of reading them anew, which a commit of counts alone gives no reason to.
    """
    return one(connection, _SHOWN, str)


def _text_of(table: str, columns: str) -> str:
    row = " || ',' || ".join(f"quote({column})" for column in columns.split(", "))
    return f"coalesce((SELECT group_concat({row}, ';' ORDER BY 1) FROM {table}), '')"


# Which documents died is told by the collection's seq.
_SHOWN = "SELECT " + " || '/' || ".join(
    _text_of(*of)
    for of in (
        ("collection", "uuid, epoch, seq, live, documents"),
        ("version", "id, space, encoder, engine, state, created_at, retained_until, pending, failed, cut"),
        ("migration", _MIGRATION),
        ("file", "number, id, version, rows, block_bytes, sealed_rows"),
        ("segment", "name, version, rows, size, checksum"),
    )
)


def epoch(connection: Connection) -> int:
    """The collection's epoch: it differs whenever the versions or their roles have changed."""
    return one(connection, "SELECT epoch FROM collection", int)


def seq(connection: Connection) -> int:
    """The number of the last commit that changed documents."""
    return one(connection, "SELECT seq FROM collection", int)


def advance_epoch(connection: Connection) -> None:
    connection.execute("UPDATE collection SET epoch = epoch + 1")


def advance_seq(connection: Connection) -> None:
    connection.execute("UPDATE collection SET seq = seq + 1")


def set_live(connection: Connection, version: int, previous: int, retained_until: float | None) -> None:
    """Makes `version` the live one and keeps the previous one until `retained_until`; without a time, until told."""
    connection.execute("UPDATE collection SET live = ?", (version,))
    connection.execute("UPDATE version SET state = 'live', retained_until = NULL WHERE id = ?", (version,))
    connection.execute(
        "UPDATE version SET state = 'retained', retained_until = ? WHERE id = ?", (retained_until, previous)
    )
    advance_epoch(connection)


def drop(connection: Connection, version: int) -> None:
    """Forgets a version's tasks, segments and files, and ends its migrations; its row stays, as a record."""
    connection.execute("DELETE FROM task WHERE version = ?", (version,))
    connection.execute("DELETE FROM cut WHERE version = ?", (version,))
    connection.execute("DELETE FROM segment WHERE version = ?", (version,))
    connection.execute("DELETE FROM file WHERE version = ?", (version,))
    connection.execute("UPDATE version SET state = 'dropped', retained_until = NULL WHERE id = ?", (version,))
    connection.execute(
        "UPDATE migration SET state = CASE state WHEN 'cut over' THEN 'done' ELSE 'abandoned' END "
        "WHERE ? IN (source, target) AND state NOT IN ('abandoned', 'done')",
        (version,),
    )
    advance_epoch(connection)


def start_migration(connection: Connection, source: int, target: int) -> int:
    connection.execute(
        "INSERT INTO migration (source, target, state, started_at) VALUES (?, ?, 'filling', ?)",
        (source, target, time.time()),
    )
    migration = int(connection.last_insert_rowid())
    advance_epoch(connection)
    return migration


def read_migration(connection: Connection, number: int) -> MigrationRow:
    """Any migration by its number, those that are over too."""
    rows = connection.execute(f"SELECT {_MIGRATION} FROM migration WHERE id = ?", (number,))
    return made(MigrationRow, next(rows))


def set_migration_state(connection: Connection, migration: int, state: str, serve: str = NEW) -> None:
    connection.execute("UPDATE migration SET state = ?, serve = ? WHERE id = ?", (state, serve, migration))


def set_order(connection: Connection, migration: int, order: str) -> None:
    """Says in which order a migration fills its target; its tasks don't have it yet."""
    connection.execute("UPDATE migration SET fill_order = ?, ordered = 0 WHERE id = ?", (order, migration))


def set_ordered(connection: Connection, migration: int, order: str) -> None:
    """Notes that all tasks have their ranks, unless it is another order by now."""
    connection.execute("UPDATE migration SET ordered = 1 WHERE id = ? AND fill_order = ?", (migration, order))


def set_bridge(connection: Connection, migration: int, folder: str | None) -> None:
    """Names the folder of what was learned; None where that is lost."""
    connection.execute("UPDATE migration SET bridge = ? WHERE id = ?", (folder, migration))
    advance_epoch(connection)


def bridges(connection: Connection) -> list[MigrationRow]:
    """The migrations that something was learned for, those that are over too."""
    rows = connection.execute(f"SELECT {_MIGRATION} FROM migration WHERE bridge IS NOT NULL")
    return [made(MigrationRow, row) for row in rows]


def note(connection: Connection, event: str, detail: Mapping[str, Any]) -> None:
    """Writes a line of the collection's history."""
    connection.execute(
        "INSERT INTO journal (at, event, detail) VALUES (?, ?, ?)", (time.time(), event, json.dumps(dict(detail)))
    )


def history(connection: Connection) -> list[tuple[float, str, dict[str, Any]]]:
    """The journal, oldest first: (Unix seconds, event, detail)."""
    return [
        (at, event, json.loads(detail))
        for at, event, detail in connection.execute("SELECT at, event, detail FROM journal ORDER BY rowid")
    ]
