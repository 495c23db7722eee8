"""Damage: the ways in which a file on disk goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

PAGE = 4_096


def _bit(content: bytearray, chance: random.Random) -> bytearray:
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _bits(content: bytearray, chance: random.Random) -> bytearray:
    for _ in range(16):
        content = _bit(content, chance)
    return content


def _page(content: bytearray, chance: random.Random) -> bytearray:
    """One page of zeros, or half of a file that has no page."""
    size = min(PAGE, max(1, len(content) // 2))
    start = chance.randrange(max(1, len(content) // size)) * size
    content[start : start + size] = bytes(min(size, len(content) - start))
    return content


def _swapped(content: bytearray, chance: random.Random) -> bytearray:
    """Two stretches of the file in each other's place."""
    size = max(1, min(PAGE, len(content) // 4))
    one, other = sorted(chance.randrange(max(1, len(content) - 2 * size)) for _ in range(2))
    other = max(other, one + size)
    content[one : one + size], content[other : other + size] = content[other : other + size], content[one : one + size]
    return content


def _cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(max(1, len(content)))]


WAYS: dict[str, Callable[[bytearray, random.Random], bytearray]] = {
    "bit": _bit,
    "bits": _bits,
    "page": _page,
    "swapped": _swapped,
    "cut": _cut,
    "shorter": lambda content, _: content[:-1],
    "half": lambda content, _: content[: len(content) // 2],
    "empty": lambda content, _: bytearray(),
    "zeros": lambda content, _: bytearray(len(content)),
    "longer": lambda content, chance: content + chance.randbytes(chance.randrange(1, PAGE)),
    "noise": lambda content, chance: bytearray(chance.randbytes(len(content))),
}
RARE = ("shorter", "half", "empty", "zeros", "gone")  # always the same damage, so that once a file is enough


def apply(path: Path, how: str, chance: random.Random) -> None:
    """Damages a file in one way."""
    if how == "gone":
        path.unlink()
        return
    mode = path.stat().st_mode
    content = WAYS[how](bytearray(path.read_bytes()), chance)
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)
