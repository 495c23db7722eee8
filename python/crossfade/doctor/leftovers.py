"""Leftovers: what killed processes left behind: files that nothing names, leases that nobody holds."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from crossfade.catalog import Connection, files, versions
from crossfade.errors import StorageFailed
from crossfade.index import is_owned
from crossfade.store import GRACE_SECONDS, Store, listed, only_builder

from .environment import size_of
from .facts import Case
from .finding import REPAIR, Finding

# Only names that crossfade gives are ever looked at; whatever else lies in the folder is the user's.
_VECTORS = re.compile(r"[0-9a-f]{8}\.(rows|blocks)")
_SEGMENT = re.compile(r"[0-9a-f]{8}\.segment(\.tmp)?")
_LEARNED = re.compile(r"[0-9a-f]{8}")


def check(case: Case) -> Iterator[Finding]:
    """What could be removed or given back. None of it is wrong: it takes room, or holds up a fill for a moment."""
    for path, size in find(case.store).items():
        yield Finding(
            severity="note",
            kind="leftover",
            what=f"nothing needs it any more, {size:,} bytes",
            where=str(path),
            remedy=f"{REPAIR} removes it",
        )
    for number, leases in case.facts.dead_leases.items():
        if leases:
            yield Finding(
                severity="note",
                kind="lease",
                what=f"version {number}: {len(leases)} batches are leased to workers that died",
                where=str(case.store.layout.catalog),
                remedy=f"the next crossfade migrate takes them back, and so does {REPAIR}",
                version=number,
            )


def find(store: Store) -> Mapping[Path, int]:
    """Paths that nothing names and nobody is writing, with their sizes."""
    paths = [*_listed(store)]  # before the catalog is read: what was published meanwhile is named there
    with store.reading() as connection:
        named = _named(connection, store)
    found = {path for path in paths if path not in named and not _is_being_made(path)}
    return {path: size_of(path) for path in sorted(found) if path.parent not in found}


def remove(store: Store) -> None:
    """Removes what `find` finds. Nothing is being made meanwhile: that would take the write transaction held here.

    Raises:
        StorageFailed: A file can't be removed.
    """
    store.remove_dropped()
    with store.writing():
        for path in find(store):
            if _SEGMENT.fullmatch(path.name):
                with only_builder(path.parent) as alone:
                    if alone:
                        _remove(path)
            else:
                _remove(path)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"{path} could not be removed: {error}; check permissions") from error


def _listed(store: Store) -> Iterator[Path]:
    layout = store.layout
    yield from layout.drafts()
    for folder in layout.all_versions():
        yield folder
        yield from (path for path in listed(folder) if _VECTORS.fullmatch(path.name) or _SEGMENT.fullmatch(path.name))
    for folder in layout.all_bridges():
        yield from (path for path in listed(folder) if path.is_dir() and _LEARNED.fullmatch(path.name))


def _named(connection: Connection, store: Store) -> set[Path]:
    layout, kept = store.layout, versions.read(connection).versions
    named = {layout.version(number) for number in kept}
    for file in files.all_files(connection):
        named |= {layout.version(file.version) / f"{file.id}.{ending}" for ending in ("rows", "blocks")}
    for segment in files.all_segments(connection):
        named.add(layout.version(segment.version) / f"{segment.name}.segment")
    for migration in versions.bridges(connection):
        if migration.source in kept and migration.target in kept:
            named.add(layout.bridges(migration.source, migration.target) / str(migration.bridge))
    return named


def _is_being_made(path: Path) -> bool:
    if _VECTORS.fullmatch(path.name):
        return is_owned(path.parent, path.name[:8])
    return _is_young(path)


def _is_young(path: Path) -> bool:
    """Whether it may be about to be named, or still be opened by a reader of an earlier state."""
    try:
        return time.time() - path.stat().st_mtime < GRACE_SECONDS
    except FileNotFoundError:
        return True
