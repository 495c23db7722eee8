"""Pacing: how fast requests follow each other, and when one that failed is sent again."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from crossfade._forks import lock
from crossfade.errors import EncodingFailed

if TYPE_CHECKING:
    import tenacity

MINUTE = 60_000  # milliseconds
# pyrate-limiter keeps whole microseconds for each unit and rounds up, so large rates are counted in larger units.
MOST_UNITS = 60_000
LONGEST_BACKOFF = 60.0


class Transient(EncodingFailed):
    """A request failed in a way that may pass.

    Args:
        message: What happened.
        retry_after: Seconds the service asked to wait, if it did.
        sent: Whether the service may have done the work, and charge for it, though no answer came.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, sent: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.sent = sent


class Stopped(EncodingFailed):
    """The call this request belongs to has ended."""

    def __init__(self) -> None:
        super().__init__("the call this request belongs to has ended")


class Pace:
    """Lets so much through in a minute, evenly; thread-safe.

    After a rest, what a second lets through comes at once, or `largest` if that is more. So a minute can hold that
    much above the rate; what a service then refuses is sent again.

    Args:
        per_minute: The rate; None for no limit.
        largest: Most that is asked for at a time.
    """

    def __init__(self, per_minute: int | None, largest: int = 1) -> None:
        self._bucket = None
        if per_minute is not None:
            import pyrate_limiter

            self._lock = lock()
            self._item = pyrate_limiter.RateItem
            self._unit = -(-per_minute // MOST_UNITS)
            rate = per_minute // self._unit
            self._burst = min(max(1, rate // 60, self._units(largest)), rate)
            self._bucket = pyrate_limiter.StateBucket([pyrate_limiter.Rate(rate, MINUTE, self._burst)])

    def wait(self, amount: int, stop: threading.Event) -> None:
        """Returns when `amount` may pass; Stopped is raised once `stop` is set."""
        while delay := self._take(amount):
            if stop.wait(delay):
                break
        if stop.is_set():
            raise Stopped

    def _take(self, amount: int) -> float:
        """Takes `amount` and gives 0, or the seconds after which to ask again."""
        if self._bucket is None:
            return 0.0
        with self._lock:
            # More than the burst would never pass: a text of its own may be larger than a minute allows.
            item = self._item("", time.monotonic_ns() // 1_000_000, min(self._units(amount), self._burst))
            if self._bucket.put(item):
                return 0.0
            milliseconds = self._bucket.waiting(item)
        assert isinstance(milliseconds, int)
        return max(milliseconds, 1) / 1000

    def _units(self, amount: int) -> int:
        return -(-amount // self._unit)


class Turn:
    """The turns one request and its repetitions take; knows how long they waited for them."""

    def __init__(self, requests: Pace, tokens: Pace, amount: int, stop: threading.Event) -> None:
        self._requests = requests
        self._tokens = tokens
        self._amount = amount
        self._stop = stop
        self.waited = 0.0

    def take(self) -> None:
        """Returns when one more request may be sent."""
        start = time.monotonic()
        self._tokens.wait(self._amount, self._stop)
        self._requests.wait(1, self._stop)
        self.waited += time.monotonic() - start


def retrying(
    attempts: int, seconds: float, backoff: float, stop: threading.Event, waited: Callable[[], float]
) -> tenacity.Retrying:
    """Calls again what raised Transient: after a random part of a time that doubles, or what the service asked for.

    Args:
        attempts: Most calls.
        seconds: No call begins later than this after the first one, waits for a turn not counted.
        backoff: Longest wait before the second call, in seconds.
        stop: Ends waits and repetitions once it is set.
        waited: Seconds that calls have waited for their turns.
    """
    import tenacity

    jitter = tenacity.wait_random_exponential(multiplier=backoff, max=LONGEST_BACKOFF)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(jitter(state), asked or 0.0)

    def is_late(state: tenacity.RetryCallState) -> bool:
        return (state.seconds_since_start or 0.0) - waited() + state.upcoming_sleep > seconds

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Transient),
        wait=wait,
        stop=lambda state: state.attempt_number >= attempts or stop.is_set() or is_late(state),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )


def seconds_to_wait(header: str | None) -> float | None:
    """What a Retry-After header asks for: seconds, or the time until a date; None where it says neither.

    Example:
        >>> seconds_to_wait("1.5"), seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT"), seconds_to_wait("soon")
        (1.5, 0.0, None)
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None
