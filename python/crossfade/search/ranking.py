"""Ranking: what a search looks at, and what it found, as keys and scores."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crossfade.catalog import Database
from crossfade.encoders import Encoders
from crossfade.store import Snapshot

from .calibration import Calibration
from .explanation import ALONE, Why
from .fade import Fade

Keys: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

CANDIDATES = 100  # from each version; what a re-embedding order can gain levels off there
NO_KEY = np.uint64(2**64 - 1)


@dataclasses.dataclass(frozen=True)
class View:
    """All that a search looks at, taken once: it answers from this and nothing newer."""

    snapshot: Snapshot
    database: Database
    encoders: Encoders
    fade: Fade | None
    calibration: Calibration | None = None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What one query found, best first, before the documents are fetched; `considered` is all it looked at."""

    keys: Keys
    scores: npt.NDArray[np.float32]
    versions: npt.NDArray[np.int64]
    considered: Keys
    method: str = "live"
    coverage: float = 0.0
    weight: float = 0.0
    why: Why = ALONE


def present(keys: Keys) -> Keys:
    """Those of `keys` that are some."""
    there: Keys = keys[keys != NO_KEY]
    return there


def ranking_of(keys: Keys, scores: npt.NDArray[np.float32], version: int, k: int, why: Why = ALONE) -> Ranking:
    """The `k` best of what one version found alone, best first; missing keys are left out."""
    there = keys != NO_KEY
    considered, best = keys[there], scores[there][:k]
    return Ranking(considered[:k], best, np.full(len(best), version, np.int64), considered, why=why)
