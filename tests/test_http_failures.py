"""Services that fail: what is tried again, for how long, and what is told."""

from __future__ import annotations

import email.utils
import time

import numpy as np
import pytest

from crossfade.encoder import Encoder
from crossfade.errors import EncodingFailed, InvalidInput
from embedding_service import (
    DIM,
    TEXTS,
    Behaviour,
    Service,
    answer,
    at_most,
    expected,
    hang_up,
    http,
    refuse,
    reset,
    serving,
    slowly,
)
from support import text_of


@pytest.mark.parametrize(
    "failure",
    [refuse(408), refuse(409), refuse(429), refuse(500), refuse(503), refuse(599), reset, hang_up, slowly(30)],
    ids=["408", "409", "429", "500", "503", "599", "reset", "cut body", "no answer"],
)
def test_failures_that_may_pass_are_tried_again(service: Service, failure: Behaviour) -> None:
    """Busy and broken services, resets, timeouts and truncated bodies cost an attempt, not the call."""
    service.script.append(failure)
    start = time.monotonic()
    rows = http(service, timeout=0.3).encode(TEXTS)
    assert len(service.seen) == 2
    assert time.monotonic() - start < 3
    np.testing.assert_allclose(rows, expected(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (refuse(400, "unknown model"), "answered 400: unknown model"),
        (refuse(401, "bad key"), "answered 401: bad key.*key_env"),
        (refuse(403), "answered 403.*key_env"),
        (refuse(404), "answered 404.*url and model"),
        (refuse(422), "answered 422"),
        (refuse(204), "answered 204"),
        (refuse(429, "insufficient_quota"), "answered 429: insufficient_quota"),
    ],
)
def test_failures_that_stay_are_not_tried_again(service: Service, failure: Behaviour, message: str) -> None:
    """A refusal that another attempt can't change is reported at once, with what the service said."""
    service.always = failure
    with pytest.raises(EncodingFailed, match=message):
        http(service).encode(TEXTS)
    assert len(service.seen) == 1


def test_retry_after_in_seconds_is_obeyed(service: Service) -> None:
    """The next attempt comes no earlier than the service asked."""
    service.script.append(refuse(429, Retry_After="0.5"))
    http(service).encode(TEXTS)
    assert 0.5 <= service.gaps[0] < 1.5


def test_retry_after_as_a_date_is_obeyed(service: Service) -> None:
    """A date counts as the time until then."""
    until = int(time.time()) + 2
    service.script.append(refuse(503, Retry_After=email.utils.formatdate(until, usegmt=True)))
    http(service).encode(TEXTS)
    assert until - 0.01 <= time.time() < until + 1.5
    assert len(service.seen) == 2


def test_attempts_are_bounded(service: Service) -> None:
    """After the last attempt the error says what was tried, for how long and what came."""
    service.always = refuse(503, "overloaded")
    with pytest.raises(EncodingFailed, match=r"503: overloaded; given up after 3 attempts in \d+ s; attempts="):
        http(service).encode(TEXTS)
    assert len(service.seen) == 3


def test_time_is_bounded(service: Service) -> None:
    """A wait that would end after `retry_seconds` is not begun."""
    service.always = refuse(429, Retry_After="3600")
    start = time.monotonic()
    with pytest.raises(EncodingFailed, match="asks to wait 3600 s; given up after 1 attempts"):
        http(service, attempts=10).encode(TEXTS)
    service.always = refuse(429, Retry_After="0.2")
    with pytest.raises(EncodingFailed, match="given up"):
        http(service, attempts=1000, retry_seconds=0.5).encode(TEXTS)
    assert time.monotonic() - start < 3


def test_a_service_that_is_not_there_is_named(service: Service) -> None:
    """A refused connection is tried again, then the address is in the error and the library's error its cause."""
    with serving() as gone:
        url = gone.url
    with pytest.raises(EncodingFailed, match=rf"{url}/embeddings gave no answer \(ConnectError.*2 attempts") as failure:
        Encoder.http(url, "bag", dim=DIM, attempts=2, backoff=0.01).encode(["a"])
    assert type(failure.value.__cause__).__name__ == "ConnectError"


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(413),
        refuse(400, "Requested 312000 tokens, max 300000 tokens per request"),
        refuse(400, "too many tokens"),
        refuse(422, "Invalid 'input': array too long. Expected an array with maximum length 3"),
    ],
)
def test_requests_that_are_too_large_are_halved(service: Service, refusal: Behaviour) -> None:
    """Texts of a request that the service finds too large come in smaller ones, and in order."""
    service.always = at_most(3, refusal)
    texts = [text_of(number) for number in range(10)]
    np.testing.assert_allclose(http(service).encode(texts), expected(texts), atol=1e-6)
    assert max(size for size in service.sizes if size <= 3) == 3
    assert sum(size for size in service.sizes if size <= 3) == 10


def test_a_text_that_is_too_large_alone_is_named(service: Service) -> None:
    """Where halving ends, the one text is refused by its index with what the service said."""
    refusal = refuse(400, "maximum context length is 8 tokens")
    service.always = lambda handler, body: (refusal if "long" in body["input"] else answer)(handler, body)
    with pytest.raises(InvalidInput, match=r"text 5 is too large for the service.*maximum context length"):
        http(service).encode(["a", "b", "c", "d", "e", "long", "f"])
