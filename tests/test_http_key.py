"""Services: the key is sent to the service, and stands nowhere else."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

import crossfade as cf
from crossfade.encoder import Encoder
from crossfade.errors import CrossfadeError, EncodingFailed, InvalidInput
from embedding_service import (
    KEY,
    TEXTS,
    Behaviour,
    Service,
    altered,
    answer,
    change,
    hang_up,
    http,
    refuse,
    reset,
    said,
    serving,
    slowly,
)
from support import documents, text_of, wrapped


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
