"""The kernels on several threads: their own, and those of callers."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from crossfade import kernels

# Counts the process's threads from one of Python's, while a kernel that may use 64 works.
COUNT_THREADS = """
import os, threading
import numpy as np
from crossfade import kernels

os.sched_setaffinity(0, {cores})
x, matrix = np.ones((30_000, 384), np.float32), np.eye(384, dtype=np.float32)
most, done = 0, threading.Event()

def count():
    global most
    while not done.is_set():
        most = max(most, len(os.listdir("/proc/self/task")))

counter = threading.Thread(target=count)
before = len(os.listdir("/proc/self/task")) + 1
counter.start()
kernels.project(x, matrix, threads=64)
done.set()
counter.join()
print(most - before)
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_no_more_threads_than_cores_that_may_be_used(cores: int) -> None:
    """However many threads are allowed, no more run than the process may use cores."""
    usable = sorted(os.sched_getaffinity(0))[:cores]
    code = COUNT_THREADS.format(cores=usable)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert 0 <= int(done.stdout) <= len(usable) - 1


def test_calls_from_many_threads_give_what_they_give_alone() -> None:
    """Eight threads that call every kernel at the same time, with threads of their own, don't disturb each other."""
    generator = np.random.default_rng(1)
    x, y = (generator.standard_normal((5_000, 96), dtype=np.float32) for _ in range(2))
    matrix, chosen = y[:96].copy(), generator.integers(0, len(x), 2_000)
    keys = generator.integers(0, 500, (300, 3, 50), dtype=np.uint64)
    scores = generator.random(keys.shape, dtype=np.float32)

    def everything(threads: int) -> list[Any]:
        return [
            kernels.normalize(x, threads=threads),
            kernels.project(x, matrix, threads=threads),
            kernels.project(x, matrix, precision="bfloat16", threads=threads),
            kernels.rescore(x, chosen, y[:7], threads=threads),
            *kernels.merge_topk(keys, scores, 20, threads=threads),
            kernels.covariance(x, y, threads=threads).comoment,
        ]

    alone = everything(1)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(everything, [1, 2, 3, 2, 1, 2, 8, 2] * 3))
    for result in results:
        assert all(np.array_equal(a, b) for a, b in zip(result, alone, strict=True))


FORK = """
import os
import numpy as np
from crossfade import kernels

x = np.ones((20_000, 384), np.float32)
expected = kernels.normalize(x, threads=2)
child = os.fork()
if child == 0:
    os._exit(not np.array_equal(kernels.normalize(x, threads=2), expected))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_can_use_threads() -> None:
    """No thread outlives a call, so that a process that has used them can be forked, and its child use them too."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
