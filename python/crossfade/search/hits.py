"""Hits: the result of a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from .calibration import Calibration
from .explanation import ALONE, Explanation, Why


@dataclasses.dataclass(frozen=True)
class Hit:
    """One document found.

    Args:
        id: The document's id.
        score: Cosine (or dot product) of the live version's model: while another one serves as well, what the live one
            gives to its hit of that rank; of a classic merge, what that gives.
        version: Number of the version whose vector decided: of two that serve the new one, where it has one.
        text: The document's text.
        title: The document's title.
        meta: The document's metadata.
        calibration: What `relevance` is made of; None where nothing tells.
    """

    id: str
    score: float
    version: int
    text: str
    title: str | None
    meta: Mapping[str, Any]
    calibration: Calibration | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def relevance(self) -> float | None:
        """Probability that it is relevant, 0 to 1, by the calibration of the live version (`Collection.calibrate`).

        None where that has none, as after a cutover until it is calibrated again, and where the score is not on its
        scale: of a classic merge, and of a query that only the other of two models has encoded.
        """
        return self.calibration.relevance(self.score) if self.calibration else None


@dataclasses.dataclass(frozen=True)
class Hits(Sequence[Hit]):
    """What a search found, best first; every id at most once.

    Args:
        items: The hits.
        method: What decided: "live" (one version alone), "fade" (both versions blended), or "bridged" (a query of one
            Space only, carried over by the Bridge or compared with what it carries), or the classic `merge` asked for.
        coverage: Share of this query's candidates that had a true vector of the new version, 0 to 1.
        weight: Weight the new version's evidence had, 0 to 1.
        why: What `explain` is made of.

    Example:
        >>> hits = Hits((Hit("a1", 0.8, 1, "How do I reset my password?", None, {}),))
        >>> [(hit.id, hit.score) for hit in hits], hits.ids
        ([('a1', 0.8)], ['a1'])
    """

    items: tuple[Hit, ...]
    method: str = "live"
    coverage: float = 0.0
    weight: float = 0.0
    why: Why = dataclasses.field(default=ALONE, repr=False, compare=False)

    def explain(self) -> Explanation:
        """What decided and why, and which scores each hit was ranked by; `print` it, or take its `to_dict()`."""
        return Explanation.of(self)

    @property
    def ids(self) -> list[str]:
        """The ids, best first."""
        return [hit.id for hit in self.items]

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """The scores, `(len(hits),)` float32, descending."""
        return np.array([hit.score for hit in self.items], np.float32)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, position: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, position: slice) -> Hits: ...
    def __getitem__(self, position: SupportsIndex | slice) -> Hit | Hits:
        if isinstance(position, slice):
            return dataclasses.replace(self, items=self.items[position], why=self.why.of(position))
        return self.items[position]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.items)

    def __repr__(self) -> str:
        shown = ", ".join(f"{hit.id} {hit.score:.3f}" for hit in self.items[:3])
        return f"Hits({len(self)}: {shown}{', …' if len(self) > 3 else ''})"
