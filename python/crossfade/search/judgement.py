"""Judgement: what queries say of two models: whether the new one is as good, and what its evidence should weigh.

Queries are answered among documents that have both vectors, at every weight of a grid; 0 is the old model, 1 the new
one. The weight is moved from its prior only where a paired test says so: to the weight with the highest lower bound
(mean − 2 standard errors) of its gain over the prior, if that is above zero, and only by the share 1 − 1/t² of the way,
t being the gain in standard errors (positive-part shrinkage, James and Stein 1961). The blend is judged out of fold: by
weights that were learned without the query.

The guard closes where a 95 % interval of the new model's, or of the blend's, difference from the old one lies below
zero: then the old model answers alone.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfade import evaluate
from crossfade.bridge import files

from .blend import FULL_WEIGHT
from .units import Float64

MadeFrom = Literal["judged", "titles", "none"]
Interval = tuple[float, float]

WEIGHTS: Float64 = np.linspace(0.0, 1.0, 11)
# Under so many queries a mean has no normal error that could be told.
LEAST_QUERIES = 30
DEPTH = 10
FOLDS = 4
_NAME = "judgement"


class Candidates(NamedTuple):
    """What a query is answered from: `(m,)` each.

    Args:
        keys: Of documents that have both vectors.
        old: Old scores in standard units.
        new: New scores, on the old model's scale of units.
    """

    keys: NDArray[np.uint64]
    old: Float64
    new: Float64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgement:
    """What queries have said; values are mean nDCG@10, intervals hold 95 % of resampled means.

    Args:
        made_from: "judged" queries, documents' "titles" standing in for queries, or "none".
        queries: How many.
        old: Of the old model.
        new: Of the new one.
        blend: Of both, at the learned weight, out of fold.
        new_interval: Of new − old.
        blend_interval: Of blend − old.
        full_weight: The weight that was learned for full coverage; 0 where the guard is closed.
        why: Why there is none.
    """

    made_from: MadeFrom = "none"
    queries: int = 0
    old: float | None = None
    new: float | None = None
    blend: float | None = None
    new_interval: Interval | None = None
    blend_interval: Interval | None = None
    full_weight: float = FULL_WEIGHT
    why: str = "no judged ones were given, and too few titles could be asked"

    @classmethod
    def of(cls, values: Float64, made_from: MadeFrom) -> Judgement:
        """Learned from nDCG@10 `(q, len(WEIGHTS))` of queries at every weight."""
        if len(values) < LEAST_QUERIES:
            return cls(why=f"{len(values)} are too few to tell, it takes {LEAST_QUERIES}")
        weight = learned_weight(values)
        fold = np.random.default_rng(0).permutation(len(values)) % FOLDS
        chosen = np.array([_column(learned_weight(values[fold != part])) for part in range(FOLDS)])[fold]
        old, new, blend = values[:, 0], values[:, -1], values[np.arange(len(values)), chosen]
        intervals = [_interval(old, other) for other in (new, blend)]
        closed = any(interval[1] < 0.0 for interval in intervals)
        return cls(
            made_from=made_from,
            queries=len(values),
            old=float(old.mean()),
            new=float(new.mean()),
            blend=float(blend.mean()),
            new_interval=intervals[0],
            blend_interval=intervals[1],
            full_weight=0.0 if closed else weight,
            why="",
        )

    @property
    def verdict(self) -> str:
        """What it comes to: a line that begins "upgrade", "no upgrade", "undecided", "closed" or "no queries"."""
        if self.made_from == "none" or self.new_interval is None or self.blend_interval is None:
            return f"no queries: {self.why}; validate(queries, qrels) tells whether it is an upgrade"
        low, high = self.new_interval
        of_blend = self.full_weight == 0.0 and high >= 0.0
        told = self.blend_interval if of_blend else self.new_interval
        asked = f"{self.queries} {'titles' if self.titles else 'judged queries'}"
        shown = f"{told[0]:+.3f} to {told[1]:+.3f} nDCG@10 by {asked}"
        ask = "; only judged queries can tell: validate(queries, qrels)" if self.titles else ""
        if self.full_weight == 0.0:
            which = "blend" if of_blend else "new model"
            return f"closed: the {which} is worse than the old model ({shown}), which answers alone{ask}"
        if self.titles:
            found = "the new model finds more" if low > 0.0 else "no difference is shown"
            return f"undecided: {found} ({shown}), which is provisional{ask}"
        return f"upgrade: {shown}" if low > 0.0 else f"no upgrade: none is shown ({shown})"

    @property
    def titles(self) -> bool:
        """Whether titles stood in for queries."""
        return self.made_from == "titles"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        facts = dataclasses.asdict(self)
        del facts["why"]
        return facts | {"verdict": self.verdict}

    def save(self, folder: Path) -> None:
        """Write it into a folder, atomically; nothing where nothing was judged.

        Raises:
            StorageFailed: The disk is full or failed.
        """
        if self.made_from != "none":
            files.write(folder, _NAME, {}, dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Judgement:
        """Read what `save` wrote; where it wrote nothing, nothing was judged.

        Raises:
            DamagedFile: A file is missing, or differs from its checksum.
        """
        if not (folder / f"{_NAME}.json").exists():
            return cls()
        _, facts = files.read(folder, _NAME)
        with files.complete(folder, _NAME):
            kept = {field.name: facts[field.name] for field in dataclasses.fields(cls)}
            for name in ("new_interval", "blend_interval"):
                kept[name] = tuple(kept[name]) if kept[name] else None
            return cls(**kept)


def learned_weight(values: Float64) -> float:
    """The weight that nDCG@10 `(q, len(WEIGHTS))` speaks for; the prior unless a paired test is against it."""
    gains = values - values[:, [_column(FULL_WEIGHT)]]
    mean, error = gains.mean(axis=0), gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
    best = int(np.argmax(mean - 2.0 * error))
    if mean[best] <= 2.0 * error[best]:
        return FULL_WEIGHT
    moved = (float(WEIGHTS[best]) - FULL_WEIGHT) * (1.0 - (error[best] / mean[best]) ** 2)
    return float(WEIGHTS[_column(FULL_WEIGHT + moved)])


def values_of(candidates: list[Candidates], grades: list[dict[int, float]]) -> Float64:
    """nDCG@10 `(q, len(WEIGHTS))` of queries, each with grades by key, one of them above zero."""
    names = [str(query) for query in range(len(candidates))]
    qrels = {
        name: {str(key): grade for key, grade in of_query.items()} for name, of_query in zip(names, grades, strict=True)
    }
    columns = []
    for weight in WEIGHTS:
        run = {name: _best(it, float(weight)) for name, it in zip(names, candidates, strict=True)}
        found = evaluate.ndcg(run, qrels, k=DEPTH)
        columns.append([found[name] for name in names])
    return np.array(columns).reshape(len(WEIGHTS), len(names)).T


def _best(found: Candidates, weight: float) -> list[str]:
    scores = (1.0 - weight) * found.old + weight * found.new
    return [str(key) for key in found.keys[np.lexsort((found.keys, -scores))[:DEPTH]].tolist()]


def _column(weight: float) -> int:
    return int(np.argmin(np.abs(WEIGHTS - weight)))


def _interval(old: Float64, other: Float64) -> Interval:
    before, after = ({str(query): float(value) for query, value in enumerate(side)} for side in (old, other))
    compared = evaluate.compare(before, after)
    return compared.low, compared.high
