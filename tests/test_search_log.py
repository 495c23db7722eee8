"""The log of searches: what is noted, what is kept of it, and that nobody waits for it."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import apsw
import numpy as np
import pytest

import crossfade as cf
from crossfade.catalog import database, searched
from crossfade.errors import InvalidInput, ReadOnlyCollection
from crossfade.search.replay import replay
from crossfade.store import log
from crossfade.store import store as store_of_documents
from support import COUNT, NEW, content_of, filled, holds_in_a_child, text_of, wait_until, wrapped


def hits_of(folder: Path) -> dict[str, float]:
    """What is written of how much searches looked at documents, by id."""
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    try:
        return dict(connection.execute("SELECT id, hits FROM document WHERE hits > 0"))
    finally:
        connection.close()


def test_queries_are_logged(docs: cf.Collection) -> None:
    """Texts with how often and when they were asked, the most frequent first; reports are counted with them."""
    before = time.time()
    docs.search([text_of(1), text_of(2), text_of(1)], k=3)
    docs.report_failing(text_of(2))
    docs.report_failing("never asked")
    first, second, third = docs.queries()
    assert (first.text, first.count, first.failing) == (text_of(1), 2, 0)
    assert (second.text, second.count, second.failing) == (text_of(2), 1, 1)
    assert (third.text, third.count, third.failing) == ("never asked", 0, 1)
    assert before <= first.last_at <= time.time()
    assert docs.queries(1) == [first]
    with pytest.raises(InvalidInput, match="most must be a positive whole number"):
        docs.queries(0)


def test_any_text_is_logged_as_it_came(docs: cf.Collection) -> None:
    """Quotes, backslashes, characters beyond 16 bits, controls and NUL; counted together with what was there."""
    texts = ['w1 "quoted" \\ \'', "w1 \U0001f600", "w1\nw2\x01", "w1\0w2", "w1\0w3"]
    for _ in range(2):
        for text in texts:
            docs.search(text)
        counted = {query.text: query.count for query in docs.queries()}
    assert counted == dict.fromkeys(texts, 2)


def test_documents_count_by_how_high_they_were_found(docs: cf.Collection, folder: Path) -> None:
    """The first counts 1, the second 100/101, the third 100/104, and so on, for every search."""
    ids = docs.search(text_of(5), k=3).ids
    docs.search(text_of(5), k=2)
    docs.close()
    assert hits_of(folder) == pytest.approx({ids[0]: 2, ids[1]: 200 / 101, ids[2]: 100 / 104})


def test_searches_of_two_versions_count_all_candidates(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """While a collection fades, what a search looked at counts, not only what it returned."""
    docs.migrate(new).fit()
    docs.search(text_of(5), k=3)
    docs.close()
    assert len(hits_of(folder)) >= 100


def test_texts_are_not_kept_unless_they_may_be(folder: Path, old: cf.Encoder) -> None:
    """With log_queries=False no text is written, by reports neither, and documents count; texts can be forgotten."""
    filled(folder, old, 20).close()
    with cf.Collection.open(folder, old, log_queries=False) as docs:
        docs.search("a secret", k=3)
        docs.report_failing("another secret")
        assert docs.queries() == []
    assert len(hits_of(folder)) == 3
    assert all(b"secret" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    with cf.Collection.open(folder, old) as docs:
        docs.search("no secret", k=3)
        assert [query.text for query in docs.queries()] == ["no secret"]
        docs.search("another one", k=3)
        docs.forget_queries()
        assert docs.queries() == []


def test_a_search_that_is_off_leaves_no_trace(docs: cf.Collection, folder: Path) -> None:
    """on_read="off" is for measurements: neither texts nor documents are counted."""
    docs.search(text_of(5), k=3, on_read="off")
    assert docs.queries() == []
    docs.close()
    assert hits_of(folder) == {}


def test_a_process_that_only_reads_logs_nothing(folder: Path, old: cf.Encoder) -> None:
    """Not one byte is written for searches with read_only=True; what was logged before can be read."""
    with filled(folder, old, 20) as docs:
        docs.search("a query", k=3)
    before = content_of(folder)
    with cf.Collection.open(folder, old, read_only=True) as docs:
        docs.search("another query", k=3)
        assert [query.text for query in docs.queries()] == ["a query"]
        with pytest.raises(ReadOnlyCollection):
            docs.report_failing("a query")
        with pytest.raises(ReadOnlyCollection):
            docs.forget_queries()
    assert content_of(folder) == before


def test_the_log_is_written_by_and_by(docs: cf.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At intervals a thread writes what was noted, and ends: a fork then finds none."""
    monkeypatch.setattr(log, "INTERVAL_SECONDS", 0.01)
    before = set(threading.enumerate())
    docs._store.log._due = 0.0
    docs.search(text_of(5), k=1)
    wait_until(lambda: set(threading.enumerate()) <= before)
    assert hits_of(folder) == {"d5": 1}


def test_one_thread_writes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one waits for its turn no other is started, however often it is due, and closing waits for it."""
    monkeypatch.setattr(log, "INTERVAL_SECONDS", 0.0)
    turn, begun, ended = threading.Event(), [], []

    class Writer:
        def write(self) -> None:
            begun.append(threading.current_thread())
            turn.wait(30)
            ended.append(threading.current_thread())

    writer = Writer()
    noted = log.SearchLog(writer.write)
    for _ in range(20):
        noted.note(["text"], [np.arange(3, dtype=np.uint64)])
    wait_until(lambda: len(begun) == 1)
    closing = threading.Thread(target=noted.close)
    closing.start()
    noted.note(["text"], [np.arange(3, dtype=np.uint64)])
    assert closing.is_alive()
    turn.set()
    closing.join(30)
    assert len(ended) == 1
    noted.note(["text"], [np.arange(3, dtype=np.uint64)])
    assert begun == ended


def test_writing_the_log_ends_while_searches_go_on(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes what was noted when it began, though between any two parts something else is noted."""
    monkeypatch.setattr(store_of_documents, "MOST_KEYS", 5 * store_of_documents.LOG_PART)
    write, parts = docs._store.write_log_part, []

    def and_search(connection: apsw.Connection) -> bool:
        parts.append(write(connection))
        docs.search(text_of(len(parts)))
        return parts[-1]

    monkeypatch.setattr(docs._store, "write_log_part", and_search)
    docs.search(text_of(5))
    assert {query.text for query in docs.queries()} >= {text_of(5)}
    assert 1 < len(parts) <= 6


def test_a_search_answers_where_no_thread_can_be_started(
    docs: cf.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is written the next time it is due, or when the collection is closed, which doesn't wait for a thread."""

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(log, "INTERVAL_SECONDS", 0.0)
    docs._store.log._due = 0.0
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        assert docs.search(text_of(5), k=1).ids == ["d5"]
    docs._store.log._due = float("inf")
    docs.close()
    assert hits_of(folder) == {"d5": 1}


def test_a_version_that_was_dropped_is_not_asked_the_log(docs: cf.Collection) -> None:
    """Who would replay the log for it, while another process drops it, gets nothing and no error."""
    docs.search(text_of(5))
    docs.queries()
    store, encoders = docs._store, docs._encoders
    assert (len(replay(store, encoders, 1)), len(replay(store, encoders, 99))) == (1, 0)


def test_a_search_does_not_wait_for_the_log(docs: cf.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else holds the catalog's lock, and the log is due, searches answer; it is written afterwards."""
    monkeypatch.setattr(log, "INTERVAL_SECONDS", 0.01)
    other = apsw.Connection(str(folder / "catalog.sqlite"))
    other.execute("BEGIN IMMEDIATE")
    docs._store.log._due, begun = 0.0, time.monotonic()
    for _ in range(3):
        assert docs.search(text_of(5), k=1).ids == ["d5"]
    assert time.monotonic() - begun < database.BUSY_TIMEOUT_MS / 2_000
    assert hits_of(folder) == {}
    other.execute("ROLLBACK")
    wait_until(lambda: hits_of(folder) == {"d5": 3})
    other.close()


def test_what_is_noted_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many documents those looked at most are remembered, of many texts the first."""
    monkeypatch.setattr(log, "MOST_KEYS", 50)
    monkeypatch.setattr(log, "MOST_TEXTS", 10)
    noted = log.SearchLog(test_what_is_noted_stays_bounded.__get__(object))
    hot = np.arange(20, dtype=np.uint64)
    for number in range(400):
        keys = np.concatenate([hot, np.arange(1_000 + number * 10, 1_010 + number * 10, dtype=np.uint64)])
        noted.note([f"text {number}"], [keys])
    first = noted.take(20)
    assert set(first.hits) == set(range(20))
    assert first.hits[0] == pytest.approx(400)
    assert len(first.queries) == 10
    rest = noted.take(1_000)
    assert (len(rest.hits), rest.queries) == (30, {})


@pytest.mark.parametrize("together", [1, 1_000])
def test_of_very_many_searches_some_stand_for_all(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they come faster than they are added up few are kept in memory, one by one or many in a call; what they
    count is right on average, and right altogether for those that come slowly."""
    monkeypatch.setattr(log, "ALL_NOTED", 200)
    monkeypatch.setattr(log, "random", random.Random(0))
    count, keys = 100_000, np.array([3, 4], np.uint64)
    noted = log.SearchLog(test_of_very_many_searches_some_stand_for_all.__get__(object))
    for _ in range(count // together):
        noted.note(["text"] * together, [keys] * together)
    assert noted._entries.qsize() < 200 * (np.log2(1 + count / 200) + 3)
    taken = noted.take(10)
    assert taken.queries["text"][0] == pytest.approx(count, rel=0.25)
    assert taken.hits[3] == taken.queries["text"][0]
    assert taken.hits[4] == pytest.approx(taken.hits[3] * 100 / 101)
    noted.note(["text"] * 200, [keys] * 200)
    assert noted.take(10).queries["text"][0] == 200


@pytest.mark.parametrize("largest", [3, 500, 2**20, 5 * 2**20])
def test_every_key_is_counted(largest: int) -> None:
    """What documents count is the sum over all searches, by their ranks, however far apart their keys are."""
    random = np.random.default_rng(largest)
    keys = [np.unique(random.integers(0, largest + 1, 100)) for _ in range(40)]
    searches = [*map(random.permutation, keys), np.array([largest])]
    noted = log.SearchLog(test_every_key_is_counted.__get__(object))
    for number, found in enumerate(searches):
        noted.note([], [found.astype(np.uint64)])
        if number % 10 == 0:
            assert noted.take(0).hits == {}  # what was added up and not taken is added to
    expected: dict[int, float] = {}
    for found in searches:
        for rank, key in enumerate(found.tolist()):
            expected[key] = expected.get(key, 0.0) + 1.0 / (1.0 + (rank / 10.0) ** 2)
    assert noted.take(10_000).hits == pytest.approx(expected)


def test_the_rarest_queries_are_forgotten(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most that are kept, those asked least go, where long ago counts less; failing ones stay."""
    monkeypatch.setattr(searched, "MOST_QUERIES", 20)
    now = time.time()
    with docs._store.writing() as connection:
        searched.add_queries(connection, {"often": (50, now), "long ago": (50, now - 400 * 86_400.0)})
        searched.report(connection, "failing")
        searched.add_queries(connection, {f"now {number}": (5, now) for number in range(17)})
        searched.add_queries(connection, {"x" * 2_000: (9, now)})
        assert len(searched.queries(connection, 100)) == 20
        searched.add_queries(connection, {"one more": (6, now)})
        kept = {query.text for query in searched.queries(connection, 100)}
    assert len(kept) == 18
    assert {"often", "failing", "one more"} < kept
    assert "long ago" not in kept


def test_a_forked_child_logs_for_itself(docs: cf.Collection) -> None:
    """A child's log is its own: what its parent has noted is written once."""
    docs.search("asked by the parent", k=1)

    def asks() -> bool:
        docs.search("asked by the child", k=1)
        docs.close()
        return True

    assert holds_in_a_child(asks)
    assert {(query.text, query.count) for query in docs.queries()} == {
        ("asked by the parent", 1),
        ("asked by the child", 1),
    }


def test_what_searches_look_at_comes_next(docs: cf.Collection) -> None:
    """A run takes what was searched for since its last batch before all that was ordered."""
    batches: list[list[str]] = []
    wanted: list[str] = []

    def embed(texts: list[str]) -> None:
        batches.append(list(texts))
        if len(texts) == 64 and not wanted and len(batches) > 4:  # the sample is done
            done = {text for batch in batches for text in batch}
            wanted.append(next(text_of(n) for n in reversed(range(COUNT)) if text_of(n) not in done))
            docs.search(wanted[0], k=1)

    docs.migrate(wrapped(*NEW, before=embed), order="age").run()
    filled = [batch for batch in batches if len(batch) > 1][4:]  # beside queries, and the sample
    assert [wanted[0] in batch for batch in filled] == [False, True, *[False] * (len(filled) - 2)]


def test_judgements_are_kept_by_id(docs: cf.Collection, folder: Path) -> None:
    """What was said of a document survives its edit and its end; the latest one counts, and None takes it back."""
    before = time.time()
    docs.judge("first question", "d1", 2)
    docs.judge("first question", "d0", 1)
    docs.judge("first question", "d1", 0.5, judge="reranker")
    docs.judge("second question", "d2", 1)
    docs.judge("second question", "d2", None)
    docs.upsert(cf.Document("d1", "another text"))
    docs.delete("d0")
    docs.forget_queries()
    docs.close()
    with cf.Collection.open(folder) as again:
        first, second = again.judgements()
    assert (first.query, first.id, first.grade, first.judge) == ("first question", "d0", 1.0, "person")
    assert (second.query, second.id, second.grade, second.judge) == ("first question", "d1", 0.5, "reranker")
    assert before <= first.at <= second.at <= time.time()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((" ", "d1", 1), "text of a query"),
        (("question", "nobody", 1), "no document 'nobody'"),
        (("question", "", 1), "non-empty string"),
        (("question", "d1", float("nan")), "finite number"),
        (("question", "d1", True), "finite number"),
    ],
)
def test_judgements_that_can_not_be_kept_are_refused(
    docs: cf.Collection, arguments: tuple[str, str, float], complaint: str
) -> None:
    """An empty query, an unknown document and a grade that is no number leave nothing behind."""
    with pytest.raises(InvalidInput, match=complaint):
        docs.judge(*arguments)
    assert docs.judgements() == []
