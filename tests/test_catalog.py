"""The catalog: counters kept by triggers, tasks and leases, transactions, and what becomes of SQLite's errors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossfade as cf
from crossfade.catalog import Connection, Database, database, documents, files, searched, tasks, versions
from crossfade.errors import CollectionBusy, CollectionClosed, CollectionError, DamagedFile, StorageFailed
from support import holds_in_a_child

SPACE = cf.Space(model="m", dim=4)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Database]:
    """A catalog with one version and no documents."""
    opened = Database.create(tmp_path / "catalog.sqlite")
    with opened.writing() as connection:
        versions.initialise(connection, SPACE, None, {})
    yield opened
    opened.close()


def add(connection: Connection, *ids: str, priority: float = 0.0) -> list[int]:
    return [documents.insert(connection, cf.Document(name, f"text of {name}", priority=priority)) for name in ids]


def counters(connection: Connection, version: int = 1) -> tuple[int, int, int]:
    """(documents, pending, failed)."""
    state = versions.read(connection)
    return state.documents, state.versions[version].pending, state.versions[version].failed


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


def test_counters_follow_tasks(catalog: Database) -> None:
    """Pending and failed are right after every change of a task, those by cascade too."""
    with catalog.writing() as connection:
        keys = add(connection, "a", "b", "c", "d")
        tasks.add_all(connection, 1)
        assert counters(connection) == (4, 4, 0)
        assert tasks.lease(connection, 1, "me", 2, None)
        assert counters(connection) == (4, 4, 0)
        for _ in range(3):
            tasks.fail(connection, 1, keys[0], "no")
        assert counters(connection) == (4, 4, 1)
        documents.remove(connection, [keys[0]])
        assert counters(connection) == (3, 3, 0)
        tasks.done(connection, 1, [keys[1]])
        assert counters(connection) == (3, 2, 0)
        documents.replace(connection, keys[2], cf.Document("c", "new text"))
        assert counters(connection) == (3, 1, 0)
        versions.drop(connection, 1)
        assert list(connection.execute("SELECT pending, failed FROM version")) == [(0, 0)]


def test_tasks_are_leased_by_rank(catalog: Database) -> None:
    """What searches look at comes first, then what an order says; what is leased or failed is not given again."""
    with catalog.writing() as connection:
        keys = dict(zip("abcd", add(connection, "a", "b", "c", "d"), strict=True))
        (keys["p"],) = add(connection, "p", priority=5)
        tasks.add_all(connection, 1)
        searched.rank(connection, 1, [keys["p"], keys["c"]], [0.9, 0.8])
        searched.add_hits(connection, {keys["b"]: 20})
        assert tasks.lease(connection, 1, "me", 3) == [keys["b"], keys["p"], keys["c"]]
        assert set(tasks.lease(connection, 1, "you", 10)) == {keys["a"], keys["d"]}
        assert tasks.lease(connection, 1, "they", 10) == []


def test_only_the_holder_holds(catalog: Database) -> None:
    """`held` is empty for another owner, after a release, and for a document that is gone."""
    with catalog.writing() as connection:
        keys = add(connection, "a", "b", "c")
        tasks.add_all(connection, 1)
        tasks.lease(connection, 1, "me", 3)
        assert tasks.held(connection, 1, "me", keys) == set(keys)
        assert tasks.held(connection, 1, "you", keys) == set()
        documents.remove(connection, [keys[0]])
        assert tasks.held(connection, 1, "me", keys) == set(keys[1:])
        tasks.release(connection, 1, "me")
        assert tasks.held(connection, 1, "me", keys) == set()
        assert len(tasks.lease(connection, 1, "you", 10)) == 2


def test_owners_and_expired_leases(catalog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners are named with whether the last of their leases has run out, or was written by a clock put back since."""
    with catalog.writing() as connection:
        add(connection, "a", "b", "c")
        tasks.add_all(connection, 1)
        for name, at in [("early", 1_000.0), ("late", 1_290.0), ("from a year ahead", 4e7)]:
            monkeypatch.setattr(tasks.time, "time", lambda at=at: at)
            tasks.lease(connection, 1, name, 1)
        monkeypatch.setattr(tasks.time, "time", lambda: 1_301.0)
        assert tasks.owners(connection, 1) == {"early": True, "late": False, "from a year ahead": True}


def test_failures_and_retry(catalog: Database) -> None:
    """What was given up is listed by id with its last error, and queued again by a retry."""
    with catalog.writing() as connection:
        keys = add(connection, "b", "a")
        tasks.add_all(connection, 1)
        for key in keys:
            for attempt in range(3):
                tasks.fail(connection, 1, key, f"attempt {attempt}")
        assert tasks.failures(connection, [1, 2]) == [
            tasks.Failure("a", 3, "attempt 2", 1),
            tasks.Failure("b", 3, "attempt 2", 1),
        ]
        assert tasks.failures(connection, [2]) == []
        assert tasks.lease(connection, 1, "me", 9) == []
        assert tasks.retry(connection, 1) == 2
        assert tasks.failures(connection, [1]) == []
        assert len(tasks.lease(connection, 1, "me", 9)) == 2


def test_a_failed_task_waits(catalog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken before a random part of a time that doubles is over; a clock that is put back delays nothing."""
    monkeypatch.setattr(tasks.random, "random", lambda: 1.0)
    monkeypatch.setattr(tasks, "FIRST_WAIT", 10.0)
    monkeypatch.setattr(tasks, "LONGEST_WAIT", 15.0)
    with catalog.writing() as connection:
        (key,) = add(connection, "a")
        tasks.add_all(connection, 1)
        assert tasks.seconds_to_wait(connection, 1) == 0.0
        for seconds in (10.0, 15.0):
            tasks.fail(connection, 1, key, "no")
            waits = tasks.seconds_to_wait(connection, 1)
            assert waits is not None
            assert seconds - 1 < waits <= seconds
            assert tasks.lease(connection, 1, "me", 9) == []
            assert tasks.lease(connection, 1, "me", 9, [key]) == []
        monkeypatch.setattr(tasks.time, "time", lambda: 1e6)
        assert tasks.lease(connection, 1, "me", 9) == [key]
        assert tasks.seconds_to_wait(connection, 1) is None


def test_what_a_worker_died_over_comes_in_parts(catalog: Database) -> None:
    """A death over several is nobody's attempt, but they come in smaller parts; a death over one is its attempt."""
    with catalog.writing() as connection:
        names = [f"n{number}" for number in range(100)]
        add(connection, *names)
        tasks.add_all(connection, 1)
        first = tasks.lease(connection, 1, "one", 64)
        assert tasks.bury(connection, 1, "one") == 64
        second = tasks.lease(connection, 1, "two", 64)
        assert second == first[:8]
        assert tasks.bury(connection, 1, "two") == 8
        alone = []
        for number in range(tasks.MOST_ATTEMPTS):
            assert tasks.failures(connection, [1]) == []
            alone += tasks.lease(connection, 1, f"single {number}", 64, first[:1])
            assert tasks.bury(connection, 1, f"single {number}") == 1
            connection.execute("UPDATE task SET due = NULL")
        assert alone == first[:1] * tasks.MOST_ATTEMPTS
        (failure,) = tasks.failures(connection, [1])
        assert (failure.attempts, failure.error) == (tasks.MOST_ATTEMPTS, tasks.DIED)
        blamed = "SELECT count(*) FROM task WHERE attempts > 0"
        assert next(connection.execute(blamed)) == (1,)
        sizes = []
        while taken := tasks.lease(connection, 1, "last", 64):
            sizes.append(len(taken))
            tasks.done(connection, 1, taken)
        assert sorted(sizes) == [1] * 7 + [8] * 7 + [36]
        tasks.retry(connection, 1)
        assert len(tasks.lease(connection, 1, "again", 64)) == 1


def test_a_claim_takes_what_nobody_holds(catalog: Database) -> None:
    """Documents whose vectors are there are taken though they are not due, or were given up; not from a holder."""
    with catalog.writing() as connection:
        held, late, failed = add(connection, "a", "b", "c")
        tasks.add_all(connection, 1)
        tasks.lease(connection, 1, "other", 1, [held])
        tasks.fail(connection, 1, late, "no")
        for _ in range(3):
            tasks.fail(connection, 1, failed, "no")
        tasks.claim(connection, 1, "me", [held, late, failed])
        assert tasks.held(connection, 1, "me", [held, late, failed]) == {late, failed}
        assert counters(connection) == (3, 3, 0)


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


def test_a_childs_commits_outlive_its_parents_closing(catalog: Database) -> None:
    """A forked child has locks of its own: its parent's closing does not take the log away that it writes to."""
    with catalog.reading() as connection:
        assert counters(connection) == (0, 0, 0)
    written, tell_written = os.pipe()
    closed, tell_closed = os.pipe()

    def write() -> bool:
        with catalog.writing() as connection:
            add(connection, "before")
        os.write(tell_written, b"x")
        os.read(closed, 1)
        with catalog.writing() as connection:
            add(connection, "after")
        return True

    def close() -> None:
        os.read(written, 1)
        catalog.close()
        os.write(tell_closed, b"x")

    closer = threading.Thread(target=close)
    closer.start()
    assert holds_in_a_child(write)
    closer.join()
    for descriptor in (written, tell_written, closed, tell_closed):
        os.close(descriptor)
    again = Database(catalog.path)
    with again.reading() as connection:
        assert set(documents.find(connection, ["before", "after"])) == {"before", "after"}
    again.close()


def test_a_fork_waits_for_transactions(catalog: Database) -> None:
    """A process forks between the transactions of its other threads, so that its child can use the database."""
    inside, left = threading.Event(), threading.Event()

    def write() -> None:
        with catalog.writing() as connection:
            add(connection, "a")
            inside.set()
            threading.Event().wait(0.2)
            left.set()

    def reads() -> bool:
        with catalog.reading() as connection:
            return left.is_set() and counters(connection) == (1, 0, 0)

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(10)
    assert holds_in_a_child(reads)
    writer.join()


def test_a_child_forked_in_a_transaction_uses_no_catalog(catalog: Database) -> None:
    """Locks of inherited connections are another process's: such a child is refused, and told how to do better."""

    def refused() -> bool:
        for use in (catalog.data_version, lambda: Database(catalog.path)):
            with pytest.raises(CollectionClosed, match=r"forked in a transaction.*spawn"):
                use()
        catalog.close()
        return True

    with catalog.writing() as connection:
        add(connection, "a")
        assert holds_in_a_child(refused)
    with catalog.reading() as connection:
        assert counters(connection) == (1, 0, 0)


def test_an_edit_during_a_fill_costs_the_same_whatever_is_left_to_do(catalog: Database) -> None:
    """Deletes and hit counts look a document's tasks up by its key; scanning all of them would hold every writer up."""
    with catalog.writing() as connection:
        keys = add(connection, *(f"d{number}" for number in range(2_000)))
        tasks.add_all(connection, versions.add(connection, SPACE, None, {}, "filling"))
        thousands: list[None] = []
        connection.set_progress_handler(lambda: thousands.append(None), 1_000)
        searched.add_hits(connection, {keys[0]: 3})
        documents.remove(connection, [keys[1]])
        connection.set_progress_handler(None)
    assert not thousands  # a scan takes 2,000 steps and more
