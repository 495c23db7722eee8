"""The runtime: token ids of any number of texts through an engine, a batch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np

from crossfade._forks import call_in_child, lock
from crossfade.errors import EncodingFailed

from .batching import Ids, batches, padded
from .cores import BACKGROUND_NICENESS, BULK_NICENESS, step_back
from .engines import Engine, Session
from .graph import Graph
from .rows import Rows

Progress = Callable[[int], None]
NAME = "crossfade-encode"  # of threads


class Runtime:
    """A model that runs; safe to use from any number of threads.

    A call of a single batch, such as a query, spreads one run over all cores. A long call runs as many batches at a
    time as there are cores, each on one. The two have sessions of their own, made when they are first needed: so a
    query never waits for a long call to end, and results depend on neither way beyond rounding.

    Args:
        graph: Gives `embedding`.
        engine: Runs it.
        dim: Columns of a row.
        max_tokens: Longest row of ids.
        threads: Cores that one call uses.
    """

    def __init__(self, graph: Graph, engine: Engine, dim: int, max_tokens: int, threads: int) -> None:
        self.threads = threads
        self.engine = engine
        self._graph = graph
        self._dim = dim
        self._max_tokens = max_tokens
        self._streams = threads if engine.streams else 1
        self._sessions: dict[tuple[int, int], Session] = {}
        self._loading = lock()
        call_in_child(self._forget_sessions)

    def session(self, streams: int, niceness: int = 0) -> Session:
        """The session for so many runs at a time, by threads that let others go first.

        An engine that runs in the threads of whoever calls has one for every niceness. One with threads of its own has
        several: these have the niceness of the thread that opened it for good.

        Raises:
            ModelDamaged: The engine can't load the graph.
        """
        niceness = niceness if self.engine.own_threads else 0
        which = streams, niceness
        known = self._sessions.get(which)
        if known is not None:
            return known
        with self._loading:
            if which not in self._sessions:
                self._sessions[which] = self._open(streams, niceness)
            return self._sessions[which]

    def _open(self, streams: int, niceness: int) -> Session:
        if not niceness:
            return self.engine.open(self._graph, self.threads, streams)
        with ThreadPoolExecutor(1, NAME, step_back, (niceness,)) as opener:
            return opener.submit(self.engine.open, self._graph, self.threads, streams).result()

    def run(self, ids: Sequence[Ids], progress: Progress | None = None, threads: int | None = None) -> Rows:
        """Rows `(n, dim)` of `n` texts, in their order; `(0, dim)` for none.

        Args:
            ids: Token ids of every text.
            progress: Called after every batch with the number of texts done.
            threads: Batches at a time at most, for work in the background; None for as many as there are streams.

        Raises:
            EncodingFailed: The engine failed, or gave rows of another shape.
            ModelDamaged: The engine can't load the graph.
        """
        groups = batches([len(row) for row in ids], self.engine.tokens, self.engine.step)
        if len(groups) == 1 and threads is None:  # such as a query's: there is nothing to spread, or to put in order
            rows = self._batch(self.session(1), ids)
            if progress is not None:
                progress(len(ids))
            return rows
        rows = np.empty((len(ids), self._dim), dtype=np.float32)
        done = 0
        work = [[ids[index] for index in group] for group in groups]
        # Closed at once where this call is interrupted: what waits is dropped, not run to its end.
        with contextlib.closing(self._all(work, groups, threads)) as results:
            for group, encoded in results:
                rows[group] = encoded
                done += len(group)
                if progress is not None:
                    progress(done)
        return rows

    def _all(
        self, work: list[list[Ids]], groups: list[list[int]], threads: int | None
    ) -> Generator[tuple[list[int], Rows]]:
        if threads is None and (not work or self._streams == 1):
            session = self.session(1)
            yield from zip(groups, (self._batch(session, batch) for batch in work), strict=True)
            return
        most, niceness = (self._streams, BULK_NICENESS) if threads is None else (threads, BACKGROUND_NICENESS)
        session = self.session(self._streams, niceness)
        with ThreadPoolExecutor(min(most, self._streams), NAME, step_back, (niceness,)) as pool:
            futures = {
                pool.submit(self._batch, session, batch): group for batch, group in zip(work, groups, strict=True)
            }
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, session: Session, ids: Sequence[Ids]) -> Rows:
        # Rounding up must not go beyond the positions a model knows.
        rows = session.run(*padded(ids, self.engine.step, self._max_tokens))
        if rows.shape != (len(ids), self._dim):
            raise EncodingFailed(f"the model must give rows of {self._dim} columns, it gave shape {rows.shape}")
        return rows

    def _forget_sessions(self) -> None:
        """In a forked child: the threads of its parent's sessions are gone, and waiting for them would never end."""
        _LOST.append(self._sessions)
        self._sessions = {}


_LOST: list[Any] = []  # never freed: freeing a session joins its threads
