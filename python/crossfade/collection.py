"""Collection: documents and their versions, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack, overload

import numpy.typing as npt

from crossfade import migration as migrations
from crossfade._values import checked_folder, items_of, one_of
from crossfade.assess.sides import Judging
from crossfade.assessable import Assessable
from crossfade.backup import Backup, backup
from crossfade.catalog import documents, versions
from crossfade.document import Document, check_id
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders, checked_encoder
from crossfade.errors import CollectionClosed, InvalidInput
from crossfade.migration import BUDGET_SECONDS, Migration
from crossfade.orders import Order, parse
from crossfade.search import Hits, How, Searcher, check_question
from crossfade.search.fade import Fade
from crossfade.search.judgement import Judgement
from crossfade.search.log import Log
from crossfade.search.merges import NAMES, Merge
from crossfade.space import Space
from crossfade.status import Failure, Status, VectorInfo, describe, failures_of, figures_of, vectors_of
from crossfade.store import Store
from crossfade.upsert import Upserted, check_vectors, upsert, upsert_stream


class Collection(Log, Judging, Assessable):
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
    def open(
        cls, path: str | Path, *encoders: Encoder, read_only: bool = False, log_queries: bool = True
    ) -> Collection:
        """Opens a collection.

        Args:
            path: Its folder.
            encoders: Encoders of its versions. Those with a manifest or a folder are loaded by the name the
                collection holds when they are first needed; callables and services must be handed in again.
            read_only: Refuse every change. Such a process leaves no trace in the log of searches either: what it
                searches does not count when a migration chooses what to re-embed first.
            log_queries: Keep the texts of queries, the 10,000 most frequent ones, for the order of migrations; without
                them only which documents were looked at is counted. `forget_queries` deletes those kept already.

        Raises:
            NotACollection: The folder holds none.
            NewerFormat: A newer crossfade wrote it.
            DamagedFile: A file fails its checks.
        """
        known = Encoders(*encoders)
        return cls(Store(checked_folder(path), read_only=read_only, keep_texts=log_queries), known)

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
        return upsert_stream(self._store, self._encoders, stream, progress)

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
        self, query: str, k: int = ..., **how: Unpack[How]
    ) -> Hits: ...
    @overload
    def search(self, query: Sequence[str], k: int = ..., **how: Unpack[How]) -> list[Hits]: ...
    @overload
    def search(
        self,
        query: None = ...,
        k: int = ...,
        *,
        vector: npt.ArrayLike,
        space: Space | None = ...,
        **how: Unpack[How],
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
        on_read: str = "background",
        budget: float = BUDGET_SECONDS,
    ) -> Hits | list[Hits]:
        """Finds the documents nearest to a query; the same call at every moment of a migration.

        Args:
            query: A text, or a list of texts (which gives a list of Hits).
            k: How many documents at most, 1 to 10,000.
            vector: A query vector `(dim,)` instead of a text.
            space: The Space of `vector`; it may be left out only while one version serves.
            filter: Metadata field → value, or list of values of which one must match; all fields must.
            on_read: What becomes, during a migration, of the documents the search looks at that have no new vector.
                "background": the run re-embeds them next. "sync": so many of them as `budget` allows are re-embedded
                before it answers, the best ones first. "off": the search leaves no trace, in the log neither.
            budget: Seconds that "sync" may take, but for the batch in hand; it never waits longer for other writers.
            merge: "fade", or for comparison a classic merge, "rrf", "minmax", "zscore" or "convex" (docs/fade.md).

        Returns:
            Hits, best first, every id at most once, none deleted; `score` is on the live version's scale.

        Raises:
            InvalidInput: An empty text, a `k` or `merge` out of range, a vector that is not finite or of the wrong dim.
            SpaceMismatch: The vector is of no Space that serves.
            EncoderMissing: The live version's encoder is not at hand.
            ReadOnlyCollection: `on_read="sync"`, and the collection was opened with read_only=True.
        """
        one_of(merge, "merge", NAMES)
        texts = check_question(query, vector, space)
        after = migrations.on_read(self._store, self._encoders, on_read, budget, texts)
        if vector is not None:
            return self._searcher.by_vector(vector, space, k, filter, after)
        found = self._searcher.by_texts(texts, k, filter, merge, after)
        return found[0] if isinstance(query, str) else found

    def migrate(self, encoder: Encoder, *, order: Order | str | None = None) -> Migration:
        """Starts a migration to another encoder, or resumes the one on disk.

        Args:
            order: Which documents are re-embedded first: an order of `crossfade.orders`, or its text, as "hot",
                "0.7*hot + 0.3*uncertain" or "hot*uncertain". It is kept with the migration, for every run and process.
                What searches look at meanwhile comes first in any order. Unless you say: the 5 % that searches look at
                most, then what was updated in the last half year, then what failing queries find or has priority.

        Raises:
            MigrationConflict: The collection is in that Space already, or not done with another migration.
            InvalidInput: There is no such order.
        """
        wanted = None if order is None else parse(order)
        self._encoders.add(
            checked_encoder(encoder)
        )  # first: once the migration is there, searches look for its encoder
        return Migration(self._store, self._encoders, migrations.start(self._store, encoder, wanted))

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
        """Drops the versions that retention, 14 days since they last served, no longer protects; all with `force`.

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
            current.status().to_dict() | _learned(self._searcher.fade) if current else None,
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


def _learned(fade: Fade | None) -> dict[str, Any]:
    """What the Bridge has reached, None where there is none, and what queries say."""
    judgement = fade.judgement if fade else Judgement(full_weight=0.0)
    return {"bridge": figures_of(fade.bridge.quality if fade else None), "guard": judgement.to_dict()}
