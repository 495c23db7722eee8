"""Facts: everything about two models and a collection that needs no queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crossfade.catalog import versions
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.store import Store

from .benefit import Curve
from .changes import Changes, changes
from .evidence import Evidence, plain
from .neighbourhoods import Neighbourhoods, neighbourhoods
from .price import Price, price
from .sample import DOCUMENTS, Sample, draw
from .sizes import sizes_of, truncated
from .texts import read_texts
from .vocabulary import Vocabulary, vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found out.

    Args:
        cost: What the sample took: documents, tokens, seconds, and a service's tokens and money.
        changes: What differs between the two Spaces.
        neighbourhoods: How far documents keep their neighbours.
        vocabulary: How both tokenizers spell the collection's words.
        truncated_old, truncated_new: The share of texts that either model cuts.
        price: What a migration costs.
        sample: The documents that were embedded, with their rows.
    """

    cost: Mapping[str, Any]
    changes: Changes
    neighbourhoods: Neighbourhoods
    vocabulary: Vocabulary
    truncated_old: Evidence
    truncated_new: Evidence
    price: Price
    sample: Sample = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the sample's rows."""
        found: dict[str, Any] = plain(self)
        return found


def gather(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    *,
    most: int = DOCUMENTS,
    drawn: Sample | None = None,
    seed: int = 0,
    cores: int | None = None,
    curves: Mapping[str, Curve] | None = None,
    per_million_tokens: float | None = None,
    table: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Facts:
    """Finds out what can be without queries; nothing is written, and at most `most` documents are embedded.

    Args:
        store: The collection's.
        encoders: The encoders it has at hand; the old one's tokenizer is asked where it is among them.
        new: The new model's.
        most, seed, cores, progress: As of `draw`.
        drawn: A uniform sample that has its rows already; None to embed one.
        curves, per_million_tokens, table: As of `price`.

    Raises:
        NotReady: There is nothing to assess.
        EncodingFailed, SpendLimitReached: As from `encode`.
        InvalidInput: An argument can't be used.
    """
    with store.reading() as connection:
        live = versions.read(connection).live_version
    old = encoders.find(live)
    sample = drawn or draw(store, new, most=most, seed=seed, cores=cores, progress=progress)
    near = neighbourhoods(sample, seed=seed)
    texts = read_texts(store, seed=seed)
    sizes = sizes_of(new, texts.contents)
    return Facts(
        cost=sample.cost(),
        changes=changes(sample),
        neighbourhoods=near,
        vocabulary=vocabulary(texts, old, new),
        truncated_old=_truncated_old(old, live.space.model, texts.contents),
        truncated_new=truncated(sizes, new.space.model),
        price=price(
            store,
            new,
            sample,
            texts,
            sizes,
            bridge=near.bridge,
            curves=curves,
            per_million_tokens=per_million_tokens,
            table=table,
            cores=cores,
        ),
        sample=sample,
    )


def _truncated_old(old: Encoder | None, model: str, contents: tuple[str, ...]) -> Evidence:
    if old is None:
        name = f"truncated by {model}, share of texts"
        return Evidence(
            name=name, value=None, meaning="the old encoder is not at hand, so its tokenizer can't be asked"
        )
    return truncated(sizes_of(old, contents), model)
