"""Judged collections in BEIR folders, and encoders that compute a text once, or look its vector up."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import crossfade as cf
from crossfade import evaluate

Rows = npt.NDArray[np.float32]
Values = dict[str, dict[str, float]]  # metric → query → value
METRICS = ("ndcg10", "recall10", "mrr")
DOCUMENT, QUERY = "document: ", "query: "


class Unusable(Exception):
    """What was given can't be measured."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """A judged collection.

    Args:
        name: Its folder's.
        ids, contents: Of all documents, in the order of the file; those that are empty are part of no collection.
        queries: Text by id, of those that have a relevant document.
        qrels: Grades by document by query.
        all_queries: Ids and texts of all queries, in the order of the file.
        gain: Of a grade, for nDCG.
    """

    name: str
    ids: list[str]
    contents: list[str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, float]]
    all_queries: dict[str, str]
    gain: evaluate.Gain

    @classmethod
    def load(cls, folder: Path, gain: evaluate.Gain) -> Judged:
        """Reads corpus.jsonl, queries.jsonl and qrels/test.tsv.

        Raises:
            Unusable: A file is missing or none of its kind, or no query has a judgement.
        """
        corpus, queries = _texts(folder / "corpus.jsonl"), _texts(folder / "queries.jsonl")
        qrels = _qrels(folder / "qrels" / "test.tsv")
        strangers = qrels.keys() - queries.keys()
        if strangers:
            raise Unusable(f"qrels/test.tsv judges query {min(strangers)!r}, which is not in queries.jsonl")
        relevant = {query for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
        judged = {query: text for query, text in queries.items() if query in relevant}
        if not judged:
            raise Unusable(f"no query of {folder / 'queries.jsonl'} has a relevant document in qrels/test.tsv")
        empty = sum(not text for text in corpus.values())
        for count, what in (
            (len(queries) - len(judged), "queries without a relevant document"),
            (empty, "empty texts"),
        ):
            if count:
                say(f"{count} {what} are left out")
        return cls(folder.resolve().name, list(corpus), list(corpus.values()), judged, qrels, queries, gain)

    @property
    def documents(self) -> list[cf.Document]:
        return [cf.Document(id_, text) for id_, text in zip(self.ids, self.contents, strict=True) if text]

    def values(self, rankings: Mapping[str, Sequence[str]]) -> Values:
        """Each metric's value of each query."""
        judged = {query: self.qrels[query] for query in self.queries}
        return {
            "ndcg10": evaluate.ndcg(rankings, judged, k=10, gain=self.gain),
            "recall10": evaluate.recall(rankings, judged, k=10),
            "mrr": evaluate.mrr(rankings, judged, k=10),
        }


def model(name: str, judged: Judged, vectors: Path | None) -> cf.Encoder:
    """An encoder that remembers what it gave: of a model, or of the vectors in a folder.

    Raises:
        Unusable: The vectors are missing, or fit the files of the collection not.
    """
    known: dict[str, npt.NDArray[Any]] = {}
    if vectors is None:
        real = cf.Encoder.load(name)
        encode, dim, metric = real.encode, real.space.dim, real.space.metric
    else:
        documents = _rows(vectors / f"{name}.docs.npy", len(judged.ids), "corpus.jsonl")
        queries = _rows(vectors / f"{name}.queries.npy", len(judged.all_queries), "queries.jsonl")
        if documents.shape[1] != queries.shape[1]:
            raise Unusable(f"{name} has documents of {documents.shape[1]} dims and queries of {queries.shape[1]}")
        known |= {QUERY + text: row for text, row in zip(judged.all_queries.values(), queries, strict=True)}
        known |= {DOCUMENT + text: row for text, row in zip(judged.contents, documents, strict=True)}
        encode, dim, metric = None, documents.shape[1], "cos"
    space = cf.Space(model=name, dim=dim, metric=metric, document_prefix=DOCUMENT, query_prefix=QUERY)
    return cf.Encoder.wrap(_remembering(known, encode), space, name=name)


def _remembering(known: dict[str, npt.NDArray[Any]], encode: Callable[..., Rows] | None) -> Callable[[list[str]], Rows]:
    """From texts with their prefix to rows; what is not known yet is encoded, if there is something to encode with."""

    def rows(texts: list[str]) -> Rows:
        for prefix, kind in ((DOCUMENT, "document"), (QUERY, "query")):
            missing = [text for text in texts if text not in known and text.startswith(prefix)]
            if missing and encode is None:
                raise Unusable(f"there is no vector of {missing[0][:80]!r}")
            if missing and encode:
                known.update(zip(missing, encode([text.removeprefix(prefix) for text in missing], kind), strict=True))
        return np.stack([known[text] for text in texts]).astype(np.float32)

    return rows


def _texts(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                entry = json.loads(line)
                texts[entry["_id"]] = f"{entry.get('title') or ''} {entry['text'] or ''}".strip()
                if len(texts) != number:
                    raise Unusable(f"{path}, line {number}: the id {entry['_id']!r} comes twice")
    except OSError as error:
        raise Unusable(
            f"expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/test.tsv: {error}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"{path}, line {number}: expected an object with _id and text ({error!r})") from error
    return texts


def _qrels(path: Path) -> dict[str, dict[str, float]]:
    grades: dict[str, dict[str, float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                grades.setdefault(row["query-id"], {})[row["corpus-id"]] = float(row["score"])
    except OSError as error:
        raise Unusable(
            f"expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/test.tsv: {error}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(f"{path}: expected the columns query-id, corpus-id and score, by tabs ({error!r})") from error
    return grades


def _rows(path: Path, count: int, of: str) -> npt.NDArray[Any]:
    try:
        rows: npt.NDArray[Any] = np.load(path)
    except (OSError, ValueError) as error:
        raise Unusable(f"expected the vectors of {of} in {path}: {error}") from error
    if rows.ndim != 2 or len(rows) != count:
        raise Unusable(f"{path} must have a row for each of the {count} lines of {of}, but its shape is {rows.shape}")
    return rows


def say(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
