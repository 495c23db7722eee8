"""Upserts: documents become a batch that one commit can make true."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade import kernels
from crossfade._arrays import numbers_of
from crossfade._values import shown
from crossfade.catalog import documents, tasks, versions
from crossfade.document import Document
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.errors import CollectionBusy, CrossfadeError, InvalidInput, ModelError, SpaceMismatch
from crossfade.space import Space, checked_space
from crossfade.store import Batch, Overtaken, Store

MOST_RETRIES = 20
STREAM_BATCH = 256
# Vectors that come ready-made are compared with the encoder on a few texts: engines and precisions of one model
# differ by less than this, two models by far more.
CHECKED_ROWS = 8
LEAST_COSINE = 0.98

_log = logging.getLogger("crossfade")

# By version and text hash: the vector, and whether it stands for the beginning of the text only.
Embedded = dict[tuple[int, bytes], tuple[npt.NDArray[np.float32], bool]]


@dataclasses.dataclass(frozen=True)
class Upserted:
    """What an upsert did, in documents.

    Args:
        new: Ids that were not there.
        changed: Ids whose text or title was another.
        metadata: Ids of which only something beside the text changed; their vectors stay.
        unchanged: Ids that were there just so.
        cut: New and changed ones of which the live version's model sees the beginning only.
    """

    new: int = 0
    changed: int = 0
    metadata: int = 0
    unchanged: int = 0
    cut: int = 0

    def __add__(self, other: Upserted) -> Upserted:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Upserted(*(mine + theirs for mine, theirs in pairs))


@dataclasses.dataclass(frozen=True)
class Ready:
    """Vectors that came with the documents, `(len(documents), dim)` float32, and their Space."""

    rows: npt.NDArray[np.float32]
    space: Space


def check_documents(batch: Sequence[Document]) -> None:
    """Refuses what is no Document, and ids that come twice."""
    seen: set[str] = set()
    for document in batch:
        if not isinstance(document, Document):
            raise InvalidInput(
                f"upsert takes crossfade.Document values, got {type(document).__name__}: {shown(document)}"
            )
        if document.id in seen:
            raise InvalidInput(f"the id {document.id!r} comes twice in one batch; which one should stay?")
        seen.add(document.id)


def check_vectors(vectors: Any, space: Space | None, count: int) -> Ready:
    """Ready-made vectors as float32 rows, of unit length where the metric is "cos"."""
    if space is None:
        raise InvalidInput("vectors need their Space: upsert(documents, vectors=rows, space=encoder.space)")
    checked_space(space)
    rows = np.ascontiguousarray(numbers_of(vectors, "vectors"))
    if rows.shape != (count, space.dim):
        raise InvalidInput(f"vectors must have shape ({count}, {space.dim}), a row per document, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise InvalidInput("vectors must be finite, but hold NaN or infinity")
    return Ready(kernels.normalize(rows) if space.metric == "cos" and count else rows, space)


def upsert(
    store: Store,
    encoders: Encoders,
    batch: Sequence[Document],
    ready: Ready | None = None,
    progress: Callable[[int], None] | None = None,
) -> Upserted:
    """Writes documents in one atomic commit, embedding only texts that are new or changed.

    Raises:
        SpaceMismatch: The ready-made vectors are of no Space of the collection, or not of their own.
        EncodingFailed: The live version's encoder failed.
        CollectionBusy: Other writers were faster every time.
    """
    check_documents(batch)
    embedded: Embedded = {}
    for _ in range(MOST_RETRIES):
        with store.reading() as connection:
            state = versions.read(connection)
            known = documents.find(connection, [document.id for document in batch])
        given = _version_of(state, ready.space) if ready else None
        if ready and given and batch:
            _compare(encoders, given, batch, ready.rows)
        prepared, done = _sort(state, batch, known)
        rows, cut = _rows(store, state, encoders, prepared.texts, embedded, progress, given)
        if ready and given and prepared.texts:
            positions = {document.id: position for position, document in enumerate(batch)}
            rows[given.id] = ready.rows[[positions[document.id] for document in prepared.texts]]
        try:
            if prepared.texts or prepared.metadata:
                store.write(dataclasses.replace(prepared, rows=rows, cut=cut))
            if ready and given:
                _hand_in(store, given, batch, prepared, known, ready)
            return dataclasses.replace(done, cut=int(cut[state.live].sum()) if state.live in cut else 0)
        except Overtaken:
            continue
    raise CollectionBusy(f"other writers changed these documents {MOST_RETRIES} times meanwhile; try again")


def upsert_stream(
    store: Store, encoders: Encoders, stream: Iterator[Document], progress: Callable[[int], None] | None
) -> Upserted:
    """Writes what a generator gives, so that every `STREAM_BATCH` documents are one commit."""
    total, committed = Upserted(), 0
    while True:
        try:
            batch = list(itertools.islice(stream, STREAM_BATCH))
            if not batch:
                return total
            total += upsert(store, encoders, batch)
        except CrossfadeError as error:
            error.args = (f"{error} (the {committed} documents before this batch are committed)",)
            raise
        committed += len(batch)
        if progress:
            progress(committed)


def _sort(
    state: versions.State, batch: Sequence[Document], known: Mapping[str, documents.Stored]
) -> tuple[Batch, Upserted]:
    texts, metadata = [], []
    for document in batch:
        stored = known.get(document.id)
        if stored is None or (stored.document.title, stored.document.text) != (document.title, document.text):
            texts.append(document)
        elif not documents.same(stored.document, document):
            metadata.append(document)
    new = sum(document.id not in known for document in texts)
    keys = {document.id: known[document.id].key for document in (*texts, *metadata) if document.id in known}
    unchanged = len(batch) - len(texts) - len(metadata)
    return (
        Batch(epoch=state.epoch, texts=texts, metadata=metadata, keys=keys, rows={}, cut={}),
        Upserted(new, len(texts) - new, len(metadata), unchanged),
    )


def _rows(
    store: Store,
    state: versions.State,
    encoders: Encoders,
    texts: Sequence[Document],
    embedded: Embedded,
    progress: Callable[[int], None] | None,
    given: versions.Version | None,
) -> tuple[dict[int, npt.NDArray[np.float32]], dict[int, npt.NDArray[np.bool_]]]:
    """Vectors of the texts, and which were cut, for every version that gets them at once: the live one, and those kept
    for rollback.

    A version that is being filled gets its tasks from the commit instead, and so does a retained one whose encoder
    is out of reach or fails: its documents are stale until it has done them. The version whose vectors are `given` is
    left out.
    """
    rows: dict[int, npt.NDArray[np.float32]] = {}
    cut: dict[int, npt.NDArray[np.bool_]] = {}
    for version in state.versions.values() if texts else ():
        if version == given or version.state == "filling":
            continue
        encoder = encoders.get(version) if version.id == state.live else encoders.find(version)
        if encoder is None:
            continue
        # A batch that was overtaken is prepared again: what it has embedded stays good.
        missing = [document for document in texts if (version.id, document.text_hash) not in embedded]
        try:
            _embed(store, version.id, encoder, missing, embedded, progress if version.id == state.live else None)
        except (ModelError, InvalidInput) as error:
            if version.id == state.live:
                raise
            _log.warning("version %d, kept for rollback, lacks %d documents: %s", version.id, len(texts), error)
            continue
        pairs = [embedded[version.id, document.text_hash] for document in texts]
        rows[version.id] = np.stack([row for row, _ in pairs])
        cut[version.id] = np.array([was_cut for _, was_cut in pairs], np.bool_)
    return rows, cut


def _embed(
    store: Store,
    version: int,
    encoder: Encoder,
    batch: Sequence[Document],
    embedded: Embedded,
    progress: Callable[[int], None] | None,
) -> None:
    """Adds the vectors of a batch: those of texts that the version knows already, and the encoder's of the others."""
    known = store.known(version, encoder.space.dim, [document.text_hash for document in batch])
    fresh = [document for document, found in zip(batch, known.found, strict=True) if not found]
    cut = np.zeros(len(fresh), np.bool_)
    rows = _encode(encoder, fresh, cut, progress)
    of_known = [document for document, found in zip(batch, known.found, strict=True) if found]
    for documents_, vectors, marks in ((of_known, known.rows, known.cut), (fresh, rows, cut)):
        hashes = [(version, document.text_hash) for document in documents_]
        embedded.update(zip(hashes, zip(vectors, marks.tolist(), strict=True), strict=True))


def _encode(
    encoder: Encoder,
    batch: Sequence[Document],
    cut: npt.NDArray[np.bool_] | None = None,
    progress: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float32]:
    try:
        return encoder.encode([document.content for document in batch], progress=progress, cut=cut)
    except InvalidInput as error:
        # An encoder names the place in a list that its caller has never seen: the id is what helps.
        for document in batch:
            try:
                encoder.encode([document.content], kind="document")
            except InvalidInput as alone:
                raise InvalidInput(f"document {document.id!r} can't be embedded: {alone}; leave it out") from error
        raise


def _hand_in(
    store: Store,
    version: versions.Version,
    batch: Sequence[Document],
    prepared: Batch,
    known: Mapping[str, documents.Stored],
    ready: Ready,
) -> None:
    """Gives a version that lacks them the vectors of texts that are there already: a fill without encoding."""
    written = {document.id for document in prepared.texts}
    positions = [position for position, document in enumerate(batch) if document.id not in written]
    if not positions or not version.pending:
        return
    keys = [known[batch[position].id].key for position in positions]
    with store.writing() as connection:
        lease = store.new_lease(connection, version)
        tasks.claim(connection, version.id, lease, keys)
        hashes = [batch[position].text_hash for position in positions]
        store.fill(connection, version, lease, keys, hashes, ready.rows[positions])
    store.seal_when_due()


def _version_of(state: versions.State, space: Space) -> versions.Version:
    for version in state.versions.values():
        if version.space.fingerprint == space.fingerprint:
            return version
    raise SpaceMismatch(
        f"vectors must be of {state.live_version.space!r}, but {space!r} came; "
        "encode the texts with that model, or migrate the collection"
    )


def _compare(
    encoders: Encoders, version: versions.Version, texts: Sequence[Document], rows: npt.NDArray[np.float32]
) -> None:
    encoder = encoders.find(version)
    if encoder is None or version.space.metric != "cos":
        return
    sample = np.unique(np.linspace(0, len(texts) - 1, CHECKED_ROWS).astype(np.int64))
    expected = _encode(encoder, [texts[position] for position in sample])
    cosines = np.einsum("nd,nd->n", expected, rows[sample])
    worst = int(np.argmin(cosines))
    if cosines[worst] < LEAST_COSINE:
        raise SpaceMismatch(
            f"the vector given for document {texts[sample[worst]].id!r} has cosine {cosines[worst]:.3f} to what "
            f"{version.space!r} gives for its text, at least {LEAST_COSINE} is expected; "
            "were these vectors made by another model, from other texts, or in another order?"
        )
