"""Several processes on one folder: each sees what the others commit, and none gets in another's way."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crossfade as cf
from crash_child import CHILDREN
from crossfade import _forks
from crossfade.store import sealing
from support import (
    Child,
    documents,
    everything,
    filled,
    holds_in_a_child,
    require_intact,
    require_true_vectors,
    settle,
    text_of,
)


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Children to be ended with the test, however it ends."""
    started: list[Child] = []
    yield started
    for child in started:
        with child.process:
            child.process.kill()


def start(children: list[Child], program: str, *arguments: object) -> Child:
    children.append(Child(program, *arguments))
    assert children[-1].line() == "ready"
    return children[-1]


def ask(child: Child, query: str) -> dict[str, Any]:
    child.tell(query)
    answer: dict[str, Any] = json.loads(child.line())
    return answer


def test_another_process_sees_every_commit(
    folder: Path, old: cf.Encoder, new: cf.Encoder, children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A serving process sees an upsert, a delete, a new segment, a fade, either cutover and a prune at once."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    with filled(folder, old, 90) as docs:
        child = start(children, "serve", folder)
        assert ask(child, text_of(3)) == {
            "ids": ask(child, text_of(3))["ids"],
            "versions": [1],
            "method": "live",
            "documents": 90,
            "segments": 0,
        }
        docs.upsert(cf.Document("late", "zebra quagga"))
        assert ask(child, "zebra quagga")["ids"][0] == "late"
        docs.delete("late")
        assert "late" not in ask(child, "zebra quagga")["ids"]
        docs.upsert(documents(210, start=90))
        settle(docs)
        answer = ask(child, text_of(250))
        assert (answer["ids"][0], answer["segments"], answer["documents"]) == ("d250", 1, 300)
        fade = docs.migrate(new)
        fade.run()
        assert ask(child, text_of(250))["versions"] == [2]
        for serve, method in (("blend", "fade"), ("new", "live"), ("blend", "fade")):
            fade.cutover(serve=serve)  # type: ignore[arg-type]
            assert ask(child, text_of(250))["method"] == method
        docs.prune(force=True)
        answer = ask(child, text_of(3))
        assert (answer["ids"][0], answer["versions"]) == ("d3", [2])


def test_a_rollback_is_seen(folder: Path, old: cf.Encoder, new: cf.Encoder, children: list[Child]) -> None:
    """After a cutover and after a rollback another process answers from the version that is live."""
    with filled(folder, old, 50) as docs:
        child = start(children, "serve", folder)
        fade = docs.migrate(new)
        fade.run()
        for _ in range(3):
            fade.cutover()
            assert ask(child, text_of(3))["versions"] == [2]
            docs.rollback()
            assert ask(child, text_of(3))["versions"] == [1]


def test_two_writing_processes(folder: Path, old: cf.Encoder, children: list[Child]) -> None:
    """Two processes that upsert at once, and this one: every document is there, no vector file has two writers."""
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(documents(10, start=5_000))
        writers = [start(children, "write", folder, position, 500) for position in (0, 500)]
        for child in writers:
            child.tell("go")
        for position in range(1_000, 1_500, 25):
            docs.upsert(documents(25, start=position))
        written = []
        for child in writers:
            lines = child.rest()
            assert child.process.returncode == 0
            written += lines[-1].split()[1:]
        mine = docs._store._writers._open[1].file_id
        assert len({*written, mine}) == 3
        assert len(docs) == 1_510
    assert set(everything(folder)) == {f"d{number}" for number in (*range(1_500), *range(5_000, 5_010))}
    assert require_true_vectors(folder, 1, old) == 1_510


def test_processes_that_write_the_same_documents(folder: Path, old: cf.Encoder, children: list[Child]) -> None:
    """The same ids from two processes at once: each is there once, and one text wins."""
    cf.Collection.create(folder, old).close()
    writers = [start(children, "write", folder, 0, 400) for _ in range(2)]
    for child in writers:
        child.tell("go")
    for child in writers:
        child.rest()
        assert child.process.returncode == 0
    assert everything(folder) == {f"d{number}": text_of(number) for number in range(400)}
    with cf.Collection.open(folder, old) as docs:
        hits = docs.search(text_of(1), k=1_000)
        assert len(hits) == len(set(hits.ids)) == 400


def test_two_filling_processes(folder: Path, old: cf.Encoder, new: cf.Encoder, children: list[Child]) -> None:
    """Two processes that run one migration share it: every document is embedded exactly once, by either."""
    with filled(folder, old, 1_500) as docs:
        fade = docs.migrate(new)
        fade.fit()
        sampled = fade.status().done
        fillers = [start(children, "fill", folder, 0.05) for _ in range(2)]
        for child in fillers:
            child.tell("go")
        embedded: Counter[str] = Counter()
        for child in fillers:
            lines = child.rest()
            assert child.process.returncode == 0
            mine = [text for line in lines if line.startswith("embedding") for text in line.split()[2:]]
            embedded.update(mine)
        assert set(embedded.values()) == {1}
        assert len(embedded) == 1_500 - sampled
        assert fade.status().done == 1_500
    assert require_true_vectors(folder, 2, new) == 1_500


def test_forked_children(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children forked while threads search, write, fill and seal use the collection and the migration they inherit."""
    cf.Collection.create(folder, old).close()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # it can't be forked while threads of its own multiply
    said = dict(line.split(" ", 1) for line in Child("fork", folder, 12).rest())
    assert said["children"] == " ".join(12 * ["0"])
    numbers = [*range(int(said["written"])), *range(CHILDREN, CHILDREN + 12)]
    assert everything(folder) == {f"d{number}": text_of(number) for number in numbers}
    assert require_true_vectors(folder, 1, old) == len(numbers)
    require_intact(folder)


def test_a_lost_thread_holds_no_lock_in_a_forked_child() -> None:
    """A lock that another thread holds while the process forks is free in the child, and still held in the parent."""
    lock, over = _forks.lock(), threading.Event()
    held = threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    assert holds_in_a_child(lambda: lock.acquire(timeout=10))
    assert lock.locked()
    over.set()
    thread.join()


def test_a_forked_child_does_not_go_on_as_builder(tmp_path: Path) -> None:
    """Where a builder of segments dies, another may build, although a child that was forked meanwhile lives on."""
    child = Child("build", tmp_path)
    assert child.line() == "ready True"
    with sealing.only_builder(tmp_path) as alone:
        assert not alone
    child.process.kill()
    child.process.wait()
    with sealing.only_builder(tmp_path) as alone:
        assert alone
    child.tell("end")
    child.rest()


def test_a_stopped_filler_does_not_hold_up_the_others(
    folder: Path, old: cf.Encoder, new: cf.Encoder, children: list[Child]
) -> None:
    """A filler that is killed while another one runs gives its batch back to that one within moments."""
    with filled(folder, old, 600) as docs:
        fade = docs.migrate(new)
        fade.fit()
        stuck = start(children, "fill", folder, 60)
        stuck.tell("go")
        assert stuck.line().startswith("embedding")
        fade.run(until=0.7)
        stuck.kill()
        assert fade.run().done == 600
