"""Several processes on one folder: each sees what the others commit, and none gets in another's way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crossfade as cf
from crossfade.store import sealing
from support import (
    Child,
    documents,
    everything,
    filled,
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
    """A serving process sees an upsert, a delete, a new segment, a fade, a cutover, a rollback and a prune at once."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    with filled(folder, old, 90) as docs:
        child = start(children, "serve", folder)
        assert ask(child, text_of(3)) == {
            "ids": ask(child, text_of(3))["ids"],
            "versions": [1],
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
        fade.cutover()
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
        assert len(embedded) == 1_300
        assert fade.status().done == 1_500
    assert require_true_vectors(folder, 2, new) == 1_500


def test_a_forked_child(folder: Path, old: cf.Encoder) -> None:
    """A child that inherits an open collection gets CollectionClosed, not a hang; it can open its own and write."""
    cf.Collection.create(folder, old).close()
    lines = Child("fork", folder).rest()
    said = dict(line.split(" ", 1) for line in lines)
    assert said.pop("child") == "0"
    assert said.pop("parent") == "d100 11", "the parent goes on, and sees what the child wrote"
    assert (said.pop("close"), said.pop("open")) == ("returned", "returned")
    assert set(said) == {"search", "upsert", "delete", "len", "migrate", "prune"}
    assert all(what.startswith("CollectionClosed") and "Collection.open in the child" in what for what in said.values())
    assert require_true_vectors(folder, 1, old) == 11


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
