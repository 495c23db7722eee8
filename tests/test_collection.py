"""A collection: what goes in comes out, exactly, in every way it can be asked for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import crossfade as cf
from crossfade.errors import (
    CollectionClosed,
    CollectionExists,
    EncoderMissing,
    EncodingFailed,
    InvalidInput,
    NotACollection,
    ReadOnlyCollection,
    SpaceMismatch,
)
from crossfade.index import Block, FilePair, vectors
from crossfade.index.vectors import verify_block
from support import OLD, content_of, documents, filled, is_first, text_of, wrapped


def test_create_makes_an_empty_collection(folder: Path, old: cf.Encoder) -> None:
    """A new collection has no documents, one version, and answers a search with nothing."""
    with cf.Collection.create(folder, old) as docs:
        assert len(docs) == 0
        assert docs.space == old.space
        assert docs.search("anything").ids == []
        assert [version["state"] for version in docs.status().versions] == ["live"]
        assert docs.migration is None


def test_create_refuses_a_taken_folder(folder: Path, old: cf.Encoder) -> None:
    """A folder that holds anything is left alone; an empty one is used."""
    folder.mkdir()
    cf.Collection.create(folder, old).close()
    before = content_of(folder)
    with pytest.raises(CollectionExists, match=r"Collection\.open"):
        cf.Collection.create(folder, old)
    assert content_of(folder) == before


def test_open_refuses_a_folder_that_is_not_there(folder: Path) -> None:
    """Opening never makes a collection."""
    with pytest.raises(NotACollection, match=r"Collection\.create"):
        cf.Collection.open(folder)
    assert not folder.exists()


def test_reopened_collection_holds_what_was_written(folder: Path, old: cf.Encoder) -> None:
    """Documents, metadata, titles and times survive a close; a wrapped encoder is handed in again."""
    document = cf.Document("a", "some text", title="A title", meta={"n": [1, None, 2.5]}, updated_at=12.5, priority=3)
    with cf.Collection.create(folder, old) as docs:
        docs.upsert([document, *documents(20)])
    with cf.Collection.open(folder, old) as docs:
        assert docs.get("a") == document
        assert len(docs) == 21
        is_first(docs, *range(20))


def test_texts_of_any_characters_come_back(folder: Path, old: cf.Encoder) -> None:
    """NUL, emoji, combining marks and newlines in texts are kept as they are."""
    texts = ["null \0 inside", "emoji 🏳️‍🌈 flag", "é\u0301\u0301 marks", "two\nlines\r\n", "  spaces  "]
    with cf.Collection.create(folder, old) as docs:
        docs.upsert([cf.Document(text, "x") for text in "ab"] + [cf.Document(f"t{n}", t) for n, t in enumerate(texts)])
        assert [docs.get(f"t{n}").text for n in range(len(texts))] == texts  # type: ignore[union-attr]


def test_upsert_tells_new_changed_metadata_and_unchanged(folder: Path, old: cf.Encoder) -> None:
    """The four kinds are told apart and counted."""
    with filled(folder, old, 4) as docs:
        first = documents(4)
        batch = [
            first[0],
            cf.Document("d1", "another text", meta=first[1].meta),
            cf.Document("d2", first[2].text, meta={"parity": "odd"}),
            cf.Document("e", "a new text"),
        ]
        done = docs.upsert(batch)
        assert (done.new, done.changed, done.metadata, done.unchanged) == (1, 1, 1, 1)
        assert len(docs) == 5


def test_only_new_and_changed_texts_are_embedded(folder: Path) -> None:
    """A change of metadata, priority or time alone calls the encoder for nothing."""
    seen: list[str] = []
    with cf.Collection.create(folder, wrapped(*OLD, before=seen.extend)) as docs:
        docs.upsert(documents(10))
        assert len(seen) == 10
        seen.clear()
        docs.upsert(documents(10))
        docs.upsert([cf.Document(item.id, item.text, meta={"x": 1}, priority=2) for item in documents(10)])
        assert seen == []
        docs.upsert([cf.Document("d1", "now another"), *documents(1)])
        assert seen == ["now another"]


def test_metadata_that_python_calls_equal_is_changed(folder: Path, old: cf.Encoder) -> None:
    """`True` in the place of `1` is a change, although Python compares them as equal."""
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(cf.Document("a", "text", meta={"flag": 1}))
        assert docs.upsert(cf.Document("a", "text", meta={"flag": True})).metadata == 1
        assert docs.search("text", filter={"flag": True}).ids == ["a"]
        assert docs.search("text", filter={"flag": 1}).ids == []


def test_a_changed_text_is_found_and_the_old_one_is_not(folder: Path, old: cf.Encoder) -> None:
    """A search sees an edit as soon as `upsert` has returned."""
    with filled(folder, old, 30) as docs:
        docs.upsert(cf.Document("d3", "zebra quagga okapi"))
        assert docs.search("zebra quagga okapi", k=1).ids == ["d3"]
        best = docs.search(text_of(3), k=30)
        assert best.ids.count("d3") == 1
        assert best.ids[0] != "d3"


def test_title_and_text_are_embedded_together(folder: Path) -> None:
    """What is embedded is title, a space, text."""
    seen: list[str] = []
    with cf.Collection.create(folder, wrapped(*OLD, before=seen.extend)) as docs:
        docs.upsert(cf.Document("a", "the text", title="The title"))
    assert seen == ["The title the text"]


def test_a_batch_is_atomic(folder: Path) -> None:
    """One document that can't be embedded leaves none of its batch behind."""

    def refuse(texts: list[str]) -> None:
        if "poison" in texts:
            raise RuntimeError("no such text")

    with cf.Collection.create(folder, wrapped(*OLD, before=refuse)) as docs:
        docs.upsert(documents(3))
        before = content_of(folder)
        with pytest.raises(EncodingFailed, match="no such text"):
            docs.upsert([*documents(5, start=10), cf.Document("bad", "poison")])
        assert content_of(folder) == before
        assert len(docs) == 3


def test_a_generator_commits_batch_by_batch(folder: Path, old: cf.Encoder) -> None:
    """From a generator every 256 documents are one commit, and the error tells how many are in."""

    def stream() -> Iterator[cf.Document]:
        yield from documents(600)
        yield cf.Document("d599", "the same id as the one before")

    with cf.Collection.create(folder, old) as docs:
        done: list[int] = []
        with pytest.raises(InvalidInput, match=r"d599.*512 documents before this batch are committed"):
            docs.upsert(stream(), progress=done.append)
        assert len(docs) == 512
        assert done == [256, 512]


def test_a_generator_counts_everything(folder: Path, old: cf.Encoder) -> None:
    """The result sums up all batches."""
    with cf.Collection.create(folder, old) as docs:
        done = docs.upsert(item for item in documents(300))
        assert (done.new, len(docs)) == (300, 300)


def test_ready_made_vectors_are_taken_as_they_are(folder: Path, old: cf.Encoder) -> None:
    """Vectors of the collection's Space come in without encoding, but for a sample that is compared."""
    seen: list[str] = []
    with cf.Collection.create(folder, wrapped(*OLD, before=seen.extend)) as docs:
        batch = documents(100)
        rows = old.encode([item.content for item in batch])
        assert docs.upsert(batch, vectors=rows * 7.0, space=old.space).new == 100
        assert 1 <= len(seen) <= 8
        is_first(docs, 0, 50, 99)


def test_ready_made_vectors_of_another_space_are_refused(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """A Space the collection has no version of is refused before anything is written."""
    with cf.Collection.create(folder, old) as docs:
        rows = new.encode([item.content for item in documents(4)])
        with pytest.raises(SpaceMismatch, match="encode the texts with that model"):
            docs.upsert(documents(4), vectors=rows, space=new.space)
        assert len(docs) == 0


def test_ready_made_vectors_of_another_model_are_noticed(folder: Path, old: cf.Encoder) -> None:
    """Rows that claim the right Space but were made by another model differ from the sample."""
    other = wrapped("other", 32, 9)
    with cf.Collection.create(folder, old) as docs:
        rows = other.encode([item.content for item in documents(20)])
        with pytest.raises(SpaceMismatch, match="another model, from other texts, or in another order"):
            docs.upsert(documents(20), vectors=rows, space=old.space)
        assert len(docs) == 0


def test_ready_made_vectors_in_another_order_are_noticed(folder: Path, old: cf.Encoder) -> None:
    """Right rows beside the wrong documents differ from the sample."""
    with cf.Collection.create(folder, old) as docs:
        rows = old.encode([item.content for item in documents(20)])
        with pytest.raises(SpaceMismatch, match="in another order"):
            docs.upsert(documents(20), vectors=rows[::-1], space=old.space)
        assert len(docs) == 0


def test_ready_made_vectors_need_a_list(folder: Path, old: cf.Encoder) -> None:
    """A stream can't be matched with rows, and rows can't come without their Space."""
    rows = old.encode(["one"])
    with cf.Collection.create(folder, old) as docs:
        with pytest.raises(InvalidInput, match="as a list"):
            docs.upsert(iter([cf.Document("a", "one")]), vectors=rows, space=old.space)
        with pytest.raises(InvalidInput, match="need their Space"):
            docs.upsert([cf.Document("a", "one")], vectors=rows)
        with pytest.raises(InvalidInput, match="goes with vectors="):
            docs.upsert([cf.Document("a", "one")], space=old.space)
        assert len(docs) == 0


def test_delete(folder: Path, old: cf.Encoder) -> None:
    """A deleted document is gone from get, len and search; unknown ids are passed over; the id can come back."""
    with filled(folder, old, 20) as docs:
        assert docs.delete(["d1", "d2", "unknown"]) == 2
        assert docs.delete("d3") == 1
        assert docs.delete("d3") == 0
        assert docs.get("d1") is None
        assert "d1" not in docs
        assert len(docs) == 17
        assert not {"d1", "d2", "d3"} & set(docs.search(text_of(1), k=20).ids)
        docs.upsert(documents(2))
        is_first(docs, 1)


def test_get_contains_and_len(folder: Path, old: cf.Encoder) -> None:
    """`get` gives the document or None; `in` takes anything."""
    with filled(folder, old, 3) as docs:
        assert docs.get("d2") == documents(3)[2]
        assert docs.get("d3") is None
        assert "d0" in docs
        assert "" not in docs
        assert 3 not in docs
        assert len(docs) == 3


def test_hits_are_a_sequence(folder: Path, old: cf.Encoder) -> None:
    """An index gives a hit, a slice gives Hits that know the same about the search."""
    with filled(folder, old, 5) as docs:
        hits = docs.search(text_of(3), k=4)
        assert hits[0].id == "d3"
        assert isinstance(hits[:2], cf.Hits)
        assert hits[:2].ids == hits.ids[:2]
        assert hits[:2].method == hits.method


def test_k_beyond_the_collection_gives_all(folder: Path, old: cf.Encoder) -> None:
    """A `k` larger than the collection gives every document once."""
    with filled(folder, old, 25) as docs:
        hits = docs.search(text_of(0), k=10_000)
        assert sorted(hits.ids) == sorted(f"d{number}" for number in range(25))
        assert list(hits.scores) == sorted(hits.scores, reverse=True)


def test_hits_carry_the_document(folder: Path, old: cf.Encoder) -> None:
    """A hit has id, score, version, text, title and metadata; scores of a document's own text are 1."""
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(cf.Document("a", "the text", title="Title", meta={"n": 1}))
        hits = docs.search("Title the text")
        assert [(hit.id, hit.version, hit.text, hit.title, hit.meta) for hit in hits] == [
            ("a", 1, "the text", "Title", {"n": 1})
        ]
        assert hits[0].score == pytest.approx(1.0, abs=1e-3)
        assert (hits.method, hits.coverage, hits.weight) == ("live", 0.0, 0.0)


def test_equal_scores_are_ordered_by_key(folder: Path, old: cf.Encoder) -> None:
    """Documents of the same text come in the order they were written."""
    with cf.Collection.create(folder, old) as docs:
        docs.upsert([cf.Document(name, "all the same") for name in "cab"])
        assert docs.search("all the same").ids == ["c", "a", "b"]


def test_a_list_of_texts_gives_a_list_of_hits(folder: Path, old: cf.Encoder) -> None:
    """Every text of a list gets the answer it would get alone; no text, no answer."""
    with filled(folder, old, 50) as docs:
        texts = [text_of(number) for number in (3, 9, 27)]
        together = docs.search(texts, k=5)
        assert [hits.ids for hits in together] == [docs.search(text, k=5).ids for text in texts]
        assert docs.search([]) == []


def test_a_vector_finds_what_its_text_finds(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """A query vector of any length, with or without its Space, answers like the text it was made from."""
    with filled(folder, old, 50) as docs:
        vector = old.encode([text_of(7)], kind="query")[0]
        expected = docs.search(text_of(7), k=5)
        assert docs.search(vector=vector, k=5).ids == expected.ids
        assert docs.search(vector=3 * vector, space=old.space, k=5).scores == pytest.approx(expected.scores, abs=1e-5)
        with pytest.raises(SpaceMismatch):
            docs.search(vector=new.encode(["x"])[0], space=new.space)


def test_encoder_not_handed_in(folder: Path, old: cf.Encoder) -> None:
    """Without its wrapped encoder a collection can be read and searched by vector, and says what is missing."""
    filled(folder, old, 10).close()
    with cf.Collection.open(folder) as docs:
        assert docs.get("d1") is not None
        assert docs.search(vector=old.encode([text_of(4)])[0], k=1).ids == ["d4"]
        with pytest.raises(EncoderMissing, match="hand it in again"):
            docs.search("text")
        with pytest.raises(EncoderMissing, match="hand it in again"):
            docs.upsert(cf.Document("e", "new text"))
        assert docs.delete("d1") == 1


def test_closed_collection(folder: Path, old: cf.Encoder) -> None:
    """After close, by hand or by `with`, every call says so; closing twice is harmless."""
    with filled(folder, old, 3) as docs:
        pass
    docs.close()
    calls = [
        lambda: docs.search("text"),
        lambda: docs.upsert(documents(1)),
        lambda: docs.delete("d0"),
        lambda: docs.get("d0"),
        lambda: len(docs),
        docs.status,
        docs.rollback,
        docs.prune,
        lambda: docs.migration,
    ]
    for call in calls:
        with pytest.raises(CollectionClosed, match="open it again"):
            call()


def test_read_only_refuses_every_change(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """A read-only collection answers searches and writes nothing."""
    filled(folder, old, 10).close()
    before = content_of(folder)
    with cf.Collection.open(folder, old, read_only=True) as docs:
        is_first(docs, 1, 2)
        calls = [
            lambda: docs.upsert(documents(1, start=50)),
            lambda: docs.delete("d0"),
            lambda: docs.migrate(new),
            docs.rollback,
            docs.prune,
        ]
        for call in calls:
            with pytest.raises(ReadOnlyCollection, match="read_only=True"):
                call()
        assert content_of(folder) == before


def test_read_only_sees_what_others_write(folder: Path, old: cf.Encoder) -> None:
    """A serving process sees a commit at its next search."""
    with filled(folder, old, 10) as docs, cf.Collection.open(folder, old, read_only=True) as serving:
        docs.upsert(cf.Document("late", "zebra quagga"))
        assert serving.search("zebra quagga", k=1).ids == ["late"]


def test_what_was_compared_is_not_compared_again(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opening compares the rows added since the last one with their checksums, or all of a file that was altered."""
    compared: list[int] = []

    def noted(pair: FilePair, descriptor: int, block: Block) -> None:
        compared.append(block.first_row)
        verify_block(pair, descriptor, block)

    def compared_by_a_search() -> list[int]:
        compared.clear()
        with cf.Collection.open(folder, old) as docs:
            is_first(docs, 3)
        return compared

    monkeypatch.setattr(vectors, "verify_block", noted)
    filled(folder, old, 50).close()
    assert compared_by_a_search() == [0]
    assert compared_by_a_search() == []
    with cf.Collection.open(folder, old) as docs:
        docs.upsert(documents(20, start=50))
    assert compared_by_a_search() == [50]
    (rows,) = (folder / "versions" / "0001").glob("*.rows")
    os.utime(rows)
    assert compared_by_a_search() == [0, 50]
    assert compared_by_a_search() == []


def test_every_vector_tells_where_it_comes_from(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """A vector carries model, model version, dim, Space, when it was made and the hash of its text."""
    with filled(folder, old, 3) as docs:
        docs.migrate(new).run()
        docs.upsert(cf.Document("d1", "another text"))
        (first, second), (edited, *_) = docs.vectors("d0"), docs.vectors("d1")
        assert [(v.model, v.model_version, v.dim, v.fingerprint) for v in (first, second)] == [
            ("old", "1", 32, old.space.fingerprint),
            ("new", "1", 48, new.space.fingerprint),
        ]
        assert first.text_hash == second.text_hash == cf.Document("d0", text_of(0)).text_hash.hex()
        assert edited.text_hash == cf.Document("d1", "another text").text_hash.hex()
        assert abs(edited.embedded_at - time.time()) < 60
        assert first.embedded_at <= second.embedded_at
        assert docs.vectors("unknown") == []


def test_a_search_that_another_one_overtakes_sees_the_write(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader whose look at the catalog is interrupted by another's refresh does not answer from before it."""
    with filled(folder, old, 20) as docs:
        is_first(docs, 1)
        docs.upsert(documents(1, start=50))
        newest = docs._store.database.data_version

        def overtaken() -> tuple[int, int]:
            monkeypatch.undo()
            other = threading.Thread(target=docs._store.snapshot)
            other.start()
            other.join()
            return newest()

        monkeypatch.setattr(docs._store.database, "data_version", overtaken)
        is_first(docs, 50)


def test_a_text_without_tokens_is_named_by_its_id(folder: Path, l3: cf.Encoder) -> None:
    """An upsert that can't embed a document tells which one, also among many that are there already."""
    with cf.Collection.create(folder, l3) as docs:
        docs.upsert([cf.Document(f"d{number}", text_of(number)) for number in range(5)])
        batch = [*documents(5), cf.Document("fine", "some text"), cf.Document("joiner", "\u200b\u200b")]
        with pytest.raises(InvalidInput, match=r"document 'joiner' can't be embedded: .* has no tokens"):
            docs.upsert(batch)
        with pytest.raises(InvalidInput, match=r"document 'joiner' .*the 256 documents before"):
            docs.upsert(document for document in [*documents(256), batch[-1]])
