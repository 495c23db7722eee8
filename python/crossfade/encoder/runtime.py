"""The engine: batches of token ids through onnxruntime."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from crossfade.errors import EncodingFailed, InvalidInput, ModelDamaged

from .graph import Graph
from .tokenizer import Ids

# Padded tokens of one run. Measured with MiniLM-L6 on a core with AVX2 and 512 KB of second-level cache: 256 is a
# tenth faster than 1,024, and 2,048 a tenth slower (intermediate results leave the cache); a query waits for one
# such run at most.
TOKEN_BUDGET = 256
# Lengths are rounded up to this, so that a handful of shapes repeat and the runtime's memory plans are used
# again.
LENGTH_STEP = 8
BULK_NICENESS = 5

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

Rows = NDArray[np.float32]
Progress = Callable[[int], None]


def usable_cores() -> int:
    """Cores this process may run on: those it is bound to, or fewer where its control group has a smaller quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota = cpu_quota(_CPU_QUOTA.read_text())
    except OSError:
        return cores
    return cores if quota is None else min(cores, quota)


def cpu_quota(text: str) -> int | None:
    """Whole cores that a control group's cpu.max grants, at least 1; None where it sets no limit.

    Example:
        >>> cpu_quota("150000 100000"), cpu_quota("max 100000")
        (2, None)
    """
    quota, _, period = text.strip().partition(" ")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, -(-int(quota) // int(period)))


def batches(lengths: Sequence[int], budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """Indices of the texts of every batch, longest first, so that a batch holds texts of about one length.

    Args:
        lengths: Tokens of every text.
        budget: Padded tokens of a batch; a longer text has a batch of its own.

    Example:
        >>> batches([3, 500, 4, 490], budget=1_024)
        [[1, 3], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    result: list[list[int]] = []
    room = 0
    for index in order:
        if room == 0:
            result.append([])
            room = max(1, budget // padded_length(lengths[index]))
        result[-1].append(index)
        room -= 1
    return result


def padded_length(length: int) -> int:
    """`length` rounded up to the next step."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def _step_back() -> None:
    """Lets queries go first: Linux gives each thread a niceness of its own, and this one works through a long call."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BULK_NICENESS)


class Runtime:
    """A loaded graph; safe to run from any number of threads.

    Every run uses one core, and a long call spreads its batches over `threads` of them. So results don't
    depend on the number of threads, a query never waits for the threads of a running fill, and a forked child
    can run.

    Args:
        graph: Takes `input_ids` and `attention_mask`, gives `embedding`.
        dim: Columns of a row.
        max_tokens: Longest row of ids.
        threads: Batches run at a time by one call.

    Raises:
        InvalidInput: `threads` is not positive.
        ModelDamaged: The graph can't be loaded.
    """

    def __init__(self, graph: Graph, dim: int, max_tokens: int, threads: int) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InvalidInput(f"threads must be a positive number, got {threads!r}")
        self.threads = threads
        self._dim = dim
        self._max_tokens = max_tokens
        self._weights = graph.weights  # the session reads these arrays in place and does not keep them alive
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in graph.weights.values()]
            options.add_external_initializers(list(graph.weights), values)
            self._session = onnxruntime.InferenceSession(graph.content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base but this
            raise ModelDamaged(f"onnxruntime can't load the model: {error}") from error

    def run(self, ids: Sequence[Ids], progress: Progress | None = None) -> Rows:
        """Rows `(n, dim)` of `n` texts, in their order; `(0, dim)` for none.

        Raises:
                EncodingFailed: The runtime failed, or gave rows of another shape.
        """
        rows = np.empty((len(ids), self._dim), dtype=np.float32)
        groups = batches([len(row) for row in ids])
        done = 0
        for group, encoded in self._all([[ids[index] for index in group] for group in groups], groups):
            rows[group] = encoded
            done += len(group)
            if progress is not None:
                progress(done)
        return rows

    def _all(self, work: list[list[Ids]], groups: list[list[int]]) -> Iterator[tuple[list[int], Rows]]:
        if len(work) <= 1 or self.threads == 1:
            yield from zip(groups, map(self._batch, work), strict=True)
            return
        with ThreadPoolExecutor(self.threads, "crossfade-encode", initializer=_step_back) as pool:
            futures = {pool.submit(self._batch, batch): group for batch, group in zip(work, groups, strict=True)}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, ids: list[Ids]) -> Rows:
        # Rounding up must not go beyond the positions a model knows.
        length = min(padded_length(max(map(len, ids))), self._max_tokens)
        tokens = np.zeros((len(ids), length), dtype=np.int64)
        mask = np.zeros((len(ids), length), dtype=np.int64)
        for row, text in enumerate(ids):
            tokens[row, : len(text)] = text
            mask[row, : len(text)] = 1
        try:
            (rows,) = self._session.run(["embedding"], {"input_ids": tokens, "attention_mask": mask})
        except Exception as error:  # onnxruntime's own exceptions have no common base but this
            raise EncodingFailed(f"onnxruntime failed on {len(ids)} texts of {length} tokens: {error}") from error
        if rows.shape != (len(ids), self._dim):
            raise EncodingFailed(f"the model must give rows of {self._dim} columns, it gave shape {rows.shape}")
        return np.asarray(rows, dtype=np.float32)
