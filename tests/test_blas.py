"""Decompositions don't fight for cores that others use."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from crossfade._blas import one_thread
from crossfade.bridge import Bridge
from segments import clusters


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_while_it_lasts_and_as_before_after_it() -> None:
    """Several callers at a time too: the last one leaves what was there before the first."""
    before, together = blas_threads(), threading.Barrier(4)

    def limited(_: int) -> list[int]:
        together.wait()
        with one_thread(384):
            return blas_threads()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(limited, range(4))) == [[1] * len(before)] * 4
    assert blas_threads() == before


def test_small_ones_are_left_alone() -> None:
    """OpenBLAS does them on one thread by itself."""
    before = blas_threads()
    with one_thread(63):
        assert blas_threads() == before


def test_a_bridge_is_learned_on_one_thread(monkeypatch: Any) -> None:
    """Every decomposition of a fit is."""
    seen: list[int] = []
    for name in ("eigh", "svd"):
        solve = getattr(np.linalg, name)

        def watched(*args: Any, solve: Any = solve, **options: Any) -> Any:
            seen.extend(blas_threads())
            return solve(*args, **options)

        monkeypatch.setattr(np.linalg, name, watched)
    Bridge.fit(clusters(300, 96, 0), clusters(300, 96, 1))
    assert len(seen) > 2
    assert {*seen} == {1}
