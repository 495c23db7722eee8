"""SQLite's pages have no checksums: values of a kind that was never written are crossfade's own errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import crossfade as cf
from crossfade.errors import CrossfadeError
from support import NEW, OLD, documents, filled, text_of, wrapped

TABLES = ("collection", "version", "document", "file", "segment_range", "task", "migration")
# What a page that was overwritten may hold where something else was written.
WRONG = (None, "x", -5)


def encoders() -> list[cf.Encoder]:
    return [wrapped(*OLD), wrapped(*NEW)]


@pytest.fixture(scope="module")
def fading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that is half migrated, closed."""
    folder = tmp_path_factory.mktemp("values") / "kb.cf"
    old, new = encoders()
    with filled(folder, old, 60) as docs:
        docs.migrate(new).run(until=0.5)
    return folder


@pytest.mark.parametrize("table", TABLES)
def test_values_of_a_wrong_kind(fading: Path, tmp_path: Path, table: str) -> None:
    """Whatever stands in whichever column, a collection works, or an error of ours says that it is damaged."""
    for column, value in _cases(fading, table):
        folder = tmp_path / "kb.cf"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(fading, folder)
        if _overwritten(folder, table, column, value):
            try:
                _used(folder)
            except CrossfadeError:
                continue
            except Exception as error:
                raise AssertionError(f"{value!r} in {table}.{column}") from error


def _cases(folder: Path, table: str) -> Iterator[tuple[str, Any]]:
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return ((column, value) for column in columns for value in WRONG)


def _overwritten(folder: Path, table: str, column: str, value: Any) -> bool:
    """Puts a value in every row past all that SQLite checks; False where even that can't be."""
    path = str(folder / "catalog.sqlite")
    connection = apsw.Connection(path)
    triggers = list(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = ?", (table,))
    connection.close()
    connection = apsw.Connection(path)
    try:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        for _, sql in triggers:
            connection.execute(sql)
    except apsw.Error:
        return False
    finally:
        connection.close()
    return True


def _used(folder: Path) -> None:
    with cf.Collection.open(folder, *encoders()) as docs:
        docs.status()
        docs.search(text_of(5), k=5)
        docs.search("w1", filter={"parity": 1})
        docs.get("d3")
        docs.failures()
        if docs.migration:
            docs.migration.run(until=0.8)
        docs.upsert(documents(3, start=100))
        docs.delete(["d4"])
