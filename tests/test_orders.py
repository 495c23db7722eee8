"""Orders: what is re-embedded first."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade import orders
from crossfade.catalog import versions
from crossfade.errors import InvalidInput
from crossfade.migration import ordering
from crossfade.migration.stopping import Stop
from crossfade.orders import Age, Default, Failing, Hot, Priority, Random, Recent, Uncertain, parse
from embedding_service import Service, http
from support import COUNT, NEW, OLD, documents, filled, stop_after_one_batch, text_of, wrapped

DAY = 86_400.0
SOME = [
    Hot(),
    Recent(30),
    Random(7),
    0.7 * Hot() + 0.3 * Recent(),
    Hot() * Uncertain() + Age(),
    2 * (Failing() + Priority()) * Hot(),
    Default(),
]


@dataclasses.dataclass
class Facts:
    hits: orders.Grades = dataclasses.field(default_factory=lambda: np.zeros(4))
    failing: orders.Grades = dataclasses.field(default_factory=lambda: np.zeros(4))
    priority: orders.Grades = dataclasses.field(default_factory=lambda: np.zeros(4))
    updated_at: orders.Grades = dataclasses.field(default_factory=lambda: np.full(4, np.nan))
    uncertainty: orders.Grades = dataclasses.field(default_factory=lambda: np.zeros(4))
    now: float = 1_000 * DAY


def first_to_last(order: orders.Order, facts: Facts) -> list[int]:
    return np.argsort(-order.grades(facts), kind="stable").tolist()


def waiting(docs: cf.Collection) -> list[str]:
    """The ids of the documents that wait, in the order they will be taken."""
    with docs._store.reading() as connection:
        rows = connection.execute("SELECT document.id FROM task JOIN document USING (key) ORDER BY rank DESC, key")
        return [identifier for (identifier,) in rows]


def ordered(docs: cf.Collection, order: orders.Order | str) -> list[str]:
    """The ids of documents in the order in which a migration would take them."""
    fade = docs.migrate(wrapped(*NEW), order=order)
    rank(docs)
    found = waiting(docs)
    fade.abandon()
    return found


def rank(docs: cf.Collection) -> None:
    """Gives the tasks of a migration their ranks, as its run does after the fit."""
    with docs._store.reading() as connection:
        current = versions.read(connection).migration
    assert current is not None
    ordering.rank_tasks(docs._store, docs._encoders, current, Stop())


def test_an_order_goes_by_what_it_is_named_for() -> None:
    """Each puts first what it says, grades it up to 1, and what it says nothing of gets 0."""
    facts = Facts(
        hits=np.array([0, 5, 1, 0.5]),
        failing=np.array([0, 0, 3, 0.0]),
        priority=np.array([0, 0, -1, 8.0]),
        updated_at=np.array([999, np.nan, 10, 990]) * DAY,
        uncertainty=np.array([0.1, 0.4, 0.3, 0.2]),
    )
    assert Hot().grades(facts) == pytest.approx([0, 1, 2 / 3, 1 / 3])
    assert Failing().grades(facts) == pytest.approx([0, 0, 1, 0])
    assert Priority().grades(facts) == pytest.approx([2 / 3, 2 / 3, 0, 1])
    assert Recent().grades(facts) == pytest.approx([1, 0, 0, 0.5])
    assert Recent(5).grades(facts) == pytest.approx([1, 0, 0, 0])
    assert first_to_last(Uncertain(), facts) == [1, 2, 3, 0]
    assert first_to_last(Age(), facts) == [1, 2, 3, 0]
    assert Random(1).grades(facts).tolist() == Random(1).grades(facts).tolist() != Random(2).grades(facts).tolist()


def test_a_mix_weighs_grades() -> None:
    """A sum adds grades by weight, a product wants both."""
    facts = Facts(hits=np.array([4, 3, 2, 1.0]), uncertainty=np.array([1, 2, 3, 4.0]))
    assert (0.7 * Hot() + 0.3 * Uncertain()).grades(facts) == pytest.approx([0.775, 0.675, 0.575, 0.475])
    assert (Hot() * Uncertain()).grades(facts) == pytest.approx([1 / 4, 3 / 8, 3 / 8, 1 / 4])


def test_the_default_is_the_rule_of_the_field() -> None:
    """The twentieth searched most, then what is recent, then what fails or has priority, then the rest by its hits."""
    count = 100
    facts = Facts(*(np.zeros(count) for _ in range(3)), np.full(count, np.nan), np.zeros(count))
    facts.hits[[10, 11, 12, 13, 14]], facts.hits[15] = 9, 3
    facts.updated_at[[20, 21]] = facts.now - np.array([DAY, 300 * DAY])
    facts.failing[30], facts.priority[31] = 1, 50
    assert first_to_last(Default(), facts)[:9] == [10, 11, 12, 13, 14, 20, 30, 31, 15]


@pytest.mark.parametrize("order", SOME, ids=str)
def test_an_order_is_read_from_its_text(order: orders.Order) -> None:
    """What `str` gives is read back as an equal order: so it is kept with a migration."""
    assert parse(str(order)) == order
    assert parse(order) is order


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "hottest",
        "hot +",
        "0.5",
        "hot * -1",
        "0*hot",
        "random(-1)",
        "recent('x')",
        "hot(3)",
        "hot.name",
        "1+hot",
        None,
        "__import__('os')",
        "hot" + "+hot" * 500,
        "inf*hot",
        "recent(1e999)",
        "random(0.5)",
    ],
)
def test_what_is_no_order_is_refused(docs: cf.Collection, wrong: str | None) -> None:
    """InvalidInput, before a migration begins."""
    with pytest.raises(InvalidInput):
        parse(wrong)  # type: ignore[arg-type]
    if wrong is not None:
        with pytest.raises(InvalidInput, match=r"order|random|recent"):
            docs.migrate(wrapped(*NEW), order=wrong)
    assert docs.migration is None


def test_a_migration_fills_in_its_order(folder: Path, old: cf.Encoder) -> None:
    """Ranks follow the order that `migrate` was given, over values of the documents themselves."""
    with cf.Collection.create(folder, old) as docs:
        docs.upsert([dataclasses.replace(item, priority=n % 7) for n, item in enumerate(documents(40))])
        found = [int(identifier[1:]) % 7 for identifier in ordered(docs, "priority")]
        assert found == sorted(found, reverse=True)
        now = time.time()
        docs.upsert([dataclasses.replace(item, updated_at=now - n * 5 * DAY) for n, item in enumerate(documents(40))])
        assert ordered(docs, Recent(100))[:20] == [f"d{number}" for number in range(20)]
        assert ordered(docs, "age") == [f"d{number}" for number in reversed(range(40))]
        assert ordered(docs, "random(1)") == ordered(docs, "random(1)") != ordered(docs, "random(2)")


def test_an_order_is_kept_with_the_migration(docs: cf.Collection, folder: Path, old: cf.Encoder) -> None:
    """Another process follows it on resuming; `run` can change it, for what is still to do."""
    seen: list[str] = []
    new = wrapped(*NEW, before=seen.extend)
    fade = docs.migrate(new, order="age")
    fade.fit()
    del seen[:]
    docs.close()
    with cf.Collection.open(folder, old, new) as again:
        fade = again.migrate(new)
        left = [int(identifier[1:]) for identifier in waiting(again)]
        fade.run(stop=stop_after_one_batch())
        assert seen == [text_of(number) for number in sorted(left)[:64]]
        fade.run(order="random(5)", stop=lambda: True)
        remaining = waiting(again)
        assert remaining != sorted(remaining, key=lambda identifier: int(identifier[1:]))
        again.migrate(new, order="age").run(stop=lambda: True)
        assert waiting(again) == sorted(remaining, key=lambda identifier: int(identifier[1:]))


def test_ordering_that_was_interrupted_is_done_again(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when all tasks have their ranks is that noted; what searches moved to the front meanwhile stays there."""
    monkeypatch.setattr(ordering, "CHUNK", 50)
    docs.migrate(wrapped(*NEW), order="age")

    class Killed(BaseException):
        pass

    original, calls = ordering.searched.rank, []

    def dies(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise Killed
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ordering.searched, "rank", dies)
    with pytest.raises(Killed):
        rank(docs)
    found = docs.search(text_of(399), k=1)
    assert found.ids == ["d399"]
    docs._store.write_log()
    rank(docs)
    left = waiting(docs)
    assert left[0] == "d399"
    assert left[1:] == sorted(left[1:], key=lambda identifier: int(identifier[1:]))


def test_ranks_of_many_tasks_are_coarse_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond `EXACT` tasks a rank is true to within 2 % of its place, and never above or equal to 1."""
    count = 50_000
    grades = np.random.default_rng(0).random(count)
    ranks = ordering._ranks(grades, np.arange(count))
    assert 0 <= ranks.min() < ranks.max() < 1
    assert len(np.unique(ranks)) < 1_000
    by_grade = ranks[np.argsort(-grades)]
    assert (np.diff(by_grade) <= 0).all()
    places = (1 - by_grade) * (count + 1) - 1
    assert np.abs(places - np.arange(count)).max() <= 0.02 * count
    assert len(np.unique(ordering._ranks(grades[:1_000], np.arange(1_000)))) == 1_000


@pytest.mark.parametrize(("sample", "apart"), [(4_000, 10), (300, 5)])  # of 310 documents
def test_uncertain_documents_are_those_that_lie_apart(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch, sample: int, apart: int
) -> None:
    """Texts like no other come first, without one of them being encoded by the new model.

    Where a sample tells what is usual, those come first that are not in it.
    """
    monkeypatch.setattr(ordering, "SAMPLE", sample)
    with cf.Collection.create(folder, old) as docs:
        docs.upsert([cf.Document(f"d{n}", f"apples and pears number n{n % 20} {n % 3}") for n in range(300)])
        docs.upsert([cf.Document(f"odd{n}", text_of(n)) for n in range(10)])
        assert {identifier[:3] for identifier in ordered(docs, "uncertain")[:apart]} == {"odd"}


def test_uncertainty_of_vectors_that_are_all_the_same(folder: Path) -> None:
    """Where nothing varies nothing is uncertain, and the fill goes on."""
    same = cf.Encoder.wrap(
        lambda texts: np.ones((len(texts), 8), np.float32), cf.Space(model="same", dim=8, version="1")
    )
    with filled(folder, same, 20) as docs:
        assert docs.migrate(wrapped(*OLD), order="uncertain").run().done == 20


def test_what_is_written_meanwhile_takes_its_place(docs: cf.Collection) -> None:
    """A document of priority that is written during a migration comes before what is ordered already."""
    docs.migrate(wrapped(*NEW), order="age")
    rank(docs)
    docs.upsert([cf.Document("vip", "written of late", priority=1), cf.Document("d401", text_of(401))])
    left = waiting(docs)
    assert left[0] == "vip"
    assert "d401" in left[1:]


def test_failing_queries_come_first(docs: cf.Collection) -> None:
    """What a reported query looks at comes first in the order "failing", and an edited document goes on failing."""
    assert docs.report_failing(text_of(123)) == 100
    assert ordered(docs, "failing")[0] == "d123"
    docs.upsert(cf.Document("d123", text_of(9_123)))
    assert ordered(docs, "failing")[0] == "d123"
    with pytest.raises(InvalidInput, match="the text of a query"):
        docs.report_failing(" ")


def test_a_report_during_a_migration_moves_what_it_finds_to_the_front(docs: cf.Collection) -> None:
    """A query reported as failing is not left until the next migration."""
    docs.migrate(wrapped(*NEW), order="age")
    rank(docs)
    docs.report_failing(text_of(377))
    assert waiting(docs)[0] == "d377"


def test_queries_of_a_service_are_not_asked_again(folder: Path, service: Service) -> None:
    """It would charge for them: the order goes by what searches were counted to look at."""
    old = http(service)
    with filled(folder, old, COUNT) as docs:
        found = docs.search(text_of(3), k=5).ids
        docs.migrate(wrapped(*NEW), order="hot")
        before = len(service.seen)
        rank(docs)
        assert len(service.seen) == before
        assert waiting(docs)[:5] == found


def test_logged_queries_are_asked_again(folder: Path, old: cf.Encoder) -> None:
    """The order "hot" knows all that frequent queries look at, not only the few documents that they returned."""
    with filled(folder, old, COUNT) as docs:
        for _ in range(2):
            docs.search(text_of(3), k=1)
        first = ordered(docs, "hot")[:50]
        looked_at = docs.search(text_of(3), k=50, on_read="off").ids
        assert first == looked_at
        docs.forget_queries()
        again = ordered(docs, "hot")
        assert again[0] == "d3"
        assert again[:50] != looked_at
