"""Store: one open collection folder."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tomli_w

from crossfade._forks import call_in_child
from crossfade.catalog import Connection, Database, searched, tasks, texts, versions
from crossfade.errors import CollectionExists, CrossfadeError, NotACollection, ReadOnlyCollection, StorageFailed
from crossfade.index import is_owned
from crossfade.space import Space

from . import commit
from .layout import Layout, sync_folder
from .log import MOST_KEYS, SearchLog
from .readers import Origin, Readers
from .sealing import Sealer
from .snapshot import Snapshot
from .writers import Writers

LOG_PART = 250  # documents whose counts are written in one transaction: some six milliseconds


class Known(NamedTuple):
    """Vectors of texts that need no encoding.

    Args:
        found: Which of the texts asked for are known, bool `(n,)`.
        rows: Their vectors, float32 `(found.sum(), dim)`.
        cut: Which of those the model sees the beginning of only, bool `(found.sum(),)`.
    """

    found: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.float32]
    cut: npt.NDArray[np.bool_]


class Store:
    """The folder of a collection: snapshots for readers, commits for writers. Thread-safe."""

    def __init__(self, root: Path, *, read_only: bool = False, keep_texts: bool = True) -> None:
        """Opens an existing folder; `keep_texts` says whether the texts of queries may be kept in it.

        Raises:
            NotACollection: There is no catalog in it.
            NewerFormat: A newer crossfade wrote it.
            DamagedFile: A file fails its checks.
        """
        if not root.is_dir():
            raise NotACollection(
                f"{root} holds no collection: there is no such folder; make one with Collection.create"
            )
        self.root = root
        self.read_only = read_only
        self.keep_texts = keep_texts
        self.layout = Layout(root)
        self.database = Database(self.layout.catalog, read_only=read_only)
        self._start_anew()
        call_in_child(self._start_anew)

    @classmethod
    def create(cls, root: Path, space: Space, encoder: str | None, engine: Mapping[str, Any]) -> Store:
        """Makes a collection's folder under another name, complete, and renames it.

        Raises:
            CollectionExists: Something is there already.
            StorageFailed: The folder can't be made.
        """
        if root.exists() and not (root.is_dir() and not any(root.iterdir())):
            raise CollectionExists(f"{root} exists already; open it with Collection.open, or choose another folder")
        draft = Layout(root).draft()
        try:
            draft.mkdir(parents=True)
            database = Database.create(Layout(draft).catalog)
            with database.writing() as connection:
                versions.initialise(connection, space, encoder, engine)
            database.close()
            _prepare(Layout(draft), 1, space)
            sync_folder(draft)
            draft.rename(root)
            sync_folder(root.parent)
        except OSError as error:
            raise StorageFailed(f"{root} could not be created: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return cls(root)

    def snapshot(self) -> Snapshot:
        """What is committed now, by this or any other process."""
        return self._readers.snapshot()

    def origins(self, key: int) -> dict[int, Origin]:
        """By version, how the vector of a revision came to be."""
        return self._readers.origins(key)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection inside a read transaction."""
        with self.database.reading() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, patience: float | None = None) -> Iterator[Connection]:
        """A connection inside a write transaction; `patience` says how many seconds to wait for others' at most.

        Raises:
            ReadOnlyCollection: The collection was opened with read_only=True.
            CollectionBusy: Others were writing for so long.
        """
        if self.read_only:
            raise ReadOnlyCollection(f"{self.root} was opened with read_only=True; open it again without")
        committing = False
        try:
            with self.database.writing(patience) as connection:
                yield connection
                committing = True
        except StorageFailed:
            if committing:
                self._writers.retire()
            raise

    def known(self, version: int, dim: int, hashes: Sequence[bytes]) -> Known:
        """What a version of `dim` columns has of texts already, because documents with the same text are in it."""
        with self.reading() as connection:
            same = texts.embedded(connection, version, hashes)
        found = np.array([text_hash in same for text_hash in hashes], np.bool_)
        of_found = [same[text_hash] for text_hash in itertools.compress(hashes, found)]
        index = self.snapshot().indices.get(version) if of_found else None
        if index is None:
            return Known(np.zeros(len(hashes), np.bool_), np.empty((0, dim), np.float32), np.empty(0, np.bool_))
        keys = np.array([text.key for text in of_found], np.uint64)
        there = index.has(keys)
        found[found] = there
        cut = np.array([text.cut for text in itertools.compress(of_found, there)], np.bool_)
        return Known(found, index.gather(keys[there]), cut)

    def write(self, batch: commit.Batch) -> None:
        """Writes a prepared batch; all of it is durable, or nothing.

        Raises:
            Overtaken: Another writer was faster; prepare the batch again.
        """
        with self.writing() as connection:
            commit.write(connection, self._writers, batch)
        self.seal_when_due()

    def delete(self, ids: Sequence[str]) -> int:
        """Deletes documents in one transaction; gives how many existed."""
        with self.writing() as connection:
            return commit.delete(connection, ids)

    def fill(
        self,
        connection: Connection,
        version: versions.Version,
        lease: str,
        keys: Sequence[int],
        hashes: Sequence[bytes],
        rows: npt.NDArray[np.float32],
        cut: Sequence[bool] | npt.NDArray[np.bool_] = (),
    ) -> int:
        """Writes vectors of tasks held under a lease, in the caller's transaction; gives how many counted."""
        return commit.fill(connection, self._writers, version, lease, keys, hashes, rows, cut)

    def new_lease(self, connection: Connection, version: versions.Version) -> str:
        """A name for a lease that is never used again; it tells whether its holder is alive."""
        return f"{self._writers.owner(connection, version)}:{self._token}:{uuid.uuid4().hex[:8]}"

    def release(self, version: int, lease: str) -> None:
        """Gives back the tasks held under a lease."""
        with self.writing() as connection:
            tasks.release(connection, version, lease)

    def release_dead_leases(self, version: int) -> None:
        """Gives back the tasks of workers that died (`tasks.bury` says how) or whose time has run out."""
        with self.writing() as connection:
            for owner in self.dead_leases(connection, version):
                if self._is_alive(version, owner):
                    tasks.release(connection, version, owner)
                else:
                    count = tasks.bury(connection, version, owner)
                    versions.note(connection, "worker died", {"version": version, "documents": count})

    def dead_leases(self, connection: Connection, version: int) -> list[str]:
        """Leases whose holders died, or whose time has run out."""
        owners = tasks.owners(connection, version).items()
        return [owner for owner, expired in owners if expired or not self._is_alive(version, owner)]

    def note(self, texts: Sequence[str], considered: Sequence[npt.NDArray[np.uint64]]) -> None:
        """Notes searches for the log: their texts, and the documents each looked at, best first.

        Nothing is noted of a collection that was opened to be read only.
        """
        if not self.read_only:
            self.log.note(texts if self.keep_texts else (), considered)

    def write_log(self) -> None:
        """Writes what searches have looked at, in small transactions, so that other writers come between.

        While searches go on there is always something left, which is for the next time.
        """
        for _ in range(MOST_KEYS // LOG_PART + 1):
            with self.writing() as connection:
                if not self.write_log_part(connection):
                    return

    def _write_most_of_log(self) -> None:
        """Writes what searches looked at most, while they go on: to write all would take the disk and them seconds."""
        with self.writing() as connection:
            self.write_log_part(connection)

    def write_log_part(self, connection: Connection) -> bool:
        """Writes what searches looked at most, in the caller's transaction; gives whether there was anything."""
        noted = self.log.take(LOG_PART)
        if noted.hits:
            searched.add_hits(connection, noted.hits)
        if noted.queries:
            searched.add_queries(connection, noted.queries)
        return bool(noted.hits or noted.queries)

    def prepare_version(self, version: int, space: Space) -> None:
        """Makes the folder of a new version."""
        _prepare(self.layout, version, space)

    def remove_dropped(self) -> None:
        """Removes the files of versions that the catalog has dropped, now or before a process was killed.

        What can't be read or removed is left to the next time.
        """
        with self.database.writing() as connection:  # nobody else can be preparing a version meanwhile
            kept = versions.read(connection).versions
            self._writers.keep(kept)
            with contextlib.suppress(StorageFailed):
                for folder in [*self.layout.all_versions(), *self.layout.all_bridges()]:
                    if not all(int(number) in kept for number in folder.name.split("-")):
                        shutil.rmtree(folder, ignore_errors=True)

    def seal_when_due(self, *, wait: bool = True) -> None:
        """Starts the builder where rows have become too many to scan; to be called after every commit of rows.

        It waits for the builder where that is far behind, unless told not to.
        """
        self._sealer.consider(wait=wait)

    def seal(self) -> None:
        """Seals what is due now, in this thread."""
        self._sealer.run()

    def close(self) -> None:
        """Closes everything; a second call does nothing."""
        self._sealer.close()
        self.log.close()
        if not self.read_only:
            with contextlib.suppress(CrossfadeError):  # a count that is lost costs nothing
                self.write_log()
        self.database.close()  # waits for a write under way, which still needs its files
        self._writers.close()
        self._readers.close()

    def _start_anew(self) -> None:
        """What belongs to one process; a forked child has files, leases, threads and counts of its own."""
        self.log = SearchLog(self._write_most_of_log)
        # Tells this store's leases from those of a killed one whose vector file it took over.
        self._token = uuid.uuid4().hex[:8]
        self._writers = Writers(self.layout)
        self._readers = Readers(self.layout, self.database)
        self._sealer = Sealer(self.layout, self.database)

    def _is_alive(self, version: int, owner: str) -> bool:
        file, token, _ = owner.split(":")
        if token == self._token:
            return True
        # A file that this store took over has no other owner: the one who leased is dead.
        return not self._writers.owns(file) and is_owned(self.layout.version(version), file)


def _prepare(layout: Layout, version: int, space: Space) -> None:
    folder = layout.version(version)
    description = tomli_w.dumps({"fingerprint": space.fingerprint, **space.to_dict()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "space.toml").write_text(description)
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise StorageFailed(f"{folder} could not be made: {error}") from error
