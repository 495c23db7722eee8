"""Readers of `bench.cutover`: processes that search all the time, and how they judge an answer."""

from __future__ import annotations

import array
import itertools
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import crossfade as cf

K = 10
WARM_UP = 100  # searches that are not logged
ERROR, MIXED, WRONG = -1, -2, -3  # instead of the state an answer is of
BLENDED = -4  # an answer of two versions, which tells no state
MARKER = "quagga zebra okapi"

Judge: TypeAlias = Callable[[int, cf.Hits], int]


def read(folder: str, work: str, log: str) -> None:
    """Child: searches until it is told to end."""
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: over.append(number))
    columns = {name: array.array("d") for name in ("start", "end", "cpu", "state")}
    with cf.Collection.open(folder, encoder(1), encoder(2), read_only=True) as docs:
        queries, judge = JUDGES[work](Path(folder), docs)
        for number in itertools.count():
            if over:
                break
            query, began, worked = (number + os.getpid()) % len(queries), time.monotonic(), time.thread_time()
            try:
                hits = docs.search(queries[query], k=K)
            except Exception as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                hits = None
            took = (began, time.monotonic(), time.thread_time() - worked)
            state = ERROR if hits is None else judge(query, hits)
            if number >= WARM_UP:
                for column, value in zip(columns.values(), (*took, state), strict=True):
                    column.append(value)
            elif number == WARM_UP - 1:
                say({"ready": True})
    np.savez(log, allow_pickle=False, **{name: np.array(column) for name, column in columns.items()})


def by_answer(folder: Path, docs: cf.Collection) -> tuple[list[str], Judge]:
    """Answers must be exactly those of one version."""
    expected: dict[str, list[list[Any]]] = json.loads(folder.with_suffix(".json").read_text())

    def judge(query: int, hits: cf.Hits) -> int:
        found = answer(hits)
        for version, answers in expected.items():
            if found == answers[query]:
                return int(version)
        known = {hit for answers in expected.values() for hit in zip(*answers[query], strict=True)}
        return MIXED if set(zip(*found, strict=True)) <= known and len(set(hits.ids)) == K else WRONG

    return QUERIES, judge


def by_score(folder: Path, docs: cf.Collection) -> tuple[list[str], Judge]:
    """Documents' numbers are known, so that every score of a version alone is known too; odd ones are of encoder 1."""
    numbers = range(len(docs))
    rows = {odd: encoder(2 - odd).encode([text_of(number) for number in numbers]) for odd in (0, 1)}
    scores = {odd: encoder(2 - odd).encode(QUERIES, kind="query") @ rows[odd].T for odd in (0, 1)}

    def judge(query: int, hits: cf.Hits) -> int:
        versions = {hit.version for hit in hits}
        if len(set(hits.ids)) != K or (np.diff(hits.scores) > 0).any():
            return WRONG
        if hits.method != "live":
            return BLENDED if max(versions) - min(versions) <= 1 else MIXED
        if len(versions) > 1:
            return MIXED
        version = versions.pop()
        expected = scores[version % 2][query][[int(identifier[1:]) for identifier in hits.ids]]
        return version if np.allclose(hits.scores, expected, atol=2e-3) else WRONG

    return QUERIES, judge


def by_text(folder: Path, docs: cf.Collection) -> tuple[list[str], Judge]:
    """The marked document tells which edit of it was found."""
    return [MARKER], lambda query, hits: int(hits[0].text.split()[-1]) if hits[0].id == "marked" else 0


JUDGES = {"switch": by_answer, "migrate": by_score, "edit": by_text}


def answer(hits: cf.Hits) -> list[Any]:
    return [hits.ids, hits.scores.tolist(), [hit.version for hit in hits]]


def say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def text_of(number: int) -> str:
    words = np.random.default_rng(number).integers(0, 2_000, 20)
    return " ".join(f"w{word}" for word in words)


QUERIES = [text_of(number) for number in range(1_000_000, 1_000_064)]


def encoder(number: int) -> cf.Encoder:
    """Counts of words, projected at random: the same rows in every process."""
    dim = 32 + 32 * number
    projection = np.random.default_rng(number).standard_normal((4_096, dim), dtype=np.float32)

    def rows(texts: list[str]) -> np.ndarray[Any, Any]:
        return np.stack(
            [projection[[zlib.crc32(word.encode()) % 4_096 for word in text.split()]].sum(0) for text in texts]
        )

    return cf.Encoder.wrap(rows, cf.Space(model=f"words {number}", dim=dim))
