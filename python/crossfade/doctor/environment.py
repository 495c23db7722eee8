"""The environment: the SQLite in use, the file system below the folder, what is free on it, who may write."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from crossfade.catalog import sqlite_version

from .finding import Finding

MOUNTS = Path("/proc/self/mounts")
# Between hosts SQLite's shared memory is not shared, and locks may not be kept.
NETWORK = ("nfs", "cifs", "smb", "afs", "ceph", "gluster", "lustre", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.rclone")
LEAST_FREE = 64_000_000  # bytes: the catalog's log, one batch, one small segment
_ESCAPE = re.compile(r"\\([0-7]{3})")


def check(root: Path) -> Iterator[Finding]:
    """What can be said before anything is opened."""
    # An older SQLite is refused by the catalog itself, before anything can be harmed.
    yield Finding(severity="ok", kind="sqlite", what=f"SQLite {sqlite_version()}", where="this program")
    yield _file_system(root)
    yield _free(root)
    yield _writable(root)


def _file_system(root: Path) -> Finding:
    kind = file_system(root)
    if kind.startswith(NETWORK):
        return Finding(
            severity="problem",
            kind="file system",
            what=f"it lies on {kind}, where several hosts can damage the catalog",
            where=str(root),
            remedy="move the folder to a local disk",
        )
    return Finding(severity="ok", kind="file system", what=kind or "unknown to this system", where=str(root))


def file_system(path: Path, mounts: Path | None = None) -> str:
    """The kind of file system a path lies on; empty where the system does not tell."""
    try:
        lines = (mounts or MOUNTS).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = Path(), ""
    resolved = path.resolve()
    for line in lines:
        _, point, found, *_ = line.split(" ")
        folder = Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), point))
        if resolved.is_relative_to(folder) and len(folder.parts) >= len(best.parts):  # a later one lies on top
            best, kind = folder, found
    return kind


def _free(root: Path) -> Finding:
    size, free = size_of(root), shutil.disk_usage(root).free
    what = f"{free / 1e9:,.1f} GB are free, the collection takes {size / 1e9:,.1f} GB"
    if free < LEAST_FREE:
        return Finding(severity="problem", kind="disk", what=what, where=str(root), remedy="free space before writing")
    if free < size:
        remedy = "free space before migrating: the new vectors take about as much again"
        return Finding(severity="note", kind="disk", what=what, where=str(root), remedy=remedy)
    return Finding(severity="ok", kind="disk", what=what, where=str(root))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    size = 0
    for found in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # others go on working
            status = found.lstat()
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return size


def _writable(root: Path) -> Finding:
    paths = [root, *root.glob("catalog.sqlite*"), *(root / "versions").glob("*")]
    locked = [path for path in paths if not os.access(path, os.W_OK)]
    if locked:
        return Finding(
            severity="problem",
            kind="permissions",
            what=f"this user may not write to {len(locked)} of {len(paths)} places, the first is {locked[0].name}",
            where=str(locked[0]),
            remedy="give the user of the service the right to write",
        )
    return Finding(severity="ok", kind="permissions", what="this user may write", where=str(root))
