"""Collection: documents and their versions, in one folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy.typing as npt

from crossfade import migration as migrations
from crossfade._values import checked_folder, items_of, one_of, shown
from crossfade.backup import Backup, backup
from crossfade.catalog import documents, versions
from crossfade.document import Document, check_id
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders, checked_encoder
from crossfade.errors import CollectionClosed, CrossfadeError, InvalidInput
from crossfade.migration import Migration
from crossfade.search import Hits, Searcher
from crossfade.search.merges import NAMES, Merge
from crossfade.space import Space, checked_space
from crossfade.status import Failure, Status, VectorInfo, describe, failures_of, vectors_of
from crossfade.store import Store
from crossfade.upsert import Upserted, check_vectors, upsert

BATCH = 256  # documents a commit, from a generator


class Collection:
    """Documents that can be searched, in a folder; made by `create` or `open`. Thread-safe.

    Children that are forked while it is open can use it, too.

    Example:
        old = cf.Encoder.load("minilm-l3")
        with cf.Collection.create("kb.cf", old) as docs:
            docs.upsert([cf.Document("a1", "How do I reset my password?")])
            print(docs.search("forgotten password", k=10).ids)
    """

    def __init__(self, store: Store, encoders: Encoders) -> None:
        self._store = store
        self._encoders = encoders
        self._searcher = Searcher(store, encoders)

    @classmethod
    def create(cls, path: str | Path, encoder: Encoder) -> Collection:
        """Makes an empty collection.

        Args:
            path: A folder that does not exist yet, or is empty.
            encoder: Embeds its documents and queries; its Space becomes the first version's.

        Raises:
            CollectionExists: Something is there already.
            StorageFailed: The folder can't be made.
        """
        encoders = Encoders(encoder)
        return cls(Store.create(checked_folder(path), encoder.space, encoder.name, encoder.engine), encoders)

    @classmethod
    def open(cls, path: str | Path, *encoders: Encoder, read_only: bool = False) -> Collection:
        """Opens a collection.

        Args:
            path: Its folder.
            encoders: Encoders of its versions. Those with a manifest or a folder are loaded by the name the
                collection holds when they are first needed; callables and services must be handed in again.
            read_only: Refuse every change; for processes that only serve.

        Raises:
            NotACollection: The folder holds none.
            NewerFormat: A newer crossfade wrote it.
            DamagedFile: A file fails its checks.
        """
        known = Encoders(*encoders)
        return cls(Store(checked_folder(path), read_only=read_only), known)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._store.root

    @property
    def space(self) -> Space:
        """The Space of the live version."""
        with self._store.reading() as connection:
            return versions.read(connection).live_version.space

    def upsert(
        self,
        batch: Document | Iterable[Document],
        *,
        vectors: npt.ArrayLike | None = None,
        space: Space | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Upserted:
        """Adds documents, or puts them in the place of those with the same ids.

        Only new and changed texts are embedded. A sequence is written in one atomic commit; from any other iterable
        every 256 documents are one. When it returns, all is durable and searches see it.

        Args:
            batch: The documents.
            vectors: Their vectors, `(n, dim)` float, where they exist already; the documents must be a sequence then.
                A few of them are compared with what the encoder gives, if it is at hand.
            space: The Space of `vectors`: the live version's, or that of the one a migration fills, which is a way to
                fill it without encoding.
            progress: Called with the number of documents done so far.

        Raises:
            InvalidInput: A document or vector can't be used; of a generator, earlier batches stay committed and
                the message says how many documents that is.
            SpaceMismatch: The vectors are of another Space.
            EncodingFailed: The live version's encoder failed. Where that of a version kept for rollback does, its
                vectors are left to do: `rollback` lists them.
        """
        if isinstance(batch, Document):
            batch = [batch]
        if vectors is None and space is not None:
            raise InvalidInput("space= goes with vectors=; without vectors the collection's encoder is used")
        if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
            ready = None if vectors is None else check_vectors(vectors, space, len(batch))
            return upsert(self._store, self._encoders, batch, ready, progress)
        stream = items_of(batch, "upsert takes documents")
        if vectors is not None:
            raise InvalidInput("vectors= needs the documents as a list, to match them row by row")
        return self._upsert_stream(stream, progress)

    def delete(self, ids: str | Iterable[str]) -> int:
        """Deletes documents, in one atomic commit; unknown ids are passed over.

        Returns:
            How many there were.
        """
        wanted = [ids] if isinstance(ids, str) else items_of(ids, "delete takes an id or several")
        return self._store.delete([check_id(identifier) for identifier in wanted])

    def get(self, identifier: str) -> Document | None:
        """The document with that id, or None."""
        with self._store.reading() as connection:
            found = documents.find(connection, [check_id(identifier)])
        return found[identifier].document if identifier in found else None

    def vectors(self, identifier: str) -> list[VectorInfo]:
        """What is known of a document's vectors, one for each version that has one; empty for an unknown id."""
        return vectors_of(self._store, check_id(identifier))

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too, and comes first
        self, query: str, k: int = ..., *, filter: Mapping[str, Any] | None = ..., merge: Merge = ...
    ) -> Hits: ...
    @overload
    def search(
        self, query: Sequence[str], k: int = ..., *, filter: Mapping[str, Any] | None = ..., merge: Merge = ...
    ) -> list[Hits]: ...
    @overload
    def search(
        self,
        query: None = ...,
        k: int = ...,
        *,
        vector: npt.ArrayLike,
        space: Space | None = ...,
        filter: Mapping[str, Any] | None = ...,
        merge: Merge = ...,
    ) -> Hits: ...
    def search(
        self,
        query: str | Sequence[str] | None = None,
        k: int = 10,
        *,
        vector: npt.ArrayLike | None = None,
        space: Space | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's word
        merge: Merge = "fade",
    ) -> Hits | list[Hits]:
        """Finds the documents nearest to a query; the same call at every moment of a migration.

        Args:
            query: A text, or a list of texts (which gives a list of Hits).
            k: How many documents at most, 1 to 10,000.
            vector: A query vector `(dim,)` instead of a text.
            space: The Space of `vector`; it may be left out only while one version serves.
            filter: Metadata field → value, or list of values of which one must match; all fields must.
            merge: How two versions become one ranking, where two serve a text: "fade", or for comparison a classic
                merge, "rrf", "minmax", "zscore" or "convex", of two lists in which every document stands once, by its
                new vector if it has one. docs/fade.md says when each is wrong; their scores are on no model's scale.

        Returns:
            Hits, best first, every id at most once, none deleted; `score` is on the live version's scale.

        Raises:
            InvalidInput: An empty text, a `k` out of range, an unknown `merge`, a vector that is not finite or of the
                wrong dim.
            SpaceMismatch: The vector is of no Space that serves.
            EncoderMissing: The live version's encoder is not at hand.
        """
        one_of(merge, "merge", NAMES)
        if (query is None) == (vector is None):
            raise InvalidInput("search takes either a text (or a list of texts) or vector=, not both and not neither")
        if vector is not None:
            if space is not None:
                checked_space(space)
            return self._searcher.by_vector(vector, space, k, filter)
        if space is not None:
            raise InvalidInput("space= goes with vector=; a text is embedded by the collection's own encoder")
        if isinstance(query, str):
            return self._searcher.by_texts([query], k, filter, merge)[0]
        wanted = "search takes a text or a list of texts"
        if isinstance(query, (Mapping, Set)):
            raise InvalidInput(f"{wanted}, got {shown(query)}")
        return self._searcher.by_texts(list(items_of(query, wanted)), k, filter, merge)

    def migrate(self, encoder: Encoder) -> Migration:
        """Starts a migration to another encoder, or resumes the one on disk.

        Raises:
            MigrationConflict: The collection is in that Space already, or another migration is under way.
        """
        number = migrations.start(self._store, checked_encoder(encoder))
        self._encoders.add(encoder)
        return Migration(self._store, self._encoders, number)

    @property
    def migration(self) -> Migration | None:
        """The migration on disk, or None."""
        with self._store.reading() as connection:
            current = versions.read(connection).migration
        return Migration(self._store, self._encoders, current.id) if current else None

    def rollback(self, *, force: str | None = None) -> None:
        """Makes the version before the last cutover live again; `cutover()` of the migration goes forward again.

        What was written while the old encoder was not at hand is embedded first, if it is now.

        Args:
            force: The reason to go back although documents written since have no old vector and would not be found;
                it is recorded.

        Raises:
            NothingToRollBack: Nothing was cut over, or the old version is pruned.
            NotReady: Documents would not be found; its `ids` names up to a hundred of them.
            InvalidInput: `force` is no text.
        """
        migrations.rollback(self._store, self._encoders, force=force)

    def prune(self, *, force: bool = False) -> list[int]:
        """Drops the versions that retention (14 days) no longer protects; all retained ones with `force`.

        Returns:
            The numbers of the versions that were dropped.

        Raises:
            NotReady: The live version lacks documents (after a forced step), which could not be filled any more.
        """
        return list(migrations.prune(self._store, force=force))

    def failures(self) -> list[Failure]:
        """The documents that a fill of any version has given up, each with its attempts and last error."""
        return failures_of(self._store)

    def status(self) -> Status:
        """What the collection is at this moment; costs the same whatever its size."""
        with self._store.reading() as connection:
            state = versions.read(connection)
        current = self.migration
        return Status(
            str(self.path),
            state.documents,
            state.live,
            [describe(version) for version in state.versions.values()],
            current.status().to_dict() if current else None,
        )

    def backup(self, destination: str | Path, *, progress: Callable[[int, int], None] | None = None) -> Backup:
        """Makes a consistent copy of what is committed now, while this and other processes go on writing.

        The copy is a collection like any other: to restore it, open it, or put its folder in the place of a lost one.

        Args:
            destination: A folder that does not exist yet. It gets its name when the copy is whole and compared with
                its checksums.
            progress: Called with (megabytes copied, megabytes to copy).

        Raises:
            CollectionExists: Something is there already.
            InvalidInput: The destination lies in the collection's own folder.
            DamagedFile: A vector file or the catalog is damaged; `crossfade doctor` says how to mend it.
            StorageFailed: The copy can't be written.
        """
        return backup(self._store, destination, progress)

    def close(self) -> None:
        """Closes the collection; a second call does nothing."""
        self._store.close()

    def __len__(self) -> int:
        with self._store.reading() as connection:
            return versions.read(connection).documents

    def __contains__(self, identifier: object) -> bool:
        try:
            identifier = check_id(identifier)
        except InvalidInput:
            return False
        with self._store.reading() as connection:
            return bool(documents.keys_of(connection, [identifier]))

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            status = self.status()
        except CollectionClosed:
            return f"Collection({str(self.path)!r}, closed)"
        return f"Collection({status.path!r}, {status.documents} documents, {len(status.versions)} versions)"

    def _upsert_stream(self, stream: Iterator[Document], progress: Callable[[int], None] | None) -> Upserted:
        total, committed = Upserted(), 0
        while True:
            try:
                batch = list(itertools.islice(stream, BATCH))
                if not batch:
                    return total
                total += upsert(self._store, self._encoders, batch)
            except CrossfadeError as error:
                error.args = (f"{error} (the {committed} documents before this batch are committed)",)
                raise
            committed += len(batch)
            if progress:
                progress(committed)
