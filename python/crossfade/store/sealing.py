"""Sealing: rows that are scanned one by one become a usearch segment, in the background."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from crossfade._forks import only_here
from crossfade.catalog import Database, files, versions
from crossfade.encoder import BACKGROUND_NICENESS, step_back
from crossfade.errors import CrossfadeError, DamagedFile, StorageFailed
from crossfade.index import Base, OpenSegment, SegmentInfo, build_segment, try_lock

from .contents import Contents, Keys, Rows
from .layout import Layout
from .readers import CatalogVerified

TAIL_ROWS = 4_096  # scanned exactly in a quarter of a millisecond at 384 dims
BACKPRESSURE = 8  # a writer that is this many tails ahead waits
# A reader may open a segment that was replaced a moment ago; after this long it has taken a newer snapshot.
GRACE_SECONDS = 60.0
# After a failure the builder rests twice as long each time, up to this: what a graph can't hold may stay so for good.
LONGEST_REST_SECONDS = 300.0
_LOOK_SECONDS = 0.1


class Sealer:
    """Builds segments of this process's and other processes' rows; one builder a version, by a file lock."""

    def __init__(self, layout: Layout, database: Database) -> None:
        self._layout = layout
        self._database = database
        self._lock = threading.Lock()
        self._builder: _Builder | None = None
        self._asked = False
        self._closing = False
        self._failures = 0
        self._rest_until = 0.0
        _sealers.add(self)

    def consider(self, *, wait: bool = True) -> None:
        """Starts the builder where a tail has grown too long; waits for it where a writer is far ahead, if it may."""
        longest = max(self._tails().values(), default=0)
        if longest <= TAIL_ROWS or time.monotonic() < self._rest_until:
            return
        with self._lock:
            self._asked = True
            if self._builder is None or not self._builder.is_at_work():
                self._builder = _Builder(self._work)
                with contextlib.suppress(RuntimeError):  # the system has no thread left: a later commit tries again
                    self._builder.start()
        if wait and longest > BACKPRESSURE * TAIL_ROWS:
            self.wait()

    def run(self) -> None:
        """Seals every tail that has grown too long, those too that have while others were sealed."""
        sealed = True
        while sealed and not self._closing:
            due = [version for version, rows in self._tails().items() if rows > TAIL_ROWS]
            sealed = sum(self._seal(version) for version in due) > 0

    @property
    def is_building(self) -> bool:
        """Whether the builder is at work."""
        builder = self._builder
        return builder is not None and builder.is_at_work()

    def wait(self) -> None:
        """Returns when the builder has nothing left to do."""
        builder = self._builder
        if builder is not None and builder is not threading.current_thread():
            builder.wait()

    def close(self) -> None:
        """Stops the builder within a batch of additions; nothing half-built stays.

        A signal's exception waits until then: a process that ends while a thread is inside usearch is aborted.
        """
        self._closing = True
        try:
            self.wait()
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise

    def _work(self) -> None:
        step_back(BACKGROUND_NICENESS)
        while self._is_asked():
            self._run_quietly()

    def _is_asked(self) -> bool:
        """Whether there is more to do; where there is not, the next who asks starts another builder."""
        with self._lock:
            asked = self._asked and not self._closing and time.monotonic() >= self._rest_until
            self._asked = False
            if not asked:
                self._builder = None
        return asked

    def _run_quietly(self) -> None:
        try:
            self.run()
        except CrossfadeError as error:
            # No space left, or a damaged file: the rows go on being scanned, and a later commit tries again.
            self._failures += 1
            self._rest_until = time.monotonic() + min(LONGEST_REST_SECONDS, 2.0**self._failures)
            with contextlib.suppress(CrossfadeError), self._database.writing() as connection:
                versions.note(connection, "sealing failed", {"error": str(error), "times": self._failures})
        else:
            self._failures = 0

    def _tails(self) -> dict[int, int]:
        tails: dict[int, int] = {}
        with self._database.reading() as connection:
            for file in files.all_files(connection):
                tails[file.version] = tails.get(file.version, 0) + file.rows - file.sealed_rows
        return tails

    def _seal(self, version: int) -> bool:
        """Whether it has; not where another process is at it."""
        folder = self._layout.version(version)
        with only_builder(folder) as alone:
            return alone and self._seal_locked(version, folder)

    def _seal_locked(self, version: int, folder: Path) -> bool:
        with self._database.reading() as connection:
            state = versions.read(connection)
            if version not in state.versions:
                return False
            contents = Contents.read(connection, state, version)
        _remove_replaced(folder, {segment.name for segment in contents.segments})
        keys, rows, base, seq = contents.take(folder)
        segment: files.SegmentRow | None = None
        if len(keys):
            info = self._build(folder, keys, rows, base)
            if info is None:
                return False
            # Here it holds nobody up: else the first search of every reader would compare the checksum.
            OpenSegment(folder, info, contents.space.dim, verified=CatalogVerified(self._database)).close()
            segment = files.SegmentRow(version=version, seq=seq, **info._asdict())
        with self._database.writing() as connection:
            if version in versions.read(connection).versions:
                files.publish_segment(connection, segment, contents.tail, [it.name for it in contents.merged])
        return True

    def _build(self, folder: Path, keys: Keys, rows: Rows, base: Base | None) -> SegmentInfo | None:
        """A segment of its own, or what is missing in a copy of another one; None where it was stopped."""
        name = uuid.uuid4().hex[:8]
        if base:
            with contextlib.suppress(DamagedFile):  # then all is built
                return build_segment(folder, name, keys, rows, base=base, cancelled=lambda: self._closing)
        return build_segment(folder, name, keys, rows, cancelled=lambda: self._closing)


class _Builder(threading.Thread):
    """A thread that can be waited for by who may be interrupted.

    It is no daemon: the interpreter waits for it at its end. But a `join` that a signal interrupts takes a thread for
    ended that is not (CPython 3.11), and then the interpreter doesn't.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="crossfade-sealer")
        self._work = work
        self._rests = threading.Event()

    def run(self) -> None:
        try:
            self._work()
        finally:
            self._rests.set()

    def wait(self) -> None:
        """Returns when its work is done."""
        while self.is_at_work():
            self._rests.wait(_LOOK_SECONDS)

    def is_at_work(self) -> bool:
        """Whether it is not done; in a forked child it is not there."""
        return self.is_alive() and not self._rests.is_set()


_sealers: weakref.WeakSet[Sealer] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """For programs that end without closing a collection, interrupted while the interpreter waits for its threads."""
    for sealer in list(_sealers):
        sealer.close()


@contextlib.contextmanager
def only_builder(folder: Path, name: str = "seal.lock") -> Iterator[bool]:
    """Whether nobody else builds segments of a version, or holds another lock of its folder; nobody does meanwhile.

    Raises:
        StorageFailed: The lock's file can't be opened.
    """
    try:
        lock = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailed(f"{folder / name} could not be opened: {error}; check permissions") from error
    try:
        with only_here(lock):
            alone = try_lock(lock)
            try:
                yield alone
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # of a copy too, in a child forked in the next moment
    finally:
        os.close(lock)


def _remove_replaced(folder: Path, current: set[str]) -> None:
    """Removes what a killed builder left, and segments that were replaced a while ago."""
    try:
        for path in folder.glob("*.segment.tmp"):
            path.unlink(missing_ok=True)  # the builder's lock is held here, so nobody is writing it
        for path in folder.glob("*.segment"):
            if path.stem not in current and time.time() - path.stat().st_mtime > GRACE_SECONDS:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"{folder} could not be cleared of old segments: {error}; check permissions") from error
