"""Encoders: those a collection has at hand, by Space."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from crossfade._forks import lock
from crossfade._values import shown
from crossfade.catalog import versions
from crossfade.encoder import Encoder
from crossfade.errors import CrossfadeError, EncoderMissing, EngineUnavailable, InvalidInput, ModelError, SpaceMismatch

ABSENT_SECONDS = 60.0

_log = logging.getLogger("crossfade")


def checked_encoder(value: object) -> Encoder:
    """The value, if it is an Encoder."""
    if not isinstance(value, Encoder):
        raise InvalidInput(
            f"expected an Encoder, got {shown(value)}; make one of a name or folder with Encoder.load, of a service "
            "with Encoder.http, or of a callable with Encoder.wrap"
        )
    return value


class Encoders:
    """The encoders of a collection's versions: handed in, or loaded by name when first needed."""

    def __init__(self, *encoders: Encoder) -> None:
        self._by_space = {encoder.space.fingerprint: encoder for encoder in map(checked_encoder, encoders)}
        self._absent: dict[str, float] = {}  # by fingerprint, when it was looked for in vain
        self._prepared: set[str] = set()
        self._lock = lock()

    def add(self, encoder: Encoder) -> None:
        """Makes an encoder the one of its Space; it takes the place of one that was handed in earlier."""
        with self._lock:
            self._by_space[encoder.space.fingerprint] = encoder

    def get(self, version: versions.Version) -> Encoder:
        """The encoder of a version.

        Raises:
            EncoderMissing: It was not handed in and can't be loaded by name.
        """
        fingerprint = version.space.fingerprint
        known = self._by_space.get(fingerprint)
        if known:  # without the lock: a search does not wait while another one loads a model
            return known
        with self._lock:
            if fingerprint not in self._by_space:
                self._by_space[fingerprint] = _load(version)
            return self._by_space[fingerprint]

    def find(self, version: versions.Version, *, again: bool = True) -> Encoder | None:
        """The encoder of a version, or None where it can't be had.

        Looking may take a download that fails: unless `again`, what was not to be had within the last minute is not
        looked for.
        """
        fingerprint = version.space.fingerprint
        looked = self._absent.get(fingerprint)
        if not again and looked is not None and time.monotonic() < looked + ABSENT_SECONDS:
            return self._by_space.get(fingerprint)
        try:
            return self.get(version)
        except EncoderMissing:
            self._absent[fingerprint] = time.monotonic()
            return None

    def prepare(self, version: versions.Version) -> None:
        """Gets the model of a version ready for queries, once, in the background; a callable or a service is not asked.

        To load a model and to open its engine takes a second, for which the first search that needs it would wait.
        """
        fingerprint = version.space.fingerprint
        if version.encoder is None or fingerprint in self._prepared:
            return
        self._prepared.add(fingerprint)
        with contextlib.suppress(RuntimeError):  # no thread is to be had: who needs it loads it
            threading.Thread(target=self._ask, args=(version,), name="crossfade-prepare").start()

    def _ask(self, version: versions.Version) -> None:
        try:
            encoder = self.find(version, again=False)
            if encoder:
                encoder.encode(["ready"], kind="query")
        except CrossfadeError as error:  # the search that needs it says so to somebody
            _log.warning("the encoder of version %d does not answer: %s", version.id, error)


def _load(version: versions.Version) -> Encoder:
    if version.encoder is None:
        raise EncoderMissing(
            f"version {version.id} was made by a callable or a service of {version.space!r}; "
            "hand it in again: Collection.open(path, encoder)"
        )
    try:
        encoder = _loaded(version.encoder, version.engine.get("asked", {}))
        version.space.require(encoder.space, f"the model {version.encoder!r} of version {version.id}")
    except (ModelError, SpaceMismatch) as error:
        raise EncoderMissing(f"the encoder of version {version.id} can't be had: {error}") from error
    return encoder


def _loaded(name: str, asked: Mapping[str, Any]) -> Encoder:
    """The model, in the precision that was asked for when the version was made where this machine has it."""
    try:
        return Encoder.load(name, **asked)
    except EngineUnavailable as error:
        _log.warning("%s runs in another precision than its version was made in: %s", name, error)
        return Encoder.load(name)
