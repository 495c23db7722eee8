"""Bridge: the learned map between two Spaces, and what it measured on pairs it had not seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import ArrayLike, NDArray

from crossfade import kernels
from crossfade._arrays import numbers_of
from crossfade._values import checked_folder, shown
from crossfade.bridge import files, fitting
from crossfade.bridge.fitting import Float32, Float64
from crossfade.errors import DamagedFile, InvalidInput, SpaceMismatch
from crossfade.space import Space, checked_space

__all__ = ["Bridge", "Candidate", "Quality"]

MIN_PAIRS = 10
# Neighbours among the held-out rows take a square of this side.
MOST_HELD_OUT = 2_000
_LARGEST = float(np.finfo(np.float32).max)
_NAME = "bridge"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One method, measured on the held-out pairs after being fitted on the others.

    Args:
        method: "procrustes" or "ridge".
        regularisation: λ of ridge, in units of the mean eigenvalue of the old rows' covariance; 0 for
            Procrustes.
        cosine: Mean cosine between a carried row and its counterpart, −1 to 1.
        recall_at_10: Mean share of a row's 10 nearest held-out rows that are also its counterpart's, 0 to 1.
    """

    method: str
    regularisation: float
    cosine: float
    recall_at_10: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality(Candidate):
    """What a Bridge measured: the candidate that was kept, and all of them.

    Args:
        pairs: How many pairs were given; the kept method was fitted again on all of them.
        held_out: How many of them the measurement was made on.
        candidates: Every method that was tried.
    """

    pairs: int
    held_out: int
    candidates: tuple[Candidate, ...]


class Bridge:
    """A map from the rows of one Space to those of another; immutable. Made by `Bridge.fit` or `Bridge.load`.

    Attributes:
        source: Space of the rows it takes; None where it was fitted on bare arrays.
        target: Space of the rows it gives; None as above.
        matrix: `(d1, d2)` float32, read-only.
        center: `(d1,)` float32, read-only.
        offset: `(d2,)` float32, read-only.
        quality: What was measured on held-out pairs.

    Example:
        >>> old = np.random.default_rng(0).standard_normal((500, 8), dtype=np.float32)
        >>> bridge = Bridge.fit(old, old[:, :6])
        >>> bridge.apply(old).shape
        (500, 6)
        >>> bridge.quality.method
        'ridge'
    """

    __slots__ = ("center", "matrix", "offset", "quality", "source", "target")

    source: Space | None
    target: Space | None
    matrix: Float32
    center: Float32
    offset: Float32
    quality: Quality

    def __init__(
        self,
        matrix: Float32,
        center: Float32,
        offset: Float32,
        quality: Quality,
        *,
        source: Space | None = None,
        target: Space | None = None,
    ) -> None:
        for name, space, dim in (("source", source, matrix.shape[0]), ("target", target, matrix.shape[1])):
            if space is not None and space.dim != dim:
                raise SpaceMismatch(f"the {name} {space!r} has {space.dim} columns, but the rows have {dim}")
        values = (_frozen(matrix), _frozen(center), _frozen(offset), quality, source, target)
        for name, value in zip(("matrix", "center", "offset", "quality", "source", "target"), values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Bridge is immutable, {name} can't be set; fit another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Bridge is immutable, {name} can't be deleted")

    def __repr__(self) -> str:
        d1, d2 = self.matrix.shape
        q = self.quality
        measured = f"cosine {q.cosine:.3f}, recall@10 {q.recall_at_10:.3f}"
        return f"Bridge({d1} → {d2}, {q.method}, {measured}, {q.pairs} pairs)"

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of the map itself: what was fitted for one is not used with another."""
        return blake3(b"".join(part.tobytes() for part in (self.matrix, self.center, self.offset))).hexdigest(16)

    @classmethod
    def fit(
        cls,
        old_rows: ArrayLike,
        new_rows: ArrayLike,
        *,
        source: Space | None = None,
        target: Space | None = None,
        seed: int = 0,
        holdout: float = 0.2,
    ) -> Bridge:
        """Learn the map from pairs of rows of the same texts.

        Centred Procrustes and centred ridge of several strengths are fitted without the held-out pairs and
        measured on them. The one with the higher recall@10 is kept, to two decimals; among equals, the one
        with the higher cosine. It is then fitted again on all pairs.

        Args:
            old_rows: `(n, d1)` floats, n at least 10; unit rows where the Space's metric is "cos".
            new_rows: `(n, d2)` floats, row by row of the same texts as `old_rows`.
            source: Space of `old_rows`.
            target: Space of `new_rows`.
            seed: Decides which pairs are held out.
            holdout: Share of the pairs that is held out, above 0 and at most 0.5; never more than 2,000
                pairs.

        Raises:
            InvalidInput: Wrong shapes, NaN, fewer than 10 pairs, rows that don't vary, or holdout out of
                range.
            SpaceMismatch: The rows don't have the dim of their Space.
        """
        old, new = _pair(old_rows, new_rows)
        if not isinstance(holdout, (int, float)) or not 0.0 < holdout <= 0.5:
            raise InvalidInput(f"holdout must be above 0 and at most 0.5, got {shown(holdout)}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(f"seed must be a whole number from 0 on, got {shown(seed)}")
        for space in (source, target):
            if space is not None:
                checked_space(space)
        held_out = min(max(round(len(old) * holdout), 2), MOST_HELD_OUT)
        order = np.random.default_rng(seed).permutation(len(old))
        held, kept = order[:held_out], order[held_out:]
        seen = fitting.Moments.of(old[kept], new[kept])
        candidates = tuple(_measure(*candidate, seen, old[held], new[held]) for candidate in fitting.CANDIDATES)
        best = max(candidates, key=lambda it: (round(it.recall_at_10, 2), it.cosine))
        everything = fitting.Moments.of(old, new)
        matrix = fitting.solve(best.method, best.regularisation, everything)
        quality = Quality(pairs=len(old), held_out=held_out, candidates=candidates, **dataclasses.asdict(best))
        return cls(
            matrix.astype(np.float32),
            everything.center.astype(np.float32),
            everything.offset.astype(np.float32),
            quality,
            source=source,
            target=target,
        )

    def apply(self, rows: ArrayLike, space: Space | None = None) -> Float32:
        """Carry rows over.

        Args:
            rows: `(n, d1)` floats of the source Space.
            space: Space of the rows; checked against `source` where both are known.

        Returns:
            Unit rows `(n, d2)`, float32; `(0, d2)` for no rows.

        Raises:
            SpaceMismatch: The rows are of another Space.
            InvalidInput: Wrong shape, NaN, infinity, or a row that the map sends to zero.
        """
        if space is not None and self.source is not None:
            self.source.require(checked_space(space), "the rows to carry over")
        halves = isinstance(rows, np.ndarray) and rows.dtype == np.float16
        taken = numbers_of(rows, "rows", np.float16 if halves else np.float32)
        if taken.ndim != 2 or taken.shape[1] != len(self.center):
            raise InvalidInput(f"rows must have shape (n, {len(self.center)}), got {taken.shape}")
        return kernels.project(np.ascontiguousarray(taken), self.matrix, self.center, self.offset)

    def save(self, folder: str | Path) -> None:
        """Write `bridge.json` and its array file into a folder, atomically; an earlier Bridge there is
        replaced.

        Raises:
            StorageFailed: The disk is full or failed.
        """
        arrays: files.Arrays = {"matrix": self.matrix, "center": self.center, "offset": self.offset}
        spaces = {"source": self.source, "target": self.target}
        facts: dict[str, Any] = {
            name: space and {"fingerprint": space.fingerprint, "space": space.to_dict()}
            for name, space in spaces.items()
        }
        facts["quality"] = dataclasses.asdict(self.quality)
        files.write(checked_folder(folder, "a Bridge"), _NAME, arrays, facts)

    @classmethod
    def load(cls, folder: str | Path) -> Bridge:
        """Read the Bridge that `save` wrote.

        Raises:
            InvalidInput: The folder holds no Bridge.
            DamagedFile: A file is missing, or differs from its checksum.
            NewerFormat: A newer crossfade wrote it.
        """
        arrays, facts = files.read(checked_folder(folder, "a Bridge"), _NAME)
        with files.complete(folder, _NAME):
            quality = facts["quality"]
            candidates = tuple(Candidate(**candidate) for candidate in quality.pop("candidates"))
            return cls(
                arrays["matrix"],
                arrays["center"],
                arrays["offset"],
                Quality(candidates=candidates, **quality),
                source=_space(facts["source"], folder),
                target=_space(facts["target"], folder),
            )


def _measure(method: str, strength: float, seen: fitting.Moments, old: Float64, new: Float64) -> Candidate:
    carried = fitting.carry(old, fitting.solve(method, strength, seen), seen)
    cosine, recall = fitting.agreement(carried, fitting.unit(new))
    return Candidate(method=method, regularisation=strength, cosine=cosine, recall_at_10=recall)


def _pair(old_rows: ArrayLike, new_rows: ArrayLike) -> tuple[Float64, Float64]:
    old, new = numbers_of(old_rows, "old_rows", np.float64), numbers_of(new_rows, "new_rows", np.float64)
    if old.ndim != 2 or new.ndim != 2 or len(old) != len(new) or 0 in old.shape[1:] + new.shape[1:]:
        raise InvalidInput(f"a Bridge needs paired rows (n, d1) and (n, d2), got {old.shape} and {new.shape}")
    if len(old) < MIN_PAIRS:
        raise InvalidInput(f"a Bridge needs at least {MIN_PAIRS} pairs, got {len(old)}; encode more texts with both")
    # Not "greater than": NaN must fail too. Beyond float32 the map itself could not be kept.
    if not ((np.abs(old) <= _LARGEST).all() and (np.abs(new) <= _LARGEST).all()):
        raise InvalidInput("rows must be finite float32 values, got NaN, infinity or more; encode these texts again")
    return old, new


def _frozen(array: NDArray[np.float32]) -> Float32:
    copy = np.array(array, dtype=np.float32, order="C")
    copy.flags.writeable = False
    return copy


def _space(facts: dict[str, Any] | None, folder: str | Path) -> Space | None:
    if facts is None:
        return None
    space = Space.from_dict(facts["space"])
    if space.fingerprint != facts["fingerprint"]:
        raise DamagedFile(f"the Bridge in {folder} names {space!r} with another fingerprint; fit it again")
    return space
