"""Finding: one thing the doctor has seen."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

WRONG = ("problem", "damage")
REPAIR = "crossfade doctor --repair"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the doctor has seen, and what to do about it.

    Args:
        severity: "ok", "note" (nothing is wrong), "problem" (something is, and no data is lost by it) or "damage" (a
            file is not as it was written).
        kind: What was looked at, in a word: "catalog", "vectors", "segment", …
        what: What was seen.
        where: The file or folder.
        remedy: What to do; empty where there is nothing to do.
        version: The version it is about, where it is about one.
        name: Id of the vector file, segment or folder of a Bridge it is about, where it is about one.
        repaired: What a repair has done about it; empty where it has not, or there was none.

    Example:
        >>> print(Finding(severity="note", kind="disk", what="2 GB are free", where="/data"))
        note     disk: 2 GB are free (/data)
    """

    severity: str
    kind: str
    what: str
    where: str
    remedy: str = ""
    version: int | None = None
    name: str | None = None
    repaired: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something is wrong, and still is."""
        return self.severity in WRONG and not self.repaired

    @property
    def subject(self) -> Subject:
        """What it is about: equal for two findings about the same thing."""
        return Subject(self.kind, self.where, self.version, self.name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        done = f"; repaired: {self.repaired}" if self.repaired else f"; to do: {self.remedy}" if self.remedy else ""
        what = " ".join(self.what.split())  # what SQLite says may have several lines
        return f"{self.severity:<8} {self.kind}: {what} ({self.where}){done}"


class Subject(NamedTuple):
    """What a finding is about."""

    kind: str
    where: str
    version: int | None
    name: str | None
