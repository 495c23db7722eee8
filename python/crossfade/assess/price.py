"""Price: what a migration costs in time, money, disk and memory, told from a sample, with its error."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossfade._uniform import in_order
from crossfade.bridge import Bridge
from crossfade.catalog import documents
from crossfade.encoder import Encoder, usable_cores
from crossfade.store import Store

from .benefit import Curve, Reached, reached
from .durations import duration
from .estimates import Estimate, ratio, total
from .evidence import Evidence, plain
from .growth import ROWS, Growth, measure, segments_of
from .sample import Rows, Sample
from .sizes import Sizes
from .storage import Storage, storage
from .tariffs import Tariff, tariff_of
from .texts import Texts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Price:
    """What it costs to embed a collection anew.

    Args:
        documents: Documents of the collection.
        texts: Distinct texts: each is embedded once.
        tokens: Of the distinct texts, as the model sees them.
        seconds: Of a fill on this machine, by the clock, the index's included.
        cpu_hours: Of all cores.
        money: What a service asks; 0 for what runs here.
        index_seconds: Of one core, for the new version's index.
        storage: Disk and memory.
        reached: When each order has brought half and nine tenths of the benefit.
        tariff: The price of tokens, and where it is from.
    """

    documents: Evidence
    texts: Evidence
    tokens: Evidence
    seconds: Evidence
    cpu_hours: Evidence
    money: Evidence
    index_seconds: Evidence
    storage: Storage
    reached: tuple[Reached, ...]
    tariff: Tariff | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = plain(self)
        return found


def price(
    store: Store,
    encoder: Encoder,
    sample: Sample,
    texts: Texts,
    sizes: Sizes,
    *,
    bridge: Bridge | None = None,
    curves: Mapping[str, Curve] | None = None,
    per_million_tokens: float | None = None,
    table: str | Path | None = None,
    cores: int | None = None,
) -> Price:
    """What it costs to embed a collection with another model.

    The sample's batches are those of a fill, on as many cores and beside the same other work; their seconds per token
    are multiplied by the tokens of the collection's distinct texts. How much of the machine others take meanwhile can
    change afterwards: no interval knows of that.

    Args:
        store: The collection's.
        encoder: The new model's.
        sample: Documents embedded with it.
        texts: Texts of the collection.
        sizes: Their sizes for the new model.
        bridge: Carries old rows over, to build an index of; without one the sample's new rows are taken, which are few.
        curves: By order, the expected share of the benefit by the share re-embedded.
        per_million_tokens, table: As of `tariff_of`.
        cores: As of a fill; None for all.

    Raises:
        InvalidInput: The price or the table can't be used.
    """
    tariff = tariff_of(encoder, sample.spent, per_million_tokens, table)
    tokens = total(sizes.tokens, texts.distinct)
    each = np.array([batch.tokens for batch in sample.batches], np.int64)
    seconds, cpu_seconds, paid = (
        ratio(np.array([getattr(batch, field) for batch in sample.batches], np.float64), each).times(tokens)
        for field in ("seconds", "cpu_seconds", "paid_tokens")
    )
    if encoder.spent is not None and paid.value:
        tokens = paid
    building, growth = _index(store, sample, bridge, texts.documents)
    whole = seconds.plus(building.scaled(1.0 / (cores or usable_cores())))
    timed = bool(len(each))
    return Price(
        documents=Evidence(name="documents", value=texts.documents, meaning="each needs a vector in the new version"),
        texts=Evidence(name="distinct texts", value=texts.distinct, meaning="each is embedded once"),
        tokens=_evidence("tokens", tokens, _tokens_mean(sizes, len(texts), texts.distinct, paid.value > 0)),
        seconds=_evidence("seconds", whole if timed else None, f"{duration(whole.value)} on this machine as it is now"),
        cpu_hours=_evidence(
            "CPU hours",
            cpu_seconds.plus(building).scaled(1 / 3_600) if timed else None,
            "of all cores together, with other work of this process",
        ),
        money=_money(tariff, tokens),
        index_seconds=_evidence("index seconds", building, _index_means(growth, texts.documents)),
        storage=storage(store, texts.documents, sample.target.dim, growth),
        reached=reached(curves or {}, whole) if timed else (),
        tariff=tariff,
    )


def _index(store: Store, sample: Sample, bridge: Bridge | None, rows: int) -> tuple[Estimate, Growth | None]:
    """Seconds of one core for all segments, and what they were told from; 0 where rows are few enough to be scanned."""
    segments = segments_of(rows)
    if not segments:
        return Estimate(0.0), None
    growth = measure(_stand_ins(store, sample, bridge))
    value, (low, high) = growth.seconds(segments)
    return Estimate(value, max(high - value, value - low) / 1.96), growth


def _stand_ins(store: Store, sample: Sample, bridge: Bridge | None) -> Rows:
    """Rows that are like those of the new version."""
    if bridge is None:
        return sample.new
    snapshot = store.snapshot()
    with store.reading() as connection:
        keys = in_order(documents.all_keys(connection), sample.seed)[:ROWS]
    return bridge.apply(snapshot.live.gather(keys[snapshot.live.has(keys)]), sample.source)


def _evidence(name: str, estimate: Estimate | None, meaning: str) -> Evidence:
    if estimate is None:
        return Evidence(name=name, value=None, meaning="no batch of the sample could be timed")
    interval = estimate.within(0.0, math.inf)
    return Evidence(name=name, value=estimate.value, interval=interval, meaning=meaning)


def _money(tariff: Tariff | None, tokens: Estimate) -> Evidence:
    if tariff is None:
        why = "what its tokens cost is not known, and not in the table: give per_million_tokens"
        return Evidence(name="money", value=None, meaning=why)
    name = f"money, {tariff.currency}" if tariff.currency else "money"
    asked = f"{tariff.per_million_tokens:g} a million tokens ({tariff.source})"
    return _evidence(name, tokens.scaled(tariff.per_million_tokens / 1e6), asked)


def _tokens_mean(sizes: Sizes, counted: int, distinct: int, paid: bool) -> str:
    if paid:
        return "as the service counted those of the sample"
    if not sizes.known:
        return "estimated from the characters: there is no tokenizer to ask"
    return "all counted" if counted >= distinct else f"counted of {counted:,} of {distinct:,} texts"


def _index_means(growth: Growth | None, rows: int) -> str:
    if growth is None:
        return "so few rows are scanned, and need no index"
    return f"from {growth.rows:,} rows by n·log n; some rows are put in more than once, as segments are merged"
