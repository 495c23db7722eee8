"""Packing, pacing and spending by themselves: every limit holds for any sizes and from any number of threads."""

from __future__ import annotations

import email.utils
import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.encoder.pacing import LONGEST_BACKOFF, Pace, Stopped, retrying, seconds_to_wait
from crossfade.encoder.packing import estimated_tokens, pack
from crossfade.encoder.spending import Spending
from crossfade.errors import SpendLimitReached


@given(st.lists(st.integers(0, 50), max_size=200), st.integers(1, 20), st.integers(1, 60))
def test_packing_keeps_every_limit(tokens: list[int], max_items: int, max_tokens: int) -> None:
    """Every text comes once and in order, no request is empty or too large, and no two neighbours fit into one."""
    requests = pack(tokens, max_items, max_tokens)
    assert [index for request in requests for index in request] == list(range(len(tokens)))
    sums = [sum(tokens[index] for index in request) for request in requests]
    for request, total in zip(requests, sums, strict=True):
        assert 1 <= len(request) <= max_items
        assert total <= max_tokens or len(request) == 1
    for before, after in itertools.pairwise(requests):
        with_next = sum(tokens[index] for index in before) + tokens[after[0]]
        assert len(before) == max_items or with_next > max_tokens


@given(st.text(max_size=200))
def test_estimates_are_between_a_quarter_and_one_token_a_character(text: str) -> None:
    """Only the empty text has none."""
    assert len(text) / 4 <= estimated_tokens(text) <= len(text)


def test_waits_are_random_parts_of_a_time_that_doubles() -> None:
    """Full jitter: the n-th wait lies anywhere between nothing and backoff · 2ⁿ, up to a minute."""
    import tenacity

    attempts = retrying(10, 1e9, 2.0, threading.Event(), lambda: 0.0)
    for number, most in [(1, 2.0), (3, 8.0), (9, LONGEST_BACKOFF)]:
        state = tenacity.RetryCallState(attempts, None, (), {})
        state.attempt_number = number
        waits = [attempts.wait(state) for _ in range(300)]
        assert 0 <= min(waits) < 0.1 * most
        assert 0.9 * most < max(waits) <= most


@pytest.mark.parametrize("per_minute", [1, 59, 60, 61, 90_001, 60_000_000, 123_456_789])
def test_rates_of_any_size_hold(per_minute: int) -> None:
    """A hundredth of a minute's amount goes through at once, and after it the wait is that of the rate."""
    amount = max(1, per_minute // 100)
    pace = Pace(per_minute, largest=amount)
    taken = 0
    while not (delay := pace._take(amount)):
        taken += amount
    assert taken <= per_minute // 60 + 2 * amount
    assert delay <= 60 * amount / per_minute * 1.02 + 0.002


def test_no_rate_is_no_wait() -> None:
    """Without a rate everything passes at once; a call that has ended passes nothing."""
    stop = threading.Event()
    Pace(None).wait(10**9, stop)
    Pace(60).wait(1, stop)
    stop.set()
    for pace in (Pace(None), Pace(60), Pace(1)):
        with pytest.raises(Stopped):
            pace.wait(1, stop)


@given(st.integers(0, 10**6))
def test_seconds_to_wait_are_read(seconds: int) -> None:
    """Retry-After is a number of seconds or a date; a past date is no wait, and anything else is not understood."""
    assert seconds_to_wait(str(seconds)) == seconds
    until = seconds_to_wait(email.utils.formatdate(time.time() + seconds, usegmt=True))
    assert until is not None
    assert seconds - 2 < until <= seconds
    assert seconds_to_wait(email.utils.formatdate(seconds)) == 0
    assert [seconds_to_wait(header) for header in (None, "", "soon", "nan", "-1")] == [None, None, None, None, 0]


def test_spending_is_safe_with_threads() -> None:
    """Threads that reserve and settle at once never pass the limit, and the sum is exact."""
    spending = Spending(price=1e6, limit=500)

    def spend() -> None:
        for _ in range(100):
            try:
                with spending.reserve(3) as reservation:
                    reservation.settle(3, 2)
            except SpendLimitReached:
                return

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 480 <= spending.spent.tokens <= 500
    assert spending.spent.tokens == 2 * spending.spent.requests
