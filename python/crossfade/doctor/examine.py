"""The examination: every check, over what the catalog says at one moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from crossfade._values import checked_folder
from crossfade.catalog import files, versions
from crossfade.errors import CollectionBusy, CollectionError, DamagedFile, NotACollection
from crossfade.store import Layout, Store

from . import environment, leftovers, records, vectors, views
from .facts import Case, Facts, Meter
from .finding import REPAIR, Finding

Progress = Callable[[int, int], None]
_CHECKS = (
    views.check_spaces,
    vectors.check,
    views.check_segments,
    views.check_bridges,
    views.check_calibrations,
    leftovers.check,
)
_EMBED = f"{REPAIR} embeds them where the model can be loaded by name; else cf.doctor.repair(folder, encoder)"


def examine(path: str | Path, *, progress: Progress | None = None) -> list[Finding]:
    """Compares everything in a collection's folder with its checksums and with each other; changes nothing.

    Other processes may go on searching and writing.

    Args:
        path: The collection's folder.
        progress: Called with (megabytes read, megabytes to read).

    Returns:
        What was seen, well or not. Nothing is wrong exactly if `is_wrong` is of none of them.

    Raises:
        NotACollection: The folder holds none.
        InvalidInput: `path` can't be a path.

    Example:
        wrong = [finding for finding in cf.doctor.examine("kb.cf") if finding.is_wrong]
    """
    root = checked_folder(path)
    layout = Layout(root)
    if not layout.catalog.is_file() and not layout.all_versions():
        raise NotACollection(f"{root} holds no collection; check the path")
    found = list(environment.check(root))
    try:
        store = Store(root, read_only=True)
    except CollectionBusy:
        raise
    except CollectionError as error:
        return [*found, _closed(layout, error)]
    with contextlib.closing(store):
        found += records.check(store)
        if not any(finding.is_wrong and finding.kind in records.FATAL for finding in found):
            found += _look(store, progress)
    return found


def _closed(layout: Layout, error: CollectionError) -> Finding:
    damaged = isinstance(error, (DamagedFile, NotACollection))
    return Finding(
        severity="damage" if damaged else "problem",
        kind="catalog",
        what=f"it can't be opened: {error}",
        where=str(layout.catalog),
        remedy=records.RESTORE if damaged else "do what the message says",
    )


def _look(store: Store, progress: Progress | None) -> list[Finding]:
    facts = Facts.read(store)
    case = Case(store, facts, Meter(facts.size, progress))
    found = [finding for check in _CHECKS for finding in check(case)]
    found += _missing_documents(facts, store)
    return list(_still_there(store, found))


def _still_there(store: Store, found: list[Finding]) -> Iterator[Finding]:
    """Leaves out what is about files that were replaced while they were looked at."""
    with store.reading() as connection:
        state = versions.read(connection)
        names = {file.id for file in files.all_files(connection)}
        names |= {segment.name for segment in files.all_segments(connection)}
        names |= {str(migration.bridge) for migration in versions.bridges(connection)}
    for finding in found:
        about_version = finding.version is None or finding.version in state.versions
        if finding.kind in records.KINDS or (about_version and (finding.name is None or finding.name in names)):
            yield finding


def _missing_documents(facts: Facts, store: Store) -> Iterator[Finding]:
    """Documents without a vector: what a migration is there for, and wrong where none will make one."""
    state = facts.state
    for version in state.versions.values():
        given_up, missing = len(facts.failures[version.id]), len(facts.tasks[version.id])
        if not missing:
            continue
        filled = state.migration is not None and state.migration.target == version.id
        lost = version.state == "live" and not filled and missing > given_up
        first = f", {given_up:,} of them given up" if given_up else ""
        yield Finding(
            severity="problem" if lost else "note",
            kind="missing" if lost else "fill",
            what=f"version {version.id} ({version.state}): {missing:,} documents have no vector{first}",
            where=str(store.layout.version(version.id)),
            remedy=_EMBED if lost else "crossfade migrate goes on with them",
            version=version.id,
        )
