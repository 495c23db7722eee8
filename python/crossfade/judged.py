"""Judged: queries and what is known to answer them, as mappings or as a folder of BEIR files."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossfade._values import check_text, parse_json, shown
from crossfade.errors import InvalidInput

LARGEST = 1e308  # of a grade

Queries = Mapping[str, str] | str | os.PathLike[str]
Qrels = Mapping[str, Mapping[str, float]] | str | os.PathLike[str]


class Judged(NamedTuple):
    """Queries that were judged.

    Args:
        queries: Text by query id.
        qrels: By query id, the grades by document id; one above zero is relevant. Every query has some.
    """

    queries: dict[str, str]
    qrels: dict[str, dict[str, float]]


def judged(queries: Queries, qrels: Qrels) -> Judged:
    """The queries that have a relevant document, checked.

    Args:
        queries: `{query id: text}`, or a BEIR folder, of which `queries.jsonl` is read.
        qrels: `{query id: {document id: grade}}`, or a BEIR folder, of which `qrels/test.tsv` is read.

    Raises:
        InvalidInput: A file or a value is not of this kind, or no query has a relevant document.
    """
    texts, kept = graded(queries, qrels)
    kept = {query: of_query for query, of_query in kept.items() if any(grade > 0.0 for grade in of_query.values())}
    if not kept:
        raise InvalidInput("no query has a relevant document; qrels must be {query id: {document id: grade}}")
    return Judged({query: texts[query] for query in kept}, kept)


def graded(queries: Queries, qrels: Qrels) -> Judged:
    """The queries that have any judgement, checked; arguments as of `judged`.

    Raises:
        InvalidInput: A file or a value is not of this kind.
    """
    texts = queries if isinstance(queries, Mapping) else _texts(_folder(queries, "queries") / "queries.jsonl")
    grades = qrels if isinstance(qrels, Mapping) else _grades(_folder(qrels, "qrels") / "qrels" / "test.tsv")
    for query, text in texts.items():
        check_text(text, f"the text of query {shown(query)}")
        if not text or text.isspace():
            raise InvalidInput(f"query {shown(query)} has no text")
    kept = {query: _checked(query, grades[query]) for query in texts if query in grades}
    kept = {query: of_query for query, of_query in kept.items() if of_query}
    return Judged({query: texts[query] for query in kept}, kept)


def _folder(given: object, name: str) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise InvalidInput(f"{name} must be a mapping or a BEIR folder, got {shown(given)}")
    return Path(given)


def _checked(query: str, grades: Any) -> dict[str, float]:
    if not isinstance(grades, Mapping):
        raise InvalidInput(f"the qrels of query {shown(query)} must be {{document id: grade}}, got {shown(grades)}")
    for document, grade in grades.items():
        right = isinstance(document, str) and isinstance(grade, int | float) and not isinstance(grade, bool)
        if (
            not right or not -LARGEST <= grade <= LARGEST
        ):  # which no NaN is, and which a whole number of any size can be
            raise InvalidInput(f"query {shown(query)} grades {shown(document)} with {shown(grade)}, no finite number")
    return {document: float(grade) for document, grade in grades.items()}


def _texts(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8") as lines:
            entries = [parse_json(line) for line in lines]
        return {entry["_id"]: entry["text"] for entry in entries}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(
            f"{shown(str(path))} must have an object with _id and text on every line: {shown(error)}"
        ) from error


def _grades(path: Path) -> dict[str, dict[str, float]]:
    grades: dict[str, dict[str, float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                grades.setdefault(row["query-id"], {})[row["corpus-id"]] = float(row["score"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(
            f"{shown(str(path))} must have the columns query-id, corpus-id and score, by tabs: {shown(error)}"
        ) from error
    return grades
