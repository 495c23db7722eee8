"""Queries: what models are asked and what would be right, from the user, the log of searches, or the documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Literal

from crossfade import judged
from crossfade.catalog.judgements import Judgement
from crossfade.catalog.searched import Query
from crossfade.errors import InvalidInput
from crossfade.evaluate import Qrels
from crossfade.known_items import KnownItem

Source = Literal["given", "log", "made"]


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
        strangers = self.qrels.keys() - self.texts.keys()
        if strangers:
            raise InvalidInput(f"there are judgements of query {min(strangers)!r}, but no text of it")

    @property
    def provisional(self) -> bool:
        """Whether they are no users' queries but made from documents, so that what they say is a first idea."""
        return self.source == "made"


def given(queries: judged.Queries, qrels: judged.Qrels | None = None) -> Queries:
    """Queries of the user's; arguments and errors as of `crossfade.judged.read`."""
    found = judged.read(queries, qrels)
    return Queries(found.queries, {query: of for query, of in found.qrels.items() if query in found.queries or of})


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
