"""Database: connections to the catalog's SQLite file, and the names of its failures."""

from __future__ import annotations

import collections
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from crossfade.errors import (
    CollectionBusy,
    CollectionClosed,
    CollectionError,
    DamagedFile,
    NewerFormat,
    NotACollection,
    StorageFailed,
)

from .gate import GATE
from .schema import APPLICATION_ID, FORMAT_VERSION, TABLES, TRIGGERS, UPGRADES
from .values import WrongValue

BUSY_TIMEOUT_MS = 30_000
# 3.7.0 to 3.51.2 can corrupt a WAL database when one connection checkpoints while another commits
# (https://sqlite.org/wal.html, "the WAL-reset bug").
OLDEST_SQLITE = (3, 51, 3)
MOST_PARAMETERS = 30_000
# After these a connection is not used again: SQLite opens to read what it can't open to write, and stays with that,
# though the next moment it could.
FAILED = (apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Names the exceptions of SQLite in crossfade's words."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise CollectionBusy(
            f"{path} was locked by another process for {BUSY_TIMEOUT_MS // 1000} s; nothing was changed, try again"
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedFile(f"{path} is no intact SQLite file ({error}); restore it from a backup") from error
    except (json.JSONDecodeError, UnicodeDecodeError, WrongValue) as error:  # SQLite's pages have no checksums
        raise DamagedFile(f"{path} holds a value that can't be read ({error}); restore it from a backup") from error
    except (apsw.FullError, apsw.PermissionsError, *FAILED) as error:
        raise StorageFailed(
            f"{path} could not be read or written ({error}); nothing was changed. "
            "Check free space and permissions, then try again"
        ) from error
    except (apsw.ConnectionClosedError, apsw.ForkingViolationError) as error:
        raise CollectionClosed("the collection is closed; open it again with Collection.open") from error
    except apsw.Error as error:
        raise CollectionError(f"{path}: {type(error).__name__}: {error}") from error


class Database:
    """One SQLite file: a writing connection behind a lock, and a pool of reading ones, made when they are needed."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._closed = False
        self._writer: apsw.Connection | None = None
        self._watcher: apsw.Connection | None = None
        self._watchers = 0
        self.start_anew()
        with GATE, translated(path):
            self._check_format()
        GATE.watch(self)

    @classmethod
    def create(cls, path: Path) -> Database:
        """Makes the file with all its tables, empty."""
        with GATE, translated(path):
            connection = apsw.Connection(str(path))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            with connection:
                connection.execute(TABLES)
                connection.execute(TRIGGERS)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                _upgrade(connection, min(UPGRADES))
            connection.close()
        return cls(path)

    @contextlib.contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection inside one read transaction: every statement sees the same state."""
        self._check_open()
        with GATE, translated(self.path):
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = self._connect()
            usable = True
            try:
                connection.execute("BEGIN")
                yield connection
            except FAILED:
                usable = False
                raise
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")
                if usable and not self._closed:
                    self._readers.append(connection)
                else:
                    connection.close()

    @contextlib.contextmanager
    def writing(self, patience: float | None = None) -> Iterator[apsw.Connection]:
        """A connection inside one write transaction: committed at the end, rolled back on any exception.

        Args:
            patience: Seconds to wait for other threads' and processes' transactions; `BUSY_TIMEOUT_MS` unless given.
        """
        with GATE, self._alone(patience), translated(self.path):
            self._check_open()
            if self._writer is None:
                self._writer = self._connect()
            connection = self._writer
            try:
                if patience is not None:
                    connection.set_busy_timeout(int(1000 * patience))
                try:
                    connection.execute("BEGIN IMMEDIATE")
                finally:
                    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, FAILED):
                    self._writer = None
                    connection.close()
                raise

    @contextlib.contextmanager
    def _alone(self, patience: float | None) -> Iterator[None]:
        """No other thread of this process is writing."""
        if not self._write_lock.acquire(timeout=-1 if patience is None else patience):
            raise CollectionBusy(f"{self.path} was being written to for {patience:.2f} s; nothing was changed")
        try:
            yield
        finally:
            self._write_lock.release()

    def data_version(self) -> tuple[int, int]:
        """Numbers that differ from the last ones seen when any connection or process has committed since."""
        with GATE, self._watch_lock, translated(self.path):
            self._check_open()
            if self._watcher is None:
                self._watcher = self._connect()
                self._watchers += 1  # SQLite's number says nothing across connections
            return self._watchers, int(self._watcher.pragma("data_version"))

    def copy(self, destination: Path) -> None:
        """Copies what is committed at one moment into a new file, while others go on reading and writing.

        Raises:
            StorageFailed: The file can't be made or written.
        """
        with (
            self.reading() as connection,
            translated(destination),
            contextlib.closing(apsw.Connection(str(destination))) as copied,
            copied.backup("main", connection, "main") as steps,
        ):
            while not steps.done:
                steps.step(-1)

    def close(self) -> None:
        """Closes every connection; using the database afterwards raises CollectionClosed."""
        if GATE.is_bypassed:
            self._closed = True
        if not self._closed:
            with GATE, self._write_lock, self._watch_lock:
                self._closed = True
                self.disconnect()

    def disconnect(self) -> None:
        """Closes the connections that nobody is using; new ones are made when they are needed."""
        idle = [connection for connection in (self._writer, self._watcher) if connection is not None]
        self._writer = self._watcher = None
        with contextlib.suppress(IndexError):
            while True:
                idle.append(self._readers.pop())
        for connection in idle:
            connection.close()

    def start_anew(self) -> None:
        """Makes locks that nobody holds; for a forked child too, which inherits no connection."""
        self._write_lock = threading.RLock()
        self._watch_lock = threading.Lock()
        # No queue of the standard library: Ctrl-C between two lines of its own would leave its lock locked.
        self._readers: collections.deque[apsw.Connection] = collections.deque()

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionClosed("the collection is closed; open it again with Collection.open")

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "trusted_schema = OFF", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {pragma}")
        if self.read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _check_format(self) -> None:
        version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        if version < OLDEST_SQLITE:
            raise CollectionError(
                f"SQLite {apsw.sqlite_lib_version()} can corrupt a database in WAL mode; "
                f"install an apsw with SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer"
            )
        if not self.path.is_file():
            raise NotACollection(f"{self.path.parent} holds no collection ({self.path.name} is missing)")
        with contextlib.closing(self._connect()) as connection:
            application, found = connection.pragma("application_id"), connection.pragma("user_version")
            if application == APPLICATION_ID and found < FORMAT_VERSION and not self.read_only:
                connection.execute("BEGIN IMMEDIATE")  # another process may be at it
                found = _upgrade(connection, connection.pragma("user_version"))
                connection.execute("COMMIT")
        if application != APPLICATION_ID:
            raise NotACollection(f"{self.path} is no catalog of crossfade")
        if found > FORMAT_VERSION:
            raise NewerFormat(
                f"{self.path.parent} has format {found}, this crossfade reads up to {FORMAT_VERSION}; "
                "install a newer crossfade"
            )
        if found < FORMAT_VERSION:
            raise CollectionError(
                f"{self.path.parent} has format {found}; open it once without read_only (as crossfade prune does), "
                f"which brings it up to {FORMAT_VERSION}"
            )


def sqlite_version() -> str:
    """The version of the SQLite in use."""
    return str(apsw.sqlite_lib_version())


def _upgrade(connection: apsw.Connection, found: int) -> int:
    """Takes the steps from format `found` to the present one, in the caller's transaction."""
    for step in range(found, FORMAT_VERSION):
        connection.execute(UPGRADES[step])
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    return FORMAT_VERSION


def marks(count: int) -> str:
    """Question marks for `IN (…)`."""
    return ",".join("?" * count)
