"""Encoders made of services: what is sent, which answers are refused, how failures, rates and limits are handled."""

from __future__ import annotations

import email.utils
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossfade as cf
from crossfade.encoder import Encoder, Spent
from crossfade.encoder.service import ServiceOptions, Settings
from crossfade.errors import CrossfadeError, EncoderMissing, EncodingFailed, InvalidInput, ModelError, SpendLimitReached
from embedding_service import (
    Behaviour,
    Service,
    altered,
    answer,
    at_most,
    hang_up,
    refuse,
    reset,
    said,
    serving,
    slowly,
)
from support import bag_of_words, documents, is_first, text_of, wrapped

ROOT = Path(__file__).resolve().parent.parent
DIM, SEED = 8, 1
KEY = "sk-test-Zq81mmvT0pSecretK3y"
TEXTS = ["one fish", "two fish", "red fish", "blue fish and more"]


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(DIM, SEED) as running:
        yield running


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_API_KEY", KEY)
    return "TEST_API_KEY"


def http(service: Service, **options: Any) -> Encoder:
    """An encoder of the service that is quick to try again."""
    return Encoder.http(service.url, "bag", **{"dim": DIM, "backoff": 0.01, "attempts": 3, "timeout": 5, **options})


def expected(texts: list[str]) -> Any:
    return Encoder.wrap(bag_of_words(DIM, SEED), cf.Space(model="bag", dim=DIM)).encode(texts)


def no_thread_is_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("crossfade-http")]


# What is sent


def test_rows_come_in_the_order_of_the_texts(service: Service) -> None:
    """Items of an answer are placed by their index, and rows are float32 of length one, as those of a callable."""
    rows = http(service).encode(TEXTS)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected(TEXTS), atol=1e-6)
    assert http(service).encode([]).shape == (0, DIM)
    assert len(service.seen) == 1


def test_a_request_is_what_the_protocol_wants(service: Service) -> None:
    """It posts model, texts with their prefix and the format to /embeddings, and no key where none is named."""
    encoder = http(service, document_prefix="passage: ", query_prefix="query: ")
    encoder.encode(["a"])
    encoder.encode(["b"], "query")
    _, path, headers, body = service.seen[0]
    assert path == "/v1/embeddings"
    assert body == {"model": "bag", "input": ["passage: a"], "encoding_format": "float"}
    assert "Authorization" not in headers
    assert service.bodies[1]["input"] == ["query: b"]


def test_options_of_a_request_are_sent(service: Service, key: str) -> None:
    """The key goes as a bearer token, and dimensions and a query string as they are given."""
    encoder = Encoder.http(service.url + "/embeddings?api-version=2", "bag", dim=DIM, dimensions=DIM, key_env=key)
    encoder.encode(["a"])
    _, path, headers, body = service.seen[0]
    assert path == "/v1/embeddings?api-version=2"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["dimensions"] == DIM
    assert "api-version" not in str(encoder.engine)


def test_base64_gives_the_same_rows(service: Service) -> None:
    """The shorter format changes nothing."""
    rows = http(service, encoding_format="base64").encode(TEXTS)
    assert service.bodies[0]["encoding_format"] == "base64"
    np.testing.assert_allclose(rows, expected(TEXTS), atol=1e-6)


def test_connections_are_used_again(service: Service) -> None:
    """Calls one after the other share a connection."""
    encoder = http(service)
    for _ in range(3):
        encoder.encode(["a"])
    assert len(service.connections) == 1


def test_the_space_is_made_of_model_version_and_dim(service: Service) -> None:
    """There are no weights to hash: another version or model is another Space, limits and rates are not."""
    space = http(service).space
    assert space == cf.Space(model="bag", dim=DIM)
    assert http(service, max_items=3, concurrency=1).space == space
    assert http(service, version="2").space.fingerprint != space.fingerprint
    encoder = http(service)
    assert encoder.name is None
    assert "'bag'" in repr(encoder)
    with pytest.raises(ModelError, match="can't be counted"):
        encoder.count_tokens(["a"])


# Packing


def test_requests_are_packed_by_texts_and_by_tokens(service: Service) -> None:
    """No request has more texts or more estimated tokens than allowed, and none is sent for less than it could hold."""
    texts = [text_of(number) for number in range(25)]
    seen: list[int] = []
    rows = http(service, max_items=10).encode(texts, progress=seen.append)
    assert sorted(service.sizes) == [5, 10, 10]
    assert seen[-1] == 25
    assert seen == sorted(seen)
    np.testing.assert_allclose(rows, expected(texts), atol=1e-6)
    service.seen.clear()
    http(service, max_request_tokens=40, max_tokens_per_text=40, count_tokens=lambda text: 13).encode(texts[:7])
    assert sorted(service.sizes) == [1, 3, 3]


def test_long_texts_are_refused_before_anything_is_sent(service: Service) -> None:
    """A text above the limit is named by its index and never cut; what counts its tokens can be given."""
    texts = [f"short{number}" for number in range(20)] + ["x" * 41]
    with pytest.raises(InvalidInput, match=r"text 20 has about 11 tokens.*takes 10.*count_tokens="):
        http(service, max_tokens_per_text=10, max_items=4).encode(texts)
    assert service.seen == []
    http(service, max_tokens_per_text=10, count_tokens=lambda text: 1).encode(texts)
    with pytest.raises(InvalidInput, match="text 0 has 11 tokens"):
        http(service, max_tokens_per_text=10, count_tokens=lambda text: 11).encode(texts)
    with pytest.raises(InvalidInput, match="must give a number"):
        http(service, count_tokens=lambda text: None).encode(texts)
    with pytest.raises(EncodingFailed, match="count_tokens raised ZeroDivisionError"):
        http(service, count_tokens=lambda text: 1 // 0).encode(texts)


# Several at a time


def test_requests_run_side_by_side_within_the_bound(service: Service) -> None:
    """As many as `concurrency` are under way at a time, no more, and no thread is left behind."""
    service.always = slowly(0.2)
    start = time.monotonic()
    rows = http(service, max_items=1, concurrency=3).encode(TEXTS + TEXTS[:2])
    assert service.most_active == 3
    assert time.monotonic() - start < 1.0
    assert no_thread_is_left()
    np.testing.assert_allclose(rows, expected(TEXTS + TEXTS[:2]), atol=1e-6)


def test_one_failure_ends_the_call(service: Service) -> None:
    """What has not been sent by then is not, and waits for another attempt end."""
    service.script.append(refuse(429, Retry_After="30"))
    service.script.append(refuse(400))
    start = time.monotonic()
    with pytest.raises(EncodingFailed, match="answered 400"):
        http(service, max_items=1, concurrency=2, retry_seconds=60).encode([f"a{number}" for number in range(50)])
    assert time.monotonic() - start < 5
    assert len(service.seen) < 10
    assert no_thread_is_left()


@pytest.mark.parametrize("max_items", [1, 100], ids=["several requests", "one request"])
def test_an_interrupt_ends_a_call_at_once(service: Service, max_items: int) -> None:
    """Ctrl-C while requests are under way is a KeyboardInterrupt within moments, and leaves no thread."""
    service.always = slowly(60)
    encoder = http(service, max_items=max_items, timeout=60)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(TEXTS)
    assert time.monotonic() - start < 3
    assert no_thread_is_left()
    timer.join()
    service.always = answer
    np.testing.assert_allclose(encoder.encode(TEXTS), expected(TEXTS), atol=1e-6)


def test_an_interrupt_costs_other_calls_an_attempt_at_most(service: Service) -> None:
    """A call of another thread, over the same connections, gives its rows though this one is interrupted."""
    service.always = slowly(0.6)
    encoder = http(service, max_items=1)
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(encoder.encode(TEXTS)))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    other.start()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(TEXTS[::-1])
    other.join()
    timer.join()
    np.testing.assert_allclose(found[0], expected(TEXTS), atol=1e-6)
    assert no_thread_is_left()


def test_an_interrupt_ends_waits(service: Service) -> None:
    """Ctrl-C while everything waits for another attempt is a KeyboardInterrupt within moments."""
    service.always = refuse(503, Retry_After="60")
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        http(service, max_items=1).encode(TEXTS)
    assert time.monotonic() - start < 3
    assert no_thread_is_left()
    timer.join()


def test_a_forked_child_has_connections_of_its_own(service: Service) -> None:
    """Parent and child both go on encoding after a fork."""
    program = f"""
import os, sys
from crossfade.encoder import Encoder
encoder = Encoder.http({service.url!r}, "bag", dim={DIM})
first = encoder.encode(["a b"])
child = os.fork()
same = (encoder.encode(["a b"]) == first).all()
if child == 0:
    os._exit(0 if same else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or (0 if same else 4))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(service.seen) == 3
    assert len(service.connections) == 2


def test_libraries_come_with_the_first_request() -> None:
    """Importing the room and making an encoder loads no HTTP client and starts no thread."""
    program = """
import sys, threading
from crossfade.encoder import Encoder
Encoder.http("http://localhost:1", "m", dim=3)
sys.exit(str({"httpx2", "tenacity", "pyrate_limiter"} & set(sys.modules) or threading.active_count() - 1 or ""))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (1, ""), done.stderr


# Failures that pass, and those that don't


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


# Answers that can't be used


def change(function: Callable[[dict[str, Any]], Any]) -> Behaviour:
    def alter(body: dict[str, Any]) -> Any:
        function(body)
        return body

    return altered(alter)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (change(lambda body: body["data"].pop()), "given 4 texts, it gave 3 embeddings"),
        (change(lambda body: body["data"].append(body["data"][0])), "given 4 texts, it gave 5"),
        (change(lambda body: body["data"][0].update(index=0)), "index 0 twice"),
        (change(lambda body: body["data"][0].update(index=4)), "item 0 .* below 4, it has 4"),
        (change(lambda body: body["data"][0].update(index=-1)), "it has -1"),
        (change(lambda body: body["data"][0].update(index=True)), "it has True"),
        (change(lambda body: body["data"][0].update(index="1")), "it has '1'"),
        (change(lambda body: body["data"][1].pop("index")), "item 1 .* it has None"),
        (change(lambda body: body["data"].__setitem__(2, [1.0])), "item 2 .* it has None"),
        (change(lambda body: body["data"][0].pop("embedding")), "embedding of text 3 .* it is None"),
        (change(lambda body: body["data"][0].update(embedding=[])), r"it is \[\]"),
        (change(lambda body: body["data"][0].update(embedding="?")), "base64; it is '\\?'"),
        (change(lambda body: body["data"][0].update(embedding="AAAA")), "base64"),
        (change(lambda body: body["data"][0]["embedding"].pop()), "equal length"),
        (
            change(lambda body: [item["embedding"].pop() for item in body["data"]]),
            r"\(4, 8\), the encoder gave \(4, 7\)",
        ),
        (change(lambda body: body["data"][0]["embedding"].__setitem__(2, float("nan"))), "text 3 holds NaN"),
        (change(lambda body: body["data"][0]["embedding"].__setitem__(2, float("inf"))), "text 3 holds NaN or infin"),
        (change(lambda body: body["data"][0]["embedding"].__setitem__(2, None)), "must give numbers"),
        (change(lambda body: body["data"][0]["embedding"].__setitem__(2, "1")), "must give numbers"),
        (change(lambda body: body["data"][0].update(embedding=[0.0] * DIM)), "text 3 is zero"),
        (change(lambda body: body.pop("data")), "it gave an object with 'object', 'usage'"),
        (altered(lambda body: body["data"]), "it gave list"),
        (altered(lambda body: None), "it gave NoneType"),
        (said(b'{"data": [{"index": 0, "embed'), "must answer JSON.*embed.*JSONDecodeError"),
        (said(b""), "must answer JSON, it gave 'nothing'"),
        (said(b"\xff\xfe\xff"), "must answer JSON"),
        (said(b"<!doctype html><html><title>Sign in\n</title>"), "an HTML page, Sign in"),
        (said(b"[" * 100_000), "must answer JSON"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(service: Service, behaviour: Behaviour, message: str) -> None:
    """Wrong counts, indices, shapes, numbers and forms never become vectors, and are not asked for twice."""
    service.always = behaviour
    with pytest.raises(EncodingFailed, match=message):
        http(service).encode(TEXTS)
    assert len(service.seen) == 1


def test_error_pages_are_told_by_their_title(service: Service) -> None:
    """A gateway's HTML is not poured into the message."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>" + b"x" * 5000
    service.always = lambda handler, body: handler.reply(502, page)
    with pytest.raises(EncodingFailed, match="answered 502: an HTML page, 502 Bad Gateway; given up"):
        http(service).encode(TEXTS)


# Rates and spending


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


# The key


def everything_in(error: BaseException) -> str:
    """All that can be read from an exception, what led to it, and the frames it went through."""
    seen: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen[id(link)] = link
            waiting += [link.__cause__, link.__context__]
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts = ["".join(shown.format())]
    for link in seen.values():
        parts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        request = getattr(link, "_request", None)
        parts.append(repr(list(request.headers.raw)) if request is not None else "")
    return "\n".join(parts)


@pytest.mark.parametrize(
    "behaviour",
    [
        refuse(400, f"the key {KEY} is of another project"),
        refuse(401, f"Incorrect API key provided: {KEY}"),
        refuse(503, f"{KEY} {KEY}"),
        refuse(413, KEY),
        refuse(302, KEY, Location="http://localhost:1/"),
        said(b"no JSON but " + KEY.encode()),
        altered(lambda body: {KEY: 1}),
        change(lambda body: body["data"][0].update(embedding=KEY)),
        change(lambda body: body["data"][0].update(index=KEY)),
        reset,
        hang_up,
        slowly(5),
    ],
    ids=["400", "401", "503", "413", "302", "no JSON", "form", "embedding", "index", "reset", "cut", "timeout"],
)
def test_the_key_is_in_no_error(
    service: Service, key: str, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails, and even if the service repeats it: no message, cause, argument, frame or log holds the key."""
    caplog.set_level(logging.DEBUG)
    service.always = behaviour
    encoder = http(service, key_env=key, timeout=0.2, attempts=2)
    with pytest.raises(CrossfadeError) as failure:
        encoder.encode(["a", "b"])
    assert service.seen[0][2]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in everything_in(failure.value)
    assert KEY not in caplog.text
    assert caplog.text


def test_the_key_is_in_no_object(service: Service, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the encoder nor its parts keep it: only the environment does, and is read for every request."""
    encoder = http(service, key_env=key)
    encoder.encode(TEXTS)
    assert KEY not in repr(encoder) + repr(encoder.engine) + repr(encoder.space)
    assert KEY not in repr([vars(encoder), vars(encoder._backend), vars(encoder._backend._client)])  # type: ignore[attr-defined]
    assert KEY not in "".join(capfd.readouterr())


def test_a_new_key_is_used_at_once(service: Service, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who changes the environment variable changes the next request."""
    encoder = http(service, key_env=key)
    encoder.encode(["a"])
    monkeypatch.setenv(key, "another")
    encoder.encode(["a"])
    assert [headers["Authorization"] for _, _, headers, _ in service.seen] == [f"Bearer {KEY}", "Bearer another"]


def test_a_missing_or_broken_key_is_told_without_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is missing or holds what no header can is an error that names the variable only."""
    with pytest.raises(InvalidInput, match=r"variable NO_SUCH_KEY must hold the key of http.*holds nothing"):
        http(service, key_env="NO_SUCH_KEY")
    for tail in ("\nX-Evil: 1", "é"):
        monkeypatch.setenv("BROKEN_KEY", KEY + tail)
        with pytest.raises(InvalidInput, match=r"printable ASCII; it holds something else") as failure:
            http(service, key_env="BROKEN_KEY")
        assert KEY not in everything_in(failure.value)
    monkeypatch.setenv("PADDED_KEY", f" {KEY}\n")
    http(service, key_env="PADDED_KEY").encode(["a"])
    assert service.seen[0][2]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(service: Service, key: str, status: int) -> None:
    """Another host gets neither the key nor a request; the error says where it was to go."""
    with serving() as other:
        service.always = refuse(status, Location=f"{other.url}/{KEY}?key={KEY}")
        with pytest.raises(EncodingFailed, match=rf"redirects to '{other.url}/\[key\]'.*not followed") as failure:
            http(service, key_env=key).encode(["a"])
        assert KEY not in everything_in(failure.value)
        assert other.seen == []
    assert len(service.seen) == 1


def test_collections_live_with_services(service: Service, key: str, tmp_path: Path) -> None:
    """Created, migrated, cut over and opened again with a service, a collection finds what it holds, and no key."""
    folder = tmp_path / "kb.cf"
    with serving(16, 5) as second:
        first_encoder = http(service, key_env=key)
        next_encoder = Encoder.http(second.url, "better", dim=16, key_env=key)
        with cf.Collection.create(folder, first_encoder) as docs:
            docs.upsert(documents(300))
            is_first(docs, 7)
            fade = docs.migrate(next_encoder)
            fade.run()
            fade.cutover()
            is_first(docs, 7, 250)
        with cf.Collection.open(folder, Encoder.http(second.url, "better", dim=16)) as docs:
            is_first(docs, 7, 250)
        with cf.Collection.open(folder) as docs, pytest.raises(EncoderMissing, match=r"service.*hand it in again"):
            docs.search("anything")
    contents = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"better" in contents
    assert KEY.encode() not in contents


def test_what_a_service_says_of_documents_is_stored_without_the_key(service: Service, key: str, tmp_path: Path) -> None:
    """Why a document could not be embedded is kept in the catalog; the key it was refused with is not."""
    bad = text_of(3)
    service.always = lambda handler, body: (
        refuse(400, f"{KEY} may not embed this") if bad in body["input"] else answer
    )(handler, body)
    with cf.Collection.create(tmp_path / "kb.cf", wrapped("old", 16, 2)) as docs:
        docs.upsert(documents(20))
        fade = docs.migrate(http(service, key_env=key))
        fade.run()
        assert fade.status().failed == 1
    contents = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"may not embed this" in contents
    assert KEY.encode() not in contents


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_items": 0}, "max_items must be a positive whole number, got int"),
        ({"max_request_tokens": 1.5}, "max_request_tokens"),
        ({"max_tokens_per_text": True}, "max_tokens_per_text"),
        ({"concurrency": 0}, "concurrency"),
        ({"attempts": 0}, "attempts"),
        ({"requests_per_minute": 0}, "requests_per_minute must be a positive whole number or None"),
        ({"tokens_per_minute": "many"}, "tokens_per_minute"),
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"timeout": float("inf")}, "timeout"),
        ({"retry_seconds": -1}, "retry_seconds"),
        ({"backoff": None}, "backoff"),
        ({"price_per_million_tokens": -1}, "price_per_million_tokens must be an amount of money"),
        ({"price_per_million_tokens": float("nan")}, "price_per_million_tokens"),
        ({"spend_limit": 5}, "spend_limit needs price_per_million_tokens"),
        ({"key_env": ""}, r"key_env must be the name of an environment variable .* not the key itself"),
        ({"key_env": KEY}, "key_env must be the name"),
        ({"key_env": 3}, "key_env"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"count_tokens": 3}, "count_tokens"),
        ({"dimensions": 3}, "dimensions=3 must be equal to dim=8"),
        ({"temperature": 1}, "no option temperature; see crossfade.encoder.ServiceOptions"),
        ({"dim": 0}, "dim"),
    ],
)
def test_arguments_are_checked(service: Service, options: dict[str, Any], message: str) -> None:
    """What can't be used is refused before the first request, and says what was expected."""
    with pytest.raises(InvalidInput, match=message) as failure:
        http(service, **options)
    assert KEY not in str(failure.value)


@pytest.mark.parametrize(
    "url", ["", "api.openai.com/v1", "ftp://host/v1", "https://", "http://host:port/", "http://[::1", None, 3]
)
def test_urls_are_checked(url: Any) -> None:
    """A url has a scheme and a host."""
    with pytest.raises(InvalidInput, match="url must be like"):
        Encoder.http(url, "m", dim=3)


@pytest.mark.parametrize("host", ["a..b", "xn--ü.example", "localhost:0"])
def test_hosts_that_cannot_be_are_failures_of_the_encoder(host: str, key: str) -> None:
    """What the HTTP library refuses in its own ways comes out as EncodingFailed, with the address."""
    encoder = Encoder.http(f"http://{host}/v1", "m", dim=3, key_env=key, attempts=1)
    with pytest.raises(EncodingFailed, match=f"http://{host}/v1/embeddings gave no answer") as failure:
        encoder.encode(["a"])
    assert KEY not in everything_in(failure.value)


def test_a_url_holds_no_secret() -> None:
    """A password in a url is refused without repeating it; a query string is sent but not shown or stored."""
    with pytest.raises(InvalidInput, match="no user or password") as failure:
        Encoder.http(f"https://me:{KEY}@host/v1", "m", dim=3)
    assert KEY not in str(failure.value)
    encoder = Encoder.http(f"https://host:8443/v1?token={KEY}", "m", dim=3)
    assert encoder.engine["url"] == "https://host:8443/v1/embeddings"
    assert KEY not in repr(encoder)


def test_options_and_defaults_agree() -> None:
    """Every option that can be given has a default, and its line in the documentation."""
    names = set(ServiceOptions.__annotations__)
    assert names == set(Settings.__dataclass_fields__)
    assert [name for name in names if name not in (ServiceOptions.__doc__ or "")] == []


def test_the_example_of_the_readme_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README shows makes an encoder, and sends nothing."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "Encoder.http" in block]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    names: dict[str, Any] = {"cf": cf}
    exec(compile(block, "README.md", "exec"), names)
    assert names["encoder"].space == cf.Space(model="text-embedding-3-small", dim=1536)
    assert names["encoder"].spent == Spent(0, 0, 0.0)


def test_connections_end_with_the_encoder(service: Service) -> None:
    """Nobody has to close an encoder: with the last reference to it its connections are closed."""
    encoder = http(service)
    encoder.encode(["a"])
    (connection,) = service.connections
    del encoder
    gc.collect()
    deadline = time.monotonic() + 5
    while connection.fileno() >= 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert connection.fileno() < 0
