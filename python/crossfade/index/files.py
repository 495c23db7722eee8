"""Checked file work: every write is complete or an error, and nothing is opened through a link."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from crossfade.errors import DamagedFile, InvalidInput, StorageFailed

_ID = re.compile(r"[0-9a-f]{8}")
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW


def new_id() -> str:
    """A random name of eight hexadecimal digits; the catalog sees to it that none is used twice."""
    return secrets.token_hex(4)


def require_id(file_id: str) -> str:
    """Return `file_id`, or raise InvalidInput unless it is a name that `new_id` could have made."""
    if _ID.fullmatch(file_id) is None:
        raise InvalidInput(f"a file's id must be eight hexadecimal digits, got {file_id!r}; take one from new_id()")
    return file_id


@contextlib.contextmanager
def storage(doing: str, path: Path) -> Iterator[None]:
    """Translate the operating system's errors; `doing` is a verb such as "write"."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFile(f"{path} should exist and does not; rebuild it or restore it from a backup") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageFailed(f"could not {doing} {path}: {reason}; free space or mend the disk, then reopen") from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[int]:
    """A descriptor for reading `path`, which must be a file and no link; errors are translated."""
    with storage("read", path):
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def open_to_append(path: Path) -> int:
    """A descriptor for reading and writing `path`, created empty (mode 0600) where it is absent."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)


def create_new(path: Path) -> int:
    """A descriptor for writing `path` (mode 0600), which must not exist yet."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; a short write is continued, an error is raised as it comes."""
    data = data.cast("B")
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Up to `size` bytes from `offset`; fewer only where the file ends before."""
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, size, offset)):
        pieces.append(piece)
        size, offset = size - len(piece), offset + len(piece)
    return b"".join(pieces)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; the kernel drops it when the last holder dies.

    flock and not fcntl's record locks: those go as soon as the process closes any descriptor of the file.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX))
    except BlockingIOError:
        return False
    return True
