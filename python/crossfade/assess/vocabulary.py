"""Vocabulary: how the tokenizers of both models spell the collection's words, and the recent ones among them.

A tokenizer spells a word that it does not have in pieces, or takes it for unknown. How many pieces a word has on
average is called fertility; words of several pieces are called continued (Rust et al., ACL 2021).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade.encoder import Encoder
from crossfade.errors import ModelError

from .estimates import Estimate, ratio
from .evidence import Evidence, plain
from .texts import Texts
from .words import WORD

# Of all texts the latest quarter is compared with the others.
RECENT = 0.25
TERMS = 10
# A word that stands in a single document tells nothing of a collection.
LEAST_DOCUMENTS = 2

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Term:
    """A word that is spelt badly.

    Args:
        word: The word.
        documents: Share of the texts that have it.
        recent: Share of the recent texts that have it.
        old, new: Its pieces in either tokenizer; 0 where it is unknown, None where there is no tokenizer.
    """

    word: str
    documents: float
    recent: float
    old: int | None
    new: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How one tokenizer spells the words of the texts.

    Args:
        model: Whose it is.
        fertility: Pieces per word.
        continued: Share of the words that have several pieces, or are unknown.
        unknown: Share of the words that are unknown, or have an unknown piece.
        drift: Pieces per word in recent texts, less those in the others.
    """

    model: str
    fertility: Evidence
    continued: Evidence
    unknown: Evidence
    drift: Evidence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """How both tokenizers spell the words of the same texts.

    Args:
        texts: How many texts were read.
        by: What recent means: "updated_at", or "order of adding" where no document has that.
        old, new: Of the live version's model and of the new one.
        helped: The words that the new tokenizer spells better, by how many texts have them and how much better.
        harmed: Those that it spells worse.
        emerging: Those that are more frequent in recent texts, and that the old tokenizer spells badly.
    """

    texts: int
    by: str
    old: Coverage
    new: Coverage
    helped: tuple[Term, ...]
    harmed: tuple[Term, ...]
    emerging: tuple[Term, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = plain(self)
        return found


def vocabulary(texts: Texts, old: Encoder | None, new: Encoder) -> Vocabulary:
    """Compares the tokenizers of both models on the words of texts, and recent texts with the others.

    A word is what lies between white space and punctuation, so that in scripts that don't separate words it may be a
    whole clause.

    Args:
        texts: Texts of the collection.
        old: The live version's encoder; None where it isn't at hand.
        new: The new model's.
    """
    recent, by = _recent(texts)
    words = _Words(texts.contents, recent)
    spelt = [_Spelling.of(encoder, words.known) for encoder in (old, new)]
    names = [encoder.space.model if encoder else "the old model" for encoder in (old, new)]
    coverages = [_coverage(name, spelling, words) for name, spelling in zip(names, spelt, strict=True)]
    costs = [spelling.cost if spelling else np.ones(len(words.known)) for spelling in spelt]
    better = (costs[0] - costs[1]) * (spelt[0] is not None and spelt[1] is not None)
    worst = costs[0] if spelt[0] else costs[1]
    return Vocabulary(
        texts=len(texts),
        by=by,
        old=coverages[0],
        new=coverages[1],
        helped=words.terms(better * words.documents, spelt),
        harmed=words.terms(-better * words.documents, spelt),
        emerging=words.terms((worst - 1.0) * (words.recent - words.older), spelt),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Spelling:
    pieces: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.bool_]
    cost: Floats  # pieces; of unknown words as many as they have characters, as if they were spelt

    @classmethod
    def of(cls, encoder: Encoder | None, words: list[str]) -> _Spelling | None:
        """None where there is no tokenizer to ask."""
        try:
            found = encoder.split_words(words) if encoder else None
        except ModelError:
            return None
        if found is None:
            return None
        lost = found.unknown | (found.counts == 0)
        lengths = np.array([len(word) for word in words], np.float64)
        return cls(np.where(lost, 0, found.counts), lost, np.where(lost, lengths, found.counts.astype(np.float64)))


class _Words:
    """The words of texts: which there are, and which text has which."""

    def __init__(self, contents: tuple[str, ...], recent: npt.NDArray[np.bool_]) -> None:
        numbers: dict[str, int] = {}
        each = [[numbers.setdefault(word, len(numbers)) for word in WORD.findall(text)] for text in contents]
        self.known = list(numbers)
        self.is_recent = recent
        self._word = np.array([number for words in each for number in words], np.int64)
        self._text = np.repeat(np.arange(len(each)), [len(words) for words in each])
        pairs = np.unique(self._text * max(len(numbers), 1) + self._word)
        text, word = np.divmod(pairs, max(len(numbers), 1))
        self._counts = np.bincount(word, minlength=len(numbers))
        latest = np.bincount(word[recent[text]], minlength=len(numbers))
        self.documents: Floats = self._counts.astype(np.float64) / max(len(each), 1)
        self.recent: Floats = latest.astype(np.float64) / max(int(recent.sum()), 1)
        self.older: Floats = (self._counts - latest).astype(np.float64) / max(int((~recent).sum()), 1)

    def by_text(self, values: npt.NDArray[Any]) -> Floats:
        """The sum over its words of each word's value, by text."""
        return np.bincount(self._text, values[self._word], len(self.is_recent)).astype(np.float64)

    def terms(self, weights: Floats, spelt: list[_Spelling | None]) -> tuple[Term, ...]:
        """The words of the largest weights above 0."""
        weights = np.where(self._counts >= LEAST_DOCUMENTS, weights, 0.0)
        best = np.argsort(-weights, kind="stable")[:TERMS]
        return tuple(
            Term(
                self.known[number],
                float(self.documents[number]),
                float(self.recent[number]),
                *(int(spelling.pieces[number]) if spelling else None for spelling in spelt),
            )
            for number in best[weights[best] > 0].tolist()
        )


def _recent(texts: Texts) -> tuple[npt.NDArray[np.bool_], str]:
    known = ~np.isnan(texts.updated_at)
    order = np.lexsort((texts.keys, np.where(known, texts.updated_at, -np.inf)))
    recent = np.zeros(len(texts), np.bool_)
    recent[order[len(texts) - round(RECENT * len(texts)) :]] = True
    return recent, "updated_at" if known.any() else "order of adding"


def _coverage(model: str, spelling: _Spelling | None, words: _Words) -> Coverage:
    if spelling is None or not words.known:
        why = "no tokenizer to ask: a callable, a service, or not at hand" if words.known else "the texts have no words"
        nothing = [Evidence(name=name, value=None, meaning=why) for name in _NAMES]
        return Coverage(model=model, fertility=nothing[0], continued=nothing[1], unknown=nothing[2], drift=nothing[3])
    count = words.by_text(np.ones(len(words.known)))
    pieces = words.by_text(spelling.cost)
    fertility = ratio(pieces, count)
    continued = ratio(words.by_text(spelling.cost > 1), count)
    unknown = ratio(words.by_text(spelling.unknown), count)
    drift = _drift(pieces, count, words.is_recent)
    return Coverage(
        model=model,
        fertility=_evidence(_NAMES[0], fertility, f"a word has {fertility.value:.2f} pieces; 1 is a known word"),
        continued=_evidence(_NAMES[1], continued, f"{continued.value:.1%} of the words are spelt in pieces"),
        unknown=_evidence(_NAMES[2], unknown, f"{unknown.value:.2%} of the words can't be told from each other"),
        drift=_evidence(_NAMES[3], drift, _drift_means(drift)),
    )


_NAMES = ("pieces per word", "continued words, share", "unknown words, share", "pieces per word, recent less older")


def _drift(pieces: Floats, count: Floats, recent: npt.NDArray[np.bool_]) -> Estimate:
    if recent.all() or not recent.any():
        return Estimate(0.0)
    return ratio(pieces[recent], count[recent]).plus(ratio(pieces[~recent], count[~recent]).scaled(-1.0))


def _drift_means(drift: Estimate) -> str:
    bounds = drift.interval
    if bounds and bounds[0] > 0:
        return "recent texts have more words that the tokenizer does not know: its vocabulary ages"
    if bounds and bounds[1] < 0:
        return "recent texts have fewer words that the tokenizer does not know"
    return "recent texts are spelt as well as the others, as far as can be told"


def _evidence(name: str, estimate: Estimate, meaning: str) -> Evidence:
    return Evidence(name=name, value=estimate.value, interval=estimate.interval, meaning=meaning)
