"""Power loss: from the noted system calls of a run, what a disk may hold when the power goes at any of them.

A write lasts only after its file was synced, a name only after its folder was. At a loss some of the rest may have
reached the disk all the same, writes of a file in any order and in part, names of a folder in order.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .tracing import NAMES, SIZES, SYNCS, WRITES, Call, decoded

CALLS = (*WRITES, *SYNCS, *NAMES, *SIZES, "sendto")
SECTOR = 512

_FILE = re.compile(r"(\d+)<([^>]*)>(\(deleted\))?")
_STRING = re.compile(r'"([^"]*)"')
_AT = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"')


class Inode:
    """A file: what lasts, and the changes since it was last synced. A folder has no content."""

    def __init__(self, content: bytes | None) -> None:
        self.lasting = content
        self.changes: list[tuple[int, bytes | None]] = []  # (offset, data), or (length, None) for a cut

    def sync(self) -> None:
        self.lasting = self.content(self.changes)
        self.changes = []

    def content(self, changes: list[tuple[int, bytes | None]]) -> bytes | None:
        if self.lasting is None:
            return None
        content = bytearray(self.lasting)
        for at, data in changes:
            if data is None:
                content = content[:at].ljust(at, b"\0")
            else:
                content = content.ljust(at, b"\0")
                content[at : at + len(data)] = data
        return bytes(content)

    def after_loss(self, chance: random.Random | None) -> bytes | None:
        if chance is None:
            return self.lasting
        kept = []
        for at, data in self.changes:
            if chance.random() < 0.5:
                if data is not None and chance.random() < 0.3:
                    data = data[: chance.randrange(0, len(data) + 1, SECTOR)]
                kept.append((at, data))
        return self.content(kept)


class Disk:
    """A folder tree as the calls of a log change it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        found = sorted(root.rglob("*"))
        self._names = {str(path): Inode(path.read_bytes() if path.is_file() else None) for path in found}
        self._lasting = dict(self._names)
        self._renamed: list[tuple[str, dict[str, Inode | None]]] = []  # folder, and what its names became
        self._offsets: dict[int, int] = {}
        self.messages: list[list[Any]] = []

    def feed(self, call: Call) -> bool:
        """Takes in one call; whether it changed the disk."""
        if call.result is None or call.result < 0:
            return False
        if call.name == "sendto":
            self.messages.append(json.loads(decoded(_STRING.search(call.arguments)[1])))  # type: ignore[index]
            return False
        handler = getattr(self, f"_{call.name.removesuffix('at2').removesuffix('at').removesuffix('64')}", None)
        return bool(handler and handler(call))

    def write_after_loss(self, folder: Path, chance: random.Random | None) -> None:
        """Writes what is left; without `chance`, only what must be."""
        names = dict(self._lasting)
        folders = {where for where, _ in self._renamed}
        reached = {where: chance.randint(0, len(self._renamed)) if chance else 0 for where in sorted(folders)}
        seen: dict[str, int] = dict.fromkeys(folders, 0)
        for where, changes in self._renamed:
            seen[where] += 1
            if seen[where] <= reached[where]:
                _apply(names, changes)
        folder.mkdir()
        for path, inode in sorted(names.items()):
            target = folder / Path(path).relative_to(self.root)
            if not target.parent.is_dir() or path.endswith("-shm"):
                continue  # its folder is lost; shared memory is no file that lasts
            content = inode.after_loss(chance)
            if content is None:
                target.mkdir()
            else:
                target.write_bytes(content)

    def _inside(self, path: str) -> bool:
        return path.startswith(f"{self.root}/")

    def _file(self, call: Call) -> tuple[int, Inode | None]:
        found = _FILE.match(call.arguments)
        assert found, call
        path = decoded(found[2]).decode()
        if not self._inside(path) or found[3]:
            return int(found[1]), None
        if path not in self._names:  # it was made after the folder was copied, and before calls were noted
            self._rename_names({path: Inode(b"")})
        return int(found[1]), self._names[path]

    def _paths(self, call: Call) -> list[str]:
        pairs = _AT.findall(call.arguments)
        return [str(Path(decoded(base).decode() or "/") / decoded(name).decode()) for base, name in pairs]

    def _rename_names(self, changes: dict[str, Inode | None]) -> bool:
        _apply(self._names, changes)
        self._renamed.append((str(Path(next(iter(changes))).parent), changes))
        return True

    def _open(self, call: Call) -> bool:
        path = self._paths(call)[0]
        self._offsets[call.result or 0] = 0
        if not self._inside(path):
            return False
        if "O_CREAT" in call.arguments and path not in self._names:
            return self._rename_names({path: Inode(b"")})
        if "O_TRUNC" in call.arguments:
            self._names[path].changes.append((0, None))
            return True
        return False

    def _write(self, call: Call) -> bool:
        descriptor, inode = self._file(call)
        at = self._offsets.get(descriptor, 0)
        self._offsets[descriptor] = at + (call.result or 0)
        return self._change(call, inode, at)

    def _pwrite(self, call: Call) -> bool:
        return self._change(call, self._file(call)[1], int(call.arguments.rsplit(", ", 1)[1]))

    def _change(self, call: Call, inode: Inode | None, at: int) -> bool:
        if inode is None:
            return False
        data = decoded(_STRING.search(call.arguments)[1])  # type: ignore[index]
        inode.changes.append((at, data[: call.result]))
        return True

    def _ftruncate(self, call: Call) -> bool:
        inode = self._file(call)[1]
        if inode is not None:
            inode.changes.append((int(call.arguments.rsplit(", ", 1)[1]), None))
        return inode is not None

    def _fsync(self, call: Call) -> bool:
        found = _FILE.match(call.arguments)
        assert found, call
        path = decoded(found[2]).decode()
        inode = self._names.get(path)
        if path != self.root and inode is None:
            return False
        if path == self.root or (inode and inode.lasting is None):
            for where, changes in self._renamed:
                if where == path:
                    _apply(self._lasting, changes)
            self._renamed = [change for change in self._renamed if change[0] != path]
        elif inode:
            inode.sync()
        return True

    _fdatasync = _fsync

    def _mkdir(self, call: Call) -> bool:
        (path,) = self._paths(call)
        return self._inside(path) and self._rename_names({path: Inode(None)})

    def _unlink(self, call: Call) -> bool:
        (path,) = self._paths(call)
        return self._inside(path) and self._rename_names({path: None})

    _rmdir = _unlink

    def _rename(self, call: Call) -> bool:
        old, new = self._paths(call)
        if not self._inside(old):
            return False
        # What stands in a folder that is renamed lasts as much as it did before.
        for path in [path for path in self._names if path.startswith(f"{old}/")]:
            self._names[new + path.removeprefix(old)] = self._names.pop(path)
        for path in [path for path in self._lasting if path.startswith(f"{old}/")]:
            self._lasting[new + path.removeprefix(old)] = self._lasting[path]
        self._renamed = [
            (_moved(where, old, new), {_moved(path, old, new): inode for path, inode in changes.items()})
            if _moved(where, old, new) != where
            else (where, changes)
            for where, changes in self._renamed
        ]
        return self._rename_names({old: None, new: self._names[old]})


def losses(folder: Path, calls: Iterator[Call]) -> Iterator[tuple[Disk, Call]]:
    """The disk after every call that changed it, beginning with `folder` as it is now."""
    disk = Disk(folder)
    for call in calls:
        if disk.feed(call):
            yield disk, call


def _apply(names: dict[str, Inode], changes: dict[str, Inode | None]) -> None:
    for path, inode in changes.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


def _moved(path: str, old: str, new: str) -> str:
    return new + path.removeprefix(old) if path == old or path.startswith(f"{old}/") else path
