"""Services: the rates that are kept to, and what is spent."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import crossfade as cf
from crossfade.encoder import Spent
from crossfade.errors import EncodingFailed, SpendLimitReached
from embedding_service import (
    TEXTS,
    Service,
    change,
    http,
    refuse,
    slowly,
)
from support import documents, is_first, wrapped


def test_requests_are_paced(service: Service) -> None:
    """What a second lets through comes at once, then requests follow at the rate, over all calls of an encoder."""
    encoder = http(service, requests_per_minute=600, max_items=1)
    start = time.monotonic()
    for _ in range(3):
        encoder.encode(["a", "b", "c", "d", "e"])
    assert 0.45 < time.monotonic() - start < 3
    assert len(service.seen) == 15


def test_tokens_are_paced(service: Service) -> None:
    """Requests wait until their tokens fit the rate."""
    encoder = http(service, tokens_per_minute=6_000, max_items=1, max_request_tokens=100, max_tokens_per_text=100)
    start = time.monotonic()
    encoder.encode([letter * 200 for letter in "wxyz"])  # 50 tokens each: two at once, then one every half second
    assert 0.9 < time.monotonic() - start < 4


def test_real_usage_counts_and_estimates_stand_in(service: Service) -> None:
    """Tokens are those the service counted; where it says nothing, or nothing usable, those that were estimated."""
    encoder = http(service, price_per_million_tokens=20.0)
    encoder.encode(["one two three"])
    assert encoder.spent == Spent(requests=1, tokens=3, money=3 * 20.0 / 1e6)
    for usage in (None, {}, {"total_tokens": -1}, {"total_tokens": "3"}):
        before = encoder.spent
        service.script.append(change(lambda body, usage=usage: body.update(usage=usage)))  # type: ignore[misc]
        encoder.encode(["x" * 40])
        assert before is not None
        assert encoder.spent is not None
        assert encoder.spent.tokens - before.tokens == 10
    assert http(service).spent == Spent(0, 0, None)
    assert wrapped("w", 3, 1).spent is None


def test_what_may_be_charged_counts(service: Service) -> None:
    """An answer that can't be used and a request without an answer count; a refusal doesn't."""
    encoder = http(service, timeout=0.2)
    service.script.extend([refuse(500), refuse(429), slowly(5)])
    with pytest.raises(EncodingFailed):
        encoder.encode(["x" * 40])
    assert encoder.spent == Spent(1, 10, None)
    service.script.append(change(lambda body: body["data"].clear()))
    with pytest.raises(EncodingFailed):
        encoder.encode(["one two three"])
    assert encoder.spent == Spent(2, 14, None)


def test_the_spend_limit_stops_a_call_before_it_is_sent(service: Service) -> None:
    """A call whose estimate would pass the limit sends nothing, and the error says what was spent and what to do."""
    encoder = http(service, price_per_million_tokens=1e6, spend_limit=25, max_items=1, count_tokens=lambda text: 2)
    encoder.encode(TEXTS)
    assert encoder.spent is not None
    assert encoder.spent.tokens == 10
    with pytest.raises(SpendLimitReached, match=r"10\.0000 of the spend_limit of 25 .*16\.0000.*higher spend_limit"):
        encoder.encode(TEXTS + [f"another {text}" for text in TEXTS])
    assert len(service.seen) == 4
    encoder.encode(TEXTS)
    with pytest.raises(SpendLimitReached):
        encoder.encode(TEXTS)


def test_low_estimates_stop_a_call_on_its_way(service: Service) -> None:
    """Where the service counts more than was estimated, nothing is sent that would pass the limit by then."""
    encoder = http(service, price_per_million_tokens=1e6, spend_limit=60, max_items=1, concurrency=1)
    with pytest.raises(SpendLimitReached):
        encoder.encode([f"{letter} " * 40 for letter in "abc"])  # estimated at 20 each, counted as 40
    assert len(service.seen) == 1


def test_a_spend_limit_blames_no_document(service: Service, tmp_path: Path) -> None:
    """A migration that is stopped by it has lost nothing, and goes on with another encoder where it was."""
    with cf.Collection.create(tmp_path / "kb.cf", wrapped("old", 16, 2)) as docs:
        docs.upsert(documents(200))
        cheap = http(service, price_per_million_tokens=1e6, spend_limit=1_000, count_tokens=lambda text: 7)
        with pytest.raises(SpendLimitReached):
            docs.migrate(cheap).run()
        assert docs.migration is not None
        assert 0 < docs.migration.status().done < 200
        sent = sum(service.sizes)
        fade = docs.migrate(http(service))
        fade.run()
        assert fade.status().failed == 0
        assert sum(service.sizes) <= 200 + 64
        assert sum(service.sizes) > sent
        fade.cutover()
        is_first(docs, 3, 150)
