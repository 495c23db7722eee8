"""Every error crossfade raises on purpose, as one tree.

    CrossfadeError
    ├── InvalidInput (ValueError)     an argument can't be used: empty text, NaN, wrong shape, k ≤ 0, …
    ├── SpaceMismatch (ValueError)    vectors of two Spaces would meet
    ├── ModelError
    │   ├── UnknownModel              no manifest and no folder of that name
    │   ├── ModelUnavailable          its files could not be fetched
    │   ├── ModelDamaged              a file differs from its manifest, or can't be parsed
    │   ├── EngineUnavailable         the engine or precision asked for can't run here, or is too far from float32
    │   ├── EncodingFailed            the encoder raised, or returned rows that can't be used
    │   └── SpendLimitReached         the next request to a paid service would pass the limit that was set
    ├── CollectionError
    │   ├── NotACollection            the folder holds no collection
    │   ├── CollectionExists          the folder is taken
    │   ├── NewerFormat               written by a newer crossfade
    │   ├── CollectionClosed          used after close(), or in a child forked in a transaction
    │   ├── CollectionBusy            another process held the catalog for too long
    │   ├── ReadOnlyCollection        opened with read_only=True
    │   ├── EncoderMissing            a version's encoder was not handed in
    │   ├── DamagedFile               a file of the collection fails its checks
    │   └── StorageFailed             the disk is full or failed; nothing was acknowledged
    ├── LibraryMissing (ImportError)  a library that an extra of crossfade brings is not installed
    └── MigrationError
        ├── MigrationConflict         another migration is under way
        ├── NotReady                  this step can't be taken yet
        └── NothingToRollBack         no earlier version is retained

A message says what was expected, what came, and what to do. What a library raised is kept as `__cause__`.
"""

from __future__ import annotations

from collections.abc import Sequence


class CrossfadeError(Exception):
    """Base of every error crossfade raises on purpose."""


class InvalidInput(CrossfadeError, ValueError):
    """An argument can't be used; nothing was changed."""


class SpaceMismatch(CrossfadeError, ValueError):
    """Vectors of two different Spaces would meet; nothing was changed."""


class ModelError(CrossfadeError):
    """A model can't be found, fetched, trusted or run."""


class UnknownModel(ModelError, LookupError):
    """No manifest and no folder has that name."""


class ModelUnavailable(ModelError):
    """The model's files could not be fetched from any of its sources."""


class ModelDamaged(ModelError):
    """A model file differs from its manifest, or can't be parsed."""


class EngineUnavailable(ModelError):
    """The engine or precision that was asked for can't run here, or its rows are too far from those of float32."""


class EncodingFailed(ModelError):
    """The encoder raised, or returned rows that can't be used."""


class SpendLimitReached(ModelError):
    """The next request to a paid service would pass the limit that was set; it was not sent."""


class CollectionError(CrossfadeError):
    """A collection can't be opened, read or written."""


class NotACollection(CollectionError, LookupError):
    """The folder holds no collection."""


class CollectionExists(CollectionError):
    """The folder is already in use."""


class NewerFormat(CollectionError):
    """The collection was written by a newer crossfade."""


class CollectionClosed(CollectionError):
    """The collection was closed, or this process inherits a connection to one that was in use when it was forked."""


class CollectionBusy(CollectionError):
    """Another process held the catalog for longer than the time allowed."""


class ReadOnlyCollection(CollectionError):
    """The collection was opened with read_only=True."""


class EncoderMissing(CollectionError):
    """A version's encoder is needed and was not handed in."""


class DamagedFile(CollectionError):
    """A file of the collection fails its size, magic or checksum."""


class StorageFailed(CollectionError):
    """The operating system could not read or write; what was being written is not acknowledged."""


class LibraryMissing(CrossfadeError, ImportError):
    """A library that an extra of crossfade brings is not installed."""


class MigrationError(CrossfadeError):
    """A migration step was refused."""


class MigrationConflict(MigrationError):
    """Another migration is under way."""


class NotReady(MigrationError):
    """This step can't be taken in the state the migration is in.

    Args:
        message: Why, and what to do.
        ids: Documents that stand in its way, at most a hundred of them.
    """

    def __init__(self, message: str, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class NothingToRollBack(MigrationError):
    """No earlier version is retained."""
