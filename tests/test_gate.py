"""The gate: a process forks while nobody uses a connection, and its child has connections of its own."""

from __future__ import annotations

import os
import threading

import pytest

from catalogs import add, counters
from crossfade.catalog import Database, documents
from crossfade.errors import CollectionClosed
from support import holds_in_a_child


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
