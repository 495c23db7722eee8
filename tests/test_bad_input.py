"""Bad input: each kind is refused with its own error, a message that says what to do, and nothing written."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossfade as cf
from crossfade.errors import (
    CollectionExists,
    CrossfadeError,
    EncodingFailed,
    InvalidInput,
    MigrationConflict,
    NothingToRollBack,
    NotReady,
    SpaceMismatch,
    UnknownModel,
)
from support import NEW, OLD, THIRD, content_of, documents, filled, text_of, wrapped
from tiny_models import write_bert

OLD_SPACE, NEW_SPACE = wrapped(*OLD).space, wrapped(*NEW).space
Call = Callable[[cf.Collection], Any]


def doc(identifier: Any = "e", text: Any = "some text", **fields: Any) -> cf.Document:
    return cf.Document(identifier, text, **fields)


def rows(count: int, dim: int = 32, value: float = 1.0) -> np.ndarray:
    return np.full((count, dim), value, np.float32)


def search(*arguments: Any, **keywords: Any) -> Call:
    return lambda docs: docs.search(*arguments, **keywords)


def upsert(*arguments: Any, **keywords: Any) -> Call:
    return lambda docs: docs.upsert(*arguments, **keywords)


def upsert_vectors(vectors: Any, space: Any = OLD_SPACE, count: int = 2) -> Call:
    return upsert(documents(count, start=100), vectors=vectors, space=space)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


NEARLY = rows(2)
NEARLY[1, 31] = np.nan

BAD_DOCUMENTS: list[tuple[str, Callable[[], Any], str]] = [
    ("empty text", lambda: doc(text=""), "leave it out or delete it"),
    ("white text", lambda: doc(text=" \n\t"), "leave it out or delete it"),
    ("text is no string", lambda: doc(text=7), "must be a string, got int"),
    ("text is bytes", lambda: doc(text=b"text"), "must be a string, got bytes"),
    ("text is None", lambda: doc(text=None), "must be a string, got NoneType"),
    ("title is no string", lambda: doc(title=5), "title .* must be a string"),
    ("surrogate in text", lambda: doc(text="a\ud800"), "lone surrogate at character 1"),
    ("surrogate in title", lambda: doc(title="\udfff"), "lone surrogate"),
    ("surrogate in id", lambda: doc("\ud800"), "lone surrogate"),
    ("surrogate in meta", lambda: doc(meta={"a": "\ud800"}), "JSON values only"),
    ("surrogate in a field", lambda: doc(meta={"\ud800": 1}), "JSON values only"),
    ("empty id", lambda: doc(""), "non-empty string"),
    ("id is no string", lambda: doc(1), "non-empty string"),
    ("NUL in id", lambda: doc("a\0b"), "can't hold NUL"),
    ("long id", lambda: doc("x" * 1_025), "1024 characters, got 1025"),
    ("NaN in meta", lambda: doc(meta={"a": float("nan")}), "JSON values only"),
    ("infinity in meta", lambda: doc(meta={"a": [float("inf")]}), "JSON values only"),
    ("object in meta", lambda: doc(meta={"a": object()}), "JSON values only"),
    ("field is no string", lambda: doc(meta={1: 2}), "must map field names"),
    ("meta is no mapping", lambda: doc(meta=[1]), "must map field names"),
    ("endless meta", lambda: doc(meta={"a": nested(100_000)}), "JSON values only"),
    ("deep meta", lambda: doc(meta={"a": nested(200)}), "at most 100 inside each other, got 202"),
    ("meta beyond JSON", lambda: doc(meta={"a": 10**5_000}), "JSON values only"),
    ("surrogate pair in text", lambda: doc(text="\ud83d\ude00"), "lone surrogate at character 0"),
    ("priority NaN", lambda: doc(priority=float("nan")), "finite number"),
    ("priority is a boolean", lambda: doc(priority=True), "finite number"),
    ("time is text", lambda: doc(updated_at="yesterday"), "Unix seconds or a datetime"),
    ("priority is endless", lambda: doc(priority=10**400), "finite number"),
    ("time is endless", lambda: doc(updated_at=10**400), "Unix seconds or a datetime"),
    ("time before time", lambda: doc(updated_at=datetime.min), "can't be told in Unix seconds"),
    ("time is infinite", lambda: doc(updated_at=float("inf")), "Unix seconds or a datetime"),
]

BAD_CALLS: list[tuple[str, Call, type[CrossfadeError], str]] = [
    ("upsert the same id twice", upsert([doc("e"), doc("f"), doc("e")]), InvalidInput, "'e' comes twice in one batch"),
    ("upsert no document", upsert([doc(), "text"]), InvalidInput, "takes crossfade.Document values, got str"),
    ("upsert a text", upsert("text"), InvalidInput, "takes crossfade.Document values"),
    ("upsert a number", upsert(5), InvalidInput, "takes documents, got 5"),
    ("upsert None", upsert(None), InvalidInput, "takes documents, got None"),
    ("vectors without a Space", upsert_vectors(rows(2), None), InvalidInput, "space=encoder.space"),
    ("vectors of a name", upsert_vectors(rows(2), "old"), InvalidInput, "expected a Space, got 'old'"),
    ("vectors hold NaN", upsert_vectors(rows(2, value=np.nan)), InvalidInput, "must be finite"),
    ("vectors hold infinity", upsert_vectors(rows(2, value=np.inf)), InvalidInput, "must be finite"),
    ("vectors overflow float32", upsert_vectors([[1e300] * 32] * 2), InvalidInput, "must be finite"),
    ("vectors are zero", upsert_vectors(rows(2, value=0.0)), InvalidInput, "not all zeros"),
    ("vectors of a wrong dim", upsert_vectors(rows(2, 31)), InvalidInput, r"shape \(2, 32\), .* got \(2, 31\)"),
    ("too few vectors", upsert_vectors(rows(1)), InvalidInput, r"shape \(2, 32\)"),
    ("vectors are flat", upsert_vectors(rows(2).ravel()), InvalidInput, r"shape \(2, 32\)"),
    ("vectors are words", upsert_vectors([["a"] * 32] * 2), InvalidInput, "array of numbers"),
    ("one vector holds NaN", upsert_vectors(NEARLY), InvalidInput, "must be finite"),
    ("vectors overflow every float", upsert_vectors([[10**400] * 32] * 2), InvalidInput, "array of numbers"),
    ("vectors are numbers as texts", upsert_vectors([["1"] * 32] * 2), InvalidInput, "array of numbers: got <U1"),
    ("vectors are booleans", upsert_vectors(rows(2) > 0), InvalidInput, "array of numbers: got bool"),
    ("vectors are complex", upsert_vectors(rows(2) * 1j), InvalidInput, "array of numbers: got complex64"),
    ("vectors are None", upsert_vectors([[None] * 32] * 2), InvalidInput, "array of numbers: got object"),
    ("vectors in a stack", upsert_vectors(rows(2)[np.newaxis]), InvalidInput, r"shape \(2, 32\), .* got \(1, 2, 32\)"),
    ("vectors without documents", upsert([], vectors=rows(1), space=OLD_SPACE), InvalidInput, r"shape \(0, 32\)"),
    ("vectors of a stream", upsert(iter([doc()]), vectors=rows(1), space=OLD_SPACE), InvalidInput, "as a list"),
    ("vectors are ragged", upsert_vectors([[1.0], [1.0, 2.0]]), InvalidInput, "array of numbers"),
    ("vectors of another Space", upsert_vectors(rows(2, 48), NEW_SPACE), SpaceMismatch, "or migrate the collection"),
    ("vectors of other texts", upsert_vectors(rows(2)), SpaceMismatch, "from other texts"),
    ("delete an id of 2^64 - 1", lambda docs: docs.delete([2**64 - 1]), InvalidInput, "non-empty string"),
    ("delete an id of endless digits", lambda docs: docs.delete([10**5_000]), InvalidInput, "a number of 16,610 bits"),
    ("delete an empty id", lambda docs: docs.delete(["d1", ""]), InvalidInput, "non-empty string"),
    ("delete a number", lambda docs: docs.delete([3]), InvalidInput, "non-empty string"),
    ("delete None", lambda docs: docs.delete(None), InvalidInput, "an id or several"),
    ("get NUL", lambda docs: docs.get("\0"), InvalidInput, "can't hold NUL"),
    ("get a number", lambda docs: docs.get(1), InvalidInput, "non-empty string"),
    ("search nothing", search(), InvalidInput, "not both and not neither"),
    ("search text and vector", search("text", vector=rows(1)[0]), InvalidInput, "not both and not neither"),
    ("search an empty text", search(""), InvalidInput, "must be a text to search for"),
    ("search white space", search([text_of(1), "  "]), InvalidInput, "query 1 must be a text"),
    ("search a number", search(5), InvalidInput, "a text or a list of texts, got 5"),
    ("search numbers", search([5]), InvalidInput, "query 0 must be a text"),
    ("search a set", search({"text"}), InvalidInput, "a text or a list of texts"),
    ("search queries by id", search({"q1": "text"}), InvalidInput, "a text or a list of texts"),
    ("search bytes", search(b"text"), InvalidInput, "must be a text"),
    ("search a surrogate", search("a\ud800"), InvalidInput, "lone surrogate at character 1"),
    ("search a text of a Space", search("text", space=OLD_SPACE), InvalidInput, "goes with vector="),
    ("k is zero", search("text", k=0), InvalidInput, "whole number from 1 to 10000, got 0"),
    ("k is negative", search("text", k=-1), InvalidInput, "from 1 to 10000, got -1"),
    ("k is absurd", search("text", k=10**9), InvalidInput, "from 1 to 10000"),
    ("k is endless", search("text", k=10**5_000), InvalidInput, "got a number of 16,610 bits"),
    ("k is NaN", search("text", k=float("nan")), InvalidInput, "got nan"),
    ("k is None", search("text", k=None), InvalidInput, "got None"),
    ("k is a boolean", search("text", k=True), InvalidInput, "got True"),
    ("k is a float", search("text", k=2.0), InvalidInput, "got 2.0"),
    ("k is a text", search("text", k="3"), InvalidInput, "got '3'"),
    ("k is bad for a vector too", search(vector=rows(1)[0], k=0), InvalidInput, "got 0"),
    ("query vector of a wrong dim", search(vector=rows(1, 31)[0]), InvalidInput, r"shape \(32,\)"),
    ("query vectors", search(vector=rows(2)), InvalidInput, r"shape \(32,\)"),
    ("query vector NaN", search(vector=rows(1, value=np.nan)[0]), InvalidInput, "must be finite"),
    ("query vector infinite", search(vector=rows(1, value=-np.inf)[0]), InvalidInput, "must be finite"),
    ("query vector zero", search(vector=rows(1, value=0.0)[0]), InvalidInput, "not all zeros"),
    ("query vector beyond every float", search(vector=[10**400] * 32), InvalidInput, "array of numbers"),
    ("query vector of texts", search(vector=["1"] * 32), InvalidInput, "array of numbers: got <U1"),
    ("query vector of booleans", search(vector=[True] * 32), InvalidInput, "array of numbers: got bool"),
    ("query vector complex", search(vector=rows(1)[0] * 1j), InvalidInput, "array of numbers: got complex64"),
    ("query vector empty", search(vector=[]), InvalidInput, r"shape \(32,\)"),
    ("query vector of words", search(vector=["a"] * 32), InvalidInput, "array of numbers"),
    ("query vector of a name", search(vector=rows(1)[0], space="old"), InvalidInput, "expected a Space, got 'old'"),
    ("query vector of another Space", search(vector=rows(1, 48)[0], space=NEW_SPACE), SpaceMismatch, "query vector"),
    ("filter with an operator", search("text", filter={"a": {"$gt": 0}}), InvalidInput, "no operators"),
    ("filter is a list", search("text", filter=[("a", 1)]), InvalidInput, "must map fields"),
    ("filter without values", search("text", filter={"a": []}), InvalidInput, "at least one value for a"),
    ("filter by an object", search("text", filter={"a": object()}), InvalidInput, "JSON values only"),
    ("filter by NaN", search("text", filter={"a": float("nan")}), InvalidInput, "JSON values only"),
    ("filter by a surrogate", search("text", filter={"a": "\ud800"}), InvalidInput, "JSON values only"),
    ("filter a surrogate", search("text", filter={"\ud800": 1}), InvalidInput, "JSON values only"),
    ("filter deeply", search("text", filter={"a": nested(200)}), InvalidInput, "at most 100 inside each other"),
    ("filter by an array", search("text", filter=np.zeros(2)), InvalidInput, "must map fields"),
    ("filter a number", search("text", filter={1: 1}), InvalidInput, "must map fields"),
    ("roll back from nothing", lambda docs: docs.rollback(), NothingToRollBack, "none is retained"),
    ("migrate to a name", lambda docs: docs.migrate("minilm-l6"), InvalidInput, "expected an Encoder, got 'minilm-l6'"),
    ("open with a name", lambda docs: cf.Collection.open(docs.path, "minilm-l3"), InvalidInput, "expected an Encoder"),
    ("open None", lambda docs: cf.Collection.open(None), InvalidInput, "must be a string or a Path, got None"),
    ("open NUL", lambda docs: cf.Collection.create("a\0b", wrapped(*OLD)), InvalidInput, "can't be the path"),
    ("open a surrogate", lambda docs: cf.Collection.open("\udcff"), InvalidInput, "can't be the path .* surrogates"),
    ("open a long name", lambda docs: cf.Collection.open("n" * 300), InvalidInput, "can't be the path .* too long"),
    ("migrate to the same", lambda docs: docs.migrate(wrapped(*OLD)), MigrationConflict, "nothing to do"),
    (
        "create in its place",
        lambda docs: cf.Collection.create(docs.path, wrapped(*OLD)),
        CollectionExists,
        "choose",
    ),
]

BAD_STEPS: list[tuple[str, Call, type[CrossfadeError], str]] = [
    ("another migration", lambda docs: docs.migrate(wrapped(*THIRD)), MigrationConflict, r"abandon\(\) it"),
    ("an early cutover", lambda docs: migration(docs).cutover(), NotReady, r"run\(\) the migration to its end"),
    ("a cutover without a reason", lambda docs: migration(docs).cutover(force=" "), NotReady, "give a reason"),
    ("an early rollback", lambda docs: docs.rollback(), NothingToRollBack, r"abandon\(\) drops it"),
    ("until beyond 1", lambda docs: migration(docs).run(until=1.5), InvalidInput, "share between 0 and 1"),
    ("until is a text", lambda docs: migration(docs).run(until="0.5"), InvalidInput, "share between 0 and 1"),
    ("a sample of none", lambda docs: migration(docs).fit(sample=0), InvalidInput, "positive"),
    ("a seed of letters", lambda docs: migration(docs).fit(seed="x"), InvalidInput, "seed must be a whole number"),
    ("half a sample", lambda docs: migration(docs).fit(sample=300.5), InvalidInput, "positive"),
    ("a bare vector", search(vector=rows(1)[0]), SpaceMismatch, "two versions serve"),
    ("vectors of a stranger", upsert_vectors(rows(2, 24), wrapped(*THIRD).space), SpaceMismatch, "or migrate"),
]


def migration(docs: cf.Collection) -> cf.Migration:
    assert docs.migration is not None
    return docs.migration


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cf.Collection]:
    """A collection that bad calls are made to; they must leave it as it is."""
    with filled(tmp_path_factory.mktemp("settled") / "kb.cf", wrapped(*OLD), 20) as docs:
        docs.search(text_of(1))
        yield docs


@pytest.fixture(scope="module")
def fading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cf.Collection]:
    """The same in the middle of a migration."""
    with filled(tmp_path_factory.mktemp("fading") / "kb.cf", wrapped(*OLD), 300) as docs:
        docs.migrate(wrapped(*NEW)).run(until=0.8)
        docs.search(text_of(1))
        yield docs


def refused(docs: cf.Collection, call: Call, error: type[CrossfadeError], fragment: str) -> None:
    before = content_of(docs.path)
    with pytest.raises(error, match=fragment) as caught:
        call(docs)
    assert type(caught.value) is error
    assert content_of(docs.path) == before


@pytest.mark.parametrize(("make", "fragment"), [case[1:] for case in BAD_DOCUMENTS], ids=[c[0] for c in BAD_DOCUMENTS])
def test_documents_that_cannot_be(make: Callable[[], Any], fragment: str) -> None:
    """What can't be stored can't become a Document."""
    with pytest.raises(InvalidInput, match=fragment):
        make()


@pytest.mark.parametrize(("call", "error", "fragment"), [case[1:] for case in BAD_CALLS], ids=[c[0] for c in BAD_CALLS])
def test_calls_that_are_refused(settled: cf.Collection, call: Call, error: type[CrossfadeError], fragment: str) -> None:
    """Each raises its own class, says what to do, and changes no byte of the folder."""
    refused(settled, call, error, fragment)


@pytest.mark.parametrize(("call", "error", "fragment"), [case[1:] for case in BAD_STEPS], ids=[c[0] for c in BAD_STEPS])
def test_steps_that_are_refused(fading: cf.Collection, call: Call, error: type[CrossfadeError], fragment: str) -> None:
    """So does each step of a migration that is not its turn."""
    refused(fading, call, error, fragment)


def test_calls_are_refused_during_a_migration_too(fading: cf.Collection) -> None:
    """The whole table, but for what means something else while two versions serve."""
    for name, call, error, fragment in BAD_CALLS:
        if error is InvalidInput and not name.startswith("query vector"):
            refused(fading, call, error, fragment)


FORMS: list[Callable[[np.ndarray], Any]] = [
    lambda rows: rows.tolist(),
    lambda rows: rows.astype(np.float64),
    lambda rows: rows.astype(np.float16),
    lambda rows: np.asfortranarray(rows),
    lambda rows: rows.astype(">f4"),
    lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    lambda rows: rows * np.float32(1e-42),  # below the smallest ordinary number
    lambda rows: rows * np.float32(1e37),  # beyond float16, and its square beyond float32
]


@pytest.mark.parametrize("form", FORMS, ids=["list", "float64", "float16", "columns", "bytes", "gaps", "tiny", "huge"])
def test_vectors_that_only_look_bad(folder: Path, form: Callable[[np.ndarray], Any]) -> None:
    """Any order, type and size of numbers is taken for the direction it has, in an upsert and in a search."""
    encoder, batch = wrapped(*OLD), documents(3)
    vectors = form(encoder.encode([document.content for document in batch]))
    with cf.Collection.create(folder, encoder) as docs:
        assert docs.upsert([], vectors=np.empty((0, 32)), space=encoder.space).new == 0
        docs.upsert(batch, vectors=vectors, space=encoder.space)
        for document, vector in zip(batch, vectors, strict=True):
            hits = docs.search(vector=vector)
            assert hits.ids[0] == document.id
            assert hits[0].score == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("size", [7e4, 1e30])
def test_vectors_beyond_float16_are_refused_where_their_length_counts(folder: Path, size: float) -> None:
    """Where rows are kept as they come, one that float16 can't hold is refused, and the whole batch with it."""
    space = cf.Space(model="long", dim=4, metric="dot")
    with cf.Collection.create(folder, cf.Encoder.wrap(lambda texts: np.ones((len(texts), 4)), space)) as docs:
        docs.upsert(doc("there"))
        before = content_of(folder)
        vectors = np.ones((300, 4), np.float32)
        vectors[299, 3] = size
        with pytest.raises(InvalidInput, match="at most 65504 in size; 1 are not, first row 299"):
            docs.upsert(documents(300), vectors=vectors, space=space)
        after = content_of(folder)
        assert after["rows"] == before["rows"]
        assert docs.search("text").ids == ["there"]
        docs.upsert(documents(299), vectors=vectors[:299], space=space)
        assert len(docs) == 300


def test_k_beyond_what_there_is(settled: cf.Collection) -> None:
    """One more than there are gives all of them; so does the most there can be."""
    assert len(settled.search("w1", k=21)) == len(settled.search("w1", k=10_000)) == 20


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cf.Collection]:
    """A collection of a model with a tokenizer."""
    root = tmp_path_factory.mktemp("real")
    with cf.Collection.create(root / "kb.cf", cf.Encoder.load(write_bert(root / "model"))) as docs:
        docs.upsert(doc("first", "alpha beta"))
        docs.search("alpha")
        yield docs


ODD_TEXTS = {
    "NUL": "\0",
    "NUL inside": "alpha\0beta",
    "marks": "alpha" + "\u0301" * 10**6,
    "marks alone": "\u0301" * 10**6,
    "controls": "\u202e\ufeff\ufffe",
    "the last character": "\U0010ffff",
    "emoji": "\U0001f600" * 10**6,
    "one word": "x" * 10**7,
    "words": "alpha " * 10**6,
    "spaces": " \u00a0alpha\u2003" * 10**5,
    "lines": "\r\n\talpha" * 10**5,
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_texts_that_only_look_bad(real: cf.Collection, text: str) -> None:
    """Whatever is Unicode and not all white space is stored as it came, found by itself, and searched for."""
    real.upsert(doc("odd", text))
    found = real.get("odd")
    assert found is not None
    assert found.text == text
    assert real.search(text).ids[0] == "odd"
    real.delete("odd")


def test_large_texts_are_not_copied(real: cf.Collection) -> None:
    """Of a query of 100 MB no copy is made before the tokenizer gets its beginning, and a message shows none of it."""
    text, white = "alpha beta " * 9_000_000, " " * 10**8
    tracemalloc.start()
    try:
        assert real.search(text).ids == ["first"]
        with pytest.raises(InvalidInput, match=r"query 0 must be a text") as caught:
            real.search(white)
        assert len(str(caught.value)) < 200
        with pytest.raises(InvalidInput, match="leave it out or delete it"):
            doc("white", white)
        assert doc("large", text).text is text
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda texts: np.full((len(texts), 32), np.nan), "NaN"),
        (lambda texts: np.zeros((len(texts), 32)), "zero and has no direction"),
        (lambda texts: np.ones((len(texts), 31)), r"expected rows of shape"),
        (lambda texts: np.ones((len(texts) + 1, 32)), r"expected rows of shape"),
        (lambda texts: [["a"] * 32 for _ in texts], "numbers"),
        (lambda texts: None, "numbers"),
        (lambda texts: [[1.0] * (n + 1) for n in range(len(texts))], "equal length|expected rows"),
        (lambda texts: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["NaN", "zero", "dim", "count", "words", "None", "ragged", "raises"],
)
def test_encoders_that_answer_nonsense(folder: Path, answer: Callable[[list[str]], Any], fragment: str) -> None:
    """What an encoder gives is checked before it is stored or compared with."""
    encoder = cf.Encoder.wrap(answer, cf.Space(model="nonsense", dim=32))
    with cf.Collection.create(folder, encoder) as docs:
        before = content_of(folder)
        with pytest.raises(EncodingFailed, match=fragment):
            docs.upsert(documents(3))
        with pytest.raises(EncodingFailed, match=fragment):
            docs.search("some text")
        assert content_of(folder) == before


def test_an_unknown_model_names_the_known_ones() -> None:
    """A name without a manifest, and a folder that is none."""
    with pytest.raises(UnknownModel, match="minilm-l3"):
        cf.Encoder.load("minilm-l33")
    with pytest.raises(UnknownModel, match="give a folder that holds"):
        cf.Encoder.load("/nowhere/at/all")


@pytest.mark.parametrize(
    ("fields", "fragment"),
    [
        ({"max_tokens": "5"}, "max_tokens must be a whole number"),
        ({"document_prefix": None}, "document_prefix of a Space must be a string"),
        ({"version": object()}, "version of a Space must be a string"),
        ({"normalized": "yes"}, "normalized must be True or False"),
        ({"weights": 5}, "weights of a Space, a hash or None, must be a string"),
    ],
)
def test_spaces_that_cannot_be(fields: dict[str, Any], fragment: str) -> None:
    """A Space is refused where it is made, not where it is first used."""
    with pytest.raises(InvalidInput, match=fragment):
        cf.Space(model="m", dim=3, **fields)


@pytest.mark.parametrize("name", [None, 5, b"minilm-l3"])
def test_a_model_has_a_name_or_a_path(name: Any) -> None:
    """What can be neither is refused, not passed on to the operating system."""
    with pytest.raises(InvalidInput, match="named by a string or a Path"):
        cf.Encoder.load(name)


@pytest.mark.parametrize("texts", [None, 5, {"text"}, iter(["text"])])
def test_texts_are_a_list(texts: Any) -> None:
    """What has no order or no length can't be encoded."""
    with pytest.raises(InvalidInput, match="expected a list of texts"):
        wrapped(*OLD).encode(texts)


def test_an_encoder_is_wrapped_with_its_space() -> None:
    """A name is no Space."""
    with pytest.raises(InvalidInput, match="expected a Space, got 'mine'"):
        cf.Encoder.wrap(len, "mine")  # type: ignore[arg-type]


def test_no_document_has_an_id_that_cannot_be(settled: cf.Collection) -> None:
    """`in` answers no, as for any other stranger."""
    for identifier in ("\ud800", "a\0b", "", 5, None):
        assert identifier not in settled


def test_what_is_closed_can_still_be_shown(folder: Path) -> None:
    """A debugger shows a closed collection without raising."""
    docs = filled(folder, wrapped(*OLD), 3)
    fade = docs.migrate(wrapped(*NEW))
    assert "3 documents" in repr(docs)
    assert "0 of 3 documents" in repr(fade)
    docs.close()
    assert "closed" in repr(docs)
    assert "closed" in repr(fade)
