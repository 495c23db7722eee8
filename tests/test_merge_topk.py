"""The best of several lists, each key once: against the oracle, at every instruction set this machine can run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from crossfade import kernels
from kernel_rows import (
    SEEDS,
    every_level,
    examples,
    forced,
)


@pytest.mark.parametrize("lists", [1, 2, 3, 4, 5, 16, 17])
def test_padding_between_other_keys_is_passed_over(lists: int) -> None:
    """Wherever it stands, in whichever list: nothing is left out for it, and nothing beyond a list is read."""
    keys = np.full((lists, 3), kernels.PADDING_KEY)
    scores = np.full((lists, 3), -np.inf, np.float32)
    keys[0, 0], scores[0, 0] = 5, 0.5
    keys[-1], scores[-1] = [0, kernels.PADDING_KEY, 1], [np.inf, np.inf, 0.0]
    best = kernels.merge_topk(keys, scores, 4)
    assert list(zip(best[0].tolist(), best[1].tolist(), strict=True)) == oracles.merge_topk(
        keys.ravel(), scores.ravel(), 4
    )


@every_level
@examples
@given(
    seed=SEEDS,
    shape=st.one_of(
        st.tuples(st.integers(0, 4), st.integers(0, 30)),
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 30)),
    ),
    k=st.integers(1, 40),
    spread=st.sampled_from([3, 20, 2**63]),
)
def test_merge_matches_its_oracle(level: str, seed: int, shape: tuple[int, ...], k: int, spread: int) -> None:
    """Keys come once with their highest score, best first, ties by key; the rest is padding."""
    generator = np.random.default_rng(seed)
    keys = generator.integers(0, spread, shape, dtype=np.uint64)
    keys[generator.random(shape) < 0.2] = kernels.PADDING_KEY
    scores = generator.choice(np.array([-np.inf, -1, -0.0, 0.0, 0.25, 0.5, 2, np.inf], np.float32), shape)

    with forced(level):
        best_keys, best_scores = kernels.merge_topk(keys, scores, k)

    assert best_keys.shape == best_scores.shape == (*shape[:-2], k)
    assert (best_keys.dtype, best_scores.dtype) == (np.uint64, np.float32)
    count = int(np.prod(shape[:-2], dtype=int))
    lists = keys.reshape(count, shape[-2] * shape[-1]), scores.reshape(count, shape[-2] * shape[-1])
    for query in range(count):
        merged = zip(best_keys.reshape(-1, k)[query].tolist(), best_scores.reshape(-1, k)[query].tolist(), strict=True)
        assert list(merged) == oracles.merge_topk(lists[0][query], lists[1][query], k)


@examples
@given(
    seed=SEEDS,
    lists=st.integers(1, 17),
    n=st.integers(1, 30),
    k=st.integers(1, 40),
    padded=st.booleans(),
    lowest=st.sampled_from([0, 2**32 - 10, 2**64 - 70]),
)
def test_merge_of_ranked_lists(seed: int, lists: int, n: int, k: int, padded: bool, lowest: int) -> None:
    """Lists in the order of a search, ties and all, padded or not, one of them unranked perhaps, are merged right."""
    generator = np.random.default_rng(seed)
    keys = generator.integers(0, 2 * n, (2, lists, n), dtype=np.uint64) + np.uint64(lowest)
    scores = generator.integers(0, n, keys.shape).astype(np.float32)
    order = np.lexsort((keys, -scores))
    keys, scores = np.take_along_axis(keys, order, -1), np.take_along_axis(scores, order, -1)
    if padded:
        keys[:, :, n - n // 3 :] = kernels.PADDING_KEY
        scores[:, 0] = scores[:, 0, ::-1]

    best_keys, best_scores = kernels.merge_topk(keys, scores, k)

    for query in range(2):
        merged = list(zip(best_keys[query].tolist(), best_scores[query].tolist(), strict=True))
        assert merged == oracles.merge_topk(keys[query], scores[query], k)
    assert np.array_equal(kernels.merge_topk(keys, scores, k, threads=2)[0], best_keys)
