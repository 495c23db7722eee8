"""A vector file read: committed float16 rows, mapped; their keys and text hashes, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from crossfade.errors import DamagedFile, InvalidInput
from crossfade.index import files
from crossfade.index.blocks import Block, Keys, Source, parse
from crossfade.space import MAX_DIM

Rows: TypeAlias = NDArray[np.float16]

ROW_BYTES_A_VALUE = 2
_READ_AT_ONCE = 1 << 22
_READ_AHEAD = 1 << 20


class FileExtent(NamedTuple):
    """How much of a vector file is committed; the catalog holds it."""

    rows: int = 0
    block_bytes: int = 0


class NewRows(NamedTuple):
    """What `refresh` found: `keys` (n,) uint64, and the row of the first."""

    keys: Keys
    first_row: int


@dataclasses.dataclass(frozen=True)
class FilePair:
    """Where one vector file stands: `<id>.rows` holds the rows alone, `<id>.blocks` the journal.

    Args:
        folder: The version's folder.
        file_id: Eight hexadecimal digits.
        dim: Columns of a row, 1 to 65,536.
        fingerprint: The Space's, 32 hexadecimal digits.

    Raises:
        InvalidInput: A field is out of its range.
    """

    folder: Path
    file_id: str
    dim: int
    fingerprint: str

    def __post_init__(self) -> None:
        files.require_id(self.file_id)
        if not 1 <= self.dim <= MAX_DIM:
            raise InvalidInput(f"dim must be between 1 and {MAX_DIM}, got {self.dim!r}")
        try:
            valid = len(bytes.fromhex(self.fingerprint)) == 16
        except ValueError:
            valid = False
        if not valid:
            raise InvalidInput(f"a fingerprint has 32 hexadecimal digits, got {self.fingerprint!r}")

    @property
    def rows(self) -> Path:
        return self.folder / f"{self.file_id}.rows"

    @property
    def blocks(self) -> Path:
        return self.folder / f"{self.file_id}.blocks"

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        return self.dim * ROW_BYTES_A_VALUE

    @property
    def source(self) -> Source:
        return Source(path=self.blocks, file_id=self.file_id, dim=self.dim, fingerprint=self.fingerprint)

    def require_sizes(self, extent: FileExtent) -> None:
        """Raise DamagedFile if a file is shorter than `extent`: reading a map beyond the end is a SIGBUS."""
        for path, expected in ((self.rows, extent.rows * self.stride), (self.blocks, extent.block_bytes)):
            with files.storage("look at", path):
                size = path.lstat().st_size
            if size < expected:
                raise DamagedFile(
                    f"{path} holds {size} bytes where {expected} are committed; re-embed the documents of "
                    "this file, or restore it from a backup"
                )


class VectorFile:
    """The committed part of a vector file, seen by a reader.

    Nothing is visible before the first `refresh`. Several threads may use the object as long as one at a time
    refreshes; what `rows` returned before stays valid.

    Args:
        pair: The two files; made by `map`.

    Example:
        file = VectorFile.map(folder, "0a1b2c3d", dim=384, fingerprint=space.fingerprint)
        keys, first_row = file.refresh(extent)
    """

    def __init__(self, pair: FilePair) -> None:
        self._pair = pair
        self._extent = FileExtent()
        self._rows = _map_rows(pair, 0)

    @classmethod
    def map(cls, folder: str | Path, file_id: str, dim: int, fingerprint: str) -> Self:
        """A reader of one vector file; touches no file yet.

        Raises:
            InvalidInput: An argument is out of its range.
        """
        return cls(FilePair(Path(folder), file_id, dim, fingerprint))

    @property
    def extent(self) -> FileExtent:
        """What the last `refresh` made visible."""
        return self._extent

    def refresh(self, extent: FileExtent) -> NewRows:
        """Make the rows up to `extent` visible and return what is new.

        Reads only the records between the last extent and this one; each is compared with its checksum.

        Args:
            extent: As published in the catalog, at least the last one.

        Returns:
            The new rows' keys in row order; none where there is nothing new.

        Raises:
            InvalidInput: The extent is smaller than the last one.
            DamagedFile: A file is shorter than the extent, or a record fails its checks; nothing changed.
            StorageFailed: The operating system could not read.
        """
        known = self._extent
        if extent.rows < known.rows or extent.block_bytes < known.block_bytes:
            raise InvalidInput(f"{self._pair.blocks}: the extent can't shrink from {known} to {extent}; reopen")
        self._pair.require_sizes(extent)
        keys, rows = np.empty(extent.rows - known.rows, dtype=np.uint64), known.rows
        for block in self._blocks(known, extent):
            rows += len(block.keys)
            if rows <= extent.rows:
                keys[block.first_row - known.rows : rows - known.rows] = block.keys
        if rows != extent.rows:
            raise DamagedFile(
                f"{self._pair.blocks} describes {rows} rows where {extent.rows} are committed; re-embed the "
                "documents of this file, or restore it from a backup"
            )
        if rows > known.rows:
            self._rows = _map_rows(self._pair, rows)
        self._extent = extent
        return NewRows(keys, known.rows)

    def rows(self) -> Rows:
        """The visible rows, read-only float16 `(n, dim)`, mapped; `(0, dim)` where there are none."""
        return self._rows

    def blocks(self) -> Iterator[Block]:
        """The visible blocks in row order, read from the journal again: what was embedded when and from what.

        Raises:
            DamagedFile: A record fails its checks.
            StorageFailed: The operating system could not read.
        """
        return self._blocks(FileExtent(), self._extent)

    def verify(self, from_row: int = 0) -> int:
        """Compare the visible rows with their checksums.

        Args:
            from_row: Blocks that end at or before this row are skipped; 0 verifies all.

        Returns:
            How many rows were verified.

        Raises:
            DamagedFile: A block's rows differ from its record, or a record fails its checks.
            StorageFailed: The operating system could not read.
        """
        verified = 0
        self._pair.require_sizes(self._extent)
        with files.reading(self._pair.rows) as descriptor:
            for block in self.blocks():
                if block.first_row + len(block.keys) > from_row:
                    verify_block(self._pair, descriptor, block)
                    verified += len(block.keys)
        return verified

    def _blocks(self, known: FileExtent, extent: FileExtent) -> Iterator[Block]:
        size = extent.block_bytes - known.block_bytes
        if size == 0:
            return
        with (
            files.reading(self._pair.blocks) as descriptor,
            open(descriptor, "rb", _READ_AHEAD, closefd=False) as journal,
        ):
            journal.seek(known.block_bytes)
            yield from parse(self._pair.source, journal, size, known.rows, known.block_bytes)


def verify_block(pair: FilePair, descriptor: int, block: Block) -> None:
    """Raise DamagedFile unless the rows of a block, read from the open .rows file, have its checksum."""
    # Read, not mapped: a bad sector is then an error of the read and no signal.
    hasher = blake3()
    at = block.first_row * pair.stride
    end = at + len(block.keys) * pair.stride
    while at < end:
        piece = files.read_at(descriptor, min(_READ_AT_ONCE, end - at), at)
        if not piece:
            break
        hasher.update(piece)
        at += len(piece)
    if hasher.digest() != block.rows_digest:
        raise DamagedFile(
            f"{pair.rows}: {len(block.keys)} rows from row {block.first_row} on differ from their "
            "checksum; re-embed their documents, or restore the file from a backup"
        )


def _map_rows(pair: FilePair, rows: int) -> Rows:
    if rows == 0:
        empty = np.empty((0, pair.dim), dtype=np.float16)
        empty.flags.writeable = False
        return empty
    with files.storage("map", pair.rows):
        return np.memmap(pair.rows, dtype="<f2", mode="r", shape=(rows, pair.dim))
