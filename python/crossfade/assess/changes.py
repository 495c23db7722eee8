"""Changes: what differs between two Spaces, what breaks by it, and whether their vectors differ at all."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade.encoder.fidelity import LEAST_MEAN
from crossfade.kernels import normalize
from crossfade.space import Space

from .estimates import ratio
from .evidence import Evidence, plain
from .sample import Rows, Sample

# Two rows are the same one in other words from this cosine on; engines of one Space are held to it on average.
SAME = LEAST_MEAN


@dataclasses.dataclass(frozen=True)
class Change:
    """A field of the Space that differs.

    Args:
        field: Its name.
        old, new: What it is in either Space.
        breaks: What that breaks, in one line.
    """

    field: str
    old: Any
    new: Any
    breaks: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs between the live version's Space and the new model's.

    Args:
        fields: The fields that differ.
        kinship: "same space" (nothing but the name differs), "same vectors" (the sample's rows are the same ones),
            "truncation" (new rows are beginnings of old ones, at unit length again), "extension" (the other way
            round), "partly the same" (some rows are), or "another model".
        reembed: Whether documents need new vectors from the model. A truncation's can be cut from the old ones.
        unchanged: Share of the sample whose old row is the new one, or holds it.
    """

    fields: tuple[Change, ...]
    kinship: str
    reembed: bool
    unchanged: Evidence

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = plain(self)
        return found


def changes(sample: Sample) -> Changes:
    """What differs between the two Spaces of a sample, and between its rows.

    Whether it is the same model is told from the rows: services have no weights to compare, and a gateway may give an
    old model a new name.
    """
    source, target = sample.source, sample.target
    same = _same(sample.old, sample.new, lengths=source.metric == target.metric == "dot")
    kinship = _kinship(source, target, bool(same.all()), bool(same.any()))
    share = ratio(same.astype(np.float64), np.ones(len(same)))
    unchanged = Evidence(
        name="unchanged vectors, share of the sample",
        value=share.value,
        interval=share.within(0.0, 1.0),
        meaning=_MEANINGS[kinship],
    )
    fields = tuple(differences(source, target))
    return Changes(
        fields=fields,
        kinship=kinship,
        reembed=kinship in ("another model", "partly the same", "extension"),
        unchanged=unchanged,
    )


def differences(old: Space, new: Space) -> list[Change]:
    """The fields in which two Spaces differ, each with what breaks by it; the name only where nothing else tells."""
    if old.fingerprint == new.fingerprint:
        return []
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    hashed = old.weights is not None and new.weights is not None
    return [
        Change(field, before[field], after[field], _breaks(field, before[field], after[field]))
        for field in before
        if before[field] != after[field] and not (hashed and field in ("model", "version"))
    ]


def _same(old: Rows, new: Rows, lengths: bool) -> npt.NDArray[np.bool_]:
    """By document, whether the shorter row is a beginning of the longer one, but for its length."""
    dim = min(old.shape[1], new.shape[1])
    left, right = (np.ascontiguousarray(rows[:, :dim]) for rows in (old, new))
    there = (left != 0).any(axis=1) & (right != 0).any(axis=1)
    same = np.zeros(len(left), np.bool_)
    same[there] = np.einsum("nd,nd->n", normalize(left[there]), normalize(right[there])) >= SAME
    if lengths:
        long, other = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
        same &= np.abs(long - other) <= (1.0 - SAME) * np.maximum(long, other)
    return same


def _kinship(source: Space, target: Space, every: bool, some: bool) -> str:
    if source.fingerprint == target.fingerprint:
        return "same space"
    if every and target.dim != source.dim:
        return "truncation" if target.dim < source.dim else "extension"
    if every:
        return "same vectors" if source.metric == target.metric else "another model"
    return "partly the same" if some and source.dim == target.dim else "another model"


_MEANINGS = {
    "same space": "it is the same model under whatever name: nothing to do",
    "same vectors": "the new model gives the vectors that are stored: no document needs a new one",
    "truncation": "new vectors are beginnings of the stored ones: cut and normalise them, the model is not needed",
    "extension": "the stored vectors are beginnings of the new ones: the same model with more columns",
    "partly the same": "the same model with other settings: only the other documents' vectors differ",
    "another model": "no stored vector can be used with the new model: every document needs a new one",
}


def _breaks(field: str, old: Any, new: Any) -> str:
    match field:
        case "dim":
            return (
                f"whatever stores or compares {old} values refuses {new}: indices, columns, caches, logged vectors; "
                f"vectors take {new / old:.2g} times the space"
            )
        case "metric":
            words = {"cos": "cosines", "dot": "dot products"}
            return (
                f"scores are {words[new]} and no longer {words[old]}: thresholds and mixed scores mean something else"
            )
        case "normalized":
            return (
                "its rows have unit length" if new else "its rows have lengths: who uses them bare must normalise them"
            )
        case "pooling":
            return "token vectors become one row in another way: no vector of before is comparable"
        case "max_tokens":
            return _cut_elsewhere(old, new)
        case "document_prefix":
            return "all who embed documents must put the new prefix before them, or these are found less"
        case "query_prefix":
            return "all who embed queries must put the new prefix before them; documents' vectors don't change by it"
        case "tokenizer":
            return "texts fall into other tokens: lengths, cuts and token prices change"
        case _:
            return "no vector of one model may meet one of the other: documents, logged queries, caches, thresholds"


def _cut_elsewhere(old: int | None, new: int | None) -> str:
    if old is None or new is None:
        return "where texts are cut is not known of one of the two: compare long documents yourself"
    if new > old:
        return f"up to {new} tokens of a text count where {old} did: long texts get other vectors, and take longer"
    return f"what comes after {new} tokens of a text no longer counts: long texts must be split into smaller parts"
