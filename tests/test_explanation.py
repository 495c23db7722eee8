"""Explanations: why an answer is what it is, in every state of a collection, and what each hit was ranked by."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.bridge import files
from crossfade.search import Explanation
from crossfade.search.fade import Fade
from support import COUNT, documents, filled, text_of

QUERY = text_of(5_000, words=6)


def told(docs: cf.Collection, query: str = QUERY, k: int = 10) -> Explanation:
    return docs.search(query, k=k, on_read="off").explain()


def test_the_scores_of_a_blend_can_be_followed(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """Each hit tells its true cosines, and the parts whose weighted sum it is ranked by."""
    docs.migrate(new).run(until=0.6)
    hits = docs.search(QUERY, k=60)
    answer = hits.explain()
    assert (answer.method, answer.reason) == ("fade", "covered")
    assert (answer.coverage, answer.weight) == (hits.coverage, hits.weight)
    assert {hit.new_score for hit in answer.hits} == {"true", "bridged + estimated"}
    texts = {item.id: item.text for item in documents(COUNT)}
    queries = [encoder.encode([QUERY], kind="query")[0] for encoder in (old, new)]
    for hit, shown in zip(hits, answer.hits, strict=True):
        rows = [encoder.encode([texts[hit.id]])[0] for encoder in (old, new)]
        assert (shown.id, shown.score, shown.version) == (hit.id, hit.score, hit.version)
        assert shown.old == pytest.approx(float(queries[0] @ rows[0]), abs=2e-3)
        if shown.new_score == "true":
            assert (shown.version, shown.estimate, shown.correction) == (2, None, None)
            assert shown.new == pytest.approx(float(queries[1] @ rows[1]), abs=2e-3)
            evidence = shown.new_units
        else:
            assert (shown.version, shown.new, shown.new_units) == (1, None, None)
            assert None not in (shown.estimate, shown.correction)
            evidence = (shown.estimate or 0.0) + (shown.correction or 0.0)
        evidence = (evidence or 0.0) + (shown.bonus or 0.0)
        sum_ = (1.0 - answer.weight) * (shown.old_units or 0.0) + answer.weight * evidence
        assert shown.blended == pytest.approx(sum_)
    assert any(hit.correction for hit in answer.hits)
    assert len({np.sign(hit.bonus) for hit in answer.hits if hit.bonus}) == 2  # what some get all pay for
    units = np.array([hit.blended for hit in answer.hits])
    assert ((np.diff(units) < 0) == (np.diff(hits.scores) < 0)).all()


def test_with_all_new_vectors_similar_documents_have_a_say(docs: cf.Collection, new: cf.Encoder) -> None:
    """Where no candidate lacks a new vector, each hit tells what those like it add to its true score."""
    docs.migrate(new).run()
    answer = told(docs)
    assert {hit.new_score for hit in answer.hits} == {"true"}
    assert {hit.bonus for hit in answer.hits} == {0.0}
    assert any(hit.correction for hit in answer.hits)
    for hit in answer.hits:
        evidence = (hit.new_units or 0.0) + (hit.correction or 0.0)
        sum_ = (1.0 - answer.weight) * (hit.old_units or 0.0) + answer.weight * evidence
        assert hit.blended == pytest.approx(sum_)
    units = [hit.blended or 0.0 for hit in answer.hits]
    assert units == sorted(units, reverse=True)


def test_a_part_of_the_hits_is_explained_alike(docs: cf.Collection, new: cf.Encoder) -> None:
    """A slice of hits tells what those hits tell in the whole."""
    docs.migrate(new).run(until=0.6)
    hits = docs.search(QUERY, k=20)
    assert hits[3:9].explain().hits == hits.explain().hits[3:9]
    assert hits[::-2].explain().hits == hits.explain().hits[::-2]


def test_every_state_says_why(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Before, during and after a migration, with an encoder missing, and for vectors and merges."""
    with filled(folder, old, COUNT) as docs:
        assert told(docs).reason == "alone"
        fade = docs.migrate(new)
        assert told(docs).reason == "not fitted"
        fade.run(until=0.6)
        assert docs.search(QUERY, merge="rrf").explain().reason == "merge"
        vectors = [encoder.encode([QUERY], kind="query")[0] for encoder in (old, new)]
        assert docs.search(vector=vectors[0], space=old.space).explain().reason == "old vector"
        bridged = docs.search(vector=vectors[1], space=new.space, k=40).explain()
        assert (bridged.reason, bridged.weight) == ("new query", 0.0)
        assert {hit.new_score: hit.version for hit in bridged.hits} == {"true": 2, "bridged + estimated": 1}
        with cf.Collection.open(folder, old, read_only=True) as without_new:
            assert told(without_new).reason == "new encoder missing"
        with cf.Collection.open(folder, new, read_only=True) as without_old:
            assert told(without_old).hits[0].bridged is not None
        fade.run()
        fade.cutover()
        after = told(docs)
        assert (after.reason, after.hits[0].new_score, after.hits[0].version) == ("alone", "missing", 2)
        assert (after.hits[0].old, after.hits[0].new) == (None, None)


def test_whose_scores_they_are_after_a_cutover_to_both(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Where the new version answers alone, for want of the old encoder or for a vector of its own, they are its."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        fade.run()
        fade.cutover(serve="blend")
        vector = new.encode([QUERY], kind="query")[0]
        answer = docs.search(vector=vector, space=new.space).explain()
        assert answer.reason == "old vector"
        assert all((hit.new_score, hit.new, hit.old) == ("true", hit.score, None) for hit in answer.hits)
    with cf.Collection.open(folder, new, read_only=True) as without_old:
        answer = told(without_old)
        assert all((hit.new_score, hit.new, hit.old) == ("true", hit.score, None) for hit in answer.hits)
        assert answer.reason == "old encoder missing"


def test_what_a_newer_crossfade_has_learned_is_done_without(
    docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only the Bridge is of a newer format, this process's searches go on by the old version alone."""
    docs.migrate(new).run(until=0.6)
    assert told(docs).reason == "covered"
    monkeypatch.setattr(files, "FORMAT", files.FORMAT - 1)
    docs._searcher._fade = None
    answer = told(docs)
    assert (answer.method, answer.reason) == ("live", "not fitted")
    assert {(hit.version, hit.old) for hit in answer.hits} == {(1, hit.score) for hit in answer.hits}


@pytest.mark.parametrize(("documents", "reason"), [(200, "guard"), (20, "few documents")])
def test_without_weight_the_reason_is_told(
    docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch, documents: int, reason: str
) -> None:
    """A closed guard and a sample that is too small are told from candidates that are not covered."""
    docs.migrate(new).run(until=0.6)
    load = Fade.load

    def closed(path: Path) -> Fade:
        fade = load(path)
        return dataclasses.replace(fade, blend=dataclasses.replace(fade.blend, full_weight=0.0, documents=documents))

    monkeypatch.setattr(Fade, "load", closed)
    docs._searcher._fade = None
    answer = told(docs)
    assert (answer.method, answer.weight, answer.reason) == ("live", 0.0, reason)
    assert 0.3 < answer.coverage < 1.0


def test_a_query_that_nothing_new_is_known_of(docs: cf.Collection, new: cf.Encoder) -> None:
    """Where none of its candidates has a new vector the answer says so, and its hits have their old scores alone."""
    fade = docs.migrate(new)
    fade.fit()
    even = [f"d{number}" for number in range(COUNT)]
    rare = [cf.Document(f"rare {number}", f"zebra okapi {number}") for number in range(150)]
    docs.delete(even[:100])
    docs.upsert(rare)
    answer = told(docs, "zebra okapi", k=5)
    assert answer.reason == "not covered"
    assert all(hit.new_score == "missing" and hit.old == hit.score for hit in answer.hits)


def test_an_explanation_as_text_and_as_plain_values(docs: cf.Collection, new: cf.Encoder) -> None:
    """The text has a line for the answer and one a hit; the values can be written as JSON."""
    docs.migrate(new).run(until=0.6)
    answer = told(docs)
    lines = str(answer).splitlines()
    assert len(lines) == 1 + len(answer.hits)
    assert lines[0].startswith(f"fade, coverage {answer.coverage:.2f}, weight of the new evidence {answer.weight:.2f}")
    for line, hit in zip(lines[1:], answer.hits, strict=True):
        assert hit.id in line
        assert ("true" in line, "estimated" in line) == (hit.version == 2, hit.version == 1)
    plain = json.loads(json.dumps(answer.to_dict()))
    assert plain["hits"][0]["id"] == answer.hits[0].id
    assert str(told(docs, "no such words at all")).startswith("fade")
