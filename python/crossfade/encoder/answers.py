"""What a service's answer must be, and what a refusal says."""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import re
from typing import Any

import numpy as np

from crossfade._values import parse_json
from crossfade.errors import EncodingFailed

SHOWN_CHARACTERS = 300  # of what a service says in an error


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a service gave.

    Args:
        rows: Embeddings as they came, in the order of the texts.
        tokens: Tokens it counted, None where it did not say.
    """

    rows: list[Any]
    tokens: int | None


def read_answer(content: bytes, count: int) -> Answer:
    """The embeddings of `count` texts, put in the texts' order by the index each carries.

    Raises:
        EncodingFailed: The body is no JSON, not of the form {"data": [{"index": 0, "embedding": […]}, …]}, or an index
            is missing, comes twice or is out of range.
    """
    answer = _parsed(content)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        found = f"an object with {', '.join(map(repr, answer))}" if isinstance(answer, dict) else type(answer).__name__
        raise EncodingFailed(f'the service must answer {{"data": [one object a text]}}, it gave {found:.200}')
    if len(data) != count:
        raise EncodingFailed(f"the service was given {count} texts, it gave {len(data)} embeddings")
    rows: list[Any] = [None] * count
    for place, item in enumerate(data):
        index = item.get("index") if isinstance(item, dict) else None
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            raise EncodingFailed(f"item {place} of the answer must have an index below {count}, it has {index!r:.80}")
        if rows[index] is not None:
            raise EncodingFailed(f"the answer has the index {index} twice, each text's must come once")
        rows[index] = _numbers(item.get("embedding"), index)
    usage = answer.get("usage")
    tokens = usage.get("total_tokens", usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    known = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
    return Answer(rows, tokens if known else None)


def _numbers(embedding: Any, index: int) -> Any:
    """A list as it came, or the float32 numbers, least byte first, that a base64 string holds."""
    if isinstance(embedding, list) and embedding:
        return embedding
    if isinstance(embedding, str):
        with contextlib.suppress(binascii.Error, ValueError):
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    raise EncodingFailed(
        f"the embedding of text {index} of the answer must be a list of numbers, or float32 numbers in base64; "
        f"it is {embedding!r:.80}"
    )


def _parsed(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:  # not raised from it: it would keep the whole body
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, UnicodeError) else "no UTF-8"
    raise EncodingFailed(f"the service must answer JSON, it gave {told(content)!r} ({reason}); is the url right?")


def told(content: bytes) -> str:
    """What a body says, on one line and not too long."""
    text = " ".join(_message(content[:100_000].decode(errors="replace")).split()) or "nothing"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _message(text: str) -> str:
    """The message in the JSON forms that are in use, the title of an HTML page, or the text itself."""
    with contextlib.suppress(ValueError):
        answer = parse_json(text)
        error = answer.get("error", answer) if isinstance(answer, dict) else answer
        if not isinstance(error, dict):
            return str(error)
        message, code = error.get("message") or error.get("detail"), error.get("code")
        return (f"{message} ({code})" if code else str(message)) if message else text
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title or "<html" in text.lower():
        return f"an HTML page, {title[1].strip() if title else 'without a title'}"
    return text
