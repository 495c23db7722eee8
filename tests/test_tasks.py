"""Tasks: in which order they are leased, by whom they are held, and what becomes of those that fail."""

from __future__ import annotations

import pytest

import crossfade as cf
from catalogs import SPACE, add, counters
from crossfade.catalog import Database, documents, searched, tasks, versions


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
