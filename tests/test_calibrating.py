"""Calibrating a collection: what its hits tell afterwards, where that holds, and that it outlives its process."""

from __future__ import annotations

import json
import logging
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade import doctor
from crossfade.cli import demo
from crossfade.errors import (
    DamagedFile,
    EncoderMissing,
    InvalidInput,
    NotReady,
    ReadOnlyCollection,
    SpaceMismatch,
)
from crossfade.search.calibration import Calibration, error_of
from support import OLD, content_of, filled, history, text_of, wrapped

COUNT, QUERIES = 300, 60


NAME = "calibration.json"


def asked(first: int = 0, count: int = QUERIES) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """A few words of documents, each the one answer."""
    numbers = range(first, first + count)
    texts = {f"q{number}": " ".join(text_of(number).split()[2:7]) for number in numbers}
    return texts, {f"q{number}": {f"d{number}": 1.0} for number in numbers}


@pytest.fixture
def kb(folder: Path, old: cf.Encoder) -> Iterator[cf.Collection]:
    with filled(folder, old, COUNT) as docs:
        yield docs


def relevances(docs: cf.Collection, **how: object) -> list[float | None]:
    return [hit.relevance for hit in docs.search("w1 w2 w3 w4", **how)]  # type: ignore[call-overload]


def test_hits_tell_how_relevant_they_are(kb: cf.Collection, folder: Path, old: cf.Encoder) -> None:
    """None before; afterwards what the calibration says of the score, after a reopening and to a reader too."""
    assert relevances(kb) == [None] * 10
    assert kb.calibration is None
    calibration = kb.calibrate(*asked())
    assert kb.calibration == calibration
    hits = kb.search("w1 w2 w3 w4")
    assert [hit.relevance for hit in hits] == [calibration.relevance(hit.score) for hit in hits]
    assert 0.0 < hits[9].relevance < hits[0].relevance < 1.0  # type: ignore[operator]
    vector = old.encode(["w1 w2 w3 w4"], "query")[0]
    assert [hit.relevance for hit in kb.search(vector=vector)] == pytest.approx(relevances(kb))
    assert [hit.relevance for hit in hits[2:4]] == relevances(kb)[2:4]
    with cf.Collection.open(folder, old, read_only=True) as reader:
        assert relevances(reader) == relevances(kb)
    assert calibration.queries == QUERIES
    assert calibration.relevant + calibration.irrelevant == 10 * QUERIES
    assert ("calibrated", 1) in [(event, detail.get("version")) for event, detail in history(folder)]


def test_calibrating_leaves_no_trace_in_the_log(kb: cf.Collection) -> None:
    """The queries of a validation set are nobody's: they move nothing to the front of a fill."""
    kb.calibrate(*asked())
    assert kb.queries() == []


def test_another_calibration_takes_its_place(kb: cf.Collection, folder: Path, old: cf.Encoder) -> None:
    """The latest one counts, in a process too that has used the one before."""
    kb.calibrate(*asked())
    with cf.Collection.open(folder, old) as other:
        before = relevances(other)
        kb.calibrate(*asked(first=100))
        assert relevances(other) == relevances(kb) != before


def test_what_people_said_is_enough(kb: cf.Collection) -> None:
    """Without queries the kept judgements count, and of hits that nobody judged nothing is known."""
    texts, qrels = asked()
    for query, text in texts.items():
        for hit in kb.search(text, k=4, on_read="off"):
            kb.judge(text, hit.id, qrels[query].get(hit.id, 0.0))
    by_people = kb.calibrate()
    assert (by_people.relevant + by_people.irrelevant, by_people.queries) == (4 * QUERIES, QUERIES)
    given = kb.calibrate(texts, qrels, k=4)
    assert (given.slope, given.intercept) == pytest.approx((by_people.slope, by_people.intercept))


def test_a_folder_of_judged_queries(kb: cf.Collection, tmp_path: Path) -> None:
    """A BEIR folder gives what the same mappings do; named once it is both."""
    texts, qrels = asked()
    (tmp_path / "qrels").mkdir()
    lines = [f'{{"_id": "{query}", "text": "{text}"}}' for query, text in texts.items()]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    rows = [f"{query}\t{document}\t1" for query, of in qrels.items() for document in of]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    found = kb.calibrate(tmp_path)
    expected = kb.calibrate(texts, qrels)
    assert (found.slope, found.intercept) == (expected.slope, expected.intercept)


def test_what_can_not_be_learned_changes_nothing(kb: cf.Collection, folder: Path, old: cf.Encoder) -> None:
    """Too few judgements, none, queries without qrels, a k out of range, a reader: each is refused and says why."""
    kb.search("w1", on_read="off")  # notes what it has compared with its checksums
    before = content_of(folder)
    texts, qrels = asked(count=20)
    with pytest.raises(NotReady, match="30 relevant hits"):
        kb.calibrate(texts, qrels)
    with pytest.raises(NotReady, match="no query was judged"):
        kb.calibrate()
    with pytest.raises(InvalidInput, match="qrels= is needed"):
        kb.calibrate(texts)
    with pytest.raises(InvalidInput, match="goes with queries="):
        kb.calibrate(qrels=qrels)
    with pytest.raises(InvalidInput, match="k must be a whole number"):
        kb.calibrate(texts, qrels, k=0)
    with cf.Collection.open(folder, old, read_only=True) as reader, pytest.raises(ReadOnlyCollection):
        reader.calibrate(*asked())
    assert content_of(folder) == before


def test_one_calibration_for_the_whole_fade(kb: cf.Collection, new: cf.Encoder, folder: Path) -> None:
    """At every share the live version's counts, and its rollback finds it again; the new version has none of its own
    until it is calibrated, also where both go on answering. Scores of another kind have no relevance."""
    calibration = kb.calibrate(*asked())
    before = relevances(kb)
    fade = kb.migrate(new)
    for until in (0.4, 1.0):
        fade.run(until=until)
        hits = kb.search("w1 w2 w3 w4")
        assert hits.method == "fade"
        assert [hit.relevance for hit in hits] == [calibration.relevance(hit.score) for hit in hits]
        assert kb.calibration == calibration
    assert relevances(kb, merge="rrf") == [None] * 10
    with cf.Collection.open(folder, new) as without_old:
        assert relevances(without_old) == [None] * 10
        with pytest.raises(EncoderMissing, match="version 1"):
            without_old.calibrate(*asked())
    fade.cutover(serve="blend")
    assert relevances(kb) == [None] * 10
    of_new = kb.calibrate(*asked())
    assert (of_new.space, of_new.slope != calibration.slope) == (new.space.fingerprint, True)
    assert relevances(kb) != [None] * 10
    fade.cutover(serve="new")
    assert kb.calibration == of_new
    kb.rollback()
    assert kb.calibration == calibration
    fade.cutover()
    kb.prune(force=True)
    assert kb.calibration == of_new
    assert relevances(kb) != before


def test_a_cutover_meanwhile_is_noticed(folder: Path, new: cf.Encoder) -> None:
    """What was learned of one version's scores is not kept with another one."""
    busy: list[cf.Migration] = []

    def cut_over(texts: list[str]) -> None:
        while busy:
            busy.pop().cutover()

    with filled(folder, wrapped(*OLD, before=cut_over), COUNT) as docs:
        fade = docs.migrate(new)
        fade.run()
        busy.append(fade)
        with pytest.raises(NotReady, match="made the live one meanwhile"):
            docs.calibrate(*asked())
        assert docs.calibration is None
    assert not [*folder.rglob(NAME)]


def test_a_damaged_calibration_is_not_used(
    kb: cf.Collection, folder: Path, old: cf.Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    """One flipped bit: searches do without and say so, the doctor names it, a repair removes it, and another one can
    be made."""
    kb.calibrate(*asked())
    kb.close()
    path = folder / "versions" / "0001" / NAME
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            Calibration.load(path.parent, old.space)
    with cf.Collection.open(folder, old) as docs, caplog.at_level(logging.WARNING, "crossfade"):
        assert relevances(docs) == [None] * 10
        with pytest.raises(DamagedFile):
            _ = docs.calibration
    assert "hits have no relevance" in caplog.text
    assert [finding.kind for finding in doctor.examine(folder) if finding.is_wrong] == ["calibration"]
    assert [finding.kind for finding in doctor.repair(folder, old) if finding.repaired] == ["calibration"]
    assert not [finding for finding in doctor.examine(folder) if finding.is_wrong]
    with cf.Collection.open(folder, old) as docs:
        assert docs.calibration is None
        docs.calibrate(*asked())
        assert None not in relevances(docs)


def test_another_spaces_calibration_is_not_used(kb: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A whole file in the folder of another version is refused: its scores mean something else."""
    kb.calibrate(*asked())
    fade = kb.migrate(new)
    fade.run()
    for path in (folder / "versions" / "0001").glob("calibration*"):
        shutil.copy(path, folder / "versions" / "0002")
    fade.cutover()
    assert relevances(kb) == [None] * 10
    with pytest.raises(SpaceMismatch, match="another Space"):
        _ = kb.calibration


def test_a_backup_has_it(kb: cf.Collection, old: cf.Encoder, tmp_path: Path, folder: Path) -> None:
    """The copy knows what the collection knows; a damaged one is left out, and said so."""
    calibration = kb.calibrate(*asked())
    assert kb.backup(tmp_path / "copy.cf").left_out == ()
    with cf.Collection.open(tmp_path / "copy.cf", old) as copy:
        assert copy.calibration == calibration
    (folder / "versions" / "0001" / NAME).write_text("{}")
    assert kb.backup(tmp_path / "other.cf").left_out == ("calibration of version 1",)
    assert not [finding for finding in doctor.examine(tmp_path / "other.cf") if finding.is_wrong]


@pytest.fixture(scope="module")
def library() -> tuple[list[cf.Document], dict[str, str], dict[str, str]]:
    """Some documentation of the standard library, and its summaries as queries: those to learn from, and others."""
    entries = random.Random(0).sample(demo.library(), 500)
    questions = {entry.id: entry.question for entry in entries if entry.unambiguous}
    learned = dict(list(questions.items())[::2])
    others = {name: text for name, text in questions.items() if name not in learned}
    return [cf.Document(entry.id, entry.text) for entry in entries], learned, others


def measured(docs: cf.Collection, questions: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Relevance and relevant or not, of the first ten hits of each question."""
    found = zip(questions, docs.search(list(questions.values()), on_read="off"), strict=True)
    pairs = [(hit.relevance, hit.id == name) for name, hits in found for hit in hits]
    return np.array([one for one, _ in pairs], np.float64), np.array([right for _, right in pairs], np.bool_)


def answers_of(questions: dict[str, str]) -> dict[str, dict[str, float]]:
    return {name: {name: 1.0} for name in questions}


def test_probabilities_hold_on_queries_not_seen(
    folder: Path, l3: cf.Encoder, l6: cf.Encoder, library: tuple[list[cf.Document], dict[str, str], dict[str, str]]
) -> None:
    """Real texts, real models, other queries than it was learned from: in ten bins the probability is off by 0.05 in
    the mean at most, and tells hits apart; so it is halfway through a migration, by the same calibration."""
    texts, learned, others = library
    with cf.Collection.create(folder, l3) as docs:
        docs.upsert(texts)
        calibration = docs.calibrate(learned, answers_of(learned))
        expected, right = measured(docs, others)
        assert error_of(expected, right) < 0.05
        assert calibration.error is not None
        assert abs(calibration.error - error_of(expected, right)) < 0.05
        share = right.mean()
        assert np.square(expected - right).mean() < 0.9 * share * (1.0 - share), "better than the share alone"
        docs.migrate(l6).run(until=0.5)
        assert docs.calibration == calibration
        assert error_of(*measured(docs, others)) < 0.07


def test_the_command_calibrates_for_every_process(
    folder: Path, l3: cf.Encoder, library: tuple[list[cf.Document], dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    """`crossfade calibrate` reads a file, says what it learned, and searches of a process that has the collection open
    show it from then on; too few judgements end it with 1."""
    texts, learned, _ = library
    lines = [json.dumps({"id": name, "text": text, "qrels": {name: 1}}) for name, text in learned.items()]
    file, few = tmp_path / "queries.jsonl", tmp_path / "few.jsonl"
    file.write_text("\n".join(lines))
    few.write_text("\n".join(lines[:20]))
    with cf.Collection.create(folder, l3) as docs:
        docs.upsert(texts)
        assert docs.search("regular expressions")[0].relevance is None
        done = command("calibrate", folder, "--queries", file, "-k", "5", "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["k"], told["queries"]) == (0, 5, len(learned))
        assert docs.calibration is not None
        assert docs.calibration.slope == told["slope"]
        relevance = docs.search("regular expressions")[0].relevance
        assert relevance is not None
        refused = command("calibrate", folder, "--queries", few)
        assert (refused.returncode, "30 relevant hits" in refused.stderr) == (1, True)
    found = json.loads(command("search", folder, "regular expressions", "--json").stdout)
    assert found["hits"][0]["relevance"] == pytest.approx(relevance, abs=1e-6)
    assert f"{relevance:.0%}  " in command("search", folder, "regular expressions", "-k", "1").stdout


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    code = [sys.executable, "-c", "from crossfade.cli import main; main()", *map(str, words)]
    return subprocess.run(code, capture_output=True, text=True, timeout=120)
