"""close() while everything else is under way in other threads."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.errors import CollectionBusy, CollectionClosed, MigrationError, SpaceMismatch
from crossfade.store import sealing
from support import documents, filled, holds_in_a_child, is_first, require_intact, require_true_vectors, text_of

THREADS = 16
Call = Callable[[int], object]


def calls(docs: cf.Collection, fade: cf.Migration, old: cf.Encoder, folder: Path) -> list[Call]:
    """Every way to use a collection, given a number that is never the same."""
    vector = old.encode([text_of(3)])[0]
    return [
        lambda number: docs.search(text_of(number % 300)),
        lambda number: docs.search([text_of(1), text_of(2)], k=20, filter={"parity": number % 2}),
        lambda number: docs.search(vector=vector, space=old.space),
        lambda number: docs.upsert(documents(20, start=1_000 + number)),
        lambda number: docs.upsert(document for document in documents(2, start=number % 300)),
        lambda number: docs.delete([f"d{number % 300}", f"d{1_000 + number}"]),
        lambda number: (docs.get("d1"), len(docs), "d2" in docs, docs.space),
        lambda number: (docs.status(), docs.failures(), docs.vectors("d3"), docs.migration),
        lambda number: docs.backup(folder.with_name(f"backup{number}")),
        lambda number: fade.run(cores=1),
        lambda number: (fade.status(), fade.failures(), fade.retry()),
        lambda number: (fade.cutover(force="a test"), docs.rollback(force="a test")),
    ]


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3])
def test_closing_while_all_is_under_way(
    folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """16 threads use a collection in every way until it is closed: each ends with CollectionClosed, all is intact."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    docs = filled(folder, old, 300)
    fade = docs.migrate(new)
    numbers, everyone = itertools.count(), threading.Barrier(THREADS + 1)
    ends: list[BaseException] = []

    def use(call: Call) -> None:
        everyone.wait()
        while True:
            try:
                call(next(numbers))
            except (MigrationError, SpaceMismatch, CollectionBusy):
                continue  # another thread has taken a step of the migration, or the same documents, again and again
            except BaseException as error:
                ends.append(error)
                return

    ways = itertools.islice(itertools.cycle(calls(docs, fade, old, folder)), THREADS)
    threads = [threading.Thread(target=use, args=(way,), daemon=True) for way in ways]
    for thread in threads:
        thread.start()
    everyone.wait()
    threading.Event().wait(seconds)
    docs.close()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert [error for error in ends if not isinstance(error, CollectionClosed)] == []
    assert len(ends) == THREADS
    require_intact(folder)
    with cf.Collection.open(folder, old, new) as again:
        again.migration.run()
    for version, encoder in ((1, old), (2, new)):
        require_true_vectors(folder, version, encoder)


def test_ctrl_c_at_any_line_leaves_no_lock(folder: Path, old: cf.Encoder) -> None:
    """However often and wherever reading is interrupted, the collection can be read and closed afterwards."""
    filled(folder, old, 3).close()

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def interrupted() -> bool:
        random, docs = np.random.default_rng(0), cf.Collection.open(folder, old)
        signal.signal(signal.SIGALRM, interrupt)
        for _ in range(1_500):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, float(random.uniform(1e-5, 4e-4)), 5.0)
                while True:
                    docs.get("d1")
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        closing = threading.Thread(target=lambda: (docs.get("d1"), docs.close()), daemon=True)
        closing.start()
        closing.join(30)
        return not closing.is_alive()

    assert holds_in_a_child(interrupted)


@pytest.mark.parametrize("fsync", [1, 2])
def test_ctrl_c_in_a_write_costs_that_write_alone(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch, fsync: int
) -> None:
    """The next one finds its files as if it had not been."""
    with filled(folder, old, 3) as docs:
        calls: list[int] = []

        def interrupted(file: int) -> None:
            calls.append(file)
            if len(calls) == fsync:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                docs.upsert(documents(2, start=3))
        docs.upsert(documents(2, start=5))
        is_first(docs, 0, 5, 6)
        assert "d3" not in docs
    require_intact(folder)
    assert len(list(folder.glob("versions/0001/*.rows"))) == 1
