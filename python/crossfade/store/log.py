"""The log of searches: what was looked at and what for, noted in memory, and written behind the searches' backs."""

from __future__ import annotations

import contextlib
import functools
import queue
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossfade.errors import CrossfadeError

INTERVAL_SECONDS = 10.0  # between two writes by the timer
# So many searches are noted one by one until they are added up; of the next so many every second one, which counts
# twice, then every fourth, and so on. So adding up takes milliseconds, and memory is bounded, however many come.
ALL_NOTED = 500
MOST_KEYS = 100_000  # the documents looked at least are forgotten beyond
MOST_TEXTS = 10_000
# A document of rank r (from 0) counts 1 / (1 + (r / 10)²): the first once, the eleventh half, the hundredth next to
# nothing. What is shown is decided among the first; re-embedding those of many queries gains more than all of few.
HALF_RANK = 10.0
_WINDOW = 2**20  # keys that are summed together: 8 MB

Keys = npt.NDArray[np.uint64]
Amounts = npt.NDArray[np.float64]


class Noted(NamedTuple):
    """What searches looked at: how much by key, and how often and when last by text."""

    hits: dict[int, float]
    queries: dict[str, tuple[int, float]]


class _Entry(NamedTuple):
    """A search: when, for how many it stands, its text where that may be kept, and what it looked at."""

    at: float
    weight: int
    texts: Sequence[str]
    considered: Keys


def amounts(keys: npt.NDArray[np.uint64] | npt.NDArray[np.int64]) -> Amounts:
    """What documents count that a search looked at, best first; read-only."""
    return _of_ranks(len(keys))


@functools.lru_cache(64)
def _of_ranks(count: int) -> Amounts:
    counted: Amounts = 1.0 / (1.0 + (np.arange(count, dtype=np.float64) / HALF_RANK) ** 2)
    counted.setflags(write=False)
    return counted


class SearchLog:
    """Takes notes of searches; `note` costs a search an entry in a queue, and waits for nobody.

    At intervals it has a thread call `write`, which ends when all is written: a process that forks has none, but by
    chance. Others may be faster, with `take`.

    Args:
        write: Writes what `take` gives. Held weakly: what writes may be dropped without being closed.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = weakref.WeakMethod(write)
        self._entries: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._keys: Keys = np.empty(0, np.uint64)
        self._amounts: Amounts = np.empty(0, np.float64)
        self._queries: dict[str, tuple[int, float]] = {}
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._due = time.monotonic() + INTERVAL_SECONDS

    def note(self, texts: Sequence[str], considered: Sequence[Keys]) -> None:
        """Notes searches: their texts, where they may be kept, and the documents each looked at, best first."""
        now = time.time()
        for place, keys in enumerate(considered):
            weight = 1 << self._entries.qsize() // ALL_NOTED
            if weight == 1 or random.random() * weight < 1.0:
                self._entries.put(_Entry(now, weight, texts[place : place + 1], keys))
        if time.monotonic() >= self._due and self._starting.acquire(blocking=False):
            try:
                self._start_writing()
            finally:
                self._starting.release()

    def take(self, most: int) -> Noted:
        """What was noted, and not taken yet: of documents those looked at most, and so many at most."""
        with self._lock:
            self._add_up()
            heaviest = _heaviest(self._amounts, most)
            hits = dict(zip(self._keys[heaviest].tolist(), self._amounts[heaviest].tolist(), strict=True))
            self._keys, self._amounts = np.delete(self._keys, heaviest), np.delete(self._amounts, heaviest)
            queries, self._queries = self._queries, {}
            return Noted(hits, queries)

    def close(self) -> None:
        """Waits for the thread, and has no other one started; what was not taken stays there."""
        with self._starting:
            self._due = float("inf")
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start_writing(self) -> None:
        """Starts the thread, unless it has been started or closed meanwhile, or still waits for its turn to write."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + INTERVAL_SECONDS
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._write_quietly, name="crossfade-log", daemon=True)
            with contextlib.suppress(RuntimeError):  # the system has no thread left: the next time it may
                thread.start()
                self._thread = thread

    def _write_quietly(self) -> None:
        write = self._write()
        if write is not None:
            with contextlib.suppress(CrossfadeError):  # what can't be written now, or ever, is only a count
                write()

    def _add_up(self) -> None:
        keys, counted = [self._keys], [self._amounts]
        with contextlib.suppress(queue.Empty):
            while True:
                at, weight, texts, considered = self._entries.get_nowait()
                for text in texts:
                    if text in self._queries or len(self._queries) < MOST_TEXTS:
                        self._queries[text] = self._queries.get(text, (0, at))[0] + weight, at
                keys.append(considered)
                counted.append(weight * amounts(considered))
        if len(keys) == 1:
            return
        self._keys, self._amounts = _summed(np.concatenate(keys), np.concatenate(counted))
        heaviest = _heaviest(self._amounts, MOST_KEYS)
        self._keys, self._amounts = self._keys[heaviest], self._amounts[heaviest]


def _summed(keys: Keys, amounts: Amounts) -> tuple[Keys, Amounts]:
    """Each key once, with the sum of its amounts, which are above 0: by key, as sorting takes twenty times as long, and
    searches wait meanwhile."""
    found = []
    places, last = keys.view(np.int64), int(keys.max(initial=0))
    for start in range(0, last + 1, _WINDOW):
        if last < _WINDOW:  # nothing is copied
            sums = np.bincount(places, amounts)
        else:
            here = keys - np.uint64(start) < _WINDOW
            sums = np.bincount(places[here] - start, amounts[here])
        some = np.flatnonzero(sums)
        found.append((some.astype(np.uint64) + np.uint64(start), sums[some]))
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def _heaviest(values: Amounts, most: int) -> npt.NDArray[np.intp]:
    """The places of the largest values."""
    if len(values) <= most:
        return np.arange(len(values))
    return np.argpartition(-values, most)[:most]
