"""Evidence: a number, how sure it is, and what it means."""

from __future__ import annotations

import dataclasses
from typing import Any

from .estimates import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """One thing that was found out.

    Args:
        name: What it is, with its unit.
        value: The number; None where it could not be had, and `meaning` says why.
        interval: 95 % of what another sample would have given; None where nothing is uncertain, or too little was
            measured to tell.
        meaning: What it means, in one line.

    Example:
        >>> Evidence(name="documents", value=3, meaning="the collection has 3 documents").to_dict()["interval"] is None
        True
    """

    name: str
    value: float | None
    interval: Interval | None = None
    meaning: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def plain(values: object) -> Any:
    """What a dataclass of evidence holds, as plain values for JSON."""
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        return {field.name: plain(getattr(values, field.name)) for field in dataclasses.fields(values) if field.repr}
    if isinstance(values, dict):
        return {str(name): plain(value) for name, value in values.items()}
    return [plain(value) for value in values] if isinstance(values, tuple) else values
