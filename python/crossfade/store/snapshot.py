"""Snapshots: one consistent view of a collection, for as long as a search holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from crossfade.catalog import versions
from crossfade.index import VersionIndex


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What was committed at one moment. Immutable: later commits make a new one.

    Args:
        state: Versions, their roles, the migration.
        dead: By key, whether the revision was edited or deleted.
        indices: The vectors, by version number.
    """

    state: versions.State
    dead: npt.NDArray[np.bool_]
    indices: Mapping[int, VersionIndex]

    @property
    def live(self) -> VersionIndex:
        return self.indices[self.state.live]


def grown(mask: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """The mask with room for at least `length` keys; the new ones are False."""
    if len(mask) >= length:
        return mask
    larger = np.zeros(max(length, 2 * len(mask), 1024), np.bool_)
    larger[: len(mask)] = mask
    return larger
