"""Queries: what models are asked and what would be right, from files, dicts, the log of searches, or the documents."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from crossfade._records import Numbered, csv_rows, json_lines, lines
from crossfade._values import check_text, shown
from crossfade.catalog.judgements import Judgement
from crossfade.catalog.searched import Query
from crossfade.errors import InvalidInput
from crossfade.evaluate import Qrels
from crossfade.known_items import KnownItem

Source = Literal["given", "log", "made"]
_IDS, _TEXTS = ("_id", "id", "query-id", "query_id", "qid"), ("text", "query")
_DOCUMENTS, _GRADES = ("corpus-id", "document", "doc_id", "docid"), ("score", "grade", "relevance")


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries and judgements.

    Args:
        texts: Text by query id.
        qrels: Grade by document id by query id; above 0 is relevant. Queries without judgements may be left out.
        source: "given" by the user, from the "log" of searches, or "made" from documents.
        rests: Of queries that were made, the text that stands for their document: its content without the query.
    """

    texts: Mapping[str, str]
    qrels: Qrels = dataclasses.field(default_factory=dict)
    source: Source = "given"
    rests: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for query, text in self.texts.items():
            check_text(text, f"query {query!r}")
            if not text or text.isspace():
                raise InvalidInput(f"query {query!r} needs a text, but is empty; leave it out")
        strangers = self.qrels.keys() - self.texts.keys()
        if strangers:
            raise InvalidInput(f"there are judgements of query {min(strangers)!r}, but no text of it")

    @property
    def provisional(self) -> bool:
        """Whether they are no users' queries but made from documents, so that what they say is a first idea."""
        return self.source == "made"


def given(queries: object, qrels: object = None) -> Queries:
    """Queries of the user's.

    Args:
        queries: `{id: text}`; a BEIR folder (queries.jsonl and qrels/test.tsv, or the only file in qrels); or a file:
            JSON lines with `_id` (or `id`) and `text` (or `query`), which may have judgements in `qrels`, an object
            of grades by document id; CSV with the same columns, and a row's `document` and `grade` for a judgement;
            `.tsv` or `.txt` topics: id, tab, text.
        qrels: `{query id: {document id: grade}}`; or a file: TREC's four columns (query, 0, document, grade), or BEIR's
            three with their header.

    Raises:
        InvalidInput: A file can't be read or a line can't be used; the message names both.
    """
    found: dict[str, dict[str, float]] = {}
    if isinstance(queries, Mapping):
        texts = dict(queries)
    elif isinstance(queries, str | Path) and Path(queries).is_dir():
        texts, found = _file(Path(queries) / "queries.jsonl")
        qrels = _beir_qrels(Path(queries)) if qrels is None else qrels
    elif isinstance(queries, str | Path):
        texts, found = _file(Path(queries))
    else:
        raise InvalidInput(f"queries must be {{id: text}}, a file or a BEIR folder, got {shown(queries)}")
    grades = found if qrels is None else _qrels(qrels)
    return Queries(texts, {query: dict(of) for query, of in grades.items() if query in texts or of}, "given")


def from_log(queries: Iterable[Query], judgements: Iterable[Judgement] = ()) -> Queries:
    """The queries of the log, and those that were judged; a query's text is its id."""
    qrels: dict[str, dict[str, float]] = {}
    for judgement in judgements:
        qrels.setdefault(judgement.query, {})[judgement.id] = judgement.grade
    return Queries({text: text for text in [*(query.text for query in queries), *qrels]}, qrels, "log")


def made(items: Iterable[KnownItem]) -> Queries:
    """Queries made from documents: each has one right answer, the document without what was made a query of it."""
    of = {item.id: item for item in items}
    texts = {identifier: item.query for identifier, item in of.items()}
    return Queries(texts, {key: {key: 1.0} for key in of}, "made", {key: item.rest for key, item in of.items()})


def _file(path: Path) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, float]] = {}
    for number, record in _records(path):
        place = f"{path}, line {number}"
        query, text = str(_field(record, _IDS, place)), _field(record, _TEXTS, place)
        if texts.setdefault(query, text) != text:
            raise InvalidInput(f"{place}: query {query!r} has another text above")
        grades = record.get("qrels", {})
        if not isinstance(grades, Mapping):
            raise InvalidInput(f"{place}: qrels must be an object of grades by document id, got {shown(grades)}")
        for document, grade in grades.items():
            qrels.setdefault(query, {})[document] = _grade(grade, place)
        if any(name in record for name in _DOCUMENTS):
            grade = next((record[name] for name in _GRADES if name in record), 1)
            qrels.setdefault(query, {})[str(_field(record, _DOCUMENTS, place))] = _grade(grade, place)
    return texts, qrels


def _records(path: Path) -> Numbered:
    name = str(path)
    read = lines(name, name)
    if path.suffix.lower() == ".csv":
        return csv_rows(read, name)
    if path.suffix.lower() in (".tsv", ".txt"):
        return _topics(read, name)
    return json_lines(read, name)


def _topics(source: Iterable[str], name: str) -> Numbered:
    for number, line in enumerate(source, 1):
        query, tab, text = line.rstrip("\r\n").partition("\t")
        if line.strip():
            if not tab:
                raise InvalidInput(f"{name}, line {number}: must be a query's id, a tab and its text")
            yield number, {"id": query, "text": text}


def _beir_qrels(folder: Path) -> Path | None:
    files = sorted((folder / "qrels").glob("*.tsv"))
    wanted = [path for path in files if path.name == "test.tsv"] or files
    if len(wanted) > 1:
        raise InvalidInput(f"{folder / 'qrels'} has no test.tsv but several others; name one with qrels=")
    return wanted[0] if wanted else None


def _qrels(source: Any) -> dict[str, dict[str, float]]:
    qrels: dict[str, dict[str, float]] = {}
    if isinstance(source, Mapping):
        for query, grades in source.items():
            if not isinstance(grades, Mapping):
                raise InvalidInput(f"qrels of query {query!r} must be {{document id: grade}}, got {shown(grades)}")
            qrels[query] = {key: _grade(grade, f"query {query!r}, document {key!r}") for key, grade in grades.items()}
        return qrels
    if not isinstance(source, str | Path):
        raise InvalidInput(f"qrels must be {{query id: {{document id: grade}}}} or a file, got {shown(source)}")
    for number, line in enumerate(lines(str(source), str(source)), 1):
        parts = line.split("\t") if "\t" in line else line.split()
        place = f"{source}, line {number}"
        if (number == 1 and parts[:1] == ["query-id"]) or not line.strip():
            continue
        if len(parts) not in (3, 4):
            raise InvalidInput(
                f"{place}: must have the columns query, document, grade, or TREC's four, got {shown(line)}"
            )
        qrels.setdefault(parts[0].strip(), {})[parts[-2].strip()] = _grade(parts[-1], place)
    return qrels


def _field(record: Mapping[str, Any], names: tuple[str, ...], place: str) -> Any:
    for name in names:
        if name in record:
            return record[name]
    raise InvalidInput(f"{place}: needs a field {' or '.join(names)}, got the fields {list(record)}")


def _grade(value: Any, place: str) -> float:
    try:
        grade = float(value)
    except (TypeError, ValueError):
        grade = math.nan
    if not math.isfinite(grade) or isinstance(value, bool):
        raise InvalidInput(f"{place}: a grade must be a finite number, got {shown(value)}")
    return grade
