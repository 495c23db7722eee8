"""Neighbourhoods: how far the same documents have the same neighbours in both Spaces, and what a Bridge would keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade.bridge import Bridge, Quality
from crossfade.bridge.measuring import NEIGHBOURS, interval
from crossfade.bridge.pairs import MIN_PAIRS
from crossfade.errors import InvalidInput
from crossfade.kernels import normalize

from .evidence import Evidence, plain
from .sample import Rows, Sample
from .words import word_rows

# A square of this side of scores in either Space.
MOST = 2_000
# Of so many nearest ones by the old model it is asked in which order the new one has them.
DEPTH = 100

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Neighbourhoods:
    """What a sample tells of both Spaces.

    Args:
        documents: How many documents are compared with each other.
        overlap: Mean share of a document's 10 nearest others that are the same in both Spaces.
        chance: What that would be for rows that have nothing to do with each other.
        order: Mean rank correlation (Spearman's) of a document's 100 nearest others by the old model with their order
            by the new one; 0 by chance.
        nearest_old, nearest_new: Mean score of a document's nearest other one.
        words_old, words_new: The same overlap of either Space with rows of the texts' words alone (tf-idf).
        unrelated: Whether the new model is less like the old one than plain words are, and less like plain words than
            the old one is: then it knows little of these texts, or the old one is itself one of words.
        cosine, recall, retention: Of a Bridge that is fitted to the sample, on held-out pairs.
        bridge: The Bridge; None where there are too few documents, or their rows don't vary.
    """

    documents: int
    overlap: Evidence
    chance: float
    order: Evidence
    nearest_old: Evidence
    nearest_new: Evidence
    words_old: Evidence
    words_new: Evidence
    unrelated: bool
    cosine: Evidence
    recall: Evidence
    retention: Evidence
    bridge: Bridge | None = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the Bridge."""
        found: dict[str, Any] = plain(self)
        return found


def neighbourhoods(sample: Sample, *, seed: int = 0) -> Neighbourhoods:
    """Compares the neighbours of a sample's documents, among each other, in both Spaces.

    Intervals are bootstrapped over the documents. Among few documents neighbours are farther away than in the whole
    collection, and overlaps are larger: compare what was measured on as many.
    """
    old, new, texts = sample.old[:MOST], sample.new[:MOST], sample.contents[:MOST]
    count = len(old)
    before, after = _scores(old, sample.source.metric), _scores(new, sample.target.metric)
    enough = count > 2 * NEIGHBOURS
    overlaps = _Overlaps(before, after, _scores(word_rows(texts), "dot")) if enough else None
    correlations = _correlations(before, after, min(DEPTH, count - 1)) if enough else np.empty(0)
    chance = min(NEIGHBOURS / (count - 1), 1.0) if count > 1 else 1.0
    unrelated = overlaps is not None and overlaps.is_alien(seed)
    models, words_old, words_new = overlaps or (np.empty(0),) * 3
    bridge, why = _bridge(sample, seed)
    cosine, recall, retention = (
        _measured(f"Bridge's {name}", bridge.quality if bridge else None, field, why, meaning)
        for name, field, meaning in _OF_A_BRIDGE
    )
    words = "of the ten neighbours so many are those by words alone"
    return Neighbourhoods(
        documents=count,
        overlap=_mean("overlap@10", models, seed, _overlap_means(models, chance, unrelated)),
        chance=chance,
        order=_mean("rank correlation", correlations, seed, "of what is near: 1 is the same order, 0 is chance"),
        nearest_old=_mean("score of the nearest, old", _nearest(before), seed, "thresholds of today are on this scale"),
        nearest_new=_mean("score of the nearest, new", _nearest(after), seed, "thresholds after it are on this one"),
        words_old=_mean("overlap@10 of the old model with words", words_old, seed, words),
        words_new=_mean("overlap@10 of the new model with words", words_new, seed, words),
        unrelated=unrelated,
        cosine=cosine,
        recall=recall,
        retention=retention,
        bridge=bridge,
    )


_OF_A_BRIDGE = (
    ("cosine", "cosine", "how near a carried vector comes to the true one; 1 is the same"),
    ("recall@10", "recall_at_10", "of a document's 10 true neighbours so many are found among carried vectors"),
    ("retention", "retention", "so much of the new model's nDCG@10 is expected of carried vectors alone"),
)


def _bridge(sample: Sample, seed: int) -> tuple[Bridge | None, str]:
    if len(sample) < MIN_PAIRS:
        return None, f"a Bridge needs {MIN_PAIRS} documents, the sample has {len(sample)}"
    try:
        return Bridge.fit(sample.old, sample.new, source=sample.source, target=sample.target, seed=seed), ""
    except InvalidInput as error:  # rows that don't vary: nothing can be learned from them
        return None, f"no Bridge can be fitted: {error}"


def _measured(name: str, quality: Quality | None, field: str, why: str, meaning: str) -> Evidence:
    if quality is None:
        return Evidence(name=name, value=None, meaning=why)
    bounds = getattr(quality, field.replace("_at_10", "") + "_interval")
    return Evidence(name=name, value=getattr(quality, field), interval=bounds, meaning=meaning)


def _scores(rows: Rows, metric: str) -> Rows:
    """Of every document with every other, `(n, n)`; -inf with itself."""
    unit = normalize(rows) if metric == "cos" and (rows != 0).any(axis=1).all() else rows
    scores: Rows = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return scores


class _Overlaps:
    """By document the overlap of three lists of neighbours: of old and new model, and of either with words."""

    def __init__(self, before: Rows, after: Rows, words: Rows) -> None:
        self._models = _overlap(before, after)
        self._old, self._new = _overlap(words, before), _overlap(words, after)

    def __iter__(self) -> Iterator[Floats]:
        return iter((self._models, self._old, self._new))

    def is_alien(self, seed: int) -> bool:
        """Whether the new model differs from both, beyond chance, more than the old model differs from words."""
        return all(interval(overlap - self._old, seed)[1] < 0.0 for overlap in (self._models, self._new))


def _overlap(one: Rows, other: Rows) -> Floats:
    wanted = np.zeros(one.shape, np.bool_)
    np.put_along_axis(wanted, _best(one, NEIGHBOURS), True, axis=1)
    overlaps: Floats = np.take_along_axis(wanted, _best(other, NEIGHBOURS), axis=1).mean(axis=1)
    return overlaps


def _correlations(before: Rows, after: Rows, depth: int) -> Floats:
    """Spearman's, of ranks without ties: equal scores count in the order of the documents."""
    nearest = _best(before, depth)
    scores = np.take_along_axis(before, nearest, axis=1), np.take_along_axis(after, nearest, axis=1)
    one, other = (scored.argsort(axis=1, kind="stable").argsort(axis=1).astype(np.float64) for scored in scores)
    squares = ((one - other) ** 2).sum(axis=1)
    return np.asarray(1.0 - 6.0 * squares / (depth * (depth**2 - 1.0)))


def _nearest(scores: Rows) -> Floats:
    return scores.max(axis=1).astype(np.float64) if len(scores) > 1 else np.empty(0)


def _best(scores: Rows, count: int) -> npt.NDArray[np.int64]:
    return np.argpartition(-scores, count - 1, axis=1)[:, :count]


def _mean(name: str, values: Floats, seed: int, meaning: str) -> Evidence:
    if not len(values):
        return Evidence(name=name, value=None, meaning="too few documents to compare with each other")
    return Evidence(name=name, value=float(values.mean()), interval=interval(values, seed), meaning=meaning)


def _overlap_means(overlaps: Floats, chance: float, unrelated: bool) -> str:
    share = float(overlaps.mean()) if len(overlaps) else 0.0
    what = (
        "it is less like the old model than plain words are"
        if unrelated
        else f"of ten neighbours {10 * share:.1f} stay"
    )
    return f"{what}; by chance {10 * chance:.1f} of ten neighbours would stay"
