"""Texts: what users wrote, made fit to stand in a report."""

from __future__ import annotations

import re
import unicodedata

# Of a text that is to be cut, what could hold that many visible characters.
_BLANKS = 8
# Control characters, which no HTML may hold, and those that turn the direction of whatever text follows.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_WIDE = ("W", "F")


def excerpt(text: object, most: int) -> str:
    """A text in one line of at most `most` characters, with nothing that could disturb other text.

    White space becomes single spaces, lone surrogates and control characters U+FFFD, and marks that turn the
    direction of text are left out.

    Example:
        >>> excerpt("a  long\\ntext", 7)
        'a long…'
    """
    written = str(text)
    line = harmless(" ".join(written[: most * _BLANKS].split()))
    cut = len(line) > most or len(written) > most * _BLANKS
    return line[: most - 1].rstrip() + "…" if cut else line


def sentence(text: str) -> str:
    """The same text with a large letter at its beginning."""
    return text[:1].upper() + text[1:]


def harmless(text: str) -> str:
    """The same text, spaces and all, without what could disturb other text."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _HARMFUL.sub(lambda found: "\ufffd" if unicodedata.category(found[0]) == "Cc" else "", whole)


def width(text: str) -> int:
    """How many columns a text takes, if every letter takes one and a Chinese sign two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in _WIDE) for sign in text)
