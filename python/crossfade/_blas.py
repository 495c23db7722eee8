"""Decompositions on one thread.

OpenBLAS's threads wait for each other in a loop: on busy cores a decomposition may take a hundred times as long, while
on idle ones a second thread saves a third at most (`python -m bench.decompositions`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

from ._forks import lock

# The limit is the process's own: of two that overlap, the second would find, and leave behind, what the first has set.
_limited = lock()
# OpenBLAS multiplies smaller squares on one thread of itself. In a forked child to set a limit starts its threads, and
# where there is no memory for their buffers it ends the process: no limit is set without need.
_LEAST_COLUMNS = 64


@contextlib.contextmanager
def one_thread(columns: int) -> Iterator[None]:
    """While it lasts, numpy's linear algebra uses one thread, in all of the process; one caller at a time.

    Args:
        columns: Of what is decomposed; under 64 nothing is done, and nobody waits.
    """
    if columns < _LEAST_COLUMNS:
        yield
        return
    with _limited, threadpool_limits(limits=1, user_api="blas"):
        yield
