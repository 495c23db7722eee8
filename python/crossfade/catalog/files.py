"""Files: vector files with their committed length, segments, and what was verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from apsw import Connection

from .values import made


@dataclasses.dataclass(frozen=True)
class FileRow:
    """An append-only vector file; what lies behind its committed length does not exist."""

    number: int
    id: str
    version: int
    rows: int
    block_bytes: int
    sealed_rows: int


@dataclasses.dataclass(frozen=True)
class SegmentRow:
    """A sealed usearch segment.

    Args:
        name, version, rows, size, checksum: Where and what it is.
        expansion: Candidates to keep in a search for the 100 nearest rows.
        scale: Of its rows in int8; 0 where its graph keeps them as float16.
        seq: The commit up to which the dead rows of its ranges were left out; -1 where that is not known.
    """

    name: str
    version: int
    rows: int
    size: int
    checksum: str
    expansion: int
    scale: float
    seq: int


@dataclasses.dataclass(frozen=True)
class Range:
    """Rows `start` to `stop` of a vector file."""

    file: int
    start: int
    stop: int


def all_files(connection: Connection) -> list[FileRow]:
    return [
        made(FileRow, row)
        for row in connection.execute(
            "SELECT number, id, version, rows, block_bytes, sealed_rows FROM file ORDER BY number"
        )
    ]


def all_segments(connection: Connection) -> list[SegmentRow]:
    return [
        made(SegmentRow, row)
        for row in connection.execute(
            "SELECT name, version, rows, size, checksum, expansion, scale, seq FROM segment ORDER BY name"
        )
    ]


def add_file(connection: Connection, version: int, file_id: str) -> FileRow:
    connection.execute(
        "INSERT INTO file (id, version, rows, block_bytes, sealed_rows) VALUES (?, ?, 0, 0, 0)", (file_id, version)
    )
    return FileRow(int(connection.last_insert_rowid()), file_id, version, 0, 0, 0)


def extend(connection: Connection, number: int, rows: int, block_bytes: int) -> None:
    """Publishes a new committed length."""
    connection.execute("UPDATE file SET rows = ?, block_bytes = ? WHERE number = ?", (rows, block_bytes, number))


def ranges(connection: Connection, segments: Iterable[str]) -> list[Range]:
    """The rows that segments were built from."""
    return [
        made(Range, row)
        for segment in segments
        for row in connection.execute("SELECT file, start, stop FROM segment_range WHERE segment = ?", (segment,))
    ]


def publish_segment(
    connection: Connection, segment: SegmentRow | None, tail: Iterable[Range], merged: Iterable[str]
) -> None:
    """Puts one segment in the place of the tail's ranges and of the merged segments; None where no row is current."""
    merged, tail = list(merged), list(tail)
    inherited = ranges(connection, merged)
    connection.executemany("DELETE FROM segment WHERE name = ?", ((name,) for name in merged))
    if segment:
        connection.execute(
            "INSERT INTO segment (name, version, rows, size, checksum, expansion, scale, seq) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            dataclasses.astuple(segment),
        )
        connection.executemany(
            "INSERT INTO segment_range (segment, file, start, stop) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET stop = max(stop, excluded.stop)",
            ((segment.name, *dataclasses.astuple(part)) for part in (*inherited, *tail)),
        )
    connection.executemany(
        "UPDATE file SET sealed_rows = max(sealed_rows, ?) WHERE number = ?", ((part.stop, part.file) for part in tail)
    )


def drop_segment(connection: Connection, name: str) -> None:
    """Forgets a damaged segment; its rows are scanned exactly until they are sealed again."""
    rows = ranges(connection, [name])
    connection.execute("DELETE FROM segment WHERE name = ?", (name,))
    connection.executemany(
        "UPDATE file SET sealed_rows = min(sealed_rows, ?) WHERE number = ?", ((part.start, part.file) for part in rows)
    )


def unseal(connection: Connection, number: int) -> None:
    """Forgets the segments built from rows of a file; all of it is scanned until it is sealed again."""
    rows = connection.execute("SELECT DISTINCT segment FROM segment_range WHERE file = ?", (number,))
    for name in [name for (name,) in rows]:
        drop_segment(connection, name)
    connection.execute("UPDATE file SET sealed_rows = 0 WHERE number = ?", (number,))


def remove_file(connection: Connection, number: int) -> None:
    """Forgets a vector file, and the segments built from rows of it."""
    unseal(connection, number)
    connection.execute("DELETE FROM file WHERE number = ?", (number,))


def verified(connection: Connection, start: str = "") -> list[str]:
    """Identities of files that were compared with their checksums: all, or those that begin so, up to a colon."""
    query = "SELECT identity FROM verified WHERE ? = '' OR (identity > ? || ':' AND identity < ? || ';')"
    return [identity for (identity,) in connection.execute(query, (start,) * 3)]


def forget_verified(connection: Connection, start: str = "") -> None:
    """Forgets those: all of them for a copy of the folder, whose files are others."""
    connection.executemany("DELETE FROM verified WHERE identity = ?", ((it,) for it in verified(connection, start)))


def is_verified(connection: Connection, identity: str) -> bool:
    return connection.execute("SELECT 1 FROM verified WHERE identity = ?", (identity,)).fetchone() is not None


def remember_verified(connection: Connection, identity: str) -> None:
    connection.execute("INSERT OR IGNORE INTO verified (identity) VALUES (?)", (identity,))
