"""What queries say of two models: the weight they teach, the guard they close, and that it outlives what is learned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade import evaluate
from crossfade.errors import InvalidInput, NotReady
from crossfade.judged import judged
from crossfade.search.blend import FULL_WEIGHT
from crossfade.search.judgement import LEAST_QUERIES, WEIGHTS, Judgement, learned_weight
from support import history, wrapped

COUNT = 420
WORSE, BETTER = ("worse", 12, 1), ("better", 96, 2)


def words(number: int) -> list[str]:
    random = np.random.default_rng((7, number))
    return [f"w{word}" for word in random.integers(0, 2_000, 24)]


def titled(count: int = COUNT) -> list[cf.Document]:
    """Documents whose titles are a few of their own words."""
    return [
        cf.Document(f"d{number}", " ".join(words(number)), title=" ".join(words(number)[3:15:3]))
        for number in range(count)
    ]


def questions(count: int) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Queries of other words of documents than their titles', and their answers."""
    texts = {f"q{number}": " ".join(words(number)[4:20:4]) for number in range(count)}
    return texts, {f"q{number}": {f"d{number}": 1.0} for number in range(count)}


def unrelated(name: str = "unrelated") -> cf.Encoder:
    """A model that is broken: every text has a vector that has nothing to do with it."""

    def embed(texts: list[str]) -> np.ndarray:
        seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in texts]
        return np.stack([np.random.default_rng(seed).standard_normal(48) for seed in seeds])

    return cf.Encoder.wrap(embed, cf.Space(model=name, dim=48, query_prefix="q ", version="1"))


def values(queries: int, of_weight: np.ndarray, noise: float) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.asarray(of_weight + noise * random.standard_normal((queries, len(WEIGHTS))), np.float64)


@pytest.fixture
def small(folder: Path) -> Iterator[cf.Collection]:
    with cf.Collection.create(folder, wrapped(*WORSE)) as docs:
        docs.upsert(titled())
        yield docs


@pytest.fixture
def large(folder: Path) -> Iterator[cf.Collection]:
    with cf.Collection.create(folder, wrapped(*BETTER)) as docs:
        docs.upsert(titled())
        yield docs


def guard(docs: cf.Collection) -> dict[str, object]:
    migration = docs.status().migration
    assert migration
    found: dict[str, object] = migration["guard"]
    return found


def test_the_weight_moves_only_where_queries_speak_for_it() -> None:
    """Noise and few queries leave the prior; a clear gain moves the weight, and most of the way."""
    favours_half = 0.6 - (WEIGHTS - 0.5) ** 2
    assert learned_weight(values(200, np.full(len(WEIGHTS), 0.5), 0.2)) == FULL_WEIGHT
    assert learned_weight(values(5, favours_half, 0.3)) == FULL_WEIGHT
    assert learned_weight(values(2_000, favours_half, 0.2)) in (0.4, 0.5, 0.6)
    assert learned_weight(np.full((50, len(WEIGHTS)), 0.5)) == FULL_WEIGHT
    assert Judgement.of(values(LEAST_QUERIES - 1, WEIGHTS, 0.0), "judged").made_from == "none"


@pytest.mark.parametrize(
    ("of_weight", "verdict", "weight"),
    [
        (0.3 + 0.3 * WEIGHTS, "upgrade", (0.8, 1.0)),
        (0.5 - 0.2 * WEIGHTS, "closed", (0.0, 0.0)),
        (0.5 - 0.0 * WEIGHTS, "no upgrade", (FULL_WEIGHT, FULL_WEIGHT)),
    ],
)
def test_what_judged_queries_come_to(of_weight: np.ndarray, verdict: str, weight: tuple[float, float]) -> None:
    """Better, worse, or no different; and titles with the same values are never called an upgrade."""
    of = values(300, of_weight, 0.1)
    found, by_titles = Judgement.of(of, "judged"), Judgement.of(of, "titles")
    assert found.verdict.startswith(verdict)
    assert weight[0] <= found.full_weight <= weight[1]
    assert (found.old, found.new) == (pytest.approx(of[:, 0].mean()), pytest.approx(of[:, -1].mean()))
    assert by_titles.verdict.startswith("closed" if verdict == "closed" else "undecided")
    assert "only judged queries can tell" in by_titles.verdict


def test_titles_are_asked_where_nothing_is_judged(small: cf.Collection) -> None:
    """A fit asks them of both models; the new model may find more, but that stays provisional, also when reopened."""
    small.migrate(wrapped(*BETTER)).fit(sample=200)
    found = guard(small)
    assert (found["made_from"], found["queries"]) == ("titles", 150)
    assert found["new"] > found["old"]  # type: ignore[operator]
    assert str(found["verdict"]).startswith("undecided: the new model finds more")
    assert found["full_weight"] >= FULL_WEIGHT  # type: ignore[operator]
    assert [name for name, _ in history(small.path)].count("judged") == 1
    with cf.Collection.open(small.path, read_only=True) as again:
        assert guard(again) == found
    json.dumps(small.status().to_dict())


def test_a_broken_model_closes_the_guard(small: cf.Collection) -> None:
    """The old model answers alone, bit for bit, through refits and until the cutover; it is told why."""
    asked = list(questions(20)[0].values())
    before = [(hits.ids, list(hits.scores)) for hits in small.search(asked)]
    fade = small.migrate(unrelated())
    fade.run()
    assert "fitted" in [name for name, _ in history(small.path)]
    assert str(guard(small)["verdict"]).startswith("closed: the new model is worse")
    answers = small.search(asked)
    assert [(hits.ids, list(hits.scores)) for hits in answers] == before
    assert {hits.explain().reason for hits in answers} == {"guard"}
    fade.cutover()
    assert small.search(asked[0])[0].version == 2


def test_a_worse_model_is_found_out(large: cf.Collection) -> None:
    """Titles show that a model of far fewer dims finds less."""
    large.migrate(wrapped(*WORSE)).fit(sample=200)
    assert str(guard(large)["verdict"]).startswith("closed")


def test_without_queries_the_prior_stands(folder: Path) -> None:
    """Documents without titles, or an encoder that can only look its documents up: the fit goes on, no verdict."""
    known = {document.content for document in titled()}

    def only_known(texts: list[str]) -> None:
        for text in texts:
            if text not in known:
                raise LookupError(text)

    with cf.Collection.create(folder, wrapped(*WORSE)) as docs:
        docs.upsert(titled())
        fade = docs.migrate(wrapped(*BETTER, before=only_known))
        assert guard(docs)["verdict"].startswith("no queries")  # type: ignore[attr-defined]
        assert fade.fit() is not None
        assert (guard(docs)["made_from"], guard(docs)["full_weight"]) == ("none", FULL_WEIGHT)
        fade.abandon()
        docs.upsert([cf.Document(document.id, document.content) for document in titled()])
        docs.migrate(wrapped(*BETTER)).fit()
        assert guard(docs)["verdict"].startswith("no queries")  # type: ignore[attr-defined]


def test_judged_queries_overrule_titles(small: cf.Collection, tmp_path: Path) -> None:
    """validate takes a BEIR folder or mappings, says what it found, and its weight outlives refits and reopening."""
    texts, qrels = questions(100)
    (tmp_path / "qrels").mkdir()
    lines = [json.dumps({"_id": query, "text": text}) + "\n" for query, text in texts.items()]
    (tmp_path / "queries.jsonl").write_text("".join(lines))
    rows = [f"{query}\t{document}\t1\n" for query, grades in qrels.items() for document in grades]
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    fade = small.migrate(wrapped(*BETTER))
    with pytest.raises(NotReady, match="fit"):
        fade.validate(texts, qrels)
    fade.run(until=0.6)
    partly = fade.validate(texts, qrels)
    assert 30 <= partly.queries < 100  # the others' documents have no new vector yet
    fade.run()
    found = fade.validate(tmp_path, tmp_path)
    assert (found.made_from, found.queries) == ("judged", 100)
    assert found == fade.validate(texts, qrels)
    assert found.verdict.startswith("upgrade")
    few = {query: texts[query] for query in list(texts)[:10]}
    assert fade.validate(few, qrels).made_from == "none"
    fade.fit()
    assert guard(small) == found.to_dict()
    weights = [hits.weight for hits in small.search(list(texts.values()))]
    assert weights == pytest.approx([found.full_weight] * len(weights))


def test_values_of_a_validation_are_those_of_its_searches(small: cf.Collection) -> None:
    """Once filled, old, new and blend are what searches before, during and after give."""
    texts, qrels = questions(60)
    before = found_by(small, texts, qrels)
    fade = small.migrate(wrapped(*BETTER))
    fade.run()
    judgement = fade.validate(texts, qrels)
    during = found_by(small, texts, qrels)
    fade.cutover()
    after = found_by(small, texts, qrels)
    assert (judgement.old, judgement.new) == (pytest.approx(before, abs=1e-3), pytest.approx(after, abs=1e-3))
    assert judgement.blend == pytest.approx(during, abs=0.02)  # out of fold, its weights may differ


def found_by(docs: cf.Collection, texts: dict[str, str], qrels: dict[str, dict[str, float]]) -> float:
    run = {query: docs.search(text).ids for query, text in texts.items()}
    return evaluate.mean(evaluate.ndcg(run, qrels))


@pytest.mark.parametrize(
    ("queries", "qrels", "told"),
    [
        ({"q": "text"}, {"q": {"d": 0}}, "no query has a relevant document"),
        ({"q": "text"}, {"q": {"d": "high"}}, "must be a finite number"),
        ({"q": "text"}, {"q": ["d"]}, "document id: grade"),
        ({"q": " "}, {"q": {"d": 1}}, "needs a text"),
        ({"q": 3}, {"q": {"d": 1}}, "must be a string"),
        ("nowhere", {"q": {"d": 1}}, "nowhere' can't be read"),
        ({"q": "text"}, "nowhere", "nowhere' can't be read"),
    ],
)
def test_queries_that_cannot_be_used(queries: object, qrels: object, told: str) -> None:
    """Each is refused with what was expected."""
    with pytest.raises(InvalidInput, match=told):
        judged(queries, qrels)  # type: ignore[arg-type]
