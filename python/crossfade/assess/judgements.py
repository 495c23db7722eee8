"""Judgements that nobody wrote down: from clicks, and from a judge that is a program."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from crossfade._values import shown
from crossfade.errors import InvalidInput

# From the texts of a query and of a document to a grade, above 0 for relevant: a cross-encoder, a language model.
Judge = Callable[[str, str], float]

CLICKS_CAVEAT = (
    "clicks go to what was shown, and to what stood first: they favour the model that made the lists, and say nothing "
    "of documents that nobody saw"
)


def from_clicks(clicks: Iterable[tuple[str, str]], *, least: int = 1) -> dict[str, dict[str, float]]:
    """Judgements from clicks, by the simplest model: what was clicked so often is relevant, of grade 1.

    Places are not accounted for (`CLICKS_CAVEAT`): of two models, the one that showed the lists is favoured. So a new
    model that wins by clicks of the old one's lists wins; one that loses may not be worse.

    Args:
        clicks: The query's text and the document's id, for every click.
        least: How many clicks of a document for a query make it relevant; more than 1 where robots or slips click.

    Returns:
        Grade by document id by query text; queries without such a document are left out.

    Raises:
        InvalidInput: `least` is below 1, or a click is no pair of texts.

    Example:
        >>> from_clicks([("reset password", "a1"), ("reset password", "a1"), ("reset password", "b7")], least=2)
        {'reset password': {'a1': 1.0}}
    """
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise InvalidInput(f"least must be a whole number of clicks from 1 on, got {shown(least)}")
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for click in clicks:
        if not isinstance(click, tuple) or len(click) != 2 or not all(isinstance(part, str) for part in click):
            raise InvalidInput(f"a click must be a query's text and a document's id, got {shown(click)}")
        counts[click] += 1
    qrels: dict[str, dict[str, float]] = {}
    for (query, document), times in counts.items():
        if times >= least:
            qrels.setdefault(query, {})[document] = 1.0
    return qrels


def by_judge(
    judge: Judge, query: str, documents: Sequence[tuple[str, str]], known: Mapping[str, float]
) -> dict[str, float]:
    """What a judge says of documents, given as id and text; of those that were judged already it is not asked.

    Raises:
        InvalidInput: It gave something else than a finite number.
    """
    grades = dict(known)
    for identifier, text in documents:
        if identifier not in grades:
            grade = judge(query, text)
            if isinstance(grade, bool) or not isinstance(grade, (int, float)) or not math.isfinite(grade):
                raise InvalidInput(
                    f"a judge must give a finite number, but gave {shown(grade)} for query {shown(query)}"
                )
            grades[identifier] = float(grade)
    return grades
