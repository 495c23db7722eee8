"""What several test modules need: real encoders, and a small one that needs no model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import crossfade as cf


def bag_of_words(dim: int, seed: int) -> Callable[[list[str]], npt.NDArray[np.float32]]:
    """A real, deterministic embedding of texts: random projection of their words' counts."""
    projection = np.random.default_rng(seed).standard_normal((512, dim), dtype=np.float32)

    def embed(texts: list[str]) -> npt.NDArray[np.float32]:
        counts = np.zeros((len(texts), 512), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                counts[row, int.from_bytes(hashlib.blake2b(word.encode()).digest()[:2]) % 512] += 1.0
        return counts @ projection

    return embed


def wrapped(name: str, dim: int, seed: int) -> cf.Encoder:
    """An encoder of the callable above."""
    return cf.Encoder.wrap(bag_of_words(dim, seed), cf.Space(model=name, dim=dim, version="1"))


def text_of(number: int, words: int = 12) -> str:
    """A text of random words that differs from every other number's."""
    generator = np.random.default_rng(number)
    return " ".join([f"n{number}", *(f"w{word}" for word in generator.integers(0, 400, words))])


def documents(count: int, start: int = 0) -> list[cf.Document]:
    """Documents d0, d1, … with texts of their own."""
    return [
        cf.Document(f"d{number}", text_of(number), meta={"parity": number % 2, "tags": [number % 3, "all"]})
        for number in range(start, start + count)
    ]


@pytest.fixture(scope="session")
def l3() -> cf.Encoder:
    return cf.Encoder.load("minilm-l3")


@pytest.fixture(scope="session")
def l6() -> cf.Encoder:
    return cf.Encoder.load("minilm-l6")


@pytest.fixture(scope="session")
def old() -> cf.Encoder:
    return wrapped("old", 32, 1)


@pytest.fixture(scope="session")
def new() -> cf.Encoder:
    return wrapped("new", 48, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kb.cf"
