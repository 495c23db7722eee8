"""Packing: which texts go into which request, by their number and by their tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from crossfade._values import shown
from crossfade.errors import EncodingFailed, InvalidInput

CHARACTERS_PER_TOKEN = 4

CountTokens = Callable[[str], int]


class TooLarge(EncodingFailed):
    """The service refused a request for its size: half of it may pass."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Consecutive texts of a call that one request carries.

    Args:
        start: Where its rows begin among those of the call.
        places: What messages call the texts.
        texts: The texts.
        tokens: How many tokens each is taken to have.
    """

    start: int
    places: Sequence[int]
    texts: Sequence[str]
    tokens: Sequence[int]

    def halves(self) -> tuple[Part, Part]:
        """Its texts in two requests."""
        half = len(self.texts) // 2
        return (
            Part(self.start, self.places[:half], self.texts[:half], self.tokens[:half]),
            Part(self.start + half, self.places[half:], self.texts[half:], self.tokens[half:]),
        )


def estimated_tokens(text: str) -> int:
    """Tokens of a text, guessed from its characters: one for four ASCII characters, one for any other.

    Near the truth for English prose and on the safe side for most other scripts; code, numbers and rare words can
    have twice as many.

    Example:
        >>> estimated_tokens("How do I reset my password?"), estimated_tokens("東京")
        (7, 2)
    """
    plain = len(text.encode("ascii", "ignore"))
    return -(-plain // CHARACTERS_PER_TOKEN) + len(text) - plain


def pack(tokens: Sequence[int], max_items: int, max_tokens: int) -> list[range]:
    """Indices of every request's texts, in order: as many as its two limits let in.

    Args:
        tokens: Tokens of every text; one of more than `max_tokens` has a request of its own.
        max_items: Most texts of a request.
        max_tokens: Most tokens of a request.

    Example:
        >>> pack([5, 5, 5, 9, 1], max_items=2, max_tokens=10)
        [range(0, 2), range(2, 3), range(3, 5)]
    """
    requests = []
    start = total = 0
    for index, count in enumerate(tokens):
        if index > start and (index - start == max_items or total + count > max_tokens):
            requests.append(range(start, index))
            start, total = index, 0
        total += count
    if tokens:
        requests.append(range(start, len(tokens)))
    return requests


def counted(texts: Sequence[str], places: Sequence[int], count_tokens: CountTokens | None, most: int) -> list[int]:
    """Tokens of every text.

    Args:
        texts: The texts as they are sent, prefixes included.
        places: What messages call them.
        count_tokens: Counts the tokens of one; `estimated_tokens` where None.
        most: Tokens that a text may have.

    Raises:
        InvalidInput: A text has more, or `count_tokens` gave no number.
        EncodingFailed: `count_tokens` raised.
    """
    count, about = (count_tokens, "") if count_tokens else (estimated_tokens, "about ")
    try:
        tokens = [count(text) for text in texts]
    except Exception as error:  # the boundary to a foreign callable: whatever it raises is its failure
        raise EncodingFailed(f"count_tokens raised {type(error).__name__}: {error}") from error
    for index, number in zip(places, tokens, strict=True):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidInput(f"count_tokens must give a number of tokens, it gave {shown(number)} for text {index}")
        if number > most:
            advice = "" if count_tokens else ", or give count_tokens= for an exact number"
            raise InvalidInput(
                f"text {index} has {about}{number:,} tokens, the service takes {most:,}; split it{advice}. "
                "It is not cut, since that would lose its end without a word"
            )
    return tokens
