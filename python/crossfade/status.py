"""What a collection tells about itself."""

from __future__ import annotations

import dataclasses
from typing import Any

from crossfade.bridge import Quality
from crossfade.catalog import documents, tasks, versions
from crossfade.catalog.tasks import Failure
from crossfade.store import Store

__all__ = ["Failure", "Status", "VectorInfo", "describe", "failures_of", "figures_of", "vectors_of"]


@dataclasses.dataclass(frozen=True)
class Status:
    """What a collection is at this moment.

    Args:
        path: Its folder.
        documents: How many it has.
        live: Number of the live version.
        versions: Every version that is kept: number, model, dim, fingerprint, encoder, the engine and precision it was
            begun with, state, documents it lacks, and documents of which its model sees the beginning only.
        migration: The migration on disk, if there is one; its "bridge" tells what the Bridge has reached on held-out
            documents, each figure with its 95 % interval, and is None where there is none; its "guard" tells what
            queries say of the two models (`Judgement`), with a "verdict" in words.
    """

    path: str
    documents: int
    live: int
    versions: list[dict[str, Any]]
    migration: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class VectorInfo:
    """Where a vector comes from.

    Args:
        version: Number of the collection's version it belongs to.
        model: Name of the model.
        model_version: Version of the model.
        dim: Its columns.
        fingerprint: Of its Space.
        embedded_at: When it was made, Unix seconds.
        text_hash: BLAKE3 of the text it was made from, 32 hexadecimal digits.
    """

    version: int
    model: str
    model_version: str
    dim: int
    fingerprint: str
    embedded_at: float
    text_hash: str


def vectors_of(store: Store, identifier: str) -> list[VectorInfo]:
    """Where the vectors of a document come from, by version; empty for an unknown id."""
    with store.reading() as connection:
        found = documents.keys_of(connection, [identifier])
        state = versions.read(connection)
    origins = store.origins(found[identifier]) if found else {}
    return [
        VectorInfo(
            version=number,
            model=version.space.model,
            model_version=version.space.version,
            dim=version.space.dim,
            fingerprint=version.space.fingerprint,
            embedded_at=origins[number].embedded_at,
            text_hash=origins[number].text_hash.hex(),
        )
        for number, version in state.versions.items()
        if number in origins
    ]


def failures_of(store: Store) -> list[Failure]:
    """What the fills of all versions have given up."""
    with store.reading() as connection:
        return tasks.failures(connection, list(versions.read(connection).versions))


def figures_of(quality: Quality | None) -> dict[str, Any] | None:
    """A Bridge's quality for `Status.migration`, without what was tried and not kept."""
    if quality is None:
        return None
    return {name: value for name, value in dataclasses.asdict(quality).items() if name != "candidates"}


def describe(version: versions.Version) -> dict[str, Any]:
    """A version for `Status.versions`."""
    return {
        "number": version.id,
        "model": version.space.model,
        "dim": version.space.dim,
        "fingerprint": version.space.fingerprint,
        "encoder": version.encoder,
        "engine": dict(version.engine),
        "state": version.state,
        "missing": version.pending,
        "failed": version.failed,
        "cut": version.cut,
        "max_tokens": version.space.max_tokens,
        "retained_until": version.retained_until,
    }
