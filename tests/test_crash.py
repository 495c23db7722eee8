"""Crashes: processes killed in the middle of whatever they do, and what is there when the folder is opened again."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

import crash_child
import crossfade as cf
from crossfade.migration import fill
from crossfade.store import sealing
from support import (
    NEW,
    OLD,
    Child,
    documents,
    everything,
    filled,
    is_first,
    require_intact,
    require_true_vectors,
    settle,
    text_of,
    wrapped,
)

COUNT = 3_000
TURNED = 80  # documents: enough for a Bridge
KILLS = 3
SEEDS = (1, 2)


def kill_somewhere(child: Child, chance: random.Random) -> list[str]:
    """Lets a child work for a random while, and kills it; what it said after "ready"."""
    assert child.line() == "ready"
    child.tell("go")
    lines = [child.line() for _ in range(chance.randint(0, 4))]
    time.sleep(chance.uniform(0.0, 0.03))
    return lines + child.kill()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_fill_is_resumed(folder: Path, old: cf.Encoder, new: cf.Encoder, seed: int) -> None:
    """kill -9 at any moment of a run, again and again: each costs one batch at most, and every vector is right."""
    chance = random.Random(seed)
    filled(folder, old, COUNT).close()
    embedded: Counter[str] = Counter()
    for _ in range(KILLS):
        for line in kill_somewhere(Child("fill", folder, 0.02), chance):
            if line.startswith("embedding"):
                embedded.update(line.split()[2:])
        require_intact(folder)
    assert embedded, "no child got as far as its first batch"

    def count(texts: list[str]) -> None:
        embedded.update(text.split()[0] for text in texts)

    with cf.Collection.open(folder, old) as docs:
        fade = docs.migrate(wrapped(*NEW, before=count))
        started = time.monotonic()
        assert fade.run().done == COUNT
        assert time.monotonic() - started < 30, "it waited for the leases of the dead"
        assert set(embedded) == {text_of(number).split()[0] for number in range(COUNT)}
        assert embedded.total() <= COUNT + KILLS * fill.BATCH
        fade.cutover()
        is_first(docs, *range(0, COUNT, 211))
    assert require_true_vectors(folder, 2, new) == require_true_vectors(folder, 1, old) == COUNT


def test_a_fit_that_was_killed_learns_from_the_whole_sample(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Documents that a killed fit had in hand are not missing from the sample of the next one."""
    filled(folder, old, 300).close()
    child = Child("fill", folder, 30)
    assert child.line() == "ready"
    child.tell("go")
    assert child.line().startswith("embedding")
    child.kill()
    with cf.Collection.open(folder, old) as docs:
        assert docs.migrate(new).fit() is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_writers_lose_nothing_acknowledged(
    folder: Path, old: cf.Encoder, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every upsert and delete that returned is there, the one in hand wholly or not at all; nothing else."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", crash_child.TAIL_ROWS)
    chance = random.Random(seed)
    cf.Collection.create(folder, old).close()
    done = 0
    for _ in range(KILLS):
        lines = kill_somewhere(Child("operate", folder, done), chance)
        done += len(lines)
        assert lines == [f"acknowledged {number}" for number in range(done - len(lines), done)]
        texts = everything(folder)
        if texts != crash_child.after(done):
            done += 1
        assert texts == crash_child.after(done)
        require_intact(folder)
        assert require_true_vectors(folder, 1, old) == len(texts)
    with cf.Collection.open(folder, old) as docs:
        names = sorted(texts)[:: max(1, len(texts) // 40)]
        assert [hits.ids for hits in docs.search([texts[name] for name in names], k=1)] == [[name] for name in names]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_while_cutting_over_and_back(folder: Path, old: cf.Encoder, new: cf.Encoder, seed: int) -> None:
    """One version is live at every moment, both stay complete, the switch can be made again at once, and what serves
    is kept for as long as it does."""
    chance = random.Random(seed)
    with filled(folder, old, TURNED) as docs:
        docs.migrate(new).run()
    done = 0
    for _ in range(KILLS):
        lines = kill_somewhere(Child("turn", folder, done), chance)
        done += len(lines)
        require_intact(folder)
        with cf.Collection.open(folder, old, new) as docs:
            roles = {version["number"]: version["state"] for version in docs.status().versions}
            assert roles in ({1: "live", 2: "retained"}, {1: "retained", 2: "live"}, {1: "live", 2: "filling"})
            assert docs.migration is not None
            status = docs.migration.status()
            assert (status.state == "cut over") == (roles[2] == "live")
            both = roles[1] == "retained" and docs.status().versions[0]["retained_until"] is None
            assert (status.serve == "blend") == both
            assert (docs.search(text_of(7)).method == "fade") == (both or roles[2] == "filling")
            assert all(f"turn{number}" in docs for number in range(done))
            is_first(docs, 7, 31)
            done = len(docs) - TURNED
        assert require_true_vectors(folder, 1, old) == require_true_vectors(folder, 2, new) == TURNED + done


def test_junk_of_a_killed_builder_is_cleared_away(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written segment is no obstacle and does not stay; a stranger's file is left alone."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 50)
    filled(folder, old, 40).close()
    junk, stranger = folder / "versions/0001/0123abcd.segment.tmp", folder / "versions/0001/notes.txt"
    junk.write_bytes(b"half a segment")
    stranger.write_text("not ours")
    with cf.Collection.open(folder, old) as docs:
        docs.upsert(documents(60, start=40))
        settle(docs)
        is_first(docs, 3, 77)
    assert not junk.exists()
    assert stranger.exists()


def test_a_killed_create_leaves_a_whole_collection_or_none(tmp_path: Path) -> None:
    """The folder gets its name when it is complete: whatever has the name can be opened, and the rest taken anew."""
    lines = kill_somewhere(Child("create", tmp_path), random.Random(1))
    found = [path for path in tmp_path.iterdir() if path.suffix == ".cf" and not path.name.startswith(".")]
    assert len(found) in (len(lines), len(lines) + 1)
    for path in found:
        with cf.Collection.open(path, wrapped(*OLD)) as docs:
            assert docs.upsert(documents(1)).new == 1
    with cf.Collection.create(tmp_path / f"{len(found)}.cf", wrapped(*OLD)) as docs:
        assert len(docs) == 0
