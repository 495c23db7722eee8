"""Records: whether the catalog is whole, and agrees with itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from crossfade.catalog import Connection, health, versions
from crossfade.errors import DamagedFile
from crossfade.store import Store

from .finding import REPAIR, Finding

SHOWN = 5
FATAL = ("catalog", "live")  # kinds of which damage leaves nothing to compare with
KINDS = ("catalog", "documents", "counts", "live")
RESTORE = "restore a backup: its folder is a collection, put it in this one's place"


def check(store: Store) -> Iterator[Finding]:
    """What is wrong with the catalog. Where this has "damage", the files can't be compared with it."""
    where = str(store.layout.catalog)
    try:
        with store.reading() as connection:
            broken = [*health.integrity(connection), *_unreadable(connection)]
            found = [] if broken else [*_agreeing(connection, where)]
    except DamagedFile as error:
        broken, found = [str(error)], []
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        yield Finding(
            severity="damage",
            kind="catalog",
            what=f"{broken[0]}{more}; vectors and segments were not compared with it",
            where=where,
            remedy=RESTORE,
        )
    yield from found


def _unreadable(connection: Connection) -> list[str]:
    """Why the state can't be read, if it can't."""
    try:
        versions.read(connection)
    except ValueError as error:
        return [f"its versions can't be read ({error})"]
    return []


def _agreeing(connection: Connection, where: str) -> Iterator[Finding]:
    differing = list(itertools.islice(health.contents_that_differ(connection), 1_000))
    if differing:
        ids = ", ".join(map(repr, differing[:SHOWN])) + (", …" if len(differing) > SHOWN else "")
        yield Finding(
            severity="damage",
            kind="documents",
            what=f"{_count(len(differing), 1_000)} documents are not as they were written: {ids}",
            where=where,
            remedy=f"write these documents again, or {RESTORE}",
        )
    for count in health.wrong_counts(connection):
        of = "" if count.version is None else f" of version {count.version}"
        yield Finding(
            severity="problem",
            kind="counts",
            what=f"{count.name}{of} says {count.kept:,}, there are {count.counted:,}",
            where=where,
            remedy=REPAIR,
            version=count.version,
            name=count.name,
        )
    pointer, live = health.live_versions(connection)
    if live != [pointer]:
        yield Finding(
            severity="damage",
            kind="live",
            what=f"version {pointer} answers, but live are {live or 'none'}",
            where=where,
            remedy=RESTORE,
        )
    state = versions.read(connection)
    yield Finding(severity="ok", kind="catalog", what=f"whole, {state.documents:,} documents", where=where)


def _count(found: int, most: int) -> str:
    return f"{found:,}" if found < most else f"at least {most:,}"
