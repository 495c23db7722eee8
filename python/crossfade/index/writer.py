"""A vector file written: append, make durable, and let the caller publish."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crossfade._forks import call_in_child
from crossfade.errors import CollectionClosed, InvalidInput, StorageFailed
from crossfade.index import blocks, files
from crossfade.index.vectors import FileExtent, FilePair

FLOAT16_MAX = 65504.0


class VectorWriter:
    """The one writer of a vector file; holds the file's lock until `close` or the process's death.

    What was appended is durable but not visible: it becomes so when the caller publishes the returned extent.
    What was never published is cut off when the file is opened for writing again, or by `rewind`.

    Made by `create` or `try_open`. Not for several threads at once. In a forked child it is closed.

    Example:
        with VectorWriter.create(folder, dim=384, fingerprint=space.fingerprint) as writer:
            extent = writer.append(keys, text_hashes, rows, embedded_at=time.time())
    """

    def __init__(self, pair: FilePair, rows_file: int, blocks_file: int, extent: FileExtent) -> None:
        self._pair = pair
        self._rows_file = rows_file
        self._blocks_file = blocks_file
        self._extent = extent
        self._closed = False
        self._failed = False
        # A lock lives as long as any process holds its descriptor, so a child that outlives its parent would keep it.
        call_in_child(self.close)

    @classmethod
    def create(cls, folder: str | Path, dim: int, fingerprint: str) -> Self:
        """A writer of a new, empty vector file with a new id.

        Raises:
            InvalidInput: An argument is out of its range.
            StorageFailed: The files could not be created.
        """
        writer = cls.try_open(folder, files.new_id(), dim, fingerprint, FileExtent)
        if writer is None:
            raise StorageFailed(f"a new vector file in {folder} is locked by another process; try again")
        return writer

    @classmethod
    def try_open(
        cls, folder: str | Path, file_id: str, dim: int, fingerprint: str, committed: Callable[[], FileExtent]
    ) -> Self | None:
        """The writer of a vector file, or None while another writer has it.

        Both files are cut to the committed extent: what follows was never published.

        Args:
            folder: The version's folder.
            file_id: Eight hexadecimal digits; the files are created where they are absent.
            dim: Columns of a row.
            fingerprint: The Space's, 32 hexadecimal digits.
            committed: Reads the committed extent from the catalog. Called once the lock is held: an extent
                read earlier may be older than what the last owner published, and would cut that off.

        Raises:
            InvalidInput: An argument is out of its range.
            DamagedFile: A file is shorter than what is committed.
            StorageFailed: The files could not be opened.
        """
        pair = FilePair(Path(folder), file_id, dim, fingerprint)
        with contextlib.ExitStack() as undo:
            with files.storage("open", pair.blocks):
                blocks_file = files.open_to_append(pair.blocks)
                undo.callback(os.close, blocks_file)
                if not files.try_lock(blocks_file):
                    return None
                rows_file = files.open_to_append(pair.rows)
                undo.callback(os.close, rows_file)
            extent = committed()
            pair.require_sizes(extent)
            _cut(pair, rows_file, blocks_file, extent)
            with files.storage("sync", pair.folder):
                files.sync_folder(pair.folder)
            undo.pop_all()
        return cls(pair, rows_file, blocks_file, extent)

    @property
    def file_id(self) -> str:
        return self._pair.file_id

    @property
    def extent(self) -> FileExtent:
        """What is durable, published or not."""
        return self._extent

    def append(
        self,
        keys: blocks.Keys,
        text_hashes: blocks.TextHashes,
        rows: NDArray[np.float32],
        embedded_at: float,
    ) -> FileExtent:
        """Append one block of rows and make it durable.

        Args:
            keys: `(n,)` uint64, n ≥ 1, no key twice, none of them 2⁶⁴−1.
            text_hashes: `(n, 16)` uint8: of the text each row was made from.
            rows: `(n, dim)` float32, finite, at most 65,504 in size; kept as float16.
            embedded_at: When the rows were computed, seconds since 1970.

        Returns:
            The new extent, for the caller to publish.

        Raises:
            InvalidInput: An argument can't be used; nothing was written.
            StorageFailed: A write or sync failed. The writer is of no use any more: after a failed fsync the
                kernel may have dropped the pages, so that a second one would succeed and prove nothing.
            CollectionClosed: The writer is closed.
        """
        self._require_usable()
        _require_block(self._pair.dim, keys, text_hashes, rows, embedded_at)
        payload = np.ascontiguousarray(rows, dtype="<f2").view(np.uint8).reshape(-1).data
        record = blocks.pack(
            self._pair.source,
            blocks.Block(
                first_row=self._extent.rows,
                embedded_at=float(embedded_at),
                keys=keys,
                text_hashes=text_hashes,
                rows_digest=blocks.digest(payload),
            ),
        )
        self._failed = True
        with files.storage("append to", self._pair.rows):
            files.write_at(self._rows_file, payload, self._extent.rows * self._pair.stride)
            os.fsync(self._rows_file)
        with files.storage("append to", self._pair.blocks):
            files.write_at(self._blocks_file, memoryview(record), self._extent.block_bytes)
            os.fsync(self._blocks_file)
        self._failed = False
        self._extent = FileExtent(self._extent.rows + len(keys), self._extent.block_bytes + len(record))
        return self._extent

    def rewind(self, extent: FileExtent) -> None:
        """Drop what was appended after `extent`, because it was not published.

        Raises:
            InvalidInput: The extent lies beyond the present one.
            StorageFailed: The files could not be cut; the writer is of no use any more.
            CollectionClosed: The writer is closed.
        """
        self._require_usable()
        if not (0 <= extent.rows <= self._extent.rows and 0 <= extent.block_bytes <= self._extent.block_bytes):
            raise InvalidInput(f"can only rewind to an earlier extent than {self._extent}, got {extent}")
        self._failed = True
        _cut(self._pair, self._rows_file, self._blocks_file, extent)
        self._failed = False
        self._extent = extent

    def close(self) -> None:
        """Release the file and its lock; a second call does nothing."""
        if not self._closed:
            self._closed = True
            os.close(self._rows_file)
            os.close(self._blocks_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _require_usable(self) -> None:
        if self._closed:
            raise CollectionClosed(f"the writer of {self._pair.rows} is closed; open the file again")
        if self._failed:
            raise StorageFailed(f"an earlier write to {self._pair.rows} failed; close its writer and open it again")


def is_owned(folder: str | Path, file_id: str) -> bool:
    """Whether a living process has this vector file open for writing; False where there is no such file.

    The question takes a shared lock for an instant; a `try_open` that meets it returns None.

    Raises:
        InvalidInput: `file_id` is none of ours.
        StorageFailed: The file could not be opened.
    """
    path = Path(folder) / f"{files.require_id(file_id)}.blocks"
    if not path.exists():
        return False
    with files.reading(path) as descriptor:
        return not files.try_lock(descriptor, shared=True)


def _cut(pair: FilePair, rows_file: int, blocks_file: int, extent: FileExtent) -> None:
    with files.storage("cut", pair.rows):
        os.ftruncate(rows_file, extent.rows * pair.stride)
        os.ftruncate(blocks_file, extent.block_bytes)


def _require_block(
    dim: int,
    keys: blocks.Keys,
    text_hashes: blocks.TextHashes,
    rows: NDArray[np.float32],
    embedded_at: float,
) -> None:
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != dim or len(rows) == 0:
        raise InvalidInput(f"rows must be float32 (n, {dim}), n at least 1, got {rows.dtype} {rows.shape}")
    blocks.require_keys(keys, len(rows))
    if text_hashes.dtype != np.uint8 or text_hashes.shape != (len(rows), blocks.HASH_BYTES):
        raise InvalidInput(
            f"text_hashes must be uint8 ({len(rows)}, {blocks.HASH_BYTES}), got {text_hashes.dtype} {text_hashes.shape}"
        )
    # Not "greater than": NaN must fail too.
    bad = np.flatnonzero(~(np.abs(rows) <= FLOAT16_MAX).all(axis=1))
    if len(bad):
        raise InvalidInput(
            f"rows must be finite and at most {FLOAT16_MAX:.0f} in size; {len(bad)} are not, first row "
            f"{bad[0]}; check the encoder's output"
        )
    if not math.isfinite(embedded_at):
        raise InvalidInput(f"embedded_at must be seconds since 1970, got {embedded_at!r}")
