"""Pilot: a part of a migration that was really made, so that its figures are measured and not estimated."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from crossfade._uniform import Keys, in_order
from crossfade.encoder import Spent

STRATA = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pilot:
    """What a pilot has done; it is kept as the first part of the migration.

    Args:
        documents: How many were re-embedded, earlier ones of the same migration included.
        share: Of all documents.
        strata: Classes of length from which they were chosen in proportion.
        seconds: By the clock, the writing included.
        cpu_seconds: Of all cores.
        spent: What a service took; None for other encoders.
        failed: Documents that the new model could not take.
    """

    documents: int
    share: float
    strata: int
    seconds: float
    cpu_seconds: float
    spent: Spent | None
    failed: int


def stratified(keys: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], count: int, seed: int) -> Keys:
    """So many documents, in proportion from ten classes of length: what depends on the length varies less by chance.

    Within a class the order of a migration's fit decides (Cochran 1977, chapter 5).

    Args:
        keys: Of all documents `(n,)`, ascending.
        lengths: Of their texts `(n,)`.
        count: How many to choose; all where there are no more.
        seed: Of the order.

    Returns:
        Keys, in the order of the fit.
    """
    strata = np.array_split(keys[np.argsort(lengths, kind="stable")], STRATA)
    ends = np.rint(np.cumsum([len(part) for part in strata]) * min(count / max(len(keys), 1), 1.0)).astype(np.int64)
    chosen = [in_order(np.sort(part), seed)[:size] for part, size in zip(strata, np.diff(ends, prepend=0), strict=True)]
    return in_order(np.sort(np.concatenate(chosen).astype(np.int64)), seed)
