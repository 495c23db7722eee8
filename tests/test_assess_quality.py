"""What a capped sample says of two models: against the whole collection, with every kind of judgement."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

import crossfade as cf
from crossfade import assess, evaluate
from crossfade.errors import InvalidInput
from crossfade.known_items import known_items
from library import COUNT, NEW, OLD, SAMPLE, WORSE, queries, text_of


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cf.Collection]:
    with cf.Collection.create(tmp_path_factory.mktemp("assess") / "kb.cf", OLD) as docs:
        docs.upsert(
            [cf.Document(f"d{n}", text_of(n), meta={"lang": "de" if n % 3 else "en", "n": n}) for n in range(COUNT)]
        )
        yield docs


@pytest.fixture(scope="module")
def quality(library: cf.Collection) -> assess.Quality:
    return measured(library, NEW, queries())


def measured(docs: cf.Collection, new: cf.Encoder, asked: assess.Queries, **options: object) -> assess.Quality:
    return assess.measure(docs._store, docs._encoders, new, asked, sample=SAMPLE, **options)  # type: ignore[arg-type]


def whole(encoder: cf.Encoder, asked: assess.Queries) -> float:
    """Mean nDCG@10 among all documents."""
    rows = encoder.encode([text_of(n) for n in range(COUNT)])
    found = np.argsort(-(encoder.encode(list(asked.texts.values()), "query") @ rows.T), axis=1)[:, :10]
    run = {query: [f"d{n}" for n in row] for query, row in zip(asked.texts, found, strict=True)}
    return evaluate.mean(evaluate.ndcg(run, asked.qrels))


def test_a_sample_says_what_the_whole_collection_says(quality: assess.Quality) -> None:
    """The old model is measured exactly; the new one nearer to the truth than by what was embedded alone."""
    asked = queries()
    first, pool = quality.measures[0], quality.pool
    assert [measure.name for measure in quality.measures] == ["ndcg@10", "recall@10", "precision@10", "mrr@10"]
    assert (quality.queries, quality.left_out, quality.source, quality.provisional) == (
        len(asked.texts),
        0,
        "given",
        False,
    )
    assert pool.embedded <= SAMPLE < pool.documents == COUNT
    assert pool.uniform == SAMPLE // 4
    assert first.old == pytest.approx(whole(OLD, asked), abs=0.01)  # its vectors are stored in float16
    true = whole(NEW, asked)
    assert first.uncorrected > true
    assert abs(first.new - true) < first.uncorrected - true
    assert first.comparison.low > 0
    assert "estimated scores" in quality.bias


def test_a_better_sample_does_not_make_a_worse_model_better(library: cf.Collection) -> None:
    """What favours a new model, that its own wrong answers are not in the sample, is corrected for."""
    first = measured(library, WORSE, queries()).measures[0]
    assert first.comparison.high < 0
    assert first.comparison.p_value < 0.05


def test_nothing_is_estimated_where_all_fits(library: cf.Collection) -> None:
    """A sample as large as the collection gives the numbers of the whole collection."""
    asked = queries()
    quality = assess.measure(library._store, library._encoders, NEW, asked, sample=COUNT)
    first = quality.measures[0]
    assert quality.pool.complete
    assert (quality.pool.embedded, quality.pool.missing) == (COUNT, 0)
    assert first.new == first.uncorrected == pytest.approx(whole(NEW, asked), abs=1e-9)
    assert quality.bias.startswith("none")


def test_queries_that_change_come_with_both_lists(library: cf.Collection) -> None:
    """Those that gain most first, each with what both models find and the grades; all of it as JSON."""
    quality = measured(library, NEW, queries(), k=5)
    best = quality.better[0]
    gains = [changed.new - changed.old for changed in quality.better]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0
    assert len(best.old_list) == len(best.new_list) == 5
    assert [listed.id for listed in best.old_list] == library.search(best.text, k=5, on_read="off").ids
    assert 1.0 in [listed.grade for listed in best.new_list]
    assert all(changed.new < changed.old for changed in quality.worse)
    told = json.loads(json.dumps(quality.to_dict()))
    assert told["measures"][0]["name"] == "ndcg@5"
    assert told["better"][0]["old_list"][0]["id"] == best.old_list[0].id


def test_slices_are_corrected_for_their_number(quality: assess.Quality) -> None:
    """Fields of a few values, and lengths; p-values by Holm; a field of as many values as documents is none."""
    names = {(part.field, part.value) for part in quality.slices}
    assert {("lang", "de"), ("lang", "en"), ("query length", "short"), ("document length", "long")} <= names
    assert "n" not in {field for field, _ in names}
    assert [part.adjusted for part in quality.slices] == evaluate.holm(
        [part.comparison.p_value for part in quality.slices]
    )


def test_a_query_made_of_a_document_does_not_find_itself(library: cf.Collection) -> None:
    """What a made query must find is embedded without it, by both models: matching its words is not enough."""
    titled = [
        cf.Document(f"m{n}", " ".join([text_of(n)] * 2), title=f"strange{n} heading{n} unseen{n}") for n in range(30)
    ]
    library.upsert(titled)
    try:
        made = assess.made(known_items(titled))
        assert len(made.texts) == 30
        quality = measured(library, NEW, made)
        assert (quality.provisional, quality.source) == (True, "made")
        assert max(quality.measures[0].old, quality.measures[0].new) < 0.3
    finally:
        library.delete([document.id for document in titled])


def test_a_judge_is_asked_for_what_either_model_finds(library: cf.Collection) -> None:
    """Nobody has judged anything: a program grades the first k of both lists, each document once a query."""
    asked: list[tuple[str, str]] = []

    def judge(query: str, text: str) -> float:
        asked.append((query, text))
        return float(len(set(query.split()) & set(text.split())) >= 4)

    texts = queries().texts
    quality = measured(library, NEW, assess.given(texts), judge=judge, k=3)
    assert quality.judged
    assert len(asked) == len(set(asked))
    assert 3 * len(texts) <= len(asked) <= 6 * len(texts)
    assert 0 < quality.queries <= len(texts)
    assert quality.bias.startswith("favours the old")
    with pytest.raises(InvalidInput, match="a judge must give a finite number"):
        measured(library, NEW, assess.given(texts), judge=lambda query, text: float("nan"))
    with pytest.raises(InvalidInput, match="no relevant document in any list"):
        measured(library, NEW, assess.given(texts), judge=lambda query, text: 0)


def test_what_can_not_be_measured_is_left_out_or_refused(library: cf.Collection) -> None:
    """Queries whose documents are gone, or beyond the sample's room; none left at all; options out of range."""
    texts = {"here": text_of(1), "gone": "anything", "unjudged": "something"}
    quality = measured(library, NEW, assess.given(texts, {"here": {"d1": 1}, "gone": {"nobody": 1}}))
    assert (quality.queries, quality.left_out) == (1, 2)
    assert quality.measures[0].comparison.detectable is None
    many = {str(n): text_of(n) for n in range(100)}
    asked = assess.given(many, {query: {f"d{query}": 1} for query in many})
    crowded = measured(library, NEW, asked)
    assert (crowded.queries, crowded.left_out) == (SAMPLE // 10, 100 - SAMPLE // 10)
    roomy = assess.measure(library._store, library._encoders, NEW, asked, sample=COUNT)
    assert (roomy.queries, roomy.left_out) == (100, 0)  # where all documents are embedded, queries need no room
    with pytest.raises(InvalidInput, match="none of 3 queries has a relevant document"):
        measured(library, NEW, assess.given(texts))
    with pytest.raises(InvalidInput, match="k must be between 1 and 100"):
        measured(library, NEW, queries(), k=101)
    with pytest.raises(InvalidInput, match="at least 400"):
        assess.measure(library._store, library._encoders, NEW, queries(), sample=399)


def test_the_same_seed_says_the_same(library: cf.Collection, quality: assess.Quality) -> None:
    """Sample, draws and resampling come from the seed alone."""
    again, other = (measured(library, NEW, queries(), seed=seed) for seed in (0, 1))
    assert again == quality
    assert other.measures != quality.measures
