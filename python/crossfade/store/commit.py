"""Commits: what a writer prepares outside every lock, and how it becomes true in one transaction."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from crossfade.catalog import Connection, documents, tasks, texts, versions
from crossfade.document import Document

from .writers import Writers

WRITABLE = ("live", "filling", "retained")


class Overtaken(Exception):
    """What a batch was prepared from has changed since; prepare it again."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Documents to write, prepared against one state of the collection.

    Args:
        epoch: The collection's epoch it was prepared at.
        texts: Documents whose text is new or changed.
        metadata: Documents of which only something beside the text changed.
        keys: Current key by id, of those of the above that exist.
        rows: Vectors of `texts` by version number, `(len(texts), dim)` float32. A version that is left out gets tasks.
        cut: Which of `texts` the model of a version sees the beginning of only, by version number; none where left out.
    """

    epoch: int
    texts: Sequence[Document]
    metadata: Sequence[Document]
    keys: Mapping[str, int]
    rows: Mapping[int, npt.NDArray[np.float32]]
    cut: Mapping[int, npt.NDArray[np.bool_]]


def write(connection: Connection, writers: Writers, batch: Batch) -> None:
    """Writes a batch inside the caller's transaction: documents, vectors or tasks in every version.

    Raises:
        Overtaken: Another writer changed one of the documents, or the versions' roles have changed.
    """
    ids = [document.id for document in (*batch.texts, *batch.metadata)]
    if versions.epoch(connection) != batch.epoch or documents.keys_of(connection, ids) != batch.keys:
        raise Overtaken
    versions.advance_seq(connection)
    for document in batch.metadata:
        documents.update(connection, batch.keys[document.id], document)
    keys = [
        documents.replace(connection, batch.keys[document.id], document)
        if document.id in batch.keys
        else documents.insert(connection, document)
        for document in batch.texts
    ]
    if not keys:
        return
    hashes = [document.text_hash for document in batch.texts]
    for version in versions.read(connection).versions.values():
        if version.id in batch.rows:
            writers.append(connection, version, keys, hashes, batch.rows[version.id])
            texts.add_cut(connection, version.id, itertools.compress(keys, batch.cut.get(version.id, ())))
        elif version.state in WRITABLE:
            tasks.add(connection, version.id, keys)


def delete(connection: Connection, ids: Sequence[str]) -> int:
    """Deletes documents inside the caller's transaction; gives how many existed."""
    keys = documents.keys_of(connection, ids).values()
    if keys:
        versions.advance_seq(connection)
        documents.remove(connection, keys)
    return len(keys)


def fill(
    connection: Connection,
    writers: Writers,
    version: versions.Version,
    owner: str,
    keys: Sequence[int],
    hashes: Sequence[bytes],
    rows: npt.NDArray[np.float32],
    cut: Sequence[bool] | npt.NDArray[np.bool_] = (),
) -> int:
    """Writes vectors for leased tasks inside the caller's transaction; gives how many counted.

    A task that is gone or held by somebody else is passed over: its document was edited or deleted meanwhile, and a
    key never means two texts, so a stale vector can't be written.
    """
    held = tasks.held(connection, version.id, owner, keys)
    kept = [position for position, key in enumerate(keys) if key in held]
    if kept:
        kept_keys = [keys[position] for position in kept]
        writers.append(connection, version, kept_keys, [hashes[position] for position in kept], rows[kept])
        texts.add_cut(connection, version.id, (key for key in itertools.compress(keys, cut) if key in held))
        tasks.done(connection, version.id, kept_keys)
    return len(kept)
