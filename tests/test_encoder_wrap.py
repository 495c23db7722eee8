"""Encoders made of callables: what they are given, and which of their answers are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crossfade.encoder import Encoder
from crossfade.errors import EncodingFailed, InvalidInput, ModelError
from crossfade.space import Space

SPACE = Space(model="letters", dim=3)


def letters(texts: list[str]) -> list[list[int]]:
    return [[text.count("a"), text.count("b"), len(text)] for text in texts]


def test_rows_are_float32_units_in_order() -> None:
    """A callable's numbers of any type come out as float32 rows of length one."""
    rows = Encoder.wrap(letters, SPACE).encode(["aab", "ccc", "b"])
    expected = np.array([[2, 1, 3], [0, 0, 3], [0, 1, 1]]) / np.sqrt([[14], [9], [2]])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_dot_rows_come_as_they_are() -> None:
    """A Space compared by dot product keeps the lengths of its rows, zero included."""
    rows = Encoder.wrap(lambda texts: np.zeros((len(texts), 3)), Space(model="z", dim=3, metric="dot")).encode(["a"])
    assert rows.tolist() == [[0.0, 0.0, 0.0]]


def test_the_callable_keeps_its_array() -> None:
    """What the callable returned is not altered."""
    own = np.array([[3.0, 0.0, 4.0]], dtype=np.float32)
    Encoder.wrap(lambda texts: own, SPACE).encode(["a"])
    assert own.tolist() == [[3.0, 0.0, 4.0]]


def test_prefixes_are_applied() -> None:
    """The callable gets every text with the prefix of its kind."""
    seen: list[str] = []

    def record(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return [[1.0, 0.0, 0.0] for _ in texts]

    encoder = Encoder.wrap(record, Space(model="p", dim=3, query_prefix="query: ", document_prefix="passage: "))
    encoder.encode(["a"], "query")
    encoder.encode(["b"])
    assert seen == ["query: a", "passage: b"]


def test_long_lists_come_in_pieces() -> None:
    """At most 256 texts are handed over at a time, in order, and progress counts them."""
    sizes: list[int] = []
    seen: list[int] = []

    def record(texts: list[str]) -> list[list[int]]:
        sizes.append(len(texts))
        return letters(texts)

    texts = ["a" * (number % 7 + 1) + str(number) for number in range(600)]
    rows = Encoder.wrap(record, SPACE).encode(texts, progress=seen.append)
    assert sizes == [256, 256, 88]
    assert seen == [256, 512, 600]
    expected = np.array(letters(texts), dtype=np.float64)
    np.testing.assert_allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[1, 2, 3]], r"shape \(2, 3\).*gave \(1, 3\)"),
        ([[1, 2], [3, 4]], r"shape \(2, 3\).*gave \(2, 2\)"),
        ([1, 2, 3], r"gave \(3,\)"),
        (None, "must give numbers"),
        ([["a", "b", "c"]] * 2, "must give numbers"),
        ([[1, 2, 3], [1, 2]], "equal length"),
        ([[1, 2, 3], [float("nan"), 1, 1]], "text 1 holds NaN or infinity"),
        ([[1, 2, 3], [float("inf"), 1, 1]], "text 1 holds NaN or infinity"),
        ([[1, 2, 3], [0, 0, 0]], "text 1 is zero"),
        ([[1, 2j, 3], [1, 1, 1]], "must give numbers"),
    ],
)
def test_unusable_answers_are_refused(answer: Any, message: str) -> None:
    """Wrong counts, columns and types, NaN, infinity and zero rows never become vectors."""
    with pytest.raises(EncodingFailed, match=message):
        Encoder.wrap(lambda texts: answer, SPACE).encode(["a", "b"])


def test_a_bad_row_is_named_by_its_place_in_the_call() -> None:
    """The message counts from the first text of the call, not of the piece."""
    with pytest.raises(EncodingFailed, match="text 300 is zero"):
        Encoder.wrap(lambda texts: [[int(text != "x")] * 3 for text in texts], SPACE).encode(["a"] * 300 + ["x"])


def test_what_the_callable_raises_is_the_cause() -> None:
    """An exception of the callable becomes EncodingFailed and stays visible; an interrupt passes."""

    def fail(texts: list[str]) -> None:
        raise ConnectionError("the service is down")

    with pytest.raises(EncodingFailed, match="ConnectionError: the service is down") as failure:
        Encoder.wrap(fail, SPACE).encode(["a"])
    assert isinstance(failure.value.__cause__, ConnectionError)

    def interrupt(texts: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Encoder.wrap(interrupt, SPACE).encode(["a"])


def test_bad_texts_never_reach_the_callable() -> None:
    """All texts are checked before the first is handed over."""
    calls: list[list[str]] = []
    encoder = Encoder.wrap(lambda texts: calls.append(texts), SPACE)
    with pytest.raises(InvalidInput, match="text 400"):
        encoder.encode(["a"] * 400 + [""])
    assert calls == []


def test_no_texts_do_not_call() -> None:
    """An empty list gives no rows without a call."""
    encoder = Encoder.wrap(lambda texts: 1 / 0, SPACE)
    assert encoder.encode([]).shape == (0, 3)


def test_a_wrapped_encoder_has_no_name() -> None:
    """It can't be loaded again, its tokens can't be counted, and something that can't be called is refused."""
    encoder = Encoder.wrap(letters, SPACE, name="my service")
    assert encoder.name is None
    assert encoder.space is SPACE
    assert "my service" in repr(encoder)
    with pytest.raises(ModelError, match="can't be counted"):
        encoder.count_tokens(["a"])
    with pytest.raises(ModelError, match="can't be counted"):
        encoder.split_words(["a"])
    with pytest.raises(InvalidInput, match="callable"):
        Encoder.wrap("not callable", SPACE)  # type: ignore[arg-type]


@given(arrays.arrays(np.float64, (4, 3), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_rows_of_any_magnitude_become_units(raw: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Every finite row that isn't zero gets length one, from subnormal to nearly infinite numbers."""
    encoder = Encoder.wrap(lambda texts: raw, SPACE)
    if not raw.any(axis=1).all():
        with pytest.raises(EncodingFailed, match="zero"):
            encoder.encode(list("abcd"))
    else:
        np.testing.assert_allclose(np.linalg.norm(encoder.encode(list("abcd")), axis=1), 1, atol=1e-6)


def test_texts_that_are_the_same_are_encoded_once() -> None:
    """A callable gets every text of a call once, in the order of their first places; every place gets its row."""
    seen: list[list[str]] = []
    done: list[int] = []

    def counted(texts: list[str]) -> list[list[int]]:
        seen.append(texts)
        return letters(texts)

    rows = Encoder.wrap(counted, SPACE).encode(["b", "aab", "b", "ccc", "aab"], progress=done.append)

    assert seen == [["b", "aab", "ccc"]]
    assert np.array_equal(rows, Encoder.wrap(letters, SPACE).encode(["b", "aab", "ccc"])[[0, 1, 0, 2, 1]])
    assert done[-1] == 5


def test_messages_name_the_place_in_the_callers_list() -> None:
    """Where a text comes twice, the row of a later one that can't be used is named by its own place."""
    encoder = Encoder.wrap(lambda texts: [[1.0, 1.0, float("nan") if text == "c" else 1.0] for text in texts], SPACE)
    with pytest.raises(EncodingFailed, match="text 3 holds NaN"):
        encoder.encode(["a", "b", "a", "c"])


def test_what_a_callable_cuts_is_not_known() -> None:
    """No text of a wrapped callable is marked as cut, and marks of another shape or type are refused."""
    encoder = Encoder.wrap(letters, SPACE)
    cut = np.ones(2, np.bool_)
    encoder.encode(["a", "b " * 9_000], cut=cut)
    assert not cut.any()
    for marks in (np.ones(3, np.bool_), np.ones(2, np.uint8)):
        with pytest.raises(InvalidInput, match=r"cut must (have|be)"):
            encoder.encode(["a", "b"], cut=marks)  # type: ignore[arg-type]
