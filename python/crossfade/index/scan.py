"""A vector file looked through: which of its rows are still as they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from crossfade.errors import DamagedFile, StorageFailed
from crossfade.index import blocks, files
from crossfade.index.vectors import FileExtent, FilePair, verify_block


class Scan(NamedTuple):
    """What a scan found.

    Args:
        blocks: The blocks of which both record and rows pass their checks, in row order.
        damage: What is wrong with the others, a sentence each.
    """

    blocks: list[blocks.Block]
    damage: list[str]


def scan(
    folder: str | Path,
    file_id: str,
    dim: int,
    fingerprint: str,
    extent: FileExtent,
    progress: Callable[[int], None] = lambda size: None,
) -> Scan:
    """Compares the committed part of a vector file with its checksums, and goes on behind what is damaged.

    Args:
        folder: The version's folder.
        file_id: Eight hexadecimal digits.
        dim: Columns of a row.
        fingerprint: The Space's, 32 hexadecimal digits.
        extent: As published in the catalog.
        progress: Called with the number of bytes read since the last call.

    Raises:
        InvalidInput: An argument is out of its range.
    """
    pair = FilePair(Path(folder), file_id, dim, fingerprint)
    damage: list[str] = []
    try:
        pair.require_sizes(extent)
    except (DamagedFile, StorageFailed) as error:
        damage.append(str(error))
    described, broken = blocks.salvage(pair.source, _journal(pair, extent))
    damage += map(str, broken)
    sound, differing = _verified(pair, described, progress)
    damage += differing
    rows = sum(len(block.keys) for block in described)
    if rows != extent.rows and not damage:
        damage.append(f"{pair.blocks} describes {rows} rows where {extent.rows} are committed")
    return Scan(sound, damage)


def _journal(pair: FilePair, extent: FileExtent) -> bytes:
    try:
        with files.reading(pair.blocks) as descriptor:
            return files.read_at(descriptor, extent.block_bytes, 0)
    except (DamagedFile, StorageFailed):
        return b""  # the caller has compared the sizes, and said so


def _verified(
    pair: FilePair, described: list[blocks.Block], progress: Callable[[int], None]
) -> tuple[list[blocks.Block], list[str]]:
    """The blocks whose rows have their checksum, and what is wrong with those of the others."""
    sound, damage = [], []
    try:
        with files.reading(pair.rows) as descriptor:
            for block in described:
                try:
                    with files.storage("read", pair.rows):
                        verify_block(pair, descriptor, block)
                    sound.append(block)
                except (DamagedFile, StorageFailed) as error:
                    damage.append(str(error))
                progress(len(block.keys) * pair.stride)
    except (DamagedFile, StorageFailed) as error:
        damage.append(str(error))
    return sound, damage
