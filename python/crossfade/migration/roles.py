"""Which version plays which role: every change of it is one small transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence

from crossfade._values import one_of, shown
from crossfade.catalog import Connection, tasks, versions
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput, MigrationConflict, ModelError, NothingToRollBack, NotReady
from crossfade.orders import Order
from crossfade.store import Store

from .fill import OVER, catch_up
from .learning import LEAST_PAIRS

RETENTION_SECONDS = 14 * 24 * 3600.0
SHOWN_IDS, MOST_IDS = 5, 100  # in a message, and with an error


def start(store: Store, encoder: Encoder, order: Order | None = None) -> int:
    """Starts a migration to an encoder, or finds the one under way to it; gives the migration's number.

    The order it fills in is the one given; if none is, the default one, or the one that it had.

    Raises:
        MigrationConflict: The collection is in that Space already, or another migration is under way.
    """
    with store.writing() as connection:
        state = versions.read(connection)
        target = encoder.space.fingerprint
        current = state.migration
        if current and current.target in state.versions:
            found = state.versions[current.target]
            if found.space.fingerprint == target:
                if order is not None:
                    set_order(connection, current, order)
                return current.id
            if current.state == "filling":
                raise MigrationConflict(
                    f"a migration to {found.space!r} is under way; finish it, or abandon() it, "
                    f"before migrating to {encoder.space!r}"
                )
        if state.live_version.space.fingerprint == target:
            raise MigrationConflict(
                f"the collection is in {encoder.space!r} already: same weights, tokenizer and settings; nothing to do"
            )
        for kept in state.versions.values():
            if kept.space.fingerprint == target:
                raise MigrationConflict(
                    f"the collection keeps {encoder.space!r} as version {kept.id}, for rollback; go back with "
                    "rollback(), or drop it with prune(force=True) before migrating to it again"
                )
        if state.pair:
            raise MigrationConflict(
                f"versions {state.pair[0].id} and {state.pair[1].id} answer together, and a migration starts from one; "
                'let the new one answer alone with cutover(serve="new") first'
            )
        version = versions.add(connection, encoder.space, encoder.name, encoder.engine, "filling")
        store.prepare_version(version, encoder.space)
        tasks.add_all(connection, version)
        migration = versions.start_migration(connection, state.live, version)
        if order is not None:
            versions.set_order(connection, migration, str(order))
        versions.note(
            connection, "migration started", {"from": state.live, "to": version, "documents": state.documents}
        )
        return migration


def set_order(connection: Connection, current: versions.MigrationRow, order: Order) -> None:
    """Has a migration fill in another order; the next run gives its tasks their ranks."""
    if str(order) != current.fill_order:
        versions.set_order(connection, current.id, str(order))


def cut_over(store: Store, migration: int, force: str | None, serve: str = versions.NEW) -> None:
    """Makes a migration's target the live version, or changes whether its source goes on to answer beside it.

    The time for which the source is kept begins when it no longer answers.

    Raises:
        NotReady: Documents have no vector in it yet and no reason to go on without them was given; or both are to
            answer, and nothing was learned that they could be blended by.
        InvalidInput: The reason is no text, or there is no such `serve`.
    """
    reason = _reason(force)
    one_of(serve, "serve", versions.SERVES)
    with store.writing() as connection:
        state, current = _current(connection, migration)
        switched = current.state == "cut over"
        if switched and current.serve == serve:
            return
        if serve == versions.BLEND and current.bridge is None:
            raise NotReady(
                "two versions are blended by what fit() learns, and nothing is learned yet; fit() first, which takes "
                f'{LEAST_PAIRS} documents, or let the new version answer alone: cutover(serve="new")'
            )
        target = state.versions[current.target]
        if target.pending and not reason and not (switched and serve == versions.BLEND):
            raise NotReady(
                f"{target.pending} of {state.documents} documents have no vector of the new model yet "
                f"({target.failed} of them failed); run() the migration to its end, or give a reason to leave "
                "them out: cutover(force='…')",
                tasks.pending_ids(connection, target.id, MOST_IDS),
            )
        until = time.time() + RETENTION_SECONDS if serve == versions.NEW else None
        versions.set_live(connection, target.id, current.source, until)
        versions.set_migration_state(connection, migration, "cut over", serve)
        detail = {"from": state.live, "to": target.id, "serve": serve, "missing": target.pending, "forced": reason}
        versions.note(connection, "cut over", detail)


def rollback(store: Store, encoders: Encoders, *, force: str | None = None) -> int:
    """Makes the version before the last cutover live again; gives its number.

    What was written while the old encoder was not at hand is embedded first, if it is now (unless `force`).

    Raises:
        NothingToRollBack: No migration was cut over, or the old version is pruned.
        NotReady: Documents written since have no vector in the old version.
        InvalidInput: The reason is no text.
    """
    reason, failure = _reason(force), None
    with store.reading() as connection:
        current = versions.read(connection).migration
    if current and current.state == "cut over" and not reason:
        failure = catch_up(store, encoders, current.source, patience=0.0)
    with store.writing() as connection:
        state = versions.read(connection)
        current = state.migration
        if current is None or current.state != "cut over" or current.source not in state.versions:
            raise NothingToRollBack(
                "there is no earlier version to go back to: "
                + ("the migration is not cut over yet, abandon() drops it" if current else "none is retained")
            )
        source = state.versions[current.source]
        if source.pending and not reason:
            raise _stale(source, tasks.pending_ids(connection, source.id, MOST_IDS), failure) from failure
        versions.set_live(connection, source.id, state.live, time.time() + RETENTION_SECONDS)
        versions.set_migration_state(connection, current.id, "rolled back")
        versions.note(connection, "rolled back", {"to": source.id, "stale": source.pending, "forced": reason})
        return source.id


def abandon(store: Store, migration: int) -> None:
    """Drops a migration that was not cut over, with its vectors.

    Raises:
        NotReady: Its target is the live version.
    """
    with store.writing() as connection:
        state, current = _current(connection, migration)
        if current.state == "cut over":
            raise NotReady("the migration is cut over; rollback() first, then abandon() it")
        if current.state == "rolled back":
            _require_reachable(state)
        versions.drop(connection, current.target)
        versions.note(connection, "abandoned", {"version": current.target})
    store.remove_dropped()


def prune(store: Store, *, force: bool = False) -> Sequence[int]:
    """Drops the versions whose retention is over (all that are retained, with `force`); gives their numbers.

    The retention of one that answers beside the live version has not begun.

    Raises:
        NotReady: Documents would be left that no search finds.
    """
    with store.writing() as connection:
        state = versions.read(connection)
        now = time.time()
        dropped = [
            version.id
            for version in state.versions.values()
            if version.state == "retained" and (force or (version.retained_until or now) < now)
        ]
        if dropped:
            _require_reachable(state)
        for version in dropped:
            versions.drop(connection, version)
            versions.note(connection, "pruned", {"version": version, "forced": force})
    store.remove_dropped()
    return dropped


def _require_reachable(state: versions.State) -> None:
    """Refuses to drop the vectors that documents have elsewhere while the live version lacks them.

    Without a migration nothing would fill the gap. Documents that were given up are not waited for.
    """
    missing = state.live_version.pending - state.live_version.failed
    if missing:
        raise NotReady(
            f"{missing} documents have no vector in the live version yet, and without the migration would never be "
            "found again; run() it to its end first (an edit or delete of them will do, too)"
        )


def _stale(source: versions.Version, ids: Sequence[str], failure: ModelError | None) -> NotReady:
    shown = ", ".join(ids[:SHOWN_IDS]) + (", …" if source.pending > SHOWN_IDS else "")
    what = f"the old encoder failed ({failure}): mend it" if failure else "hand in the old encoder"
    return NotReady(
        f"{source.pending} documents written since the cutover have no vector of the old model and would not be found "
        f"({shown}); {what}, or give a reason to go back without them: rollback(force='…')",
        ids,
    )


def _reason(force: str | None) -> str | None:
    """The reason to go on, None where there is none or it says nothing."""
    if force is not None and not isinstance(force, str):
        raise InvalidInput(f"force must be the reason to go on, a text that is recorded, got {shown(force)}")
    return (force or "").strip() or None


def _current(connection: Connection, migration: int) -> tuple[versions.State, versions.MigrationRow]:
    state = versions.read(connection)
    if state.migration is None or state.migration.id != migration:
        raise NotReady(OVER)
    return state, state.migration
