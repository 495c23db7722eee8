"""Uniform samples of documents that are the same for everyone: a hash of each key decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# One document in so many is never fitted to.
HELD_OUT = 5

Keys = npt.NDArray[np.uint64]


def in_order(keys: npt.NDArray[np.int64], seed: int) -> Keys:
    """Keys in an order that a hash of each alone decides: any beginning of it is a uniform sample."""
    return keys.astype(np.uint64)[np.argsort(_mixed(keys, seed), kind="stable")]


def held_out(keys: Keys) -> npt.NDArray[np.bool_]:
    """Which of the documents judge: the same ones in every fit."""
    marks: npt.NDArray[np.bool_] = _mixed(keys, 2**32) % np.uint64(HELD_OUT) == 0
    return marks


def _mixed(keys: npt.NDArray[np.integer], seed: int) -> Keys:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014) of keys and seed."""
    mixed = keys.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
