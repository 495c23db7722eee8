"""The classic merges of two lists into one ranking, by name, for `search(merge=…)`. Pure functions over arrays.

They take what the two versions found, each with its own scores, and know nothing of what lies between the models.
During a migration every document stands in one list only: in the new version's if it is re-embedded, else in the old
one's. That is the state that tools without a blend search in, and it breaks what these merges assume:

* **rrf**: the sum of 1 / (60 + rank) (Cormack, Clarke and Büttcher, SIGIR 2009). Made for lists of the same
  documents. Of two disjoint ones it takes half and half, whatever is re-embedded and however good: it is wrong
  at every share but those where half the answers happen to lie on either side.
* **minmax**: a list's scores are stretched to 0 … 1. The best of each list meet at 1, so it interleaves like rrf near
  the top; below that the worst of either list decides, which is a matter of how many were asked for and of how many
  documents the version has.
* **zscore**: a list's scores less their mean, by their deviation. Those are of the candidates, not of the documents:
  a hundred candidates of a version with few documents reach far down, those of one with many do not, so that the
  same value means something else on either side, and with every share.
* **convex**: a · new + (1 − a) · old of scores that are divided by their range, from the least that a score can be
  to the best found (TMM; Bruch, Gai and Ingber, arXiv:2210.11934). Needs a weight, which only judged queries can
  tell, and another one for every share; with a = ½ the two lists' best are equal, as in minmax.

A document that is in both lists all the same counts with the sum of both (Fox and Shaw 1994, CombSUM); what a list
does not name adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.float64]

Merge = Literal["fade", "rrf", "minmax", "zscore", "convex"]
NAMES: tuple[Merge, ...] = get_args(Merge)
FADE: Merge = "fade"  # what a search does unless it is told: the blend, which is no merge of lists

RANK_CONSTANT = 60.0
CONVEX_WEIGHT = 0.5


class Found(NamedTuple):
    """What one version found for a query, best first.

    Args:
        keys: `(n,)` uint64, none twice.
        scores: `(n,)` floats, descending.
        least: The least a score can be: −1 for a cosine, None where there is no such bound.
    """

    keys: Keys
    scores: npt.NDArray[np.floating]
    least: float | None = -1.0


class Merged(NamedTuple):
    """One ranking of both lists.

    Args:
        keys: `(m,)` uint64, best first, ties by key, none twice.
        scores: `(m,)` float64, descending: the merge's own, on neither model's scale.
    """

    keys: Keys
    scores: Values


def rrf(old: Found, new: Found) -> Merged:
    """Reciprocal rank fusion, k = 60."""
    return _summed(old, new, *(_reciprocal(len(it.keys)) for it in (old, new)))


def minmax(old: Found, new: Found) -> Merged:
    """Scores by their place between the worst and the best of their list; where all are the same they are 1."""
    return _summed(old, new, *(_ranged(it.scores, None) for it in (old, new)))


def zscore(old: Found, new: Found) -> Merged:
    """Scores in deviations from the mean of their list; where all are the same they are 0."""
    return _summed(old, new, *(_standard(it.scores) for it in (old, new)))


def convex(old: Found, new: Found, weight: float = CONVEX_WEIGHT) -> Merged:
    """Weighted sum of scores by their place between the least possible and the best of their list.

    Where there is no least possible score, as for dot products, it is the worst of the list.

    Args:
        old: The old version's.
        new: The new version's.
        weight: Of the new version's scores, 0 to 1; the old version's have the rest.
    """
    parts = ((1.0 - weight) * _ranged(old.scores, old.least), weight * _ranged(new.scores, new.least))
    return _summed(old, new, *parts)


MERGES: Mapping[str, Callable[[Found, Found], Merged]] = MappingProxyType(
    {"rrf": rrf, "minmax": minmax, "zscore": zscore, "convex": convex}
)


def _reciprocal(count: int) -> Values:
    return 1.0 / (RANK_CONSTANT + np.arange(1, count + 1, dtype=np.float64))


def _ranged(scores: npt.NDArray[np.floating], least: float | None) -> Values:
    if not len(scores):
        return np.empty(0)
    values = scores.astype(np.float64)
    least = float(values.min()) if least is None else least
    width = values.max() - least
    return (values - least) / width if width > 0.0 else np.ones(len(values))


def _standard(scores: npt.NDArray[np.floating]) -> Values:
    if not len(scores):
        return np.empty(0)
    values = scores.astype(np.float64)
    if values.max() == values.min():  # the deviation of equal values may be a rounding error instead of 0
        return np.zeros(len(values))
    standard: Values = (values - values.mean()) / values.std()
    return standard


def _summed(old: Found, new: Found, old_parts: Values, new_parts: Values) -> Merged:
    keys, where = np.unique(np.concatenate([old.keys, new.keys]), return_inverse=True)
    scores = np.zeros(len(keys))
    np.add.at(scores, where, np.concatenate([old_parts, new_parts]))
    order = np.lexsort((keys, -scores))
    return Merged(keys[order], scores[order])
