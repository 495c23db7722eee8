"""The verdict: by which rule, with which strategy, from a collection's façade."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.assess import Assessment
from crossfade.assess.pilot import stratified
from crossfade.errors import InvalidInput
from library import COUNT, NEW, OLD, SAMPLE, WORSE, noisy, queries, text_of
from support import content_of, wrapped


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cf.Collection]:
    with cf.Collection.create(tmp_path_factory.mktemp("verdict") / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n), meta={"lang": "de" if n % 3 else "en"}) for n in range(COUNT)])
        yield docs


def assessed(docs: cf.Collection, new: cf.Encoder, **options: object) -> Assessment:
    asked = queries()
    return docs.assess(new, queries=asked.texts, qrels=asked.qrels, sample=SAMPLE, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def better(library: cf.Collection) -> Assessment:
    return assessed(library, NEW)


def test_a_better_model_is_a_go(library: cf.Collection, better: Assessment) -> None:
    """Decision, rule, strategy and code, and evidence with numbers, intervals and meanings; all of it as JSON."""
    verdict = better.verdict
    assert (verdict.decision, verdict.strategy, verdict.provisional) == ("go", "bulk", False)
    assert verdict.rule.startswith("better: ndcg@10")
    assert verdict.commands == ()  # a callable has no name to load it by
    assert (better.old, better.new, better.path) == (OLD.space, NEW.space, str(library.path))
    told = json.loads(json.dumps(better.to_dict(), allow_nan=False))
    assert told["verdict"]["decision"] == "go"
    assert told["verdict"]["thresholds"]["min_lift"] == 0.05
    assert all(item["name"] and item["meaning"] for item in told["evidence"])
    assert len(told["curves"]["random"]) == len(verdict.curve)
    assert "\n" not in repr(better)
    assert "go, bulk" in repr(better)


def test_a_worse_model_is_a_stay(library: cf.Collection) -> None:
    """Nothing is to be carried out, and no curve is drawn."""
    verdict = assessed(library, WORSE).verdict
    assert (verdict.decision, verdict.strategy, verdict.code, verdict.curve) == ("stay", "stay", (), ())
    assert verdict.rule.startswith("the new model is worse")


def test_documents_are_embedded_once(library: cf.Collection) -> None:
    """Facts and comparison share their documents: no text is embedded twice, and no more than the sample in all."""
    seen: list[str] = []
    counting = noisy("counting", 96, 0.5)

    def rows(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return counting.encode(texts)

    new = cf.Encoder.wrap(rows, cf.Space(model="counting", dim=96, version="2", query_prefix="q: "))
    told: list[tuple[int, int]] = []
    found = assessed(library, new, progress=lambda done, total: told.append((done, total)))
    embedded = [text for text in seen if not text.startswith("q: ")]
    assert found.quality is not None
    # The first text of all is embedded once more, so that engines get ready before they are timed.
    assert len(embedded) - 1 == len(set(embedded)) == found.quality.pool.embedded <= SAMPLE
    assert {total for _, total in told} == {SAMPLE}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert found.facts.cost["documents"] == found.quality.pool.uniform == SAMPLE // 4


def test_two_queries_are_not_enough(library: cf.Collection) -> None:
    """However much better a model seems by them."""
    found = library.assess(NEW, queries={"a": text_of(1), "b": text_of(2)}, qrels={"a": {"d1": 1}, "b": {"d2": 1}})
    assert found.verdict.decision == "not enough evidence"
    assert "28 more judged queries" in found.verdict.would_change
    assert found.verdict.strategy == "bulk"  # what a go would lead to


def test_the_same_model_under_another_name_is_nothing_to_do(library: cf.Collection) -> None:
    """Its vectors tell, whatever it is called; no query is asked."""
    space = cf.Space(model="gateway/plain", dim=96, version="1")
    found = assessed(library, cf.Encoder.wrap(OLD.encode, space))
    assert (found.verdict.decision, found.quality) == ("nothing to do", None)


def test_a_model_that_knows_less_than_words_is_a_stay_at_once(library: cf.Collection) -> None:
    """Rows that have nothing to do with the texts: nothing beyond the small sample is embedded."""
    asked = queries()
    found = library.assess(noisy("random", 96, 1e6), queries=asked.texts, qrels=asked.qrels)
    assert (found.verdict.decision, found.quality) == ("stay", None)
    assert found.facts.cost["documents"] == 500 < COUNT
    assert "than their words tell" in found.verdict.rule


def test_without_queries_they_are_made_and_say_so(tmp_path: Path) -> None:
    """Titles stand in for queries; verdict, quality, text and JSON are marked as provisional."""
    with cf.Collection.create(tmp_path / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n), title=" ".join(text_of(n).split()[:5])) for n in range(300)])
        found = docs.assess(NEW, sample=SAMPLE)
        assert found.quality is not None
        assert found.provisional
        assert found.quality.source == "made"
        assert found.verdict.provisional
        assert "(provisional)" in str(found.verdict)
        assert any(line.startswith("provisional") for line in found.verdict.reservations)
        assert found.to_dict()["provisional"] is True
        docs.judge("a query", "d1", 1)
        again = docs.assess(NEW, sample=SAMPLE)
    assert any("1 queries of the log are judged" in line for line in again.verdict.reservations)


def test_judged_queries_of_the_log_are_asked(library: cf.Collection) -> None:
    """Where enough of them are judged nothing is made; clicks are said to favour the model that made the lists."""
    asked = queries()
    for query, text in asked.texts.items():
        for identifier in asked.qrels[query]:
            library.judge(text, identifier, 1.0, judge="clicks")
    try:
        found = library.assess(NEW, sample=SAMPLE)
    finally:
        for query, text in asked.texts.items():
            for identifier in asked.qrels[query]:
                library.judge(text, identifier, None)
    assert found.quality is not None
    assert (found.quality.source, found.provisional, found.quality.left_out) == ("log", False, 0)
    assert found.verdict.decision == "go"
    assert any("favour the model that made the lists" in line for line in found.verdict.reservations)


def test_a_judge_passes_through(library: cf.Collection) -> None:
    """A program grades what either model finds, for queries that nobody judged."""

    def judge(query: str, text: str) -> float:
        return float(len(set(query.split()) & set(text.split())) >= 4)

    found = library.assess(NEW, queries=queries().texts, judge=judge, sample=SAMPLE, k=3)
    assert found.quality is not None
    assert (found.quality.judged, found.quality.measures[0].name) == (True, "ndcg@3")
    assert any("favours the old model" in line for line in found.verdict.reservations)


def test_what_can_not_be_paid_for_is_a_stay(library: cf.Collection) -> None:
    """A limit that pays for a part leads to re-embedding what is searched; one that pays for nothing is a stay."""
    assert assessed(library, NEW, max_seconds=0.0).verdict.decision == "stay"
    paid = assessed(library, NEW, per_million_tokens=1_000.0)
    cost = paid.facts.price.money.value
    assert cost
    partly = assessed(library, NEW, per_million_tokens=1_000.0, max_money=cost / 4).verdict
    assert (partly.decision, partly.strategy) == ("go", "on-read")
    assert "max_money pays for 25%" in partly.strategy_rule
    assert "fade.run(until=0.2" in "".join(partly.code)
    background = assessed(library, NEW, window_seconds=0.0).verdict
    assert (background.strategy, background.order) == ("dual index", "default")


def test_a_lost_encoder_leaves_the_bridge(tmp_path: Path, library: cf.Collection) -> None:
    """Where the old model can't be asked nothing is compared, and a Bridge is what its vectors need at once."""
    docs = cf.Collection.open(library.path, read_only=True)
    with docs:
        verdict = docs.assess(NEW, queries={"a": text_of(1)}, qrels={"a": {"d1": 1}}, sample=SAMPLE).verdict
    assert (verdict.decision, verdict.strategy) == ("not enough evidence", "bridge only")
    assert "not at hand" in verdict.rule


def test_the_code_of_a_verdict_runs(tmp_path: Path) -> None:
    """Whatever the strategy, its lines run as they stand, with `docs` and `new`."""
    for name, options in (("bulk", {}), ("dual index", {"window_seconds": 0.0}), ("on-read", {"max_seconds": None})):
        with cf.Collection.create(tmp_path / name / "kb.cf", OLD) as docs:
            docs.upsert([cf.Document(f"d{n}", text_of(n)) for n in range(SAMPLE)])
            if name == "on-read":
                priced = assessed(docs, NEW, per_million_tokens=1.0).facts.price.money.value
                assert priced is not None
                options = {"per_million_tokens": 1.0, "max_money": priced / 2}
            verdict = assessed(docs, NEW, **options).verdict
            assert verdict.strategy == name
            exec("\n".join(verdict.code), {"docs": docs, "new": NEW, "text": text_of(1)})
            assert (docs.space == NEW.space) == (name != "on-read")


def test_nothing_is_written(tmp_path: Path) -> None:
    """An assessment leaves every file as it was, in a process that only reads."""
    with cf.Collection.create(tmp_path / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n)) for n in range(100)])
        docs.search(text_of(1))
        docs._store.snapshot()
    with cf.Collection.open(tmp_path / "kb.cf", OLD, read_only=True) as docs:
        docs._store.snapshot()
        before = content_of(tmp_path / "kb.cf")
        docs.assess(NEW, queries={"a": text_of(1)}, qrels={"a": {"d1": 1}}, sample=SAMPLE)
        assert content_of(tmp_path / "kb.cf") == before


def test_another_migration_on_disk_is_named(tmp_path: Path) -> None:
    """Commands that would be refused are said to be."""
    with cf.Collection.create(tmp_path / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n)) for n in range(100)])
        docs.migrate(wrapped("other", 16, 9))
        found = docs.assess(NEW, queries={"a": text_of(1)}, qrels={"a": {"d1": 1}}, sample=SAMPLE)
        assert any("a migration to other is on disk" in line for line in found.verdict.reservations)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"min_lift": -1}, "min_lift"),
        ({"nonsense": 1}, "assess has no option nonsense"),
        ({"seed": -1}, "seed must be"),
        ({"sample": 10}, "at least 400"),
        ({"judge": 3}, "judge must be"),
        ({"qrels": {"a": {"d1": 1}}}, "goes with queries="),
        ({"cores": 0}, "cores"),
    ],
)
def test_what_can_not_be_used_is_refused(library: cf.Collection, options: dict[str, object], complaint: str) -> None:
    """Before anything is embedded."""
    with pytest.raises(InvalidInput, match=complaint):
        library.assess(wrapped("broken", 4, 1, before=lambda texts: 1 / 0), **options)  # type: ignore[arg-type]


def test_a_pilot_begins_the_migration(tmp_path: Path) -> None:
    """A stratified part is re-embedded for real, priced by what it took, and kept: the run goes on from there."""
    with cf.Collection.create(tmp_path / "kb.cf", OLD) as docs:
        docs.upsert([cf.Document(f"d{n}", text_of(n)) for n in range(COUNT)])
        found = assessed(docs, NEW, pilot=0.2)
        assert found.pilot is not None
        assert (found.pilot.documents, found.pilot.share, found.pilot.failed) == (200, 0.2, 0)
        assert found.facts.cost["documents"] == 200
        assert found.verdict.decision == "go"
        assert found.to_dict()["pilot"]["seconds"] == found.pilot.seconds > 0
        fade = docs.migrate(NEW)
        assert fade.status().done == 200
        assert docs.search(text_of(1), k=1).ids == ["d1"]
        fade.run()
        fade.cutover()
        assert docs.space == NEW.space
    with pytest.raises(InvalidInput, match="pilot must be a share"):
        docs.assess(NEW, pilot=2)


def test_a_pilot_of_the_same_model_begins_nothing(library: cf.Collection) -> None:
    """There is nothing to migrate to."""
    found = assessed(library, OLD, pilot=0.5)
    assert (found.verdict.decision, found.pilot, library.migration) == ("nothing to do", None, None)


def test_strata_are_in_proportion() -> None:
    """Each class of length gives its part, and the same seed chooses the same documents."""
    keys, lengths = np.arange(1, 1_001), np.random.default_rng(0).permutation(1_000)
    chosen = stratified(keys, lengths, 50, 3)
    classes = lengths[np.searchsorted(keys, chosen.astype(np.int64))] // 100
    assert np.bincount(classes).tolist() == [5] * 10
    np.testing.assert_array_equal(chosen, stratified(keys, lengths, 50, 3))
    assert len(stratified(keys[:7], lengths[:7], 50, 3)) == 7
