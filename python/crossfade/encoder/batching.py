"""Batches: which texts run together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def batches(lengths: Sequence[int], budget: int, step: int = 1) -> list[list[int]]:
    """Indices of the texts of every batch, longest first. Texts of a batch have one length, rounded up to `step`.

    Args:
        lengths: Tokens of every text.
        budget: Tokens of a batch; a longer text has a batch of its own.
        step: 1 for batches without padding.

    Example:
        >>> batches([3, 500, 4, 3, 3], budget=6)
        [[1], [2], [0, 3], [4]]
        >>> batches([3, 500, 4, 3, 3], budget=16, step=4)
        [[1], [0, 2, 3, 4]]
    """
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(-(-length // step) * step, []).append(index)
    result = []
    for length in sorted(groups, reverse=True):
        size = max(1, budget // length)
        result += [groups[length][start : start + size] for start in range(0, len(groups[length]), size)]
    return result


def padded(ids: Sequence[Ids], step: int, longest: int) -> tuple[Ids, Ids]:
    """Token ids and mask of a batch, int64 `(n, tokens)`; `tokens` is rounded up to `step`, but at most `longest`.

    Example:
        >>> padded([np.array([7, 8]), np.array([9])], step=4, longest=3)[1].tolist()
        [[1, 1, 0], [1, 0, 0]]
    """
    length = min(-(-max(map(len, ids)) // step) * step, longest)
    tokens = np.zeros((len(ids), length), dtype=np.int64)
    mask = np.zeros((len(ids), length), dtype=np.int64)
    for row, text in enumerate(ids):
        tokens[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return tokens, mask
