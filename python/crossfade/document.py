"""Document: what a user stores and what a search gives back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from blake3 import blake3

from crossfade._values import check_text, json_copy, shown
from crossfade.errors import InvalidInput

MAX_ID_CHARACTERS = 1_024
TEXT_HASH_BYTES = 16


@dataclasses.dataclass(frozen=True)
class Document:
    """A text with an id, and what goes with it.

    Args:
        id: Unique in its collection; at most 1,024 characters.
        text: What is embedded; must hold something other than white space.
        title: Put before the text, with a space, when it is embedded.
        meta: JSON values by field name; `search(filter=…)` selects by them. A change of it re-embeds nothing.
        updated_at: When the text was last changed, as a datetime or in Unix seconds; kept as Unix seconds.
        priority: Higher is re-embedded earlier.

    Raises:
        InvalidInput: A field can't be stored; the message names the document.

    Example:
        >>> Document("a1", "How do I reset my password?", title="Accounts").content
        'Accounts How do I reset my password?'
    """

    id: str
    text: str
    title: str | None = dataclasses.field(default=None, kw_only=True)
    meta: Mapping[str, Any] | None = dataclasses.field(default=None, kw_only=True)
    updated_at: float | datetime | None = dataclasses.field(default=None, kw_only=True)
    priority: float = dataclasses.field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        check_id(self.id)
        name = f"document {self.id!r}"
        check_text(self.text, f"the text of {name}")
        if not self.text or self.text.isspace():
            raise InvalidInput(f"{name} needs a text to embed, but its text is empty; leave it out or delete it")
        if self.title is not None:
            check_text(self.title, f"the title of {name}")
        object.__setattr__(self, "updated_at", _seconds(self.updated_at, name))
        object.__setattr__(self, "priority", _finite(self.priority, f"the priority of {name}"))
        object.__setattr__(self, "meta", _checked_meta(self.meta, name))

    @property
    def content(self) -> str:
        """What is embedded: title and text, joined with a space."""
        return f"{self.title} {self.text}" if self.title else self.text

    @property
    def text_hash(self) -> bytes:
        """16 bytes of BLAKE3 over `content`; equal hashes need no new vector."""
        return text_hash(self.content)


def text_hash(content: str) -> bytes:
    """16 bytes of BLAKE3 over the UTF-8 of a text."""
    return hash_bytes(content.encode())


def hash_bytes(content: bytes) -> bytes:
    """16 bytes of BLAKE3 over a text that is UTF-8 already."""
    digest: bytes = blake3(content).digest(TEXT_HASH_BYTES)
    return digest


def check_id(identifier: object) -> str:
    """The id of a document, or InvalidInput where it can't be one."""
    if not isinstance(identifier, str) or not identifier:
        raise InvalidInput(f"a document id must be a non-empty string, got {shown(identifier)}")
    if len(identifier) > MAX_ID_CHARACTERS:
        raise InvalidInput(f"a document id may have {MAX_ID_CHARACTERS} characters, got {len(identifier)}")
    if "\0" in identifier:
        raise InvalidInput(f"a document id can't hold NUL, got {shown(identifier)}")
    check_text(identifier, "a document id")
    return identifier


def _finite(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"{name} must be a finite number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError as error:
        raise InvalidInput(f"{name} must be a finite number, got one beyond 1e308") from error
    if not math.isfinite(number):
        raise InvalidInput(f"{name} must be a finite number, got {shown(value)}")
    return number


def _seconds(value: float | datetime | None, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        try:
            return value.timestamp()
        except (OverflowError, ValueError, OSError) as error:
            raise InvalidInput(f"updated_at of {name} can't be told in Unix seconds: {value} ({error})") from error
    return _finite(value, f"updated_at of {name} (Unix seconds or a datetime)")


def _checked_meta(meta: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    if meta is None:
        return {}
    if not isinstance(meta, Mapping) or not all(isinstance(field, str) for field in meta):
        raise InvalidInput(f"the meta of {name} must map field names to JSON values, got {shown(meta)}")
    copy: dict[str, Any] = json_copy(dict(meta), f"the meta of {name}")
    return copy
