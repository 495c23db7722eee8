"""Sizes: how many tokens texts have for a model, and which of them it cuts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crossfade.encoder import Encoder
from crossfade.encoder.packing import estimated_tokens
from crossfade.errors import InvalidInput, ModelError

from .estimates import ratio
from .evidence import Evidence

AT_ONCE = 512  # texts; a window of them that one spoils is counted text by text


@dataclasses.dataclass(frozen=True, eq=False)
class Sizes:
    """By text, `(n,)` each.

    Args:
        tokens: Tokens that the model sees, int64; 0 where it can't take the text at all.
        cut: Whether it sees the beginning only, bool.
        known: Whether its tokenizer counted. Else the tokens are estimated from the characters, and nothing is known
            to be cut.
    """

    tokens: npt.NDArray[np.int64]
    cut: npt.NDArray[np.bool_]
    known: bool


def sizes_of(encoder: Encoder, texts: Sequence[str]) -> Sizes:
    """The sizes of documents' texts, by the model's own tokenizer where there is one."""
    tokens, cut = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    try:
        for start in range(0, len(texts), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            _count(encoder, texts[part], tokens[part], cut[part])
    except ModelError:
        prefix = encoder.space.document_prefix
        estimates = [estimated_tokens(prefix + text) for text in texts]
        return Sizes(np.array(estimates, np.int64), np.zeros(len(texts), np.bool_), False)
    return Sizes(tokens, cut, True)


def truncated(sizes: Sizes, model: str) -> Evidence:
    """The share of texts of which a model sees the beginning only; not known of a callable or a service."""
    name = f"truncated by {model}, share of texts"
    if not sizes.known:
        return Evidence(name=name, value=None, meaning="a callable or a service: where it cuts texts isn't known")
    share = ratio(sizes.cut.astype(np.float64), np.ones(len(sizes.cut)))
    meaning = (
        f"the ends of {share.value:.1%} of the texts can't be found" if share.value else "it reads every text whole"
    )
    return Evidence(name=name, value=share.value, interval=share.within(0.0, 1.0), meaning=meaning)


def _count(encoder: Encoder, texts: Sequence[str], tokens: npt.NDArray[np.int64], cut: npt.NDArray[np.bool_]) -> None:
    try:
        tokens[:] = encoder.count_tokens(texts, cut=cut)
    except InvalidInput:  # a text that gives no token
        if len(texts) > 1:
            for place, text in enumerate(texts):
                _count(encoder, [text], tokens[place : place + 1], cut[place : place + 1])
