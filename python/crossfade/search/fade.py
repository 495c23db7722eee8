"""Fade: what was learned between two versions to search both: the Bridge and the blend of their scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from crossfade.bridge import Bridge
from crossfade.errors import DamagedFile, InvalidInput, NewerFormat
from crossfade.search.blend import MIN_DOCUMENTS, Blend

from .carried import Carried
from .judgement import Judgement
from .onesided import OneSided


@dataclasses.dataclass(frozen=True)
class Fade:
    """A Bridge, how much new evidence counts and what queries say of it, and what to do without old queries.

    Immutable, kept in one folder.
    """

    bridge: Bridge
    blend: Blend
    one_sided: OneSided = dataclasses.field(default_factory=OneSided)
    judgement: Judgement = dataclasses.field(default_factory=Judgement)
    # Scores against old rows that the Bridge carries over.
    carried: Carried = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "carried", Carried(self.bridge))

    def judged(self, judgement: Judgement) -> Fade:
        """The same with the weight that queries speak for."""
        weight = judgement.full_weight if self.blend.documents >= MIN_DOCUMENTS else 0.0
        return dataclasses.replace(self, blend=self.blend.with_weight(weight), judgement=judgement)

    def save(self, folder: Path) -> None:
        """Writes all, each atomically.

        Raises:
            StorageFailed: The disk is full or failed.
        """
        self.bridge.save(folder)
        self.blend.save(folder)
        self.one_sided.save(folder)
        self.judgement.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Fade:
        """Reads what `save` wrote.

        Raises:
            DamagedFile: A file is missing or fails its checksum.
        """
        bridge = Bridge.load(folder)
        return cls(bridge, Blend.load(folder, bridge), OneSided.load(folder), Judgement.load(folder))

    @classmethod
    def find(cls, folder: Path) -> Fade | None:
        """What `save` wrote, or None where it is damaged or a newer crossfade's: searches can do without."""
        try:
            return cls.load(folder)
        except (DamagedFile, InvalidInput, NewerFormat):
            return None
