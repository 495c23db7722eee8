"""The sample that evidence rests on: which documents, in which batches, at what cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.assess.facts import gather
from crossfade.assess.sample import BATCH, draw
from crossfade.assess.texts import read_texts
from crossfade.catalog import documents as stored
from crossfade.errors import EncodingFailed, InvalidInput, NotReady
from crossfade.migration import fill
from embedding_service import Service, http
from support import COUNT, NEW, OLD, content_of, documents, failing_for, filled, text_of, wrapped


def test_a_sample_is_what_a_fit_begins_with(docs: cf.Collection, new: cf.Encoder) -> None:
    """The documents of a sample are those that a migration's fit embeds first, so that a sample can be kept."""
    sample = draw(docs._store, new, most=200)
    docs.migrate(new).fit(sample=200)
    target = docs._store.snapshot().indices[2]
    with docs._store.reading() as connection:
        keys = stored.all_keys(connection).astype(np.uint64)
    assert sorted(sample.keys.tolist()) == keys[target.has(keys)].tolist()
    np.testing.assert_allclose(target.gather(sample.keys), sample.new, atol=1e-3)


def test_rows_belong_to_their_documents(docs: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """Each row of either Space is that of the text beside it, in the batches of a fill, and progress is told."""
    told: list[tuple[int, int]] = []
    sample = draw(docs._store, new, most=150, progress=lambda done, count: told.append((done, count)))
    np.testing.assert_allclose(sample.old, old.encode(sample.contents), atol=1e-3)
    np.testing.assert_allclose(sample.new, new.encode(sample.contents), atol=1e-6)
    assert told == [(64, 150), (128, 150), (150, 150)]
    assert BATCH == fill.BATCH
    assert [batch.texts for batch in sample.batches] == [64, 64, 22]
    assert sum(batch.tokens for batch in sample.batches) == sample.cost()["tokens"] == sample.sizes.tokens.sum()
    assert (sample.population, sample.cost()["documents"], sample.cost()["spent"]) == (COUNT, 150, None)


def test_nothing_is_written(docs: cf.Collection, new: cf.Encoder, folder: Path) -> None:
    """Finding out what can be without queries leaves every file and every row of the catalog as it was."""
    docs._store.snapshot()  # which notes that files were compared with their checksums
    before = content_of(folder)
    gather(docs._store, docs._encoders, new, most=100)
    assert content_of(folder) == before


def test_documents_that_the_model_refuses_are_left_out(tmp_path: Path, service: Service, old: cf.Encoder) -> None:
    """A text that is too long for the new model is counted as refused; the others keep their rows."""
    with cf.Collection.create(tmp_path / "kb.cf", old) as docs:
        docs.upsert([*documents(99), cf.Document("long", "word " * 400)])
        new = http(service, max_tokens_per_text=100, price_per_million_tokens=2.0)
        sample = draw(docs._store, new, most=100)
        assert (len(sample), sample.refused) == (99, 1)
        np.testing.assert_allclose(sample.new, new.encode(sample.contents), atol=1e-6)
        assert len(sample.batches) == 1  # the other one was taken text by text, which is no fill's pace
        assert sample.spent is not None
        assert sample.spent.money == pytest.approx(sample.spent.tokens * 2e-6)


def test_what_can_not_be_assessed_is_refused(tmp_path: Path, docs: cf.Collection, old: cf.Encoder) -> None:
    """No documents, a model that takes none of them, and a size that is no number are errors that say so."""
    with cf.Collection.create(tmp_path / "empty.cf", old) as empty, pytest.raises(NotReady, match="no document"):
        draw(empty._store, wrapped(*NEW))
    with pytest.raises(InvalidInput, match="most must be between 1 and"):
        draw(docs._store, wrapped(*NEW), most=0)
    with pytest.raises(EncodingFailed, match="can't embed"):
        draw(docs._store, wrapped(*NEW, before=failing_for(text_of(3))))


def test_texts_are_distinct_and_counted(tmp_path: Path, old: cf.Encoder) -> None:
    """Documents with one text count once among the texts, and a smaller number of them is a beginning of all."""
    with filled(tmp_path / "kb.cf", wrapped(*OLD), 60) as docs:
        docs.upsert([cf.Document(f"again{number}", text_of(number), updated_at=5.0) for number in range(20)])
        every, some = read_texts(docs._store), read_texts(docs._store, most=25)
    assert (every.documents, every.distinct, len(every), len(some)) == (80, 60, 60, 25)
    assert sorted(every.contents) == sorted(text_of(number) for number in range(60))
    assert some.contents == every.contents[:25]
    assert np.isnan(every.updated_at).all()
