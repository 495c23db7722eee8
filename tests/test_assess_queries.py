"""Queries and judgements of an assessment: read from every form of file, from the log, and from what people did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crossfade as cf
from crossfade import assess
from crossfade.errors import InvalidInput

TEXTS = {"1": "forgotten password", "2": "new account"}
QRELS = {"1": {"a1": 2.0, "b7": 0.0}, "2": {"b7": 1.0}}


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    lines = [json.dumps({"_id": key, "text": text, "metadata": {}}) for key, text in TEXTS.items()]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    rows = [f"{query}\t{key}\t{int(grade)}" for query, of in QRELS.items() for key, grade in of.items()]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return tmp_path


def test_a_beir_folder_is_read(beir: Path) -> None:
    """Queries and the judgements of the test split; a file of another split can be named."""
    assert assess.given(beir) == assess.Queries(TEXTS, QRELS, "given")
    (beir / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n1\tx\t1\n")
    assert assess.given(beir).qrels == QRELS
    assert assess.given(str(beir), beir / "qrels" / "dev.tsv").qrels == {"1": {"x": 1.0}}
    (beir / "qrels" / "test.tsv").rename(beir / "qrels" / "train.tsv")
    with pytest.raises(InvalidInput, match="name one with qrels="):
        assess.given(beir)


def test_trec_files_are_read(tmp_path: Path) -> None:
    """Topics by tabs and judgements in four columns, whatever the white space."""
    topics, judged = tmp_path / "topics.tsv", tmp_path / "qrels.txt"
    topics.write_text("".join(f"{key}\t{text}\n" for key, text in TEXTS.items()))
    judged.write_text("1 0 a1 2\n1 0  b7 0\n2\t0\tb7\t1\n\n")
    assert assess.given(topics, judged) == assess.Queries(TEXTS, QRELS)


def test_json_lines_and_csv_are_read_with_their_judgements(tmp_path: Path) -> None:
    """An object of grades in JSON; in CSV a row for each judgement."""
    lines, table = tmp_path / "queries.jsonl", tmp_path / "queries.csv"
    lines.write_text("\n".join(json.dumps({"id": key, "query": TEXTS[key], "qrels": QRELS[key]}) for key in TEXTS))
    table.write_text(
        "id,text,document,grade\n1,forgotten password,a1,2\n1,forgotten password,b7,0\n2,new account,b7,\n"
    )
    assert assess.given(lines) == assess.given(table) == assess.Queries(TEXTS, QRELS)


def test_dicts_are_taken() -> None:
    """As the façade takes them."""
    assert assess.given(TEXTS, QRELS) == assess.Queries(TEXTS, QRELS)
    assert not assess.given(TEXTS).provisional


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("q.jsonl", '{"id": "1"}', "line 1: needs a field text or query"),
        ("q.jsonl", '{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}', "line 2: query '1' has another text"),
        ("q.jsonl", '{"id": "1", "text": "a", "qrels": [1]}', "line 1: qrels must be an object"),
        ("q.jsonl", '{"id": "1", "text": "a", "qrels": {"d": "good"}}', "line 1: a grade must be a finite number"),
        ("q.jsonl", '{"id": "1", "text": " "}', "query '1' needs a text"),
        ("q.csv", "id,text,document,grade\n1,a,d,nan", "line 2: a grade must be"),
        ("q.tsv", "1 no tab", "line 1: must be a query's id, a tab"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    """The message has the line and what is wrong with it."""
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match=complaint):
        assess.given(tmp_path / name)


def test_judgements_that_fit_no_query_are_refused(tmp_path: Path) -> None:
    """Of an unknown query, in a strange table, or none at all."""
    (tmp_path / "qrels.txt").write_text("1 a1\n")
    for qrels, complaint in (
        ({"3": {"a": 1}}, "no text of it"),
        ({"1": ["a"]}, "must be {document id: grade}"),
        (tmp_path / "qrels.txt", "line 1: must have the columns"),
        (7, "qrels must be"),
    ):
        with pytest.raises(InvalidInput, match=complaint):
            assess.given(TEXTS, qrels)
    with pytest.raises(InvalidInput, match="queries must be"):
        assess.given(7)


def test_the_log_gives_queries_and_people_judgements(docs: cf.Collection) -> None:
    """Logged texts and judged ones, each once, with what was said of them."""
    docs.search(["asked", "asked and judged"], k=1)
    docs.judge("asked and judged", "d1", 1)
    docs.judge("only judged", "d2", 0)
    queries = assess.from_log(docs.queries(), docs.judgements())
    assert sorted(queries.texts.items()) == [(text, text) for text in ("asked", "asked and judged", "only judged")]
    assert queries.qrels == {"asked and judged": {"d1": 1.0}, "only judged": {"d2": 0.0}}
    assert (queries.source, queries.provisional) == ("log", False)


def test_clicks_make_documents_relevant() -> None:
    """What was clicked often enough has grade 1; less often says nothing."""
    clicks = [("q", "a"), ("q", "a"), ("q", "b"), ("r", "b")]
    assert assess.from_clicks(clicks) == {"q": {"a": 1.0, "b": 1.0}, "r": {"b": 1.0}}
    assert assess.from_clicks(clicks, least=2) == {"q": {"a": 1.0}}
    with pytest.raises(InvalidInput, match="least must be"):
        assess.from_clicks(clicks, least=0)
    with pytest.raises(InvalidInput, match="a click must be"):
        assess.from_clicks(["qa"])  # type: ignore[list-item]
