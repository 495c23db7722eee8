"""Searches while one version fades into another: what is compared with what, and on which scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.errors import EncoderMissing, InvalidInput, SpaceMismatch
from crossfade.search.bridged import rank_bridged
from crossfade.search.fade import Fade
from support import NEW, documents, filled, text_of, wrapped

COUNT = 600
QUERIES = [text_of(number, words=6) for number in range(5_000, 5_020)]


@pytest.fixture
def docs(folder: Path, old: cf.Encoder) -> Iterator[cf.Collection]:
    with filled(folder, old, COUNT) as collection:
        yield collection


def answers(docs: cf.Collection, k: int = 10) -> list[list[tuple[str, float]]]:
    return [[(hit.id, hit.score) for hit in hits] for hits in docs.search(QUERIES, k=k)]


def test_before_anything_is_filled_the_old_answer_stands(docs: cf.Collection, new: cf.Encoder) -> None:
    """A migration that was started and not filled changes no answer by one bit."""
    before = answers(docs)
    docs.migrate(new)
    assert answers(docs) == before


def test_status_takes_what_searches_have_loaded(
    docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Bridge's files are read once, by a search or a status, and anew when another one is in use."""
    fade = docs.migrate(new)
    fade.run(until=0.5)
    read: list[Path] = []
    find = Fade.find
    monkeypatch.setattr(Fade, "find", lambda folder: read.append(folder) or find(folder))
    answers(docs)
    told = [docs.status().migration for _ in range(3)]
    assert len(read) == 1
    assert all(it and it["bridge"] for it in told)
    fade.fit(sample=300)
    answers(docs)
    assert docs.status().migration
    assert len({*read}) == 2


def test_weight_zero_is_the_old_answer(docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the blend gives the new evidence no weight, ids and scores are exactly the old version's."""
    before = answers(docs)
    docs.migrate(new).run(until=0.5)
    assert answers(docs) != before
    monkeypatch.setattr("crossfade.search.blend.Blend.weight_for", lambda blend, covered: 0.0)
    assert answers(docs) == before


def test_a_query_without_weight_is_not_encoded_twice(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new encoder is asked only for queries whose candidates it knows something of."""
    seen: list[str] = []
    docs.migrate(wrapped(*NEW, before=seen.extend)).run(until=0.5)
    seen.clear()
    docs.search(QUERIES)
    assert seen == QUERIES
    seen.clear()
    monkeypatch.setattr("crossfade.search.blend.Blend.weight_for", lambda blend, covered: 0.0)
    docs.search(QUERIES)
    assert seen == []


@pytest.mark.parametrize("until", [0.4, 0.7, 1.0])
def test_what_hits_tell_during_a_fade(docs: cf.Collection, new: cf.Encoder, until: float) -> None:
    """Method, coverage, weight and the version of each hit say how an answer came about."""
    docs.migrate(new).run(until=until)
    for hits in docs.search(QUERIES, k=30):
        assert hits.method == "fade"
        assert 0.0 < hits.weight <= 1.0
        assert 0.0 < hits.coverage <= 1.0
        assert (hits.coverage == 1.0) == (until == 1.0)
        assert {hit.version for hit in hits} <= ({2} if until == 1.0 else {1, 2})
        assert len(set(hits.ids)) == len(hits) == 30
        assert list(hits.scores) == sorted(hits.scores, reverse=True)


def test_after_the_cutover_one_version_answers(docs: cf.Collection, new: cf.Encoder) -> None:
    """Then scores are the new model's cosines, nothing is blended, and the old encoder is not asked."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    rows = new.encode([item.content for item in documents(COUNT)])
    for query, hits in zip(QUERIES, docs.search(QUERIES), strict=True):
        exact = np.sort(rows @ new.encode([query], kind="query")[0])[::-1][:10]
        assert hits.scores == pytest.approx(exact, abs=2e-3)
        assert (hits.method, hits.coverage, hits.weight) == ("live", 0.0, 0.0)


def test_scores_stay_on_the_old_scale(docs: cf.Collection, new: cf.Encoder) -> None:
    """Until the cutover a threshold means what it meant: blended scores have the old ones' mean and spread."""
    before = np.array([[score for _, score in hits] for hits in answers(docs, k=100)])
    fade = docs.migrate(new)
    for until in (0.4, 0.7, 1.0):
        fade.run(until=until)
        during = np.array([[score for _, score in hits] for hits in answers(docs, k=100)])
        assert during.max() <= 1.0 + 1e-6
        assert abs(during.mean() - before.mean()) < 0.1
        assert 0.6 < during.std() / before.std() < 1.6


def test_own_texts_come_first_at_every_share(docs: cf.Collection, new: cf.Encoder) -> None:
    """A document is the best answer to its own text, whatever share is filled, new vector or not.

    These two models have next to nothing in common: one in twenty may come second, to one much like it.
    """
    fade = docs.migrate(new)
    numbers = range(0, COUNT, 7)
    for until in (0.35, 0.5, 0.8, 1.0):
        fade.run(until=until)
        found = docs.search([text_of(number) for number in numbers], k=2)
        places = [hits.ids.index(f"d{number}") for number, hits in zip(numbers, found, strict=True)]
        assert sum(places) <= len(places) / 20


def test_filters_hold_during_a_fade(docs: cf.Collection, new: cf.Encoder) -> None:
    """A filter lets through what it lets through without a migration, from both versions."""
    docs.migrate(new).run(until=0.5)
    for hits in docs.search(QUERIES, k=50, filter={"parity": 1, "tags": [0, 2]}):
        assert len(hits) == 50
        assert all(hit.meta["parity"] == 1 and set(hit.meta["tags"]) & {0, 2} for hit in hits)
    everything = docs.search(text_of(1), k=COUNT, filter={"parity": 0})
    assert sorted(everything.ids) == sorted(f"d{number}" for number in range(0, COUNT, 2))
    assert docs.search(text_of(1), filter={"parity": 5}).ids == []


def test_k_beyond_the_collection_during_a_fade(docs: cf.Collection, new: cf.Encoder) -> None:
    """Every document is in an answer that is long enough, once, with or without a new vector."""
    docs.migrate(new).run(until=0.5)
    assert sorted(docs.search(text_of(1), k=1_000).ids) == sorted(f"d{number}" for number in range(COUNT))


def test_edits_and_deletes_during_a_fade(docs: cf.Collection, new: cf.Encoder) -> None:
    """What is edited or deleted between two versions is gone from both at once."""
    docs.migrate(new).run(until=0.5)
    docs.delete([f"d{number}" for number in range(50)])
    docs.upsert([cf.Document(f"d{number}", f"zebra okapi {number}") for number in range(50, 60)])
    everything = docs.search(text_of(1), k=1_000).ids
    assert sorted(everything) == sorted(f"d{number}" for number in range(50, COUNT))
    assert docs.search("zebra okapi 55", k=1).ids == ["d55"]


def test_a_vector_of_the_new_space(docs: cf.Collection, new: cf.Encoder) -> None:
    """A query vector of the Space being filled is answered: true vectors where there are, bridged ones elsewhere."""
    seen: list[str] = []
    fade = docs.migrate(wrapped(*NEW, before=seen.extend))
    fade.run(until=0.5)
    for text in seen[::100]:
        hits = docs.search(vector=new.encode([text])[0], space=new.space, k=40)
        assert hits.method == "bridged"
        assert (hits[0].text, hits[0].version) == (text, 2)
        assert len(set(hits.ids)) == len(hits) == 40
    everything = docs.search(vector=new.encode(["w1 w2"])[0], space=new.space, k=COUNT)
    assert Counter(hit.version for hit in everything) == {1: COUNT // 2, 2: COUNT // 2}
    fade.run()
    hits = docs.search(vector=new.encode([text_of(3)])[0], space=new.space)
    assert (hits[0].id, {hit.version for hit in hits}) == ("d3", {2})


def test_a_vector_of_the_new_space_finds_what_the_bridge_finds(docs: cf.Collection, new: cf.Encoder) -> None:
    """Of the hundred old rows nearest by the Bridge a bridged search looks at nearly all, whoever proposes them."""
    docs.migrate(new).run(until=0.2)
    view = docs._searcher._view()
    assert view.fade
    old, bridge = view.snapshot.live, view.fade.bridge
    keys = np.arange(1, COUNT + 1, dtype=np.uint64)
    queries = new.encode(QUERIES)
    carried, folded = bridge.apply(old.gather(keys)), queries @ bridge.matrix.T

    def nearest(scores: np.ndarray) -> set[int]:
        return set(keys[np.argsort(-scores)[:100]].tolist())

    shares = []
    for query, back, ranking in zip(queries, folded, rank_bridged(view, 2, queries, 10, None), strict=True):
        wanted = nearest(carried @ query)
        shares.append(
            [
                len(wanted & found) / 100
                for found in (set(ranking.considered.tolist()), nearest(old.gather(keys) @ back))
            ]
        )
    found, proposed = np.mean(shares, axis=0)
    assert found > 0.95 > proposed


def test_a_vector_of_the_old_space(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """A query vector of the live Space is compared with the live version alone, as before."""
    vector = old.encode([text_of(3)])[0]
    before = docs.search(vector=vector)
    docs.migrate(new).run(until=0.5)
    during = docs.search(vector=vector, space=old.space)
    assert (during.ids, during.method) == (before.ids, "live")
    assert list(during.scores) == list(before.scores)


def test_a_bare_vector_is_refused_while_two_versions_serve(
    docs: cf.Collection, old: cf.Encoder, new: cf.Encoder
) -> None:
    """During a fade a vector must say of which Space it is, even if only one has its dim."""
    fade = docs.migrate(new)
    vector = old.encode(["some text"])[0]
    with pytest.raises(SpaceMismatch, match="two versions serve"):
        docs.search(vector=vector)
    fade.run()
    with pytest.raises(SpaceMismatch, match="two versions serve"):
        docs.search(vector=vector)
    fade.cutover()
    assert len(docs.search(vector=new.encode(["some text"])[0])) == 10
    with pytest.raises(InvalidInput, match="shape"):
        docs.search(vector=vector)


def test_a_vector_of_a_stranger_is_refused(docs: cf.Collection, new: cf.Encoder, third: cf.Encoder) -> None:
    """Of a Space that neither version has, a vector meets nothing."""
    docs.migrate(new).run(until=0.5)
    with pytest.raises(SpaceMismatch, match="query vector"):
        docs.search(vector=third.encode(["some text"])[0], space=third.space)


def test_a_fade_without_the_new_encoder(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """A process that was not handed the new encoder answers as before the fade, and says so after the cutover."""
    with cf.Collection.open(docs.path, old) as serving:
        before = answers(serving)
        fade = docs.migrate(new)
        fade.run(until=0.5)
        assert answers(serving) == before
        assert serving.search(QUERIES[0]).method == "live"
        fade.run()
        fade.cutover()
        with pytest.raises(EncoderMissing, match="hand it in again"):
            serving.search(QUERIES[0])


def test_answers_do_not_depend_on_who_asks(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """Another reader gets the same blended answer bit for bit; one text alone gets what it gets in a list."""
    docs.migrate(new).run(until=0.6)
    expected = answers(docs)
    for query, hits in zip(QUERIES, expected, strict=True):
        alone = docs.search(query)
        assert alone.ids == [name for name, _ in hits]
        assert list(alone.scores) == pytest.approx([score for _, score in hits], abs=1e-5)
    with cf.Collection.open(docs.path, old, new, read_only=True) as again:
        assert answers(again) == expected


def test_the_bridge_stands_in_for_a_missing_old_encoder(docs: cf.Collection, new: cf.Encoder) -> None:
    """Where the old encoder is not at hand a fade answers with the new one alone, and says how."""
    seen: list[str] = []
    docs.migrate(wrapped(*NEW, before=seen.extend)).run(until=0.5)
    docs.close()
    with cf.Collection.open(docs.path, new) as again:
        for hits in again.search(seen[::60], k=5):
            assert hits.method == "bridged"
        assert [hits[0].text for hits in again.search(seen[::60], k=5)] == seen[::60]
