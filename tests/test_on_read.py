"""On read: what a search looks at is re-embedded before it answers, or next."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import apsw
import numpy as np
import pytest

import crossfade as cf
from crossfade._uniform import in_order
from crossfade.errors import InvalidInput, ReadOnlyCollection
from support import (
    COUNT,
    NEW,
    OLD,
    failing_for,
    filled,
    leased,
    require_intact,
    require_true_vectors,
    text_of,
    wrapped,
)

LONG = 600.0  # seconds: a budget that is never used up


def having(folder: Path, version: int) -> set[str]:
    """The documents that have a vector in a version."""
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    try:
        query = "SELECT id FROM document WHERE key NOT IN (SELECT key FROM task WHERE version = ?)"
        return {identifier for (identifier,) in connection.execute(query, (version,))}
    finally:
        connection.close()


def test_a_search_re_embeds_what_it_looks_at(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """With time enough all candidates of a query get their vectors, which are kept, and the answer has them."""
    docs.migrate(new).fit()
    before = having(folder, 2)
    first = docs.search(text_of(7), k=100, on_read="off")
    assert first.coverage < 1
    hits = docs.search(text_of(7), k=100, on_read="sync", budget=LONG)
    assert hits.coverage == pytest.approx(1)
    assert {hit.version for hit in hits[:50]} == {2}
    assert having(folder, 2) >= before | set(first.ids)
    assert docs.search(text_of(7), k=100).ids == hits.ids
    assert leased(folder) == 0
    docs.migration.run()  # type: ignore[union-attr]
    docs.close()
    assert require_true_vectors(folder, 2, new) == COUNT
    require_intact(folder)


def test_a_query_is_encoded_once_by_each_model(folder: Path) -> None:
    """Though the search is made again when what it looked at is re-embedded."""
    asked: list[str] = []
    old, new = (wrapped(*which, before=lambda texts: asked.extend(texts)) for which in (OLD, NEW))
    with filled(folder, old, COUNT) as docs:
        docs.migrate(new).fit()
        del asked[:]
        assert docs.search("a query of its own", on_read="sync", budget=LONG).coverage == pytest.approx(1)
    assert asked.count("a query of its own") == 2


def test_the_best_come_first_while_there_is_time(docs: cf.Collection, folder: Path) -> None:
    """A budget that is used up by one batch re-embeds the head of the candidates; none re-embeds nothing."""
    slow = threading.Event()
    new = wrapped(*NEW, before=lambda texts: time.sleep(1.0) if slow.is_set() and len(texts) > 1 else None)
    docs.migrate(new).fit()
    before = having(folder, 2)
    head = [i for i in docs.search(text_of(9), k=100, on_read="off").ids if i not in before]
    docs.search(text_of(9), on_read="sync", budget=0)
    assert having(folder, 2) == before
    slow.set()
    docs.search(text_of(9), on_read="sync", budget=1.0)
    assert having(folder, 2) - before == set(head[:4])


def test_several_texts_share_a_budget(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """What is first for any of them is re-embedded before what is second."""
    docs.migrate(new).fit()
    found = docs.search([text_of(3), text_of(4), text_of(5)], k=1, on_read="sync", budget=LONG)
    assert [hits.ids for hits in found] == [["d3"], ["d4"], ["d5"]]
    assert {"d3", "d4", "d5"} <= having(folder, 2)


def test_a_query_vector_re_embeds_too(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """A vector of either Space is a search like any other."""
    docs.migrate(new).fit()
    vector = new.encode([text_of(11)], kind="query")[0]
    hits = docs.search(vector=vector, space=new.space, k=10, on_read="sync", budget=LONG)
    assert set(hits.ids) <= having(folder, 2)
    vector = old.encode([text_of(222)], kind="query")[0]
    hits = docs.search(vector=vector, space=old.space, k=10, on_read="sync", budget=LONG)
    assert set(hits.ids) <= having(folder, 2)


@pytest.mark.parametrize("state", ["none", "not fitted", "new", "blend"])
def test_there_is_nothing_to_do_outside_of_a_fade(docs: cf.Collection, new: cf.Encoder, state: str) -> None:
    """Without a migration, before its fit and after the cutover a search with a budget is one like any other."""
    if state != "none":
        docs.migrate(new)
    if state in ("new", "blend"):
        docs.migration.run()  # type: ignore[union-attr]
        docs.migration.cutover(serve=state)  # type: ignore[union-attr,arg-type]
    assert docs.search(text_of(5), k=1, on_read="sync", budget=LONG).ids == ["d5"]
    if state == "not fitted":
        assert docs.migration.status().done == 0  # type: ignore[union-attr]


def test_a_writer_is_not_waited_for(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """While somebody else writes, the search answers when its budget is used, without what it has computed."""
    docs.migrate(new).fit()
    docs.search(text_of(5), on_read="off")
    before = having(folder, 2)
    other = apsw.Connection(str(folder / "catalog.sqlite"))
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    assert docs.search(text_of(5), k=1, on_read="sync", budget=0.1).ids == ["d5"]
    assert time.monotonic() - begun < 10  # others are waited for half a minute
    other.execute("ROLLBACK")
    other.close()
    assert having(folder, 2) == before


def test_what_is_edited_meanwhile_is_not_written(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A document edited while its old text is embedded for a search gets no vector of that, and is found as it is."""
    edited: list[str] = []

    def edit(texts: list[str]) -> None:
        if len(texts) > 1 and text_of(5) in texts and fitted and not edited:
            edited.append("d5")
            docs.upsert(cf.Document("d5", "zebra quagga okapi"))

    fitted: list[bool] = []
    racing = wrapped(*NEW, before=edit)
    fade = docs.migrate(racing)
    fade.fit(sample=250, seed=next(seed for seed in range(100) if 5 not in sample(seed)))
    fitted.append(True)
    hits = docs.search(text_of(5), k=100, on_read="sync", budget=LONG)
    assert edited
    assert all(hit.text == "zebra quagga okapi" for hit in hits if hit.id == "d5")
    fade.run()
    fade.cutover()
    docs.close()
    assert require_true_vectors(folder, 2, new) == COUNT


def sample(seed: int) -> list[int]:
    """The documents a fit of the `docs` fixture embeds."""
    return (in_order(np.arange(1, COUNT + 1), seed)[:250].astype(np.int64) - 1).tolist()


def test_an_encoder_that_fails_costs_no_answer(docs: cf.Collection, folder: Path) -> None:
    """A document that can't be embedded is left to the run, which counts its attempts; the search answers."""
    docs.migrate(wrapped(*NEW, before=failing_for(*(text_of(n) for n in range(COUNT) if n % 2)))).fit()
    bad = next(n for n in range(1, COUNT, 2) if f"d{n}" not in having(folder, 2))
    assert docs.search(text_of(bad), k=5, on_read="sync", budget=LONG).ids[0]
    assert leased(folder) == 0


def test_modes_are_checked(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Unknown modes and budgets that are no time are refused, and who may not write can't re-embed."""
    with pytest.raises(InvalidInput, match="on_read must be one of background, sync, off, got 'later'"):
        docs.search("text", on_read="later")
    for budget in (-1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(InvalidInput, match="budget must be a number of seconds"):
            docs.search("text", on_read="sync", budget=budget)  # type: ignore[arg-type]
    with (
        cf.Collection.open(folder, old, new, read_only=True) as reader,
        pytest.raises(ReadOnlyCollection, match="sync"),
    ):
        reader.search("text", on_read="sync")


def test_searches_re_embed_while_a_run_does(folder: Path, new: cf.Encoder) -> None:
    """Threads that search with a budget and a run in another share the work: every document once, nothing is held."""
    with filled(folder, wrapped(*OLD), COUNT) as docs:
        fade = docs.migrate(new)
        fade.fit()
        failed: list[BaseException] = []

        def search(start: int) -> None:
            try:
                for number in range(start, COUNT, 40):
                    assert docs.search(text_of(number), k=5, on_read="sync", budget=0.05).ids
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=search, args=(start,)) for start in range(2)]
        for thread in threads:
            thread.start()
        fade.run()
        for thread in threads:
            thread.join()
        assert failed == []
        assert fade.status().done == COUNT
        fade.cutover()
    assert leased(folder) == 0
    assert require_true_vectors(folder, 2, new) == COUNT
    require_intact(folder)
