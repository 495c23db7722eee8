"""Encoders made of services: what is sent, which answers are refused, how failures, rates and limits are handled."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossfade as cf
from crossfade.encoder import Encoder, Spent
from crossfade.encoder.service import ServiceOptions, Settings
from crossfade.errors import EncoderMissing, EncodingFailed, InvalidInput, ModelError
from embedding_service import (
    DIM,
    KEY,
    TEXTS,
    Behaviour,
    Service,
    altered,
    answer,
    change,
    expected,
    http,
    refuse,
    said,
    serving,
    slowly,
)
from support import documents, is_first, text_of

ROOT = Path(__file__).resolve().parent.parent


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
    with pytest.raises(ModelError, match="can't be counted"):
        encoder.split_words(["a"])


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
