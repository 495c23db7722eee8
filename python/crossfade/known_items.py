"""Known items: queries made from documents, each of which has one right answer, for collections without judged ones.

A query is a part of a document that stands for it: its title, else its first sentence, else its keyphrases. The
document it must find is what is left without that part, which has to be embedded anew: else a model that only matches
words would look perfect. Documents in, queries out; nothing is read or embedded here. Such queries are easier than
users' and worded like documents, so that whatever is measured with them is provisional.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from crossfade.document import Document

# Columns of a terminal; a Chinese or Japanese character takes two, and says as much as two letters and more.
SHORTEST_QUERY, LONGEST_QUERY, SHORTEST_REST = 10, 200, 40
KEYWORDS = 4
SHORTEST_KEYWORD = 3

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n+")
_WORD = re.compile(r"\w+")

Kind = Literal["title", "first sentence", "keyphrases"]


@dataclasses.dataclass(frozen=True)
class KnownItem:
    """A query made from a document.

    Args:
        query: Its text.
        id: The document's id.
        rest: The document without the query; of keyphrases, which can't be taken out of a text, the whole content.
        kind: What the query is of its document.
    """

    query: str
    id: str
    rest: str
    kind: Kind


def known_items(documents: Iterable[Document]) -> list[KnownItem]:
    """A query for each document that one can be made of; those that several documents would have are left out.

    Keyphrases are the four words of a text with the highest tf·idf, in the order of their first appearance; idf is that
    of the documents given.

    Example:
        >>> reset = Document("a1", "Open the settings and choose a new one, twice.", title="Reset a password")
        >>> known_items([reset])[0].query
        'Reset a password'
    """
    given = list(documents)
    frequency = collections.Counter(word for document in given for word in set(_words(document.content)))
    items = [item for document in given if (item := _item(document, frequency, len(given)))]
    counts = collections.Counter(item.query.casefold() for item in items)
    return [item for item in items if counts[item.query.casefold()] == 1]


def _item(document: Document, frequency: collections.Counter[str], count: int) -> KnownItem | None:
    if document.title:
        title, text = _plain(document.title), _without(document.text, document.title)
        if _usable(title, text):
            return KnownItem(title, document.id, text, "title")
    sentence, *others = [part for part in _SENTENCE_END.split(document.text.strip()) if part.strip()] or [""]
    rest = _without(" ".join(others), sentence)
    if _usable(_plain(sentence), rest):
        return KnownItem(_plain(sentence), document.id, rest, "first sentence")
    words = _keywords(_words(document.content), frequency, count)
    if len(words) == KEYWORDS and _width(document.content) >= SHORTEST_REST:
        return KnownItem(" ".join(words), document.id, document.content, "keyphrases")
    return None


def _usable(query: str, rest: str) -> bool:
    return SHORTEST_QUERY <= _width(query) <= LONGEST_QUERY and _width(rest) >= SHORTEST_REST


def _keywords(words: Sequence[str], frequency: collections.Counter[str], count: int) -> list[str]:
    long = collections.Counter(word for word in words if len(word) >= SHORTEST_KEYWORD)
    weights = {word: times * math.log((1 + count) / frequency[word]) for word, times in long.items()}
    best = sorted(weights, key=lambda word: (-weights[word], word))[:KEYWORDS]
    return sorted(best, key=list(long).index)


def _without(text: str, part: str) -> str:
    """The text without what says the same as the part, however it is spaced and capitalised."""
    words = part.split()
    pattern = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
    return _plain(pattern.sub(" ", text) if words else text)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
