"""Judged: queries and what is known to answer them, from mappings, BEIR folders, TREC's files, JSON lines or CSV."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from crossfade._records import Numbered, csv_rows, json_lines, lines
from crossfade._values import check_text, checked_folder, shown
from crossfade.errors import InvalidInput

LARGEST = 1e308  # of a grade

Queries: TypeAlias = Mapping[str, str] | str | os.PathLike[str]
Qrels: TypeAlias = Mapping[str, Mapping[str, float]] | str | os.PathLike[str]

_IDS, _TEXTS = ("_id", "id", "query-id", "query_id", "qid"), ("text", "query")
_DOCUMENTS, _GRADES = ("corpus-id", "document", "doc_id", "docid"), ("score", "grade", "relevance")


class Judged(NamedTuple):
    """Queries and judgements.

    Args:
        queries: Text by query id.
        qrels: By query id, the grades by document id; one above zero is relevant.
    """

    queries: dict[str, str]
    qrels: dict[str, dict[str, float]]


def judged(queries: Queries, qrels: Qrels | None) -> Judged:
    """The queries that have a relevant document, checked; arguments as of `read`.

    Raises:
        InvalidInput: A file or a value is not of this kind, or no query has a relevant document.
    """
    texts, every = graded(queries, qrels)
    kept = {query: grades for query, grades in every.items() if any(grade > 0.0 for grade in grades.values())}
    if not kept:
        raise InvalidInput("no query has a relevant document; qrels must be {query id: {document id: grade}}")
    return Judged({query: texts[query] for query in kept}, kept)


def graded(queries: Queries, qrels: Qrels | None) -> Judged:
    """The queries that have any judgement, checked; arguments and errors as of `read`."""
    found = read(queries, qrels)
    kept = {query: found.qrels[query] for query in found.queries if found.qrels.get(query)}
    return Judged({query: found.queries[query] for query in kept}, kept)


def read(queries: Queries, qrels: Qrels | None = None) -> Judged:
    """Queries and judgements, checked; either may be without the other.

    Args:
        queries: `{id: text}`; a BEIR folder (queries.jsonl and qrels/test.tsv, or the only file in qrels); or a file:
            JSON lines with `_id` (or `id`) and `text` (or `query`), which may have judgements in `qrels`, an object
            of grades by document id; CSV with the same columns, and a row's `document` and `grade` for a judgement;
            `.tsv` or `.txt` topics: id, tab, text.
        qrels: `{query id: {document id: grade}}`; a BEIR folder; or a file: TREC's four columns (query, 0, document,
            grade), or BEIR's three with their header.

    Raises:
        InvalidInput: A file can't be read or a line can't be used; the message names both.
    """
    grades: dict[str, dict[str, float]] = {}
    if isinstance(queries, Mapping):
        texts = dict(queries)
    elif not isinstance(queries, str | os.PathLike):
        raise InvalidInput(f"queries must be {{id: text}}, a file or a BEIR folder, got {shown(queries)}")
    elif (path := checked_folder(queries, "queries")).is_dir():
        texts, grades = _file(path / "queries.jsonl")
        qrels = path if qrels is None and (path / "qrels").is_dir() else qrels
    else:
        texts, grades = _file(path)
    for query, text in texts.items():
        check_text(text, f"the text of query {shown(query)}")
        if not text or text.isspace():
            raise InvalidInput(f"query {shown(query)} needs a text, but is empty; leave it out")
    return Judged(texts, grades if qrels is None else _qrels(qrels))


def _file(path: Path) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, float]] = {}
    for number, record in _records(path):
        place = f"{shown(str(path))}, line {number}"
        query, text = str(_field(record, _IDS, place)), _field(record, _TEXTS, place)
        if texts.setdefault(query, text) != text:
            raise InvalidInput(f"{place}: query {shown(query)} has another text above")
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
    name = shown(str(path))
    read = lines(str(path), name)
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


def _qrels(source: Any) -> dict[str, dict[str, float]]:
    qrels: dict[str, dict[str, float]] = {}
    if isinstance(source, Mapping):
        for query, grades in source.items():
            if not isinstance(grades, Mapping):
                raise InvalidInput(f"qrels of query {shown(query)} must be {{document id: grade}}, got {shown(grades)}")
            for document in grades:
                check_text(document, f"a document's id in the qrels of query {shown(query)}")
            place = f"query {shown(query)}, document"
            qrels[query] = {key: _number(grade, f"{place} {shown(key)}") for key, grade in grades.items()}
        return qrels
    if not isinstance(source, str | os.PathLike):
        raise InvalidInput(f"qrels must be {{query id: {{document id: grade}}}} or a file, got {shown(source)}")
    path = checked_folder(source, "qrels")
    path = _split(path) if path.is_dir() else path
    name = shown(str(path))
    for number, line in enumerate(lines(str(path), name), 1):
        parts = line.split("\t") if "\t" in line else line.split()
        place = f"{name}, line {number}"
        if (number == 1 and parts[:1] == ["query-id"]) or not line.strip():
            continue
        if len(parts) not in (3, 4):
            raise InvalidInput(
                f"{place}: must have the columns query, document, grade, or TREC's four, got {shown(line)}"
            )
        qrels.setdefault(parts[0].strip(), {})[parts[-2].strip()] = _grade(parts[-1], place)
    return qrels


def _split(folder: Path) -> Path:
    """The judgements of a BEIR folder: those of the test split, or the only ones."""
    files = sorted((folder / "qrels").glob("*.tsv"))
    wanted = [path for path in files if path.name == "test.tsv"] or files
    if len(wanted) != 1:
        found = "no test.tsv but several others" if wanted else "no judgements"
        raise InvalidInput(f"{shown(str(folder / 'qrels'))} has {found}; name one with qrels=")
    return wanted[0]


def _field(record: Mapping[str, Any], names: tuple[str, ...], place: str) -> Any:
    for name in names:
        if name in record:
            return record[name]
    raise InvalidInput(f"{place}: needs a field {' or '.join(names)}, got the fields {shown(list(record))}")


def _grade(value: Any, place: str) -> float:
    """A grade as files write it."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise InvalidInput(f"{place}: a grade must be a finite number, got {shown(value)}") from error
    return _number(value, place)


def _number(value: Any, place: str) -> float:
    right = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not right or not -LARGEST <= value <= LARGEST:  # which no NaN is, and which a whole number of any size can be
        raise InvalidInput(f"{place}: a grade must be a finite number, got {shown(value)}")
    return float(value)
