"""What a migration costs, told beforehand."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.assess import growth
from crossfade.assess.facts import Facts, gather
from crossfade.assess.price import Price, price
from crossfade.assess.sample import draw
from crossfade.assess.sizes import sizes_of
from crossfade.assess.storage import storage
from crossfade.assess.tariffs import TABLE, tariff_of
from crossfade.assess.texts import read_texts
from crossfade.errors import InvalidInput
from crossfade.store.sealing import TAIL_ROWS
from embedding_service import Service, http
from support import COUNT, OLD, text_of, wrapped
from tiny_models import write_bert

LENGTHS = np.random.default_rng(0).integers(5, 60, 600).tolist()
CONTENTS = [text_of(number, words) for number, words in enumerate(LENGTHS)]


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[cf.Collection]:
    """A collection of 600 texts of 5 to 60 words, 100 of them twice."""
    with cf.Collection.create(tmp_path / "kb.cf", wrapped(*OLD)) as docs:
        contents = CONTENTS + CONTENTS[:100]
        docs.upsert([cf.Document(str(number), text) for number, text in enumerate(contents)])
        yield docs


def priced(docs: cf.Collection, encoder: cf.Encoder, most: int = 128, read: int = 200, **options: object) -> Price:
    sample, found = draw(docs._store, encoder, most=most), read_texts(docs._store, most=read)
    return price(docs._store, encoder, sample, found, sizes_of(encoder, found.contents), **options)  # type: ignore[arg-type]


def test_tokens_are_estimated_from_some_texts_and_counted_of_all(texts: cf.Collection, tmp_path: Path) -> None:
    """Of some of the distinct texts the sum is told with an interval that holds it; of all of them it is exact."""
    encoder = cf.Encoder.load(write_bert(tmp_path / "m"), precision="float32", engine="onnxruntime")
    every = priced(texts, encoder, most=10, read=1_000)
    some = priced(texts, encoder, most=10, read=150)
    assert (every.documents.value, every.texts.value) == (700, 600)
    counted = encoder.count_tokens(CONTENTS)
    assert (every.tokens.value, every.tokens.interval) == (counted.sum(), None)
    assert some.tokens.interval is not None
    assert some.tokens.interval[0] < counted.sum() < some.tokens.interval[1]
    assert every.money.value == 0.0


def test_seconds_are_those_of_the_samples_batches(texts: cf.Collection, new: cf.Encoder) -> None:
    """Seconds and CPU hours are the sample's by its tokens, with an interval; a sample of one batch tells none."""
    sample, found = draw(texts._store, new, most=320), read_texts(texts._store)
    sizes = sizes_of(new, found.contents)
    told = price(texts._store, new, sample, found, sizes, cores=1)
    rate = sum(batch.seconds for batch in sample.batches) / sum(batch.tokens for batch in sample.batches)
    assert told.seconds.value == pytest.approx(rate * sizes.tokens.sum())
    assert told.seconds.interval is not None
    assert told.seconds.interval[0] < told.seconds.value < told.seconds.interval[1]
    assert told.index_seconds.value == 0.0
    assert "estimated from the characters" in told.tokens.meaning
    assert priced(texts, new, most=64).seconds.interval is None


def test_a_service_is_paid_by_what_it_counted(texts: cf.Collection, service: Service) -> None:
    """Money is the sample's tokens as the service counted them, for all texts, at the price that is given for it."""
    encoder = http(service, price_per_million_tokens=3.0)
    told = priced(texts, encoder, most=320, read=1_000)
    assert told.tokens.value is not None
    assert told.tokens.value == pytest.approx(_paid(http(service)), rel=0.05)
    assert told.money.value == pytest.approx(told.tokens.value * 3e-6)
    other = priced(texts, encoder, most=64, read=1_000, per_million_tokens=30.0)
    assert other.money.value == pytest.approx(10 * told.money.value, rel=0.1)
    unknown = priced(texts, http(service), most=64)
    assert unknown.money.value is None
    assert "not in the table" in unknown.money.meaning


def test_prices_come_from_a_dated_table(service: Service, tmp_path: Path, new: cf.Encoder) -> None:
    """A model is found in a table by its name and host, with date and source; a price or a table of one's own wins."""
    encoder = http(service)
    table = tmp_path / "prices.toml"
    entry = '[[model]]\nname = "bag"\nhost = "{}"\nper_million_tokens = 0.5\nsource = "here"\n'
    table.write_text('date = 2026-01-02\ncurrency = "EUR"\n' + entry.format("127.0.0.1"))
    found = tariff_of(encoder, table=table)
    assert found is not None
    assert (found.per_million_tokens, found.currency, found.source) == (0.5, "EUR", "here, 2026-01-02")
    assert tariff_of(new, table=table) is None  # what a callable asks its maker for is not known
    table.write_text('date = 2026-01-02\ncurrency = "EUR"\n' + entry.format("elsewhere.example"))
    assert tariff_of(encoder, table=table) is None
    assert tariff_of(encoder, None, 7.0, table) is not None
    for content in ("date = ", "model = 3", "[[model]]\nname = 1"):
        table.write_text(content)
        with pytest.raises(InvalidInput, match="can't be read"):
            tariff_of(encoder, table=table)
    for wrong in (-1.0, float("nan"), True, "free"):
        with pytest.raises(InvalidInput, match="price must be"):
            tariff_of(new, None, wrong)  # type: ignore[arg-type]


def test_the_table_that_ships_can_be_read() -> None:
    """Every entry names a model, a host, a price and where it is from; a known model of a known host has its price."""
    content = tomllib.loads(TABLE.read_text())
    assert content["date"].year >= 2026
    for model in content["model"]:
        assert 0 < model["per_million_tokens"] < 10
        assert model["source"].startswith("https://")
        encoder = cf.Encoder.http(f"https://{model['host']}/v1", model["name"], dim=8)
        found = tariff_of(encoder)
        assert found is not None
        assert found.per_million_tokens == model["per_million_tokens"]


def test_disk_is_what_a_migration_takes(docs: cf.Collection, new: cf.Encoder, folder: Path) -> None:
    """Disk during and after are those of the real thing within a few blocks, and memory follows the rows."""
    told = storage(docs._store, COUNT, new.space.dim, None)
    before = _on_disk(folder, "versions")
    docs.migrate(new).run()
    after = _on_disk(folder, "versions")
    assert told.disk_during.value is not None
    assert told.disk_now.value is not None
    assert told.disk_during.value - told.disk_now.value == pytest.approx(after - before, rel=0.1)
    assert told.disk_after.value is not None
    assert told.disk_after.value < told.disk_during.value
    assert told.memory_after.value == COUNT * 4


def test_memory_counts_keys_links_and_codes(docs: cf.Collection) -> None:
    """Segments that are small enough have codes; a larger one has links alone."""
    rows, sealed = 30_000, sum(growth.standing_of(30_000))
    assert rows - TAIL_ROWS <= sealed <= rows
    narrow, wide = (storage(docs._store, rows, dim, None).memory_after.value for dim in (384, 1 << 15))
    assert narrow == pytest.approx(rows * 4 + sealed * (4 + 384 / 8), rel=0.001)
    assert wide == rows * 4 + sealed * 4


def test_an_index_is_measured_and_carried_on(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of a few rows tells seconds and bytes for a collection whose rows are too many to be scanned."""
    rows = np.random.default_rng(0).standard_normal((1_500, 32)).astype(np.float32)
    measured = growth.measure(rows)
    assert measured.rows == 1_500
    assert measured.coefficient > 0
    assert 32 < measured.bytes_a_row < 32 + 400
    told = storage(docs._store, 1_000_000, 32, measured)
    fewer = storage(docs._store, 500_000, 32, measured)
    assert told.disk_during.value is not None
    assert fewer.disk_during.value is not None
    assert 1.7 < told.disk_during.value / fewer.disk_during.value < 2.3
    value, (low, high) = measured.seconds(growth.segments_of(1_000_000))
    assert low <= value <= high


def test_facts_are_plain_values(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """All that needs no queries comes at once, with the sample's cost, and can be written as JSON."""
    facts: Facts = gather(docs._store, docs._encoders, new, most=100, curves={"random": lambda share: share})
    told = json.loads(json.dumps(facts.to_dict()))
    assert told["cost"]["documents"] == 100
    assert told["changes"]["kinship"] == "another model"
    assert told["price"]["reached"][0]["order"] == "random"
    assert told["price"]["seconds"]["meaning"].endswith("seconds on this machine as it is now")
    assert "sample" not in told
    evidence = [it for it in _evidence(told) if it["value"] is None or it["meaning"]]
    assert len(evidence) > 25


def _evidence(told: object) -> Iterator[dict[str, object]]:
    if isinstance(told, dict):
        if set(told) == {"name", "value", "interval", "meaning"}:
            yield told
        for value in told.values():
            yield from _evidence(value)
    elif isinstance(told, list):
        for value in told:
            yield from _evidence(value)


def _paid(encoder: cf.Encoder) -> int:
    encoder.encode(CONTENTS)
    assert encoder.spent
    return encoder.spent.tokens


def _on_disk(folder: Path, part: str) -> int:
    kinds = (".rows", ".blocks", ".segment")
    return sum(path.stat().st_size for path in (folder / part).rglob("*") if path.suffix in kinds)
