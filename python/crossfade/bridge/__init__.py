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
from crossfade._values import checked_folder
from crossfade.bridge import files, fitting
from crossfade.bridge.fitting import Float32, Moments, Solver, Stored
from crossfade.bridge.measuring import HeldOut, Measured
from crossfade.bridge.pairs import Positions, halves_of, paired
from crossfade.bridge.quality import Candidate, Quality, candidate_of
from crossfade.errors import DamagedFile, InvalidInput, SpaceMismatch
from crossfade.space import Space, checked_space

__all__ = ["Bridge", "Candidate", "Quality"]

NAME = "bridge"


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
        held_out: ArrayLike | None = None,
    ) -> Bridge:
        """Learn the map from pairs of rows of the same texts.

        Centred Procrustes, low rank + diagonal, and ridge of several strengths are fitted without the held-out pairs
        and measured on them. The one with the higher recall@10 is kept, to two decimals; among equals, the one with
        the higher cosine. It is then fitted again on all pairs, unless `held_out` forbids it.

        Args:
            old_rows: `(n, d1)` floats, n at least 10; unit rows where the Space's metric is "cos". float16 and float32
                are read as they are, without a copy.
            new_rows: `(n, d2)` floats, row by row of the same texts as `old_rows`.
            source: Space of `old_rows`.
            target: Space of `new_rows`.
            seed: Decides which pairs are held out.
            holdout: Share of the pairs that is held out, above 0 and at most 0.5; never more than 2,000
                pairs.
            held_out: Which pairs to hold out instead, `(n,)` bool, 2 to 2,000 of them. No fit sees those, so that
                Bridges fitted at different times can be compared on them.

        Raises:
            InvalidInput: Wrong shapes, NaN, fewer than 10 pairs, rows that don't vary, or holdout out of
                range.
            SpaceMismatch: The rows don't have the dim of their Space.
        """
        old, new = paired(old_rows, new_rows)
        halves = halves_of(len(old), seed, holdout, held_out)
        _check_spaces(source, target)
        return cls._learn(old, new, halves, _moments(old, new, halves, held_out), seed, source, target)

    @classmethod
    def fit_both(
        cls,
        old_rows: ArrayLike,
        new_rows: ArrayLike,
        *,
        source: Space | None = None,
        target: Space | None = None,
        seed: int = 0,
        holdout: float = 0.2,
        held_out: ArrayLike | None = None,
    ) -> tuple[Bridge, Bridge]:
        """Learn the map from old to new and the one back, from the same pairs; arguments and errors as of `fit`.

        The one back is measured as queries need it, which it makes for an old model that can't be called any more:
        carried rows ask true ones.
        """
        old, new = paired(old_rows, new_rows)
        halves = halves_of(len(old), seed, holdout, held_out)
        _check_spaces(source, target)
        seen, fitted = _moments(old, new, halves, held_out)
        there = cls._learn(old, new, halves, (seen, fitted), seed, source, target)
        back = seen.reversed, fitted.reversed
        return there, cls._learn(new, old, halves, back, seed, target, source, queries=True)

    @classmethod
    def _learn(
        cls,
        old: Stored,
        new: Stored,
        halves: tuple[Positions, Positions],
        moments: tuple[Moments, Moments],
        seed: int,
        source: Space | None,
        target: Space | None,
        queries: bool = False,
    ) -> Bridge:
        held = HeldOut(old[halves[0]], new[halves[0]], queries=queries)
        seen, fitted = moments
        solver = Solver(seen)
        tried = [(kind, _measure(solver, kind, held)) for kind in fitting.CANDIDATES]
        best, measured = tried[0]
        for kind, other in tried[1:]:
            if other.is_better(measured):
                best, measured = kind, other
        matrix = (solver if fitted is seen else Solver(fitted)).solve(*best)
        quality = Quality.of(best, measured, tuple(candidate_of(*one) for one in tried), len(old), seed)
        center, offset = fitted.center.astype(np.float32), fitted.offset.astype(np.float32)
        return cls(matrix.astype(np.float32), center, offset, quality, source=source, target=target)

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

    def save(self, folder: str | Path, name: str = NAME) -> None:
        """Write `<name>.json` and its array file into a folder, atomically; an earlier Bridge of that name there is
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
        files.write(checked_folder(folder, "a Bridge"), name, arrays, facts)

    @classmethod
    def load(cls, folder: str | Path, name: str = NAME) -> Bridge:
        """Read the Bridge that `save` wrote.

        Raises:
            InvalidInput: The folder holds no Bridge.
            DamagedFile: A file is missing, or differs from its checksum.
            NewerFormat: A newer crossfade wrote it.
        """
        arrays, facts = files.read(checked_folder(folder, "a Bridge"), name)
        with files.complete(folder, name):
            return cls(
                arrays["matrix"],
                arrays["center"],
                arrays["offset"],
                Quality.from_dict(facts["quality"]),
                source=_space(facts["source"], folder),
                target=_space(facts["target"], folder),
            )


def _measure(solver: Solver, kind: tuple[str, float], held: HeldOut) -> Measured:
    return held.measure(fitting.carry(held.old, solver.solve(*kind), solver.moments))


def _moments(
    old: Stored, new: Stored, halves: tuple[Positions, Positions], held_out: ArrayLike | None
) -> tuple[Moments, Moments]:
    """Of the pairs that candidates are fitted to, and of those the kept one is fitted to."""
    seen = Moments.of(old, new, halves[1])
    return seen, seen if held_out is not None else seen + Moments.of(old, new, halves[0])


def _check_spaces(*spaces: Space | None) -> None:
    for space in spaces:
        if space is not None:
            checked_space(space)


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
