"""Asking: whose queries are asked, and what their answers decide."""

from __future__ import annotations

from collections.abc import Callable

from crossfade.catalog import documents, judgements, searched
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.known_items import known_items
from crossfade.store import Store

from .measuring import measure, uniform
from .quality import Quality
from .queries import Queries, from_log, made
from .request import Request
from .ruling import Ruling, by_quality, reservations
from .sample import Sample

NO_QUERIES = "there are no judged queries, and none can be made from the documents"
CLICKS = "clicks"  # the judge's name of judgements that were made from clicks


def ask(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    asked: Request,
    drawn: Sample,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Ruling, Quality | None, list[str]]:
    """What queries decide, how well they are answered, and what to mind.

    Args:
        store: The collection's.
        encoders: Its encoders; the live version's must be there.
        new: The new model's.
        asked: What is asked for.
        drawn: The documents that were chosen by chance, with their rows.
        progress: As of `measure`.
    """
    queries, clicked, notes = asked.queries, False, list[str]()
    if queries is None:
        queries, clicked, notes = _of_the_collection(store, asked, drawn)
    if not queries.texts:
        change = "judged queries: queries= and qrels=, docs.judge"
        return Ruling("not enough evidence", NO_QUERIES, (change,)), None, notes
    quality = measure(
        store,
        encoders,
        new,
        queries,
        sample=max(asked.sample, len(drawn) + asked.sample - uniform(asked.sample)),
        judge=asked.judge,
        drawn=drawn,
        progress=progress,
        **asked.measuring,
    )
    return by_quality(quality, asked.thresholds), quality, [*notes, *reservations(quality, asked.thresholds, clicked)]


def _of_the_collection(store: Store, asked: Request, sample: Sample) -> tuple[Queries, bool, list[str]]:
    """Queries of the log, where enough of them are judged or a program judges; else queries made from documents."""
    with store.reading() as connection:
        logged = searched.queries(connection, searched.MOST_QUERIES)
        said = judgements.all_judgements(connection)
        found = documents.fetch(connection, sample.keys.tolist())
    relevant, least = {judgement.query for judgement in said if judgement.grade > 0}, asked.thresholds.least_queries
    said = [judgement for judgement in said if judgement.query in relevant or asked.judge]
    queries = made(known_items(found[key] for key in sample.keys.tolist() if key in found))
    if (asked.judge and logged) or len(relevant) >= least or not queries.texts:
        logged = logged if asked.judge else []
        return from_log(logged, said), any(judgement.judge == CLICKS for judgement in said), []
    few = f"{len(relevant)} queries of the log are judged, fewer than {least}: they are not asked"
    return queries, False, [few] if relevant else []
