"""Log: what users ask of the log of searches, and report to it."""

from __future__ import annotations

from crossfade._values import shown
from crossfade.catalog import searched
from crossfade.catalog.searched import Query
from crossfade.errors import InvalidInput
from crossfade.store import Store, amounts

from .searcher import Searcher


def report_failing(store: Store, searcher: Searcher, query: str) -> int:
    """Counts what a failing query looks at; gives how many documents that is."""
    if not isinstance(query, str) or not query or query.isspace():
        raise InvalidInput(f"report_failing takes the text of a query, got {shown(query)}")
    keys = searcher.considered(query)
    with store.writing() as connection:
        searched.add_failing(connection, dict(zip(keys.tolist(), amounts(keys).tolist(), strict=True)))
        if store.keep_texts:
            searched.report(connection, query)
    return len(keys)


def logged(store: Store, most: int) -> list[Query]:
    """The most frequent queries, at most so many."""
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most < 2**63:
        raise InvalidInput(f"most must be a positive whole number of queries, got {shown(most)}")
    if not store.read_only:
        store.write_log()
    with store.reading() as connection:
        return searched.queries(connection, most)


def forget(store: Store) -> None:
    """Deletes the texts of all logged queries, those too that are only noted yet."""
    store.write_log()
    with store.writing() as connection:
        searched.forget_queries(connection)
