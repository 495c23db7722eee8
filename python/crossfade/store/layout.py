"""Layout: where things lie in a collection's folder."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import uuid
from pathlib import Path

from crossfade.index.files import storage

_PAIR = re.compile(r"\d+-\d+")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Paths below a collection's folder."""

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.sqlite"

    def version(self, number: int) -> Path:
        """Folder of a version: its Space, vector files and segments."""
        return self.root / "versions" / f"{number:04d}"

    def all_versions(self) -> list[Path]:
        """Folders of versions, of those too that the catalog no longer knows."""
        return [path for path in listed(self.root / "versions") if path.name.isdecimal() and path.is_dir()]

    def all_bridges(self) -> list[Path]:
        """Folders of Bridges, of those too whose versions are gone."""
        return [path for path in listed(self.root / "bridges") if _PAIR.fullmatch(path.name) and path.is_dir()]

    def drafts(self) -> list[Path]:
        """Folders beside it in which it, or a copy of that name, was being made."""
        found = self.root.parent.glob(f".{glob.escape(self.root.name)}.*")
        return [path for path in found if re.fullmatch(r"[0-9a-f]{8}", path.suffix[1:]) and path.is_dir()]

    def draft(self) -> Path:
        """A new name for such a folder."""
        return self.root.with_name(f".{self.root.name}.{uuid.uuid4().hex[:8]}")

    def bridges(self, source: int, target: int) -> Path:
        """Folder of the Bridges fitted between two versions."""
        return self.root / "bridges" / f"{source:04d}-{target:04d}"


def listed(folder: Path) -> list[Path]:
    """What is in a folder, in order; nothing where there is none.

    Raises:
        StorageFailed: It can't be listed.
    """
    with storage("list", folder):
        return sorted(folder.iterdir()) if folder.exists() else []


def sync_folder(folder: Path) -> None:
    """Makes names created in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
