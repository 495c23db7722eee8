"""Files copied into another folder and compared there, and the sound rows of a damaged one moved to a new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from crossfade.errors import DamagedFile
from crossfade.index import files, graph
from crossfade.index.blocks import Block
from crossfade.index.scan import scan
from crossfade.index.segment import SegmentInfo, segment_path
from crossfade.index.vectors import FileExtent, FilePair, VectorFile
from crossfade.index.writer import VectorWriter

_COPY_AT_ONCE = 1 << 22


def copy_vectors(
    pair: FilePair, extent: FileExtent, destination: Path, progress: Callable[[int], None] = lambda size: None
) -> None:
    """Copies the committed part of a vector file, durably, and compares the copy with its checksums.

    Args:
        pair: The file.
        extent: How much of it is committed.
        destination: Another version's folder.
        progress: Called with the number of bytes copied since the last call.

    Raises:
        DamagedFile: The file is shorter than its extent, or the copy fails a checksum.
        StorageFailed: The operating system could not read or write.
    """
    pair.require_sizes(extent)
    for path, size in ((pair.rows, extent.rows * pair.stride), (pair.blocks, extent.block_bytes)):
        _copy(path, destination / path.name, size, 0o600, progress)
    copy = VectorFile.map(destination, pair.file_id, pair.dim, pair.fingerprint)
    copy.refresh(extent)
    copy.verify()


def copy_segment(
    folder: Path, info: SegmentInfo, destination: Path, progress: Callable[[int], None] = lambda size: None
) -> None:
    """Copies a segment, durably, comparing it with its checksum on the way; a damaged copy is removed again.

    Raises:
        DamagedFile: It is missing, or its size or checksum differs.
        StorageFailed: The operating system could not read or write.
    """
    source, target = segment_path(folder, info.name), segment_path(destination, info.name)
    try:
        found = _copy(source, target, info.size, 0o400, progress)
        if found != info.checksum:
            raise graph.damaged(source, f"expected blake3 {info.checksum} over {info.size} bytes, found {found}")
    except DamagedFile:
        with files.storage("remove", target):
            target.unlink(missing_ok=True)
        raise


def rewrite(pair: FilePair, extent: FileExtent, keep: Callable[[Block], NDArray[np.bool_]]) -> tuple[str, FileExtent]:
    """Puts the sound rows of a vector file that `keep` picks into a new one, durably; the old one is left as it is.

    Args:
        pair: The file.
        extent: How much of it is committed.
        keep: Which rows of a block to take, bool `(n,)`.

    Returns:
        The new file's id and extent, for the caller to publish.

    Raises:
        StorageFailed: The operating system could not read or write.
    """
    sound = scan(pair.folder, pair.file_id, pair.dim, pair.fingerprint, extent).blocks
    with VectorWriter.create(pair.folder, pair.dim, pair.fingerprint) as writer:
        for block in sound:
            kept = keep(block)
            if kept.any():
                with files.reading(pair.rows) as descriptor:
                    content = files.read_at(descriptor, len(kept) * pair.stride, block.first_row * pair.stride)
                rows = np.frombuffer(content, "<f2").reshape(len(kept), pair.dim)[kept].astype(np.float32)
                writer.append(block.keys[kept], block.text_hashes[kept], rows, block.embedded_at)
        return writer.file_id, writer.extent


def _copy(source: Path, target: Path, size: int, mode: int, progress: Callable[[int], None]) -> str:
    """Copies the first `size` bytes; gives their blake3 in hexadecimal digits."""
    hasher = blake3()
    with files.reading(source) as descriptor, files.storage("write", target):
        copy = files.create_new(target)
        try:
            at = 0
            while at < size:
                piece = files.read_at(descriptor, min(_COPY_AT_ONCE, size - at), at)
                if not piece:
                    raise DamagedFile(f"{source} holds {at} bytes where {size} are committed")
                files.write_at(copy, memoryview(piece), at)
                hasher.update(piece)
                at += len(piece)
                progress(len(piece))
            os.fchmod(copy, mode)
            os.fsync(copy)
        finally:
            os.close(copy)
    digest: str = hasher.hexdigest()
    return digest
