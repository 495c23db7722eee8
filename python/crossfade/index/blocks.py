"""The journal of a vector file: one checksummed record for every block of rows.

A record is, little-endian and without gaps:

    8   magic: "cfblock" and the format's number
    4   the file's id, so that a record of another file is noticed
    4   dim
    8   first row
    8   row count n, at least 1
    8   embedded_at, seconds since 1970 as a double
    16  fingerprint of the Space
    8n  keys
    16n hashes of the texts
    32  blake3 of the block's rows, 2·n·dim bytes of the .rows file
    32  blake3 of all of the record before it

Keys, counts and lengths are trusted only after the record's checksum has been compared.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from crossfade.errors import DamagedFile, InvalidInput

Keys: TypeAlias = NDArray[np.uint64]
TextHashes: TypeAlias = NDArray[np.uint8]

NO_KEY = 2**64 - 1
MAGIC = b"cfblock\x01"
HASH_BYTES = 16
DIGEST_BYTES = 32
_HEAD = struct.Struct("<8s4sIQQd16s")
_BYTES_A_ROW = 8 + HASH_BYTES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What every record of one journal must name: which file, how wide its rows are, and in which Space.

    Args:
        path: The journal, for messages.
        file_id: Eight hexadecimal digits.
        dim: Columns of a row.
        fingerprint: The Space's, 32 hexadecimal digits.
    """

    path: Path
    file_id: str
    dim: int
    fingerprint: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """One block of rows as its record describes it.

    Args:
        first_row: Where the block begins in the .rows file.
        embedded_at: When its rows were computed, seconds since 1970.
        keys: `(n,)` uint64.
        text_hashes: `(n, 16)` uint8.
        rows_digest: blake3 of the rows' bytes.
    """

    first_row: int
    embedded_at: float
    keys: Keys
    text_hashes: TextHashes
    rows_digest: bytes


def require_keys(keys: Keys, count: int) -> None:
    """Raise InvalidInput unless `keys` is uint64 `(count,)`, no key twice, none of them 2⁶⁴−1."""
    if keys.dtype != np.uint64 or keys.shape != (count,):
        raise InvalidInput(f"keys must be uint64 ({count},), got {keys.dtype} {keys.shape}")
    if (keys == NO_KEY).any() or len(np.unique(keys)) != count:
        raise InvalidInput("keys must differ from each other and from 2**64 - 1, which stands for none")


def digest(*parts: bytes | memoryview) -> bytes:
    """The 32-byte blake3 of the parts put together."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return bytes(hasher.digest())


def pack(source: Source, block: Block) -> bytes:
    """The record of `block`, ready to be appended."""
    head = _HEAD.pack(
        MAGIC,
        bytes.fromhex(source.file_id),
        source.dim,
        block.first_row,
        len(block.keys),
        block.embedded_at,
        bytes.fromhex(source.fingerprint),
    )
    keys = block.keys.astype("<u8", copy=False).tobytes()
    record = head + keys + block.text_hashes.tobytes() + block.rows_digest
    return record + digest(record)


def parse(source: Source, journal: BinaryIO, size: int, first_row: int, offset: int = 0) -> Iterator[Block]:
    """The blocks of a journal, in order, read one at a time.

    Args:
        source: What the records must name.
        journal: Stands where the first record begins.
        size: How many bytes to read, all of them whole records.
        first_row: Where the first block must begin; the others follow without a gap.
        offset: Where `journal` stands in the file, for messages.

    Raises:
        DamagedFile: A record is cut off, fails its checksum, or belongs elsewhere.
    """
    at = 0
    while at < size:
        head = journal.read(min(_HEAD.size, size - at))
        rest = _size(head) - len(head) if len(head) == _HEAD.size else 0
        record = head + journal.read(min(rest, size - at - len(head)))
        block, end = _parse_one(source, record, 0, first_row, offset + at)
        first_row += len(block.keys)
        at += end
        yield block


def salvage(source: Source, journal: bytes) -> tuple[list[Block], list[DamagedFile]]:
    """The sound records of a journal in order, and what is wrong with the others.

    After a record that fails its checks the next one is looked for by its first bytes; where it stands in the .rows
    file it says itself, under its checksum.
    """
    sound, damage = [], []
    at, first_row = 0, 0
    start = MAGIC + bytes.fromhex(source.file_id)
    while 0 <= at < len(journal):
        try:
            block, at = _parse_one(source, journal, at, first_row, 0)
            first_row += len(block.keys)
            sound.append(block)
        except DamagedFile as error:
            damage.append(error)
            at = journal.find(start, at + 1)
            if 0 <= at <= len(journal) - _HEAD.size:
                first_row = _HEAD.unpack_from(journal, at)[3]
    return sound, damage


def _size(head: bytes) -> int:
    """Bytes of the record that begins with this head, if the head can be trusted."""
    rows: int = _HEAD.unpack(head)[4]
    return _HEAD.size + rows * _BYTES_A_ROW + 2 * DIGEST_BYTES


def _parse_one(source: Source, journal: bytes, at: int, first_row: int, offset: int) -> tuple[Block, int]:
    def damaged(what: str) -> DamagedFile:
        return DamagedFile(
            f"{source.path}, record at byte {offset + at}: {what}; re-embed the documents of this file, "
            "or restore it from a backup"
        )

    if len(journal) - at < _HEAD.size:
        raise damaged(f"expected {_HEAD.size} bytes of head, found {len(journal) - at}")
    magic, file_id, dim, row, count, embedded_at, fingerprint = _HEAD.unpack_from(journal, at)
    if magic != MAGIC:
        raise damaged(f"expected the magic {MAGIC!r}, found {magic!r}")
    size = _size(journal[at : at + _HEAD.size])
    if count == 0 or size > len(journal) - at:
        raise damaged(f"expected room for {count} rows, at least one, in the {len(journal) - at} bytes left")
    record = memoryview(journal)[at : at + size]
    if digest(record[:-DIGEST_BYTES]) != record[-DIGEST_BYTES:]:
        raise damaged("its checksum differs")
    found = (file_id.hex(), dim, row, fingerprint.hex())
    expected = (source.file_id, source.dim, first_row, source.fingerprint)
    if found != expected:
        raise damaged(f"expected (id, dim, first row, Space) {expected}, found {found}")
    keys = np.frombuffer(record, dtype="<u8", count=count, offset=_HEAD.size)
    hashes = np.frombuffer(record, dtype=np.uint8, count=count * HASH_BYTES, offset=_HEAD.size + 8 * count)
    block = Block(
        first_row=row,
        embedded_at=embedded_at,
        keys=keys.astype(np.uint64, copy=False),
        text_hashes=hashes.reshape(count, HASH_BYTES),
        rows_digest=bytes(record[-2 * DIGEST_BYTES : -DIGEST_BYTES]),
    )
    return block, at + size
