"""Rows for `bench.search`: what two models make of the same documents and of the queries, without either model."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import crossfade as cf
from bench.synthetic import LATENT, latent
from crossfade.kernels import normalize

DIMS = (384, 384)
QUERIES = 1_000
# Standard deviations of what either model sees of a document beside its topics, and of a query beside its document's.
BLUR, QUESTION = (0.45, 0.3), 0.6
# How much of another document is mixed into a real one, where the real ones are too few.
MIXED = 0.35
SHARES = {50.0: 2, 10.0: 10, 1.0: 100, 0.1: 1000}  # selectivity in percent: one of so many

Rows = np.ndarray[Any, np.dtype[np.float32]]


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """Unit rows of `(documents, queries)` in either model's Space: document N is row N of the first."""

    old: tuple[Rows, Rows]
    new: tuple[Rows, Rows]

    def encoders(self) -> tuple[cf.Encoder, cf.Encoder]:
        return encoder_of("old", *self.old), encoder_of("new", *self.new)

    def documents(self, start: int, stop: int) -> list[cf.Document]:
        return [
            cf.Document(str(number), f"document {number}", meta={f"of {n}": number % n for n in SHARES.values()})
            for number in range(start, min(stop, len(self.old[0])))
        ]

    def queries(self) -> list[str]:
        return [f"query {number}" for number in range(len(self.old[1]))]


def encoder_of(name: str, documents: Rows, queries: Rows) -> cf.Encoder:
    """An encoder that looks its answers up; a query takes it no time worth mentioning."""
    tables = {"document": documents, "query": queries}

    def rows(texts: Sequence[str]) -> Rows:
        words = [text.split() for text in texts]
        return np.stack([tables[kind][int(number)] for kind, number in words])

    return cf.Encoder.wrap(rows, cf.Space(model=name, dim=documents.shape[1]))


def synthetic(count: int) -> World:
    """Topics seen through two pairs of eyes, the second ones sharper."""
    numbers = np.arange(count, dtype=np.uint64)
    topics = latent(numbers)
    asked = np.random.default_rng(0).choice(count, QUERIES, replace=False)
    questions = topics[asked] + QUESTION * latent(numbers[:QUERIES], stream=1)

    def seen(eye: int) -> tuple[Rows, Rows]:
        axes = np.random.default_rng(eye).standard_normal((LATENT, DIMS[eye]), dtype=np.float32)
        mean = np.random.default_rng(2 + eye).standard_normal(DIMS[eye], dtype=np.float32)

        def rows(things: Any, stream: int) -> Rows:
            blurred = things + BLUR[eye] * latent(numbers[: len(things)], stream=stream)
            return normalize(np.ascontiguousarray(blurred @ axes + mean, np.float32))

        return rows(topics, 2 + eye), rows(questions, 4 + eye)

    return World(seen(0), seen(1))


def real(folder: Path, names: tuple[str, str], count: int) -> World:
    """A real collection's vectors in random order; documents beyond them are mixtures of two, weighed alike in both."""

    def load(part: str) -> list[Rows]:
        return [np.load(folder / f"{name}.{part}.npy").astype(np.float32) for name in names]

    documents, queries = load("docs"), load("queries")
    random = np.random.default_rng(0)
    have = len(documents[0])
    one, other = random.permutation(np.arange(count) % have), random.integers(0, have, count)
    weight = np.where(random.permutation(count) < have, 0.0, MIXED).astype(np.float32)[:, np.newaxis]
    worlds = [
        (normalize(rows[one] + weight * (rows[other] - rows.mean(axis=0))), normalize(asked))
        for rows, asked in zip(documents, queries, strict=True)
    ]
    return World(*worlds)


def timed_encoders(encoders: Sequence[cf.Encoder]) -> threading.local:
    """Makes encoders add what an encoding takes to the thread's `seconds`."""
    spent = threading.local()
    for encoder in encoders:

        def timed(*args: Any, encode: Any = encoder.encode, **options: Any) -> Any:
            began = time.perf_counter()
            rows = encode(*args, **options)
            spent.seconds = getattr(spent, "seconds", 0.0) + time.perf_counter() - began
            return rows

        encoder.encode = timed  # type: ignore[method-assign]
    return spent
