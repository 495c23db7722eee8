"""Filters: which documents a search may find."""

from __future__ import annotations

from pathlib import Path

import pytest

import crossfade as cf
from crossfade.store.snapshot import Snapshot
from support import filled, text_of


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"n": 1}, {"int", "float", "list"}),
        ({"n": 1.0}, {"int", "float", "list"}),
        ({"n": True}, {"true"}),
        ({"n": "1"}, {"text"}),
        ({"n": [True, "1"]}, {"true", "text"}),
        ({"n": None}, {"none"}),
        ({"n": 2}, {"list"}),
        ({"n": 1, "kind": "b"}, {"float"}),
        ({"n": [1, 2], "kind": ["a", "b"]}, {"int", "float", "list"}),
        ({"n": 3}, set()),
        ({"unknown": 1}, set()),
        ({"n": 2.5}, {"fraction"}),
    ],
    ids=str,
)
def test_filter(folder: Path, old: cf.Encoder, conditions: dict[str, object], expected: set[str]) -> None:
    """All fields must match, one value of each is enough; 1 is 1.0 and no boolean; a list has each of its items."""
    values = {"int": 1, "float": 1.0, "true": True, "text": "1", "list": [1, 2], "none": None, "fraction": 2.5}
    kinds = {"float": "b"}
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(
            [
                cf.Document(name, f"text of {name}", meta={"n": n, "kind": kinds.get(name, "a")})
                for name, n in values.items()
            ]
        )
        assert set(docs.search("text", filter=conditions).ids) == expected


def test_an_empty_filter_lets_everything_through(folder: Path, old: cf.Encoder) -> None:
    """A filter that a program built from no conditions is no filter."""
    with filled(folder, old, 5) as docs:
        assert docs.search(text_of(3), filter={}).ids == docs.search(text_of(3)).ids


def test_a_filter_asked_for_again_follows_edits(folder: Path, old: cf.Encoder) -> None:
    """Whoever changes documents, texts or metadata, the next search through the same filter is about what is there."""
    with filled(folder, old, 12) as docs, cf.Collection.open(folder, old) as other:

        def even() -> set[str]:
            return set(docs.search("text", k=50, filter={"parity": 0}).ids)

        expected = {f"d{number}" for number in range(0, 12, 2)}
        for number in range(20):  # more filters than are kept
            assert even() == expected
            assert docs.search("text", filter={"parity": [0, 5 + number]}).ids != []
        for writer in (docs, other):
            name = "by docs" if writer is docs else "by other"
            writer.upsert([cf.Document(name, name, meta={"parity": 0})])
            assert even() == expected | {name}
            writer.upsert([cf.Document(name, name, meta={"parity": 1})])
            assert even() == expected
            writer.upsert([cf.Document("d0", f"another text {name}", meta={"parity": 0})])
            assert even() == expected
            writer.delete([name])
        docs.delete(["d0"])
        assert even() == expected - {"d0"}


def test_filter_takes_any_number_of_values_in_any_collection(folder: Path, old: cf.Encoder) -> None:
    """Tuples and sets mean what lists mean, and 40,000 permitted values are no more trouble than two."""
    with filled(folder, old, 20) as docs:
        for values in ((1, 7), {1, 7}, frozenset({1, 7}), [1, 7, *range(100, 40_000)]):
            assert len(docs.search("text", k=50, filter={"parity": values})) == 10
            assert docs.search("text", filter={"parity": values, "tags": ("none",)}).ids == []


def test_filter_finds_a_document_that_is_edited_meanwhile(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit between a search's look at the vectors and at the metadata does not hide the document."""
    with filled(folder, old, 20) as docs:
        snapshot = docs._store.snapshot

        def edited_after() -> Snapshot:
            monkeypatch.undo()
            taken = snapshot()
            docs.upsert(cf.Document("d7", "another text", meta={"parity": 1}))
            return taken

        monkeypatch.setattr(docs._store, "snapshot", edited_after)
        assert docs.search("another text", k=1, filter={"parity": 1}).ids == ["d7"]


def test_filter_follows_metadata(folder: Path, old: cf.Encoder) -> None:
    """A change of metadata alone is what filters see next."""
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(cf.Document("a", "text", meta={"state": "draft"}))
        docs.upsert(cf.Document("a", "text", meta={"state": "final"}))
        assert docs.search("text", filter={"state": "draft"}).ids == []
        assert docs.search("text", filter={"state": "final"}).ids == ["a"]
