"""Decompositions on one thread.

OpenBLAS's threads wait for each other in a loop: on cores that are busy a decomposition takes ten times as long, or a
hundred times; on idle ones a second thread gains little (`python -m bench.decompositions`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

from ._forks import lock

# The limit is the process's own: of two that overlap, the second would find, and leave behind, what the first has set.
_limited = lock()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts, numpy's linear algebra uses one thread, in all of the process; one caller at a time."""
    with _limited, threadpool_limits(limits=1, user_api="blas"):
        yield
