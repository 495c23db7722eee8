"""What a collection knows of texts: that some are the same, and that of some a model sees the beginning only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import crossfade as cf
from crossfade.errors import CollectionError
from support import NEW, OLD, require_true_vectors, wrapped
from tiny_models import write_bert

GOLDEN = Path(__file__).with_name("golden")
LONG = "red " * 20


@pytest.fixture
def tiny(tmp_path: Path) -> cf.Encoder:
    """A model that takes eight tokens."""
    return cf.Encoder.load(write_bert(tmp_path / "tiny", sentence_bert_config={"max_seq_length": 8}))


def cut_of(docs: cf.Collection) -> list[int]:
    return [version["cut"] for version in docs.status().versions]


def test_a_text_that_is_known_is_not_embedded_again(folder: Path) -> None:
    """Documents with the same text share the work: in a batch, in a later one, after reopening, and in a fill."""
    seen: list[str] = []
    old, new = wrapped(*OLD, before=seen.extend), wrapped(*NEW, before=seen.extend)
    with cf.Collection.create(folder, old) as docs:
        docs.upsert([cf.Document("a", "same"), cf.Document("b", "same"), cf.Document("c", "other")])
        docs.upsert(cf.Document("d", "same"))
        assert seen == ["same", "other"]
    with cf.Collection.open(folder, old) as docs:
        docs.upsert([cf.Document("e", "other"), cf.Document("f", "third")])
        docs.delete(["a", "b"])
        docs.upsert(cf.Document("g", "same"))
        assert seen == ["same", "other", "third"]
        seen.clear()
        docs.migrate(new).run()
        assert sorted(seen) == ["other", "same", "third"]
    assert require_true_vectors(folder, 1, old) == 5
    assert require_true_vectors(folder, 2, new) == 5


def test_texts_that_are_cut_are_counted(folder: Path, tiny: cf.Encoder) -> None:
    """An upsert says how many of its documents were cut, the status how many there are; edits and deletes change it."""
    with cf.Collection.create(folder, tiny) as docs:
        assert docs.upsert([cf.Document("a", LONG), cf.Document("b", "short"), cf.Document("c", LONG)]).cut == 2
        assert docs.upsert(cf.Document("d", LONG)).cut == 1  # its vector is that of the others
        assert cut_of(docs) == [3]
        docs.upsert(cf.Document("a", "short"))
        docs.delete("c")
        assert cut_of(docs) == [1]
        assert docs.upsert(cf.Document("d", LONG, meta={"only": "metadata"})).cut == 0
        assert cut_of(docs) == [1]


def test_a_fill_counts_what_the_new_model_cuts(folder: Path, tiny: cf.Encoder) -> None:
    """Each version has a count of its own; what is written during a migration is counted in both."""
    with cf.Collection.create(folder, wrapped(*OLD)) as docs:
        docs.upsert([cf.Document("a", LONG), cf.Document("b", "short")])
        fade = docs.migrate(tiny)
        fade.run()
        assert cut_of(docs) == [0, 1]
        fade.cutover()
        docs.upsert(cf.Document("c", LONG))
        assert cut_of(docs) == [0, 2]
        docs.prune(force=True)
        assert cut_of(docs) == [2]


def test_an_older_format_is_brought_up_to_date(folder: Path) -> None:
    """Opened for reading only it is refused and not touched; opened once to be written, it is of the present format."""
    shutil.copytree(GOLDEN / "format-1", folder)
    encoders = wrapped("golden-old", 16, 11), wrapped("golden-new", 24, 12)
    with pytest.raises(CollectionError, match="has format 1; open it once without read_only"):
        cf.Collection.open(folder, *encoders, read_only=True)
    with cf.Collection.open(folder, *encoders) as docs:
        assert cut_of(docs) == [0, 0]
    with cf.Collection.open(folder, *encoders, read_only=True) as docs:
        assert len(docs) == 21
