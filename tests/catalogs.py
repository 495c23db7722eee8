"""What tests put into a catalog, and its counters."""

from __future__ import annotations

import crossfade as cf
from crossfade.catalog import Connection, documents, versions

SPACE = cf.Space(model="m", dim=4)


def add(connection: Connection, *ids: str, priority: float = 0.0) -> list[int]:
    return [documents.insert(connection, cf.Document(name, f"text of {name}", priority=priority)) for name in ids]


def counters(connection: Connection, version: int = 1) -> tuple[int, int, int]:
    """(documents, pending, failed)."""
    state = versions.read(connection)
    return state.documents, state.versions[version].pending, state.versions[version].failed
