"""A library of documents on topics, models that see it more and less clearly, and questions with right answers."""

from __future__ import annotations

import functools

import numpy as np

import crossfade as cf
from crossfade import assess
from support import bag_of_words

COUNT, QUERIES, SAMPLE = 1_000, 40, 400
TOPICS = 60


def text_of(number: int) -> str:
    """Words of one of the topics, which others share, and a few of its own."""
    random = np.random.default_rng(number)
    common = [f"t{number % TOPICS}x{word}" for word in random.integers(0, 12, 8)]
    return " ".join([*common, *(f"w{word}" for word in random.integers(0, 3_000, 4))])


def noisy(name: str, dim: int, noise: float) -> cf.Encoder:
    """A model that sees words, the better the less noise; of the same seed, so that models are alike."""
    embed, shake = bag_of_words(dim, 3), bag_of_words(dim, 4)

    @functools.cache
    def row(text: str) -> np.ndarray:
        true, other = embed([text])[0], shake([f"{name} {text}".replace(" ", "_")])[0]
        return true / np.linalg.norm(true) + noise * other / np.linalg.norm(other)

    def rows(texts: list[str]) -> np.ndarray:
        return np.stack([row(text) for text in texts])

    return cf.Encoder.wrap(rows, cf.Space(model=name, dim=dim, version="1"))


OLD, NEW, WORSE = noisy("plain", 96, 0.9), noisy("better", 96, 0.5), noisy("worse", 96, 1.3)


def queries() -> assess.Queries:
    """A document's own words, and one of its topic: the document itself is the right answer."""
    chosen = range(0, COUNT, COUNT // QUERIES + 1)
    texts = {f"q{n}": " ".join(text_of(n).split()[6:]) for n in chosen}
    return assess.given(texts, {f"q{n}": {f"d{n}": 1.0} for n in chosen})
