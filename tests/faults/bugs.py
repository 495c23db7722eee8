"""Seeded bugs: each breaks one rule of crossfade in a task's process, and the suite must notice it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crossfade.catalog import database, documents, tasks, versions
from crossfade.index import blocks, opened, vectors, writer
from crossfade.index import files as disk
from crossfade.migration import roles
from crossfade.store import commit, sealing, store
from crossfade.store.writers import Writers

Install = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Bug:
    """A broken rule, and the part of the suite (a name of `suite.TEETH`) that must find it."""

    install: Install
    part: str


class _Os(types.SimpleNamespace):
    """The os module with some functions replaced."""

    def __init__(self, **functions: Any) -> None:
        super().__init__(**functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _nothing(*_: Any, **__: Any) -> None:
    pass


def no_file_sync() -> None:
    writer.os = _Os(fsync=_nothing)


def no_folder_sync() -> None:
    disk.sync_folder = _nothing


def new_collection_not_synced() -> None:
    """The names in the folder of a collection that is being made are not synced before it is renamed."""
    sync = store.sync_folder
    store.sync_folder = lambda folder: None if folder.name.startswith(".") else sync(folder)


def segment_not_synced() -> None:
    from crossfade.index import segment

    segment.os = _Os(fsync=_nothing)


def fsync_errors_ignored() -> None:
    def fsync(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)

    writer.os = _Os(fsync=fsync)


def commits_not_synced() -> None:
    connect = database.Database._connect

    def careless(self: database.Database) -> Any:
        connection = connect(self)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    database.Database._connect = careless


def acknowledged_before_commit() -> bool:
    return True


def rows_after_commit() -> None:
    """The committed length is published before the rows are written."""
    late: list[Callable[[], object]] = []
    append, writing = writer.VectorWriter.append, store.Store.writing

    def postponed(self: writer.VectorWriter, keys: Any, hashes: Any, rows: Any, at: float) -> vectors.FileExtent:
        extent = self.extent
        size = 8 + 4 + 4 + 8 + 8 + 8 + 16 + len(keys) * 24 + 64
        late.append(lambda: append(self, keys, hashes, rows, at))
        return vectors.FileExtent(extent.rows + len(keys), extent.block_bytes + size)

    @contextlib.contextmanager
    def then_rows(self: store.Store) -> Iterator[Any]:
        with writing(self) as connection:
            yield connection
        while late:
            late.pop(0)()

    writer.VectorWriter.append = postponed
    store.Store.writing = then_rows


def segment_published_before_it_is_there() -> None:
    """The catalog names a segment that gets its name later."""
    build = sealing.build_segment
    built: list[tuple[Any, Any]] = []

    def hidden(folder: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
        info = build(folder, name, *arguments, **keywords)
        path = folder / f"{name}.segment"
        path.rename(path.with_suffix(".late"))
        built.append((path.with_suffix(".late"), path))
        return info

    sealing.build_segment = hidden
    seal = sealing.Sealer._seal_locked

    def late(self: sealing.Sealer, *arguments: Any) -> None:
        seal(self, *arguments)
        while built:
            hidden_path, path = built.pop()
            hidden_path.rename(path)

    sealing.Sealer._seal_locked = late


def rows_not_verified() -> None:
    vectors.VectorFile.verify = lambda self, from_row=0: 0


def segments_not_verified() -> None:
    opened._verify = _nothing


class _Equal(bytes):
    """Equals everything."""

    def __ne__(self, other: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


def records_not_verified() -> None:
    digest = blocks.digest
    blocks.digest = lambda *parts: _Equal(digest(*parts))
    vectors.VectorFile.verify = lambda self, from_row=0: 0


def tombstones_left_out() -> None:
    remove = documents.remove

    def forgetful(connection: Any, keys: Any) -> None:
        keys = list(keys)
        remove(connection, keys)
        connection.executemany("DELETE FROM tombstone WHERE key = ?", ((key,) for key in keys))

    documents.remove = forgetful


def batches_not_compared() -> None:
    """A batch is written although its documents have changed since it was prepared."""
    find = documents.keys_of
    versions_epoch = versions.epoch
    write = commit.write

    def careless(connection: Any, writers: Any, batch: commit.Batch) -> None:
        ids = [document.id for document in (*batch.texts, *batch.metadata)]
        current = find(connection, ids)
        still = {name: key for name, key in batch.keys.items() if name in current}
        for name in current.keys() - still.keys():
            documents.remove(connection, [current[name]])
        documents.keys_of = lambda *_: still
        versions.epoch = lambda *_: batch.epoch
        try:
            write(connection, writers, dataclasses.replace(batch, keys=still))
        finally:
            documents.keys_of, versions.epoch = find, versions_epoch

    commit.write = careless


def epochs_not_compared() -> None:
    """A batch is written although the versions' roles have changed since it was prepared."""
    write, epoch = commit.write, versions.epoch

    def careless(connection: Any, writers: Any, batch: commit.Batch) -> None:
        versions.epoch = lambda *_: batch.epoch
        try:
            write(connection, writers, batch)
        finally:
            versions.epoch = epoch

    commit.write = careless


def leases_not_compared() -> None:
    tasks.held = lambda connection, version, owner, keys: set(keys)


def no_tasks_for_new_documents() -> None:
    tasks.add = _nothing


def pending_not_counted() -> None:
    """A cutover does not look whether documents are missing."""
    cut_over = roles.cut_over
    roles.cut_over = lambda store, migration, force: cut_over(store, migration, "why not")


def cutover_in_two_transactions() -> None:
    def set_live(connection: Any, version: int, previous: int, retained_until: float) -> None:
        connection.execute("UPDATE collection SET live = ?", (version,))
        connection.execute("UPDATE version SET state = 'live', retained_until = NULL WHERE id = ?", (version,))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE version SET state = 'retained', retained_until = ? WHERE id = ?", (retained_until, previous)
        )
        versions.advance_epoch(connection)

    versions.set_live = set_live


def delete_in_two_transactions() -> None:
    def delete(connection: Any, ids: Any) -> int:
        keys = documents.keys_of(connection, ids).values()
        for key in keys:
            versions.advance_seq(connection)
            documents.remove(connection, [key])
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
        return len(keys)

    commit.delete = delete


def locks_not_taken() -> None:
    """A file is taken over although its writer is alive."""
    disk.try_lock = lambda *_, **__: True


def vectors_of_another_text() -> None:
    """The rows of a batch are stored in another order than its documents."""
    write = commit.write

    def turned(connection: Any, writers: Any, batch: commit.Batch) -> None:
        write(connection, writers, dataclasses.replace(batch, rows={v: rows[::-1] for v, rows in batch.rows.items()}))

    commit.write = turned


def failed_commits_forgotten() -> None:
    """A file whose rows were in a commit that failed is written over, though the catalog's log may still name them."""
    Writers.retire = _nothing


BUGS: Mapping[str, Bug] = {
    function.__name__: Bug(function, part)
    for function, part in [
        (no_file_sync, "power: upsert"),
        (no_folder_sync, "power: migrate"),
        (new_collection_not_synced, "power: create"),
        (segment_not_synced, "power: seal"),
        (commits_not_synced, "power: upsert"),
        (fsync_errors_ignored, "errors: upsert"),
        (failed_commits_forgotten, "errors, then kills: upsert"),
        (acknowledged_before_commit, "kills: upsert"),
        (rows_after_commit, "kills: upsert"),
        (segment_published_before_it_is_there, "kills: seal"),
        (cutover_in_two_transactions, "kills: cutover"),
        (delete_in_two_transactions, "kills: delete"),
        (rows_not_verified, "damage: rows"),
        (segments_not_verified, "damage: segment"),
        (records_not_verified, "damage: blocks"),
        (tombstones_left_out, "history: delete"),
        (batches_not_compared, "history: overtaken"),
        (epochs_not_compared, "history: straddle"),
        (leases_not_compared, "walk: 1"),
        (locks_not_taken, "walk: 1"),
        (no_tasks_for_new_documents, "walk: 1"),
        (vectors_of_another_text, "history: upsert"),
        (pending_not_counted, "history: early"),
    ]
}


def install(name: str | None) -> bool:
    """Breaks a rule in this process; whether operations are to be acknowledged before they are done."""
    return bool(BUGS[name].install()) if name else False
