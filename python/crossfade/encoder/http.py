"""One request to an OpenAI-compatible service, and what its answer must be.

The key is read from the environment for every request and kept nowhere. What httpx2 raises carries the request with its
headers, and its frames hold them as locals: both are taken off before an exception leaves this module.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crossfade._forks import lock
from crossfade.errors import EncodingFailed, InvalidInput

from .answers import told
from .pacing import Transient, seconds_to_wait
from .packing import TooLarge

if TYPE_CHECKING:
    import httpx2

PATH = "/embeddings"
CONNECT_SECONDS = 10.0
KEEP_SECONDS = 30.0  # a connection that nothing uses; a search now and then should not wait for a handshake
_TOO_LARGE = re.compile(
    r"too (many|large|long)|max\w*.{0,60}(tokens|length)|(tokens|length).{0,60}max|context.length", re.IGNORECASE
)
_SIZE_STATUS = (400, 413, 422)
_PASSING_STATUS = (408, 409, 429)
# An account without money answers 429 too, and goes on doing so.
_LASTING = "insufficient_quota"
_HINTS = {
    401: "is the key in the environment variable that key_env names a good one?",
    403: "is the key in the environment variable that key_env names a good one?",
    404: f"are url and model right? {PATH} is added to a url that does not end with it",
}


class Client:
    """Sends texts to a service; safe to use from any number of threads, over one pool of connections.

    Args:
        url: The service: its base, or the address itself where that ends with /embeddings.
        fields: What a request holds beside its texts.
        key_env: Name of the environment variable with the key; None where the service asks for none.
        timeout: Seconds to wait for each step of an answer.

    Raises:
        InvalidInput: The url can't be used, or the variable holds no key.
    """

    def __init__(self, url: str, fields: dict[str, Any], key_env: str | None, timeout: float) -> None:
        self._url, self.shown = _addresses(url)
        self._fields = fields
        self._key_env = key_env
        self._timeout = timeout
        self._pools: dict[int, httpx2.Client] = {}
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = lock()
        self._key()

    def post(self, texts: list[str], stop: threading.Event) -> bytes:
        """The body of the answer to one request.

        Args:
            texts: The texts.
            stop: A connection that is made after it is set is cut at once.

        Raises:
            Transient: No answer came, or one that asks to try again.
            TooLarge: The service takes less at a time.
            EncodingFailed: It refused for another reason.
        """
        answer, cause = self._send(texts, stop)
        if isinstance(answer, EncodingFailed):
            raise answer from cause
        return answer

    def cut(self) -> None:
        """Cuts all its connections. Threads that wait for an answer get an error; another call's try again."""
        with self._lock:
            sockets = list(self._sockets)
        for connection in sockets:
            _shut(connection)

    def _send(self, texts: list[str], stop: threading.Event) -> tuple[bytes | EncodingFailed, Exception | None]:
        """A body, or a failure and its cause, which is given and not raised: requests and responses hold the key."""
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body, extensions = {**self._fields, "input": texts}, {"trace": self._watch(stop)}
        try:
            response = self._pool().post(self._url, json=body, headers=headers, extensions=extensions)
        except Exception as error:  # the boundary to a library: whatever it raises, its frames hold the key
            return self._lost(error), _bare(error, self.shown)
        content = _without(key, response.content)
        if response.status_code == 200:
            return content, None
        location = _without(key, response.headers.get("location", "").encode()).decode()
        return self._refusal(response, told(content), location), None

    def _key(self) -> str | None:
        if self._key_env is None:
            return None
        if not _is_key(os.environ.get(self._key_env, "").strip()):
            found = "something else" if os.environ.get(self._key_env) else "nothing"
            raise InvalidInput(
                f"the environment variable {self._key_env} must hold the key of {self.shown}, one line of printable "
                f"ASCII; it holds {found}"
            )
        return os.environ[self._key_env].strip()

    def _pool(self) -> httpx2.Client:
        # A forked child must not use, nor close, the connections of its parent: it gets a pool of its own.
        process = os.getpid()
        pool = self._pools.get(process)
        if pool is None:
            import httpx2

            timeout = httpx2.Timeout(self._timeout, connect=min(self._timeout, CONNECT_SECONDS))
            limits = httpx2.Limits(keepalive_expiry=KEEP_SECONDS)
            made = httpx2.Client(timeout=timeout, limits=limits, follow_redirects=False)
            pool = self._pools.setdefault(process, made)
            if pool is made:
                weakref.finalize(self, _close, made, process)
        return pool

    def _watch(self, stop: threading.Event) -> Any:
        """Gets to know every socket as soon as it exists."""

        def watch(event: str, info: dict[str, Any]) -> None:
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                connection = info["return_value"].get_extra_info("socket")
                with self._lock:
                    self._sockets.add(connection)
                if stop.is_set():
                    _shut(connection)

        return watch

    def _lost(self, error: Exception) -> EncodingFailed:
        import httpx2

        message = f"{self.shown} gave no answer ({type(error).__name__}: {error})"
        unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
        passing = isinstance(error, httpx2.TransportError) and not isinstance(
            error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError
        )
        if isinstance(error, httpx2.ReadTimeout):
            message += f" in {self._timeout:g} s; timeout= sets how long to wait"
        return Transient(message, sent=not unsent) if passing else EncodingFailed(message)

    def _refusal(self, response: httpx2.Response, said: str, location: str) -> EncodingFailed:
        status = response.status_code
        message = f"{self.shown} answered {status}: {said}"
        if response.is_redirect:
            return EncodingFailed(
                f"{self.shown} redirects to {location.partition('?')[0]!r:.200}; redirects are not followed, so that "
                "the key goes nowhere else: give that url if it is the service's"
            )
        if (status in _PASSING_STATUS or status >= 500) and _LASTING not in said:
            return Transient(message, retry_after=seconds_to_wait(response.headers.get("retry-after")))
        if status == 413 or (status in _SIZE_STATUS and _TOO_LARGE.search(said)):
            return TooLarge(message)
        return EncodingFailed(f"{message}; {_HINTS[status]}" if status in _HINTS else message)

    def __repr__(self) -> str:
        return f"Client({self.shown!r}, key_env={self._key_env!r})"


def _is_key(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def _without(key: str | None, content: bytes) -> bytes:
    """What a service said, as it may be shown: some repeat the key."""
    for form in (key, key.replace("/", "\\/")) if key else ():
        content = content.replace(form.encode(), b"[key]")
    return content


def _addresses(url: str) -> tuple[str, str]:
    """Where requests go, and the same without what may be secret in it."""
    parts = port = None
    with contextlib.suppress(ValueError):  # of urlsplit, and of a port that is none
        split = urlsplit(url if isinstance(url, str) else "")
        parts, port = split, split.port
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("url must be like https://api.openai.com/v1, with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise InvalidInput("url must hold no user or password; put the key in an environment variable, key_env= names")
    path = parts.path.rstrip("/")
    path = path if path.endswith(PATH) else path + PATH
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"
    return parts._replace(path=path, fragment="").geturl(), shown


def _bare(error: Exception, shown: str) -> Exception:
    """The exception and what led to it, without the request and the frames that hold the key."""
    import httpx2

    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        if isinstance(link, httpx2.RequestError):
            link.request = httpx2.Request("POST", shown)
        link = link.__cause__ or link.__context__
    return error


def _shut(connection: socket.socket) -> None:
    # Of the base class: an encrypted socket would first take away what another thread is reading with.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _close(pool: httpx2.Client, process: int) -> None:
    if os.getpid() == process:
        pool.close()
