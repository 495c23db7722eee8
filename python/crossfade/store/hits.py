"""How often searches returned each document: counted in memory, written now and then."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable


class HitCounter:
    """Counts keys; cheap enough for every search."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[int] = Counter()

    def count(self, keys: Iterable[int]) -> None:
        with self._lock:
            self._counts.update(keys)

    def take(self) -> Counter[int]:
        """What was counted since the last call."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts
