"""A service as the backend of an Encoder: requests packed, paced, sent side by side, repeated and paid for."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from crossfade._values import one_of, shown
from crossfade.errors import EncodingFailed, InvalidInput
from crossfade.space import Space

from .answers import read_answer
from .http import Client
from .pacing import Pace, Stopped, Transient, Turn, retrying
from .packing import CountTokens, Part, TooLarge, counted, pack
from .rows import Rows, checked_rows
from .runtime import Progress
from .spending import Reservation, Spending, Spent

_WHOLE = ("max_items", "max_request_tokens", "max_tokens_per_text", "concurrency", "attempts")
_WHOLE_OR_NONE = ("dimensions", "requests_per_minute", "tokens_per_minute")
_POSITIVE = ("timeout", "retry_seconds", "backoff")
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")  # never a key, so it may be shown
_LARGEST = 1e15  # of seconds and of money, finite for all that is done with them
_MONEY = ("price_per_million_tokens", "spend_limit")


class ServiceOptions(TypedDict, total=False):
    """What may be said about a service, beside its url and model. Defaults in brackets.

    Keys:
        key_env: Name of the environment variable that holds the key, in capitals [None: no key is sent].
        dimensions: Sent as such, for models that can give shorter rows; equal to `dim` [None: not sent].
        encoding_format: What rows are asked for as: "float", or "base64", which is a third of the bytes ["float"].
        max_items: Most texts of a request [2,048].
        max_request_tokens: Most tokens of a request [300,000].
        max_tokens_per_text: A text of more is refused [8,192].
        count_tokens: From a text to its tokens [None: estimated from its characters].
        concurrency: Requests that one call has under way at a time [4].
        requests_per_minute, tokens_per_minute: Rates over all calls of this encoder in a process [None: no limit].
        price_per_million_tokens: In any currency [None: unknown].
        spend_limit: Most to spend with this encoder in a process, in that currency [None: no limit].
        timeout: Seconds to wait for each step of an answer; a connection has at most 10 [60].
        attempts: Times a request is sent at most [6].
        retry_seconds: How long after it was first sent a request may be sent again [300].
        backoff: Longest wait before the second attempt, in seconds; it doubles from there [1].
    """

    key_env: str | None
    dimensions: int | None
    encoding_format: Literal["float", "base64"]
    max_items: int
    max_request_tokens: int
    max_tokens_per_text: int
    count_tokens: CountTokens | None
    concurrency: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    price_per_million_tokens: float | None
    spend_limit: float | None
    timeout: float
    attempts: int
    retry_seconds: float
    backoff: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The options with their defaults; ServiceOptions says what each means.

    Raises:
        InvalidInput: One is out of its range, or two don't go together.
    """

    key_env: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    max_items: int = 2_048
    max_request_tokens: int = 300_000
    max_tokens_per_text: int = 8_192
    count_tokens: CountTokens | None = None
    concurrency: int = 4
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    price_per_million_tokens: float | None = None
    spend_limit: float | None = None
    timeout: float = 60.0
    attempts: int = 6
    retry_seconds: float = 300.0
    backoff: float = 1.0

    def __post_init__(self) -> None:
        for name in (*_WHOLE, *_WHOLE_OR_NONE):
            self._require(name, int, lambda value: value >= 1, "a positive whole number", name in _WHOLE_OR_NONE)
        for name in _POSITIVE:
            self._require(name, int | float, lambda value: 0 < value < _LARGEST, "a positive number", False)
        for name in _MONEY:
            self._require(name, int | float, lambda value: 0 <= value < _LARGEST, "an amount of money", True)
        variable = "the name of an environment variable (capitals, digits and underscores), not the key itself,"
        self._require("key_env", str, _VARIABLE.fullmatch, variable, True)
        one_of(self.encoding_format, "encoding_format", ("float", "base64"))
        if self.count_tokens is not None and not callable(self.count_tokens):
            raise InvalidInput("count_tokens must be a callable from a text to its number of tokens")
        if self.spend_limit is not None and self.price_per_million_tokens is None:
            raise InvalidInput("spend_limit needs price_per_million_tokens, to know what a request costs")

    def _require(self, name: str, kind: Any, holds: Any, what: str, optional: bool) -> None:
        value = getattr(self, name)
        if optional and value is None:
            return
        if isinstance(value, bool) or not isinstance(value, kind) or not holds(value):
            # The value is not shown: it may be a key given in the place of its variable's name.
            raise InvalidInput(f"{name} must be {what}{' or None' if optional else ''}, got {type(value).__name__}")


class Service:
    """Rows from an OpenAI-compatible service; safe to use from any number of threads.

    Args:
        url: Where it is.
        space: The Space of its rows; its model is the one that is asked for.
        settings: How it is to be treated.

    Raises:
        InvalidInput: The url can't be used, the key is missing, or `dimensions` is not the Space's.
    """

    def __init__(self, url: str, space: Space, settings: Settings) -> None:
        fields: dict[str, Any] = {"model": space.model, "encoding_format": settings.encoding_format}
        if settings.dimensions is not None:
            if settings.dimensions != space.dim:
                raise InvalidInput(f"dimensions={shown(settings.dimensions)} must be equal to dim={space.dim}")
            fields["dimensions"] = settings.dimensions
        self._client = Client(url, fields, settings.key_env, settings.timeout)
        self._space = space
        self._settings = settings
        self._most_tokens = min(settings.max_request_tokens, settings.tokens_per_minute or settings.max_request_tokens)
        self._requests = Pace(settings.requests_per_minute)
        self._tokens = Pace(settings.tokens_per_minute, self._most_tokens)
        self._spending = Spending(settings.price_per_million_tokens, settings.spend_limit)

    @property
    def shown(self) -> str:
        """Where requests go, without what may be secret in it."""
        return self._client.shown

    @property
    def spent(self) -> Spent:
        """What its requests have cost so far."""
        return self._spending.spent

    def rows(
        self, texts: list[str], prefix: str, places: list[int], progress: Progress, threads: int | None = None
    ) -> tuple[Rows, NDArray[np.bool_]]:
        """Rows of `texts`, from as few requests as the limits let, several at a time; none is ever cut."""
        settings = self._settings
        texts = [prefix + text for text in texts]
        tokens = counted(texts, places, settings.count_tokens, settings.max_tokens_per_text)
        parts = [
            Part(
                part.start,
                places[part.start : part.stop],
                texts[part.start : part.stop],
                tokens[part.start : part.stop],
            )
            for part in pack(tokens, settings.max_items, self._most_tokens)
        ]
        rows = np.empty((len(texts), self._space.dim), dtype=np.float32)
        done = 0
        with (
            self._spending.reserve(sum(tokens)) as reservation,
            contextlib.closing(self._results(parts, reservation)) as results,
        ):
            for part, found in results:
                rows[part.start : part.start + len(found)] = found
                done += len(found)
                progress(done)
        return rows, np.zeros(len(texts), dtype=np.bool_)

    def _results(self, parts: list[Part], reservation: Reservation) -> Generator[tuple[Part, Rows]]:
        """Rows of every part as they come. However it ends, no request and no thread of it is left."""
        stop = threading.Event()
        if len(parts) == 1 or self._settings.concurrency == 1:
            for part in parts:
                yield part, self._rows(part, reservation, stop)
            return
        with ThreadPoolExecutor(min(self._settings.concurrency, len(parts)), "crossfade-http") as pool:
            try:
                futures = {pool.submit(self._rows, part, reservation, stop): part for part in parts}
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException as error:
                stop.set()
                if not isinstance(error, Exception):  # interrupted: nobody waits for what is under way
                    self._client.cut()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _rows(self, part: Part, reservation: Reservation, stop: threading.Event) -> Rows:
        """Rows of a part, in one request or, where the service finds it too large, in more."""
        try:
            return self._repeated(part, reservation, stop)
        except TooLarge as error:
            if len(part.texts) == 1:
                raise InvalidInput(f"text {part.places[0]} is too large for the service, split it: {error}") from error
        return np.concatenate([self._rows(half, reservation, stop) for half in part.halves()])

    def _repeated(self, part: Part, reservation: Reservation, stop: threading.Event) -> Rows:
        settings = self._settings
        turn = Turn(self._requests, self._tokens, sum(part.tokens), stop)
        attempts = retrying(
            settings.attempts, settings.retry_seconds, settings.backoff, stop, waited=lambda: turn.waited
        )
        start = time.monotonic()
        try:
            return attempts(self._once, part, reservation, turn, stop)
        except Transient as error:
            if stop.is_set():
                raise Stopped from error
            seconds = time.monotonic() - start
            number = attempts.statistics["attempt_number"]
            asked = f", and it asks to wait {error.retry_after:.0f} s" if error.retry_after else ""
            failure = EncodingFailed(
                f"{error}{asked}; given up after {number} attempts in {seconds:.0f} s; attempts= and retry_seconds= "
                "say how long to try"
            )
            raise failure from error.__cause__

    def _once(self, part: Part, reservation: Reservation, turn: Turn, stop: threading.Event) -> Rows:
        turn.take()
        reservation.require()
        estimated = sum(part.tokens)
        try:
            content = self._client.post(list(part.texts), stop)
        except Transient as error:
            if error.sent:
                reservation.lose(estimated)
            raise
        used = estimated
        try:
            answer = read_answer(content, len(part.texts))
            used = estimated if answer.tokens is None else answer.tokens
            return checked_rows(answer.rows, self._space, part.places)
        finally:
            reservation.settle(estimated, used)
