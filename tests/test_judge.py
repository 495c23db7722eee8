"""Judging blind: what is shown of two models, and what a person's keys make of it, in processes of their own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import crossfade as cf
from crossfade import assess
from crossfade.errors import EncoderMissing, InvalidInput
from support import COUNT, NEW, content_of, filled, stop_after_one_batch, text_of, wrapped

QUERIES = [" ".join(text_of(number).split()[2:6]) for number in range(30)]
LINES = {
    "password": "How do I reset my password?",
    "hours": "Opening hours on Sundays and holidays",
    "cats": "The cat sat on the mat",
    "forgot": "I have forgotten the secret word of my account",
    "cook": "Recipes for a quick dinner",
}


def ids(sides: assess.Sides, model: str) -> list[str]:
    """What a model found."""
    return [document.id for document in sides.lists[sides.models.index(model)]]


# What is shown.


def test_one_model_shows_its_list(docs: cf.Collection) -> None:
    """Without another model there is one list, of what a search finds, and nothing is noted in the log."""
    for sides in docs.side_by_side(QUERIES[:5], k=7):
        assert sides.models == ("live",)
        assert ids(sides, "live") == docs.search(sides.query, k=7, on_read="off").ids
    assert docs.queries() == []


def test_both_versions_of_a_migration_are_shown(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """While one is under way, and by name afterwards, both answer by their own vectors; nothing is embedded for it."""
    fade = docs.migrate(new)
    fade.run()
    during = docs.side_by_side(QUERIES)
    fade.cutover()
    expected = {query: docs.search(query, on_read="off").ids for query in QUERIES}
    assert [ids(sides, "other") for sides in during] == [expected[sides.query] for sides in during]
    after = docs.side_by_side(QUERIES, old)
    assert [ids(sides, "other") for sides in after] == [ids(sides, "live") for sides in during]
    assert [len(sides.lists) for sides in docs.side_by_side(QUERIES)] == [1] * len(QUERIES)


def test_a_half_filled_version_shows_what_it_has(docs: cf.Collection, new: cf.Encoder) -> None:
    """The new model's list is of the documents that are re-embedded."""
    fade = docs.migrate(new)
    fade.fit()
    fade.run(stop=stop_after_one_batch())
    done = {f"d{n}" for n in range(COUNT) if len(docs.vectors(f"d{n}")) == 2}
    assert 0 < len(done) < COUNT
    for sides in docs.side_by_side(QUERIES[:5]):
        assert set(ids(sides, "other")) <= done


def test_a_model_that_is_not_there_is_asked_on_a_sample(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """As many documents as may be are embedded; the other list is of these, best first by its model."""
    seen: list[str] = []
    with filled(folder, old, 600) as docs:
        docs.search("w1", on_read="off")  # notes what it has compared with its checksums
        before = content_of(folder)
        found = docs.side_by_side(QUERIES[:5], wrapped(*NEW, before=seen.extend), k=5)
        assert content_of(folder) == before
        embedded = {text for text in seen if text not in QUERIES}
        assert len(embedded) <= 400
        rows = dict(zip(sorted(embedded), new.encode(sorted(embedded)), strict=True))
        for sides in found:
            query = new.encode([sides.query], "query")[0]
            best = sorted(embedded, key=lambda text: -float(rows[text] @ query))[:5]
            assert [text_of(int(name[1:])) for name in ids(sides, "other")] == best
            assert ids(sides, "live") == docs.search(sides.query, k=5, on_read="off").ids


def test_the_order_tells_nothing(docs: cf.Collection, new: cf.Encoder) -> None:
    """Either model stands first about as often, by the seed and the query alone; other queries move none of it."""
    docs.migrate(new).run()
    orders = {sides.query: sides.models for sides in docs.side_by_side(QUERIES, seed=1)}
    first = sum(models[0] == "live" for models in orders.values())
    assert 8 <= first <= 22
    assert {sides.query: sides.models for sides in docs.side_by_side(QUERIES[::-1], seed=1)} == orders
    assert {sides.query: sides.models for sides in docs.side_by_side(QUERIES, seed=2)} != orders
    some = docs.side_by_side(QUERIES[3:4], seed=1)
    assert some[0].models == orders[QUERIES[3]]
    shown = [document.id for document in some[0].documents]
    assert len(shown) == len(set(shown))
    assert set(shown) == {document.id for one in some[0].lists for document in one}
    assert set(shown[:2]) == {one[0].id for one in some[0].lists} or some[0].lists[0][0] == some[0].lists[1][0]


def test_what_can_not_be_shown(docs: cf.Collection, old: cf.Encoder, folder: Path) -> None:
    """The live model beside itself, texts that are none, and numbers out of range are refused."""
    with pytest.raises(InvalidInput, match="is the live model"):
        docs.side_by_side(QUERIES, old)
    for queries in ("text", {"q": "text"}, [" "], [3]):
        with pytest.raises(InvalidInput, match="text"):
            docs.side_by_side(queries)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="k must be"):
        docs.side_by_side(QUERIES, k=0)
    with pytest.raises(InvalidInput, match="at least 400"):
        docs.side_by_side(QUERIES, sample=10)
    with pytest.raises(InvalidInput, match="seed"):
        docs.side_by_side(QUERIES, seed=-1)
    assert docs.side_by_side([]) == []
    docs.close()
    with cf.Collection.open(folder) as without, pytest.raises(EncoderMissing):
        without.side_by_side(QUERIES)


# What keys do.


@pytest.fixture
def kb(folder: Path, l3: cf.Encoder) -> Path:
    """Five documents, and two queries in the log, one of which was asked twice."""
    with cf.Collection.create(folder, l3) as docs:
        docs.upsert([cf.Document(id_, text) for id_, text in LINES.items()])
        docs.search(["when is it open", "lost password", "lost password"])
    return folder


def judge(*words: str | Path, keys: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with lines of keys piped into it."""
    command = [sys.executable, "-c", "from crossfade.cli import main; main()", "judge", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, input=keys, capture_output=True, text=True, timeout=120, env=environment)


def kept(folder: Path) -> dict[tuple[str, str], float]:
    with cf.Collection.open(folder, read_only=True) as docs:
        assert {judgement.judge for judgement in docs.judgements()} <= {"person"}
        return {(judgement.query, judgement.id): judgement.grade for judgement in docs.judgements()}


def test_answers_are_recorded_and_not_asked_again(kb: Path) -> None:
    """The most frequent query comes first; what is graded is kept, s passes on, q ends, and the next sitting begins
    with what has no answer."""
    done = judge(kb, "-k", "3", "--json", keys="3\ns\nx\n0\n1\nq\n")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    recorded = {(one["query"], one["id"]): one["grade"] for one in told["recorded"]}
    assert recorded == kept(kb)
    assert list(recorded.values()) == [3.0, 0.0, 1.0]
    assert [query for query, _ in recorded] == ["lost password", "lost password", "when is it open"]
    assert told["left"] == 3
    assert done.stderr.count("q quit") == 6, "x is no key, and asked again"
    again = judge(kb, "-k", "3", "--json", keys="2\n" * 20)
    rest = {(one["query"], one["id"]): one["grade"] for one in json.loads(again.stdout)["recorded"]}
    assert len(rest) == 3
    assert not rest.keys() & recorded.keys()
    assert kept(kb) == recorded | rest
    over = judge(kb, "-k", "3", keys="")
    assert over.stdout.strip() == "0 judgements recorded, none left"


def test_undo_takes_back(kb: Path) -> None:
    """u goes back to the latest question, across queries and skips, and takes its answer back; then there is none."""
    done = judge(kb, "-k", "2", "--json", keys="1\ns\n2\nu\nu\nu\nu\n3\n0\n")
    told = json.loads(done.stdout)
    assert [one["grade"] for one in told["recorded"]] == [3.0, 0.0]
    assert "there is nothing to undo" in done.stderr
    assert list(kept(kb).values()).count(3.0) == 1
    assert len(kept(kb)) == 2


def test_answers_are_kept_at_once(kb: Path) -> None:
    """Whoever is killed in the middle of a sitting loses nothing that was answered."""
    command = [sys.executable, "-c", "from crossfade.cli import main; main()", "judge", str(kb)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stderr
    process.stdin.write("3\n")
    process.stdin.flush()
    read = ""
    while "2 of" not in read:
        read += process.stderr.read(1)
    process.kill()
    process.communicate()
    assert list(kept(kb).values()) == [3.0]


def test_two_lists_are_shown_blind(kb: Path, l6: cf.Encoder, tmp_path: Path) -> None:
    """Of two models the lists are called A and B, and nothing shown names a model."""
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q1", "text": "lost password"}\n')
    done = judge(kb, "--to", "minilm-l6", "--queries", queries, "-k", "2", "--json", keys="2\n" * 10)
    assert done.returncode == 0, done.stderr
    assert {id_ for _, id_ in kept(kb)} == {one["id"] for one in json.loads(done.stdout)["recorded"]}
    header = next(line for line in done.stderr.splitlines() if " A " in line)
    assert " B " in header
    assert "minilm" not in done.stderr
    assert "live" not in done.stderr


def test_without_queries_it_says_what_to_do(folder: Path, l3: cf.Encoder) -> None:
    """A collection that nobody has asked anything needs --queries."""
    cf.Collection.create(folder, l3).close()
    done = judge(folder, keys="")
    assert (done.returncode, "give --queries FILE" in done.stderr) == (1, True)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *words: str | Path) -> None:
        self._end, other = pty.openpty()
        command = [sys.executable, "-c", "from crossfade.cli import main; main()", *map(str, words)]
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, start_new_session=True)
        os.close(other)
        self._read = ""

    def press(self, key: str) -> None:
        """Types a key, without Enter, as soon as it is asked for."""
        self.wait_for("q quit: ")
        deadline = time.monotonic() + 30.0
        while termios.tcgetattr(self._end)[3] & termios.ICANON:  # it still reads whole lines
            assert time.monotonic() < deadline, self._read
            time.sleep(0.01)
        os.write(self._end, key.encode())

    def wait_for(self, text: str) -> None:
        """Reads what it shows until a text, and forgets all up to it."""
        while text not in self._read:
            self._read += os.read(self._end, 4_096).decode(errors="replace")
        self._read = self._read.partition(text)[2]

    def close(self) -> None:
        os.close(self._end)
        self.process.wait(60)


@pytest.fixture
def terminal(kb: Path) -> Iterator[Terminal]:
    running = Terminal("judge", kb, "-k", "2")
    yield running
    running.close()


def test_on_a_terminal_a_key_is_enough(terminal: Terminal, kb: Path) -> None:
    """Keys count as they are pressed, without Enter; an arrow is no answer."""
    for key in ("3", "\x1b[A", "0", "u", "1", "q"):
        terminal.press(key)
    terminal.wait_for("2 judgements recorded, 2 documents left")
    assert sorted(kept(kb).values()) == [1.0, 3.0]
