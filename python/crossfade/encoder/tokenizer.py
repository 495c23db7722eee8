"""Texts to token ids: what can't be encoded is refused before anything is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import tokenizers
from numpy.typing import NDArray

from crossfade._values import check_text, parse_json
from crossfade.errors import EncodingFailed, InvalidInput, ModelDamaged

from .batching import Ids

# A tokenizer works through the whole text before it truncates: a second for a megabyte. So a text is cut
# first, at eight times the four characters that a token has on average.
CHARACTERS_PER_TOKEN = 8 * 4
# Texts handed to the tokenizer at a time; bounds the memory of its results, which are far larger than the
# ids.
WINDOW = 512
PART = 1 << 16  # characters of a text that may be copied at a time

T = TypeVar("T")


class Tokens(NamedTuple):
    """Of every text its token ids, int64 `(tokens,)`, and whether they stand for its beginning only, bool `(n,)`."""

    ids: list[Ids]
    cut: NDArray[np.bool_]


class Pieces(NamedTuple):
    """Into how many tokens every word falls, int64 `(n,)`, and whether one of them is the unknown one, bool `(n,)`."""

    counts: NDArray[np.int64]
    unknown: NDArray[np.bool_]


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no text.

    Raises:
        InvalidInput: A text is no string, holds nothing but white space, or has lone surrogates; its index is
            named.
    """
    if isinstance(texts, str | bytes):
        raise InvalidInput("expected a list of texts, got a single one; put it in a list")
    if not isinstance(texts, Sequence | np.ndarray) or getattr(texts, "ndim", 1) == 0:
        raise InvalidInput(f"expected a list of texts, got {type(texts).__name__}; make a list of it")
    for index, text in enumerate(texts):
        check_text(text, f"text {index}")
        if not text or text.isspace():
            raise InvalidInput(f"text {index} is empty; leave it out, it has no meaning to encode")


class Tokenizer:
    """A tokenizer.json that truncates at `max_tokens` and never pads, whatever the file says.

    Args:
        content: The file.
        max_tokens: Where texts are cut, special tokens included.

    Raises:
        ModelDamaged: `content` is no tokenizer.
    """

    def __init__(self, content: bytes, max_tokens: int) -> None:
        try:
            self._inner = _guarded(lambda: tokenizers.Tokenizer.from_str(content.decode()))
        except (EncodingFailed, UnicodeDecodeError) as error:
            raise ModelDamaged(f"tokenizer.json can't be read ({error}); fetch it again") from error
        # The files of most MiniLM models ask for padding to 128 and truncation at 128.
        self._inner.no_padding()
        self._inner.enable_truncation(max_tokens)
        self._special = self._inner.num_special_tokens_to_add(False)
        self._max_characters = CHARACTERS_PER_TOKEN * max_tokens

    @property
    def largest_id(self) -> int:
        """The largest token id it can give."""
        return max(self._inner.get_vocab(with_added_tokens=True).values(), default=0)

    def __call__(self, texts: Sequence[str], prefix: str = "", places: Sequence[int] | None = None) -> Tokens:
        """Tokens of every text with `prefix` before it.

        A text longer than 32 characters a token is cut there, after its leading white space was dropped.

        Args:
            texts: Texts that passed `check_texts`.
            prefix: Put before each.
            places: What to call them in messages; 0, 1, … where None.

        Raises:
            InvalidInput: A text gives no token of its own; its index is named.
            EncodingFailed: The tokenizer failed.
        """
        floor = self._special + (len(self._encode([prefix])[0]) - self._special if prefix else 0)
        ids: list[Ids] = []
        cut = np.zeros(len(texts), dtype=np.bool_)
        for start in range(0, len(texts), WINDOW):
            window = [self._shortened(text) for text in texts[start : start + WINDOW]]
            cut[start : start + WINDOW] = [was_cut for _, was_cut in window]
            encodings = self._encode([prefix + text for text, _ in window])
            for index, encoding in enumerate(encodings, start):
                ids.append(np.array(encoding.ids, dtype=np.int64))
                cut[index] |= bool(encoding.overflowing)
                alone = window[index - start][0]
                if len(ids[index]) <= floor and len(self._encode([alone])[0]) <= self._special:
                    name = index if places is None else places[index]
                    raise InvalidInput(f"text {name} has no tokens: nothing in it is known to the tokenizer")
        return Tokens(ids, cut)

    def split(self, words: Sequence[str]) -> Pieces:
        """The tokens of words, each as it is in the middle of a text; special ones are not counted.

        Raises:
            EncodingFailed: The tokenizer failed.
        """
        unknown_id = self._unknown()
        counts, unknown = np.zeros(len(words), dtype=np.int64), np.zeros(len(words), dtype=np.bool_)
        for start in range(0, len(words), WINDOW):
            window = [f" {word}" for word in words[start : start + WINDOW]]
            for index, encoding in enumerate(self._encode(window, special=False), start):
                counts[index] = len(encoding.ids)
                unknown[index] = unknown_id in encoding.ids
        return Pieces(counts, unknown)

    def _unknown(self) -> int | None:
        """The id that stands for what isn't known; None where every text can be spelt."""
        model = parse_json(self._inner.to_str())["model"]
        token = model.get("unk_token")
        found: int | None = model.get("unk_id") if token is None else self._inner.token_to_id(token)
        return found

    def _shortened(self, text: str) -> tuple[str, bool]:
        """What the tokenizer gets of a text, and whether that is not all of it."""
        if len(text) <= self._max_characters:
            return text, False
        start = _past_white(text, 0)
        end = start + self._max_characters
        beginning, was_cut = text[start:end], _past_white(text, end) < len(text)
        return beginning if was_cut else beginning.rstrip(), was_cut

    def _encode(self, texts: list[str], special: bool = True) -> list[tokenizers.Encoding]:
        # A single text takes the way without the tokenizer's thread pool, which a long list may be keeping
        # busy.
        if len(texts) == 1:
            return [_guarded(lambda: self._inner.encode(texts[0], add_special_tokens=special))]
        return list(_guarded(lambda: self._inner.encode_batch_fast(texts, add_special_tokens=special)))


def _past_white(text: str, start: int) -> int:
    """The place of the first character from `start` on that is no white space; the length of the text for none."""
    while (part := text[start : start + PART]).isspace():
        start += len(part)
    return start + len(part) - len(part.lstrip())


def _guarded(call: Callable[[], T]) -> T:
    """The result of a call into tokenizers, whose panics are no `Exception`."""
    try:
        return call()
    except BaseException as error:  # the boundary to tokenizers: anything but an interrupt is its failure
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise EncodingFailed(f"the tokenizer failed: {error}") from error
        raise
