"""Spending: what a paid service was asked for, and the limit no request may pass."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from crossfade._forks import lock
from crossfade.errors import SpendLimitReached


@dataclasses.dataclass(frozen=True)
class Spent:
    """What an encoder's calls have cost so far.

    Args:
        requests: Requests that were answered, or sent without an answer.
        tokens: Their tokens: as the service counted them, estimated where it did not say.
        money: Their price, in the currency of the price that was given; None where none was.
    """

    requests: int = 0
    tokens: int = 0
    money: float | None = None


class Spending:
    """Counts tokens, and refuses what would pass a limit; thread-safe.

    Args:
        price: Price of a million tokens, if it is known.
        limit: Most to spend; needs a price.
    """

    def __init__(self, price: float | None = None, limit: float | None = None) -> None:
        self._price = price
        self._limit = limit
        self._lock = lock()
        self._requests = 0
        self._tokens = 0
        self._reserved = 0

    @property
    def spent(self) -> Spent:
        """What was spent so far."""
        with self._lock:
            return Spent(self._requests, self._tokens, self._money(self._tokens))

    @contextlib.contextmanager
    def reserve(self, tokens: int) -> Iterator[Reservation]:
        """Sets `tokens` aside for one call; what it has not used at its end is free again.

        Raises:
            SpendLimitReached: They would pass the limit, with what was spent and what other calls have set aside.
        """
        self._set_aside(tokens)
        reservation = Reservation(self, tokens)
        try:
            yield reservation
        finally:
            self._move(reservation, reservation.left, 0, 0)

    def require(self) -> None:
        """Raises SpendLimitReached if what was spent and set aside passes the limit: estimates may have been low."""
        self._set_aside(0)

    def _set_aside(self, tokens: int) -> None:
        with self._lock:
            asked = self._money(self._tokens + self._reserved + tokens)
            if asked is not None and self._limit is not None and asked > self._limit:
                raise SpendLimitReached(self._refusal(tokens))
            self._reserved += tokens

    def _move(self, reservation: Reservation, freed: int, tokens: int, requests: int) -> None:
        with self._lock:
            freed = min(freed, reservation.left)
            reservation.left -= freed
            self._reserved -= freed
            self._tokens += tokens
            self._requests += requests

    def _money(self, tokens: int) -> float | None:
        return None if self._price is None else tokens * self._price / 1e6

    def _refusal(self, tokens: int) -> str:
        spent, ahead = self._money(self._tokens), self._money(self._reserved + tokens)
        return (
            f"{spent:.4f} of the spend_limit of {self._limit} is spent ({self._tokens:,} tokens in {self._requests:,} "
            f"requests), and what is next would cost about {ahead:.4f}; it was not sent. Vectors that are stored stay: "
            "to go on, make the encoder again with a higher spend_limit (what was spent counts anew), and repeat the "
            "call, or resume the migration"
        )


class Reservation:
    """What one call has set aside."""

    def __init__(self, spending: Spending, tokens: int) -> None:
        self._spending = spending
        self.left = tokens

    def settle(self, estimated: int, used: int) -> None:
        """A request for which `estimated` tokens were set aside has used so many."""
        self._spending._move(self, estimated, used, 1)

    def lose(self, estimated: int) -> None:
        """A request had no answer: it may be charged for, and it will be sent again."""
        self._spending._move(self, 0, estimated, 1)

    def require(self) -> None:
        """Raises SpendLimitReached if the limit is passed by now."""
        self._spending.require()
