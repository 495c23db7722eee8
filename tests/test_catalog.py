"""The catalog: documents and facets, transactions, and what becomes of SQLite's errors."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossfade as cf
from catalogs import add, counters
from crossfade.catalog import Database, database, documents, files, searched, versions
from crossfade.errors import CollectionBusy, CollectionClosed, CollectionError, DamagedFile, StorageFailed


def test_a_transaction_is_all_or_nothing(catalog: Database) -> None:
    """An exception inside takes everything back, whatever it is."""

    def interrupted() -> None:
        with catalog.writing() as connection:
            add(connection, "a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with catalog.writing() as connection:
        assert counters(connection) == (0, 0, 0)
        add(connection, "b")
    with catalog.reading() as connection:
        assert counters(connection) == (1, 0, 0)


def test_a_reader_sees_one_state(catalog: Database) -> None:
    """What is committed while a reading transaction is open is not seen in it."""
    with catalog.reading() as connection:
        before = versions.read(connection).documents
        with catalog.writing() as writer:
            add(writer, "a")
        assert versions.read(connection).documents == before
    with catalog.reading() as connection:
        assert versions.read(connection).documents == before + 1


def test_data_version_tells_of_commits(catalog: Database) -> None:
    """The number is the same until any connection commits, and another afterwards."""
    first = catalog.data_version()
    assert catalog.data_version() == first
    with catalog.writing() as connection:
        add(connection, "a")
    second = catalog.data_version()
    assert second != first
    other = Database(catalog.path)
    with other.writing() as connection:
        add(connection, "b")
    other.close()
    assert catalog.data_version() != second


def test_keys_are_never_used_again(catalog: Database) -> None:
    """The key of a deleted document is not given to the next one, not even the highest."""
    with catalog.writing() as connection:
        first, second = add(connection, "a", "b")
        documents.remove(connection, [second])
        (third,) = add(connection, "b")
        assert first < second < third
        assert documents.largest_key(connection) == third


def test_an_edit_leaves_a_tombstone(catalog: Database) -> None:
    """`replace` gives a new key and leaves the old one as dead, in the commit's number; hits go along."""
    with catalog.writing() as connection:
        (key,) = add(connection, "a")
        searched.add_hits(connection, {key: 5})
        before = versions.read(connection).seq
        versions.advance_seq(connection)
        fresh = documents.replace(connection, key, cf.Document("a", "another text"))
        assert documents.tombstones(connection, before).tolist() == [key]
        assert documents.tombstones(connection, before + 1).tolist() == []
        assert list(connection.execute("SELECT key, hits FROM document")) == [(fresh, 5)]


def test_a_long_list_of_ids_is_asked_in_parts(catalog: Database) -> None:
    """SQLite takes some 32,000 parameters in a statement; more ids than that are found all the same."""
    with catalog.writing() as connection:
        add(connection, "a", "z")
        ids = ["a", *(f"unknown{number}" for number in range(2 * database.MOST_PARAMETERS)), "z"]
        assert set(documents.find(connection, ids)) == set(documents.keys_of(connection, ids)) == {"a", "z"}


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(), st.text()))
def test_facets_compare_as_numbers_do(value: object) -> None:
    """Two values have one facet exactly if they are equal and of one kind: 1 is 1.0, and is not true."""
    same = documents.facet_value(value)
    assert documents.facet_value(value) == same
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        assert documents.facet_value(float(value)) == same
        assert documents.facet_value(bool(value)) != same
        assert documents.facet_value(str(value)) != same


def test_replacing_segments_keeps_every_row_listed(catalog: Database) -> None:
    """A merged segment inherits the ranges of those it replaces; a dropped one gives its rows back to the tail."""
    with catalog.writing() as connection:
        row = files.add_file(connection, 1, "0a0b0c0d")
        files.extend(connection, row.number, 300, 9_000)
        for name, part in (("a" * 8, (0, 100)), ("b" * 8, (100, 200))):
            files.publish_segment(
                connection, files.SegmentRow(name, 1, 100, 1, "x", 150, 0.0, 7), [files.Range(row.number, *part)], []
            )
        merged = files.SegmentRow("c" * 8, 1, 300, 1, "x", 150, 0.0, 7)
        files.publish_segment(connection, merged, [files.Range(row.number, 200, 300)], ["a" * 8, "b" * 8])
        assert files.all_segments(connection) == [merged]
        assert sorted((part.start, part.stop) for part in files.ranges(connection, ["c" * 8])) == [
            (0, 100),
            (100, 200),
            (200, 300),
        ]
        assert files.all_files(connection)[0].sealed_rows == 300
        files.drop_segment(connection, "c" * 8)
        assert files.all_segments(connection) == []
        assert files.all_files(connection)[0].sealed_rows == 0


def test_the_history_is_kept_in_order(catalog: Database) -> None:
    """The journal gives back what was noted, oldest first."""
    with catalog.writing() as connection:
        versions.note(connection, "one", {"a": 1})
        versions.note(connection, "two", {})
        assert [(event, detail) for _, event, detail in versions.history(connection)][1:] == [
            ("one", {"a": 1}),
            ("two", {}),
        ]


def test_sqlite_is_as_durable_as_promised(catalog: Database) -> None:
    """WAL mode, every commit synchronised, foreign keys on, and no SQLite with the WAL-reset bug."""
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)
    with catalog.writing() as connection:
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("foreign_keys") == 1
        assert connection.pragma("trusted_schema") == 0


def test_an_old_sqlite_is_refused(catalog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite that can corrupt the catalog is not used, and the message says what to install."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(CollectionError, match=r"3\.51\.2 can corrupt .* install an apsw"):
        Database(catalog.path)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (apsw.BusyError, CollectionBusy),
        (apsw.LockedError, CollectionBusy),
        (apsw.CorruptError, DamagedFile),
        (apsw.NotADBError, DamagedFile),
        (apsw.FullError, StorageFailed),
        (apsw.IOError, StorageFailed),
        (apsw.CantOpenError, StorageFailed),
        (apsw.ReadOnlyError, StorageFailed),
        (apsw.ConnectionClosedError, CollectionClosed),
        (apsw.ForkingViolationError, CollectionClosed),
        (apsw.SQLError, CollectionError),
    ],
)
def test_errors_of_sqlite_are_named(error: type[Exception], expected: type[Exception]) -> None:
    """No exception of SQLite reaches the user: each has a class of ours, and stays as the cause."""
    with pytest.raises(expected) as caught, database.translated(Path("catalog.sqlite")):
        raise error("what SQLite says")
    assert type(caught.value) is expected
    assert type(caught.value.__cause__) is error


def test_a_locked_catalog_is_busy(catalog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process holds the write lock for too long, CollectionBusy says that nothing was changed."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    other = Database(catalog.path)
    with (
        catalog.writing() as connection,
        pytest.raises(CollectionBusy, match="nothing was changed, try again"),
        other.writing(),
    ):
        add(connection, "a")
    other.close()
    with catalog.reading() as connection:
        assert counters(connection) == (0, 0, 0)


def test_closing_waits_for_a_write(catalog: Database) -> None:
    """A transaction under way is committed before the catalog closes; later ones get CollectionClosed."""
    inside, go = threading.Event(), threading.Event()

    def write() -> None:
        with catalog.writing() as connection:
            inside.set()
            go.wait(10)
            add(connection, "a")

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(10)
    closer = threading.Thread(target=catalog.close)
    closer.start()
    go.set()
    writer.join()
    closer.join()
    with pytest.raises(CollectionClosed), catalog.writing():
        pass
    again = Database(catalog.path)
    with again.reading() as connection:
        assert counters(connection) == (1, 0, 0)
    again.close()
