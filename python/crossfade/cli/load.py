"""SearchLoad: searches at a bounded rate from background threads, as the users of a service send them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Sequence, Sized
from types import TracebackType
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Latency:
    """How fast the searches of one phase were answered; zeros where there was none.

    Args:
        searches: How many were answered.
        p50_ms: Median, in milliseconds.
        p99_ms: 99th percentile, in milliseconds.
    """

    searches: int
    p50_ms: float
    p99_ms: float


class SearchLoad:
    """Sends searches from background threads while a `with` lasts; each is noted under the current phase.

    A thread sends its next search when the last one is answered and its turn has come, so that a slow
    collection isn't drowned. A search that raises, whatever it raises, or finds too little counts as failed.

    Args:
        search: What is called with a text.
        texts: What is searched for, at least one, in a seeded order.
        least_hits: An answer with fewer is a failed one.
        threads: How many threads send.
        per_second: Searches per second and thread, at most.
        seed: Of the order of the texts.
    """

    def __init__(
        self,
        search: Callable[[str], Sized],
        texts: Sequence[str],
        *,
        least_hits: int = 1,
        threads: int = 2,
        per_second: float = 10.0,
        seed: int = 0,
    ) -> None:
        self.phase = ""
        self.failures: list[str] = []
        self._search = search
        self._texts = texts
        self._least_hits = least_hits
        self._period = 1.0 / per_second
        self._taken: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(random.Random(f"{seed}-{number}"),), daemon=True)
            for number in range(threads)
        ]

    @property
    def answered(self) -> int:
        """How many searches were answered so far, in all phases."""
        with self._lock:
            return sum(map(len, self._taken.values()))

    def latency(self, *phases: str) -> Latency:
        """How fast the searches sent in some phases were answered so far."""
        with self._lock:
            taken = sorted(itertools.chain.from_iterable(self._taken.get(phase, ()) for phase in phases))
        return Latency(len(taken), _percentile(taken, 0.50), _percentile(taken, 0.99))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _send(self, order: random.Random) -> None:
        turn = time.perf_counter() + order.random() * self._period
        while not self._over.wait(max(0.0, turn - time.perf_counter())):
            self._one(order.choice(self._texts))
            turn = max(turn + self._period, time.perf_counter())

    def _one(self, text: str) -> None:
        phase, sent = self.phase, time.perf_counter()
        try:
            found = len(self._search(text))
        except Exception as error:  # whatever a user would have seen instead of an answer
            self._fail(f"{type(error).__name__}: {error}")
            return
        milliseconds = (time.perf_counter() - sent) * 1e3
        if found < self._least_hits:
            self._fail(f"{found} hits for {text!r}")
            return
        with self._lock:
            self._taken.setdefault(phase, []).append(milliseconds)

    def _fail(self, reason: str) -> None:
        with self._lock:
            self.failures.append(reason)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` of all values don't exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0
