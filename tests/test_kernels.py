"""The kernels against their oracles, at every instruction set this machine can run."""

from __future__ import annotations

import ctypes
import mmap
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ml_dtypes import bfloat16

import oracles
from crossfade import _core, kernels
from crossfade.errors import InvalidInput

Array = npt.NDArray[Any]

LEVELS = _core.instruction_sets()
EPS = 2.0**-23  # of float32
EPS_HALF = 2.0**-10
TINY = 2.0**-149
TINY_HALF = 2.0**-24
WIDTHS = st.sampled_from([1, 3, 7, 15, 16, 17, 31, 33, 255, 257, 384])
COUNTS = st.sampled_from([0, 1, 2, 5, 6, 7, 23, 25, 97])
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from([np.float32, np.float16])
STORED = st.sampled_from([np.float32, np.float16, bfloat16, np.int8])
LAYOUTS = st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans())

every_level = pytest.mark.parametrize("level", LEVELS)
examples = settings(max_examples=50, deadline=None)


@contextmanager
def forced(level: str) -> Iterator[None]:
    before = kernels.instruction_set()
    assert _core.force_instruction_set(level)
    try:
        yield
    finally:
        _core.force_instruction_set(before)


def laid_out(values: Array, layout: tuple[int, int, bool]) -> Array:
    """The same values in a view that starts off any alignment, has gaps between its rows, and may run backwards."""
    shift, gap, backwards = layout
    n, d = values.shape
    base = np.full((n, d + gap + shift), -1, values.dtype)
    view = base[:, shift : shift + d]
    view = view[::-1] if backwards else view
    view[:] = values
    return view


def rows(seed: int, n: int, d: int, kind: type[Any] = np.float32) -> Array:
    values = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return (40 * values).clip(-127, 127).astype(kind) if kind is np.int8 else values.astype(kind)


def unit_rows(seed: int, n: int, d: int) -> Array:
    return kernels.normalize(rows(seed, n, d))


def within(actual: Array, expected: Array, tolerance: Array) -> bool:
    return bool((np.abs(actual.astype(np.float64) - expected) <= tolerance).all())


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, kind=KINDS, layout=LAYOUTS, exponent=st.integers(-60, 60))
def test_normalize_matches_its_oracle(
    level: str, seed: int, n: int, d: int, kind: type[Any], layout: tuple[int, int, bool], exponent: int
) -> None:
    """Rows of any scale become unit rows, rounded once; where the output is strided, what lies between stays."""
    x = laid_out(rows(seed, n, d) * np.float32(2.0**exponent), layout)
    whole = np.full((n, d + 3), 7, kind)
    out = whole[:, :d]

    with forced(level):
        assert kernels.normalize(x, out) is out

    expected = oracles.normalize(x)
    eps, tiny = (EPS, TINY) if kind is np.float32 else (EPS_HALF, TINY_HALF)
    assert within(out, expected, 0.501 * (eps * np.abs(expected) + tiny))
    assert (whole[:, d:] == 7).all()


@every_level
def test_normalize_in_place_and_one_row(level: str) -> None:
    """In place gives the bits of out of place; a single row is a row; dtype chooses the result's."""
    x = rows(1, 9, 33)
    with forced(level):
        apart = kernels.normalize(x)
        alone = kernels.normalize(x[3])
        half = kernels.normalize(x, dtype=np.float16)
        same = kernels.normalize(x, x)

    assert same is x
    assert np.array_equal(x, apart)
    assert np.array_equal(alone, apart[3])
    assert half.dtype == np.float16
    assert np.array_equal(half, apart.astype(np.float16))


@every_level
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("d", [1, 17, 384])
def test_normalize_names_bad_rows_and_leaves_them(level: str, value: float, d: int) -> None:
    """Zero and non-finite rows are counted, the first is named, their places stay as they were; others are written."""
    x = rows(2, 6, d)
    x[3] = value
    x[5, d - 1 :] = np.nan
    out = np.full_like(x, 7)

    with forced(level), pytest.raises(InvalidInput, match=r"2 of 6 .* first is row 3"):
        kernels.normalize(x, out)

    assert (out[[3, 5]] == 7).all()
    assert np.array_equal(out[[0, 1, 2, 4]], kernels.normalize(x[[0, 1, 2, 4]]))


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, kind=STORED, hits=st.lists(st.integers(0, 96), max_size=5))
def test_normalize_marks_bad_rows(level: str, seed: int, n: int, d: int, kind: type[Any], hits: list[int]) -> None:
    """With `bad`, such rows are marked and become zeros, the others stay unmarked and are what they are alone."""
    x = rows(seed, n, d)
    wanted = np.isin(np.arange(n), hits)
    x[wanted, d - 1] = np.where(np.arange(wanted.sum()) % 2, np.nan, np.inf)
    bad = np.ones(n, np.bool_)

    with forced(level):
        out = kernels.normalize(x, dtype=kind, bad=bad)
        good = kernels.normalize(x[~wanted], dtype=kind)

    assert np.array_equal(bad, wanted)
    assert not out[wanted].astype(np.float32).any()
    assert np.array_equal(out[~wanted], good)


@every_level
@pytest.mark.parametrize("kind", [np.float32, np.float16, bfloat16])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "bfloat16x3"])
@pytest.mark.parametrize("threads", [1, 2])
def test_project_marks_bad_rows(level: str, kind: type[Any], precision: str, threads: int) -> None:
    """With `bad`, rows that map to nothing usable are marked and become zeros; the others are what they are alone."""
    x, matrix = rows(5, 700, 60), rows(6, 60, 70)
    x[[3, 96, 699]] = [[0], [np.nan], [np.inf]]
    out, bad = np.full((700, 70), 7, kind), np.ones(700, np.bool_)

    with forced(level):
        kernels.project(x, matrix, precision=precision, out=out, bad=bad, threads=threads)
        good = kernels.project(x[~bad], matrix, precision=precision, out=np.empty((697, 70), kind))
        alone = kernels.project(x[3], matrix, precision=precision, bad=bad[:1])

    assert np.flatnonzero(bad[1:]).tolist() == [2, 95, 698]
    assert not out[[3, 96, 699]].astype(np.float32).any()
    assert np.array_equal(np.delete(out, [3, 96, 699], axis=0), good)
    assert bad[0]
    assert not alone.any()


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, kind=st.sampled_from([bfloat16, np.int8]))
def test_normalize_to_bfloat16_and_int8(level: str, seed: int, n: int, d: int, kind: type[Any]) -> None:
    """The narrower elements are the float32 results rounded to nearest, int8 after 127 times the value."""
    x = rows(seed, n, d)
    with forced(level):
        narrow = kernels.normalize(x, dtype=kind)
    expected = oracles.normalize(x)

    assert narrow.dtype == kind
    if kind is np.int8:
        assert within(narrow, 127 * expected, np.full_like(expected, 0.5 + 1e-4))
    else:
        assert np.array_equal(narrow, kernels.normalize(x).astype(bfloat16))


@every_level
@pytest.mark.parametrize("kind", [np.float32, np.float16, bfloat16, np.int8])
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_normalize_past_the_caches(level: str, kind: type[Any], shift: int) -> None:
    """Outputs too large for the caches are the same, bit by bit, wherever their rows start."""
    n, d = 80_000, 210
    x = np.resize(rows(3, 50, d), (n, d))
    out = np.zeros(n * d + shift, kind)[shift:].reshape(n, d)
    with forced(level):
        kernels.normalize(x, out)
        assert np.array_equal(out, np.resize(kernels.normalize(x[:50], dtype=kind), (n, d)))


@every_level
def test_normalize_survives_the_extremes_of_float(level: str) -> None:
    """Rows whose squares overflow or vanish in float32 are normalised all the same."""
    x = np.array([[3e38, -3e38, 0], [1e-45, 0, 0], [1e-38, 1e-38, 0]], np.float32)
    with forced(level):
        actual = kernels.normalize(x)

    expected = oracles.normalize(x)
    assert within(actual, expected, EPS * np.abs(expected))


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=STORED, layout=LAYOUTS, parts=st.integers(0, 3))
def test_project_matches_its_oracle(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any], layout: tuple[int, int, bool], parts: int
) -> None:
    """The map with and without center and offset is within the error that d_in float32 sums can have."""
    x, matrix = laid_out(rows(seed, n, d_in, kind), layout), laid_out(rows(seed + 1, d_in, d_out), layout)
    center = rows(seed + 2, 1, d_in)[0] if parts & 1 else None
    offset = rows(seed + 3, 1, d_out)[0] if parts & 2 else None

    with forced(level):
        actual = kernels.project(x, matrix, center, offset, normalize=False)

    c = np.zeros(d_in) if center is None else center
    o = np.zeros(d_out) if offset is None else offset
    expected = oracles.project(x, matrix, c, o)
    magnitude = oracles.project(np.abs(x.astype(np.float64)), np.abs(matrix), -np.abs(c), np.abs(o))
    assert actual.dtype == np.float32
    assert actual.shape == (n, d_out)
    assert within(actual, expected, (d_in + 3) * EPS * magnitude)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS)
def test_project_gives_unit_rows(level: str, seed: int, n: int, d_in: int, d_out: int) -> None:
    """By default the rows of the map are exactly what normalize makes of them."""
    x, matrix = rows(seed, n, d_in), rows(seed + 1, d_in, d_out)
    with forced(level):
        raw = kernels.project(x, matrix, normalize=False)
        unit = kernels.project(x, matrix)
        assert np.array_equal(unit, kernels.normalize(raw))


@every_level
@pytest.mark.parametrize("d_out", [1, 17, 64, 100])
def test_project_of_a_row_does_not_depend_on_the_others(level: str, d_out: int) -> None:
    """Alone or among many (where the matrix is packed), a row maps to the same bits."""
    x, matrix = rows(3, 130, 50), rows(4, 50, d_out)
    with forced(level):
        together = kernels.project(x, matrix)
        alone = np.stack([kernels.project(row, matrix) for row in x])

    assert np.array_equal(alone, together)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=STORED, layout=LAYOUTS)
def test_project_in_bfloat16(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any], layout: tuple[int, int, bool]
) -> None:
    """Operands are rounded to bfloat16, then nothing is lost but what float32 sums lose; a row is alone in it."""
    x, matrix = laid_out(rows(seed, n, d_in, kind), layout), laid_out(rows(seed + 1, d_in, d_out), layout)
    center, offset = rows(seed + 2, 1, d_in)[0], rows(seed + 3, 1, d_out)[0]
    with forced(level):
        actual = kernels.project(x, matrix, center, offset, normalize=False, precision="bfloat16")
        alone = [kernels.project(row, matrix, center, offset, normalize=False, precision="bfloat16") for row in x[:3]]

    narrow = (x.astype(np.float32) - center).astype(bfloat16), matrix.astype(bfloat16)
    expected = oracles.project(*narrow, np.zeros(d_in), offset)
    magnitude = oracles.project(*(np.abs(array.astype(np.float64)) for array in narrow), np.zeros(d_in), np.abs(offset))
    assert within(actual, expected, (d_in + 3) * EPS * magnitude)
    assert np.array_equal(actual[:3], np.array(alone, np.float32).reshape(actual[:3].shape))


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=STORED, layout=LAYOUTS)
def test_project_in_three_products_of_bfloat16(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any], layout: tuple[int, int, bool]
) -> None:
    """A product lacks low · low and what the low parts were rounded by: each is at most 2^-16 of it."""
    x, matrix = laid_out(rows(seed, n, d_in, kind), layout), laid_out(rows(seed + 1, d_in, d_out), layout)
    center = rows(seed + 2, 1, d_in)[0]
    with forced(level):
        actual = kernels.project(x, matrix, center, normalize=False, precision="bfloat16x3")
        alone = [kernels.project(row, matrix, center, normalize=False, precision="bfloat16x3") for row in x[:3]]

    centered = x.astype(np.float32) - center
    none = np.zeros(max(d_in, d_out))
    expected = oracles.project(centered, matrix, none[:d_in], none[:d_out])
    magnitude = oracles.project(np.abs(centered), np.abs(matrix), none[:d_in], none[:d_out])
    assert within(actual, expected, (3 * 2.0**-16 + 3 * (d_in + 3) * EPS) * magnitude)
    assert np.array_equal(actual[:3], np.array(alone, np.float32).reshape(actual[:3].shape))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "bfloat16x3"])
def test_project_ranks_alike_at_every_level(precision: str) -> None:
    """Mapped rows rank alike at every level wherever their scores differ by more than 1e-5."""
    x, matrix, query = rows(11, 400, 100), rows(12, 100, 70), unit_rows(13, 1, 70)[0]
    scores = []
    for level in LEVELS:
        with forced(level):
            scores.append(kernels.project(x, matrix, precision=precision) @ query)
    for other in scores[1:]:
        ranked = other[np.argsort(-scores[0], kind="stable")]
        assert np.all(np.diff(ranked) <= 1e-5)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d_in=WIDTHS, d_out=WIDTHS, kind=st.sampled_from([np.float16, bfloat16]))
def test_project_by_a_narrow_matrix_into_narrow_rows(
    level: str, seed: int, n: int, d_in: int, d_out: int, kind: type[Any]
) -> None:
    """A narrow matrix gives the bits of the same matrix in float32; narrow rows are the float32 ones rounded once."""
    x, matrix = rows(seed, n, d_in), rows(seed + 1, d_in, d_out, kind)
    out = np.zeros((n, d_out), kind)
    with forced(level):
        assert kernels.project(x, matrix, out=out) is out
        expected = kernels.project(x, matrix.astype(np.float32), normalize=False)
        assert np.array_equal(kernels.project(x, matrix, normalize=False), expected)
        assert np.array_equal(out, kernels.normalize(expected, dtype=kind))
        for row, mapped in zip(x[:2], expected[:2], strict=True):
            assert np.array_equal(kernels.project(row, matrix, normalize=False), mapped)


@every_level
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16x3"])
def test_project_in_bfloat16_reports_what_is_not_finite(level: str, precision: str, value: float) -> None:
    """A NaN of any bits stays one when it is rounded, and its row is named."""
    x, matrix = rows(5, 30, 8), rows(6, 8, 8)
    x.view(np.uint32)[2, 3] = 0x7FFFFFFF
    x[9, 1] = value
    with forced(level), pytest.raises(InvalidInput, match=r"2 of 30 .* first is row 2"):
        kernels.project(x, matrix, precision=precision)


@every_level
def test_project_refuses_rows_it_cannot_use(level: str) -> None:
    """Non-finite rows are refused; rows that map to zero are only where unit rows were asked for."""
    x, matrix = rows(5, 30, 8), rows(6, 8, 8)
    x[7] = 0
    with forced(level):
        assert not kernels.project(x, matrix, normalize=False)[7].any()
        with pytest.raises(InvalidInput, match=r"1 of 30 .* first is row 7"):
            kernels.project(x, matrix)
        x[2, 3] = np.inf
        with pytest.raises(InvalidInput, match=r"1 of 30 .* first is row 2"):
            kernels.project(x, matrix, normalize=False)


@every_level
@examples
@given(seed=SEEDS, n=COUNTS, d=WIDTHS, q=st.integers(0, 3), kind=STORED, layout=LAYOUTS)
def test_rescore_matches_its_oracle(
    level: str, seed: int, n: int, d: int, q: int, kind: type[Any], layout: tuple[int, int, bool]
) -> None:
    """Gathered and whole scans are within the error that d float32 sums can have; one query is one row of several."""
    vectors, queries = laid_out(rows(seed, n, d, kind), layout), laid_out(rows(seed + 1, q, d), layout)
    chosen = np.random.default_rng(seed).integers(0, n, 2 * n) if n else np.empty(0, np.int64)

    with forced(level):
        gathered = kernels.rescore(vectors, chosen, queries)
        scanned = kernels.rescore(vectors, None, queries)
        single = [kernels.rescore(vectors, chosen, query) for query in queries]

    magnitude = oracles.rescore(np.abs(vectors.astype(np.float64)), chosen, np.abs(queries))
    assert within(gathered, oracles.rescore(vectors, chosen, queries), d * EPS * magnitude)
    assert np.array_equal(gathered, scanned[:, chosen])
    assert np.array_equal(gathered, np.array(single, np.float32).reshape(gathered.shape))


@every_level
@pytest.mark.parametrize("d", [1, 8, 31, 124])
def test_every_half_is_read_exactly(level: str, d: int) -> None:
    """All 63,488 finite float16 values, subnormal ones too, become the float32 of the same value."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 31)
    vectors = np.resize(finite, (finite.size // d + 1, d))
    with forced(level):
        actual = kernels.rescore(vectors, None, np.eye(d, dtype=np.float32))

    assert np.array_equal(actual.T, vectors.astype(np.float32))


@pytest.mark.parametrize("lists", [1, 2, 3, 4, 5, 16, 17])
def test_padding_between_other_keys_is_passed_over(lists: int) -> None:
    """Wherever it stands, in whichever list: nothing is left out for it, and nothing beyond a list is read."""
    keys = np.full((lists, 3), kernels.PADDING_KEY)
    scores = np.full((lists, 3), -np.inf, np.float32)
    keys[0, 0], scores[0, 0] = 5, 0.5
    keys[-1], scores[-1] = [0, kernels.PADDING_KEY, 1], [np.inf, np.inf, 0.0]
    best = kernels.merge_topk(keys, scores, 4)
    assert list(zip(best[0].tolist(), best[1].tolist(), strict=True)) == oracles.merge_topk(
        keys.ravel(), scores.ravel(), 4
    )


@every_level
@examples
@given(
    seed=SEEDS,
    shape=st.one_of(
        st.tuples(st.integers(0, 4), st.integers(0, 30)),
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 30)),
    ),
    k=st.integers(1, 40),
    spread=st.sampled_from([3, 20, 2**63]),
)
def test_merge_matches_its_oracle(level: str, seed: int, shape: tuple[int, ...], k: int, spread: int) -> None:
    """Keys come once with their highest score, best first, ties by key; the rest is padding."""
    generator = np.random.default_rng(seed)
    keys = generator.integers(0, spread, shape, dtype=np.uint64)
    keys[generator.random(shape) < 0.2] = kernels.PADDING_KEY
    scores = generator.choice(np.array([-np.inf, -1, -0.0, 0.0, 0.25, 0.5, 2, np.inf], np.float32), shape)

    with forced(level):
        best_keys, best_scores = kernels.merge_topk(keys, scores, k)

    assert best_keys.shape == best_scores.shape == (*shape[:-2], k)
    assert (best_keys.dtype, best_scores.dtype) == (np.uint64, np.float32)
    count = int(np.prod(shape[:-2], dtype=int))
    lists = keys.reshape(count, shape[-2] * shape[-1]), scores.reshape(count, shape[-2] * shape[-1])
    for query in range(count):
        merged = zip(best_keys.reshape(-1, k)[query].tolist(), best_scores.reshape(-1, k)[query].tolist(), strict=True)
        assert list(merged) == oracles.merge_topk(lists[0][query], lists[1][query], k)


@examples
@given(
    seed=SEEDS,
    lists=st.integers(1, 17),
    n=st.integers(1, 30),
    k=st.integers(1, 40),
    padded=st.booleans(),
    lowest=st.sampled_from([0, 2**32 - 10, 2**64 - 70]),
)
def test_merge_of_ranked_lists(seed: int, lists: int, n: int, k: int, padded: bool, lowest: int) -> None:
    """Lists in the order of a search, ties and all, padded or not, one of them unranked perhaps, are merged right."""
    generator = np.random.default_rng(seed)
    keys = generator.integers(0, 2 * n, (2, lists, n), dtype=np.uint64) + np.uint64(lowest)
    scores = generator.integers(0, n, keys.shape).astype(np.float32)
    order = np.lexsort((keys, -scores))
    keys, scores = np.take_along_axis(keys, order, -1), np.take_along_axis(scores, order, -1)
    if padded:
        keys[:, :, n - n // 3 :] = kernels.PADDING_KEY
        scores[:, 0] = scores[:, 0, ::-1]

    best_keys, best_scores = kernels.merge_topk(keys, scores, k)

    for query in range(2):
        merged = list(zip(best_keys[query].tolist(), best_scores[query].tolist(), strict=True))
        assert merged == oracles.merge_topk(keys[query], scores[query], k)
    assert np.array_equal(kernels.merge_topk(keys, scores, k, threads=2)[0], best_keys)


@examples
@given(seed=SEEDS, n=st.integers(1, 300), d=WIDTHS)
def test_instruction_sets_give_the_same_order(seed: int, n: int, d: int) -> None:
    """Sorted by the scores of one level, the scores of another never rise by more than 1e-5."""
    vectors, query = unit_rows(seed, n, d).astype(np.float16), unit_rows(seed + 1, 1, d)[0]
    scores = {}
    for level in LEVELS:
        with forced(level):
            scores[level] = kernels.rescore(vectors, None, query)

    for one in LEVELS:
        order = np.argsort(-scores[one], kind="stable")
        for other in LEVELS:
            ranked = scores[other][order]
            assert (ranked - np.minimum.accumulate(ranked) <= 1e-5).all()


@every_level
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(level: str, threads: int) -> None:
    """Work large enough to be split gives the same bits, and the same report of bad rows, as one thread."""
    x, matrix = rows(7, 12_000, 200), rows(8, 200, 64)
    with forced(level):
        assert np.array_equal(kernels.normalize(x, threads=threads), kernels.normalize(x))
        assert np.array_equal(kernels.project(x, matrix, threads=threads), kernels.project(x, matrix))
        assert np.array_equal(kernels.rescore(x, None, x[0], threads=threads), kernels.rescore(x, None, x[0]))
        x[[9_000, 11_999]] = 0
        with pytest.raises(InvalidInput, match=r"2 of 12000 .* first is row 9000"):
            kernels.normalize(x, threads=threads)


def at_the_edge(values: Array) -> Array:
    """A copy of the values that ends where the memory that may be touched ends."""
    pages = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    block = mmap.mmap(-1, pages + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + pages), mmap.PAGESIZE, 0) == 0
    edge = np.frombuffer(block, np.uint8)[pages - values.nbytes : pages].view(values.dtype).reshape(values.shape)
    edge[:] = values
    return edge


@every_level
@pytest.mark.parametrize("d", [1, 7, 9, 17, 33, 70])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_nothing_beyond_the_last_element_is_touched(level: str, d: int, kind: type[Any]) -> None:
    """Rows that end at the end of a memory map are read and written without a fault."""
    x, matrix = at_the_edge(rows(9, 3, d, kind)), at_the_edge(rows(10, d, d))
    query, out = at_the_edge(rows(11, 1, d)), at_the_edge(np.zeros((3, d), kind))
    many, result = at_the_edge(rows(9, 40, d, kind)), at_the_edge(np.zeros((40, d), np.float32))
    with forced(level):
        kernels.rescore(x, np.array([2, 1, 2]), query)
        kernels.normalize(at_the_edge(rows(9, 3, d)), out)
        kernels.project(x, matrix, query[0], query[0], out=result[:3])
        kernels.project(many, matrix, query[0], query[0], out=result)
        kernels.project(many, matrix, out=result)
        kernels.project(many, matrix, precision="bfloat16", out=result)
        kernels.project(many[0], at_the_edge(rows(10, d, d, np.float16)), out=result[39])
        kernels.covariance(many, many[::-1])

    assert np.isfinite(result).all()


def test_read_only_and_mapped_vectors_are_welcome(tmp_path: Path) -> None:
    """A read-only memory map of float16 rows with a gap between them is scored where it lies."""
    stored = np.zeros((5, 8), np.float16)
    stored[:, :6] = rows(12, 5, 6)
    stored.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float16, "r", shape=(5, 8))[:, :6]
    query = rows(13, 1, 6)[0]

    actual = kernels.rescore(mapped, np.array([4, 0]), query)

    assert np.array_equal(actual, kernels.rescore(stored[:, :6].copy(), np.array([4, 0]), query))


def covariance_is_right(actual: Array, x: Array, y: Array) -> bool:
    """Within a millionth of the product of the two columns' standard deviations; more rows average them out."""
    spread = np.outer(x.astype(np.float64).std(axis=0), y.astype(np.float64).std(axis=0))
    return within(actual, oracles.covariance(x, y), 1e-6 * spread + 1e-12)


@every_level
@examples
@given(seed=SEEDS, n=st.integers(1, 60), cut=st.integers(0, 60), kind=STORED, cross=st.booleans())
@example(seed=155737209, n=57, cut=0, kind=bfloat16, cross=False)
def test_covariance_matches_its_oracle_however_it_is_cut(
    level: str, seed: int, n: int, cut: int, kind: type[Any], cross: bool
) -> None:
    """Two calls give what one gives, far from the origin too; a constant column has no variance."""
    x, y = rows(seed, n, 5, kind), rows(seed + 1, n, 3, kind)
    x = x if kind is np.int8 else (x + np.asarray(100, x.dtype)).astype(kind)
    x[:, 2] = 7
    with forced(level):
        state = kernels.covariance(x[:cut], y[:cut] if cross else None)
        state = kernels.covariance(x[cut:], y[cut:] if cross else None, state)

    other = y if cross else x
    assert state.count == n
    np.testing.assert_allclose(state.mean_x, x.astype(np.float64).mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.mean_y, other.astype(np.float64).mean(axis=0), rtol=1e-12, atol=1e-12)
    assert covariance_is_right(state.covariance, x, other)
    assert not state.covariance[2].any()


@every_level
@pytest.mark.parametrize(("d_x", "d_y"), [(6, 70), (129, 64), (200, 1)])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_covariance_of_many_blocks(level: str, d_x: int, d_y: int, kind: type[Any]) -> None:
    """More rows than a block holds, and more columns than a panel, alone and crossed, whatever the threads."""
    x, y = rows(14, 1_500, d_x, kind), rows(15, 1_500, d_y, kind)
    x, y = laid_out(x + x.dtype.type(3), (1, 2, False)), y + y.dtype.type(-2)
    with forced(level):
        alone, crossed = kernels.covariance(x), kernels.covariance(x, y)
        split = kernels.covariance(x, threads=2), kernels.covariance(x, y, threads=2)

    assert covariance_is_right(alone.covariance, x, x)
    assert covariance_is_right(crossed.covariance, x, y)
    assert np.array_equal(alone.comoment, alone.comoment.T)
    assert np.array_equal(split[0].comoment, alone.comoment)
    assert np.array_equal(split[1].comoment, crossed.comoment)


X = rows(15, 4, 6)
SQUARE = rows(16, 6, 6)
KEYS = np.arange(6, dtype=np.uint64).reshape(2, 3)
SCORES = np.ones((2, 3), np.float32)
ZERO = np.zeros(6, np.float32)
ROWS = np.array([0, 1])
MISALIGNED = np.zeros(25, np.uint8)[1:].view(np.float32)
STATE = kernels.covariance(X)

BAD_CALLS: dict[str, tuple[Any, str]] = {
    "list": (lambda: kernels.normalize([[1.0]]), "x must be a NumPy array of float32, got list; use np.asarray"),
    "float64": (lambda: kernels.normalize(X.astype(float)), r"x must be float32, got float64; .*astype\(np.float32\)"),
    "half": (lambda: kernels.normalize(X.astype(np.float16)), "x must be float32, got float16"),
    "big-endian": (lambda: kernels.normalize(X.astype(">f4")), "x must be float32, got >f4"),
    "three dimensions": (lambda: kernels.normalize(X[None]), r"one or two dimensions, got the shape \(1, 4, 6\)"),
    "no dimension": (lambda: kernels.normalize(X[0, 0, ...]), "one or two dimensions"),
    "columns apart": (lambda: kernels.normalize(X[:, ::2]), "consecutive in memory, got the strides"),
    "transposed": (lambda: kernels.normalize(X.T), "consecutive in memory"),
    "misaligned": (lambda: kernels.normalize(MISALIGNED), "aligned"),
    "no columns": (lambda: kernels.normalize(X[:, :0]), "4 of 4 can't be scaled"),
    "dtype": (lambda: kernels.normalize(X, dtype=np.float64), "dtype must be np.float32, np.float16, ml_dtypes"),
    "out dtype": (
        lambda: kernels.normalize(X, X.astype(float)),
        "out must be int8 or bfloat16 or float16 or float32, got float64",
    ),
    "out against dtype": (lambda: kernels.normalize(X, X.copy(), dtype=np.float16), "out must be float16, got float32"),
    "out shape": (lambda: kernels.normalize(X, X[:2].copy()), r"out must have the shape \(4, 6\), got \(2, 6\)"),
    "out overlaps": (lambda: kernels.normalize(X[1:], X[:3]), "out must not share memory"),
    "out repeats": (
        lambda: kernels.normalize(X, np.lib.stride_tricks.as_strided(X.copy(), (4, 6), (0, 4))),
        "rows of out must not overlap",
    ),
    "out read-only": (lambda: kernels.normalize(X, np.broadcast_to(X, (4, 6))), "out must be writeable"),
    "bad size": (lambda: kernels.normalize(X, bad=np.empty(3, np.bool_)), r"bad must have the shape \(4,\), one bool"),
    "bad dtype": (lambda: kernels.normalize(X, bad=np.empty(4, np.uint8)), "bad must be bool, got uint8"),
    "bad strides": (lambda: kernels.normalize(X, bad=np.empty(8, np.bool_)[::2]), "consecutive and writeable"),
    "bad in project": (
        lambda: kernels.project(X, SQUARE, bad=np.empty(5, np.bool_)),
        r"bad must have the shape \(4,\)",
    ),
    "threads zero": (lambda: kernels.normalize(X, threads=0), "threads must be between 1 and"),
    "threads bool": (lambda: kernels.normalize(X, threads=True), "threads must be between 1 and"),
    "threads float": (lambda: kernels.normalize(X, threads=1.5), "threads must be a whole number, got 1.5"),
    "matrix vector": (lambda: kernels.project(X, ZERO), "matrix must have two dimensions"),
    "matrix other": (lambda: kernels.project(X, SQUARE[:5].copy()), "matrix must have a row for each of the 6 columns"),
    "matrix double": (lambda: kernels.project(X, SQUARE.astype(float)), "matrix must be .* float32, got float64"),
    "center size": (lambda: kernels.project(X, SQUARE, ZERO[:5]), r"center must have the shape \(6,\), got the shape"),
    "center rows": (lambda: kernels.project(X, SQUARE, X), "center must have the shape"),
    "offset size": (lambda: kernels.project(X, SQUARE, None, ZERO[:5]), "offset must have the shape"),
    "precision": (
        lambda: kernels.project(X, SQUARE, precision="int3"),
        "precision must be one of float32, bfloat16, bfloat16x3, got 'int3'",
    ),
    "out is x": (lambda: kernels.project(X, SQUARE, out=X), "out must not share memory"),
    "keys int64": (lambda: kernels.merge_topk(KEYS.astype(np.int64), SCORES, 1), "keys must be uint64, got int64"),
    "scores float64": (lambda: kernels.merge_topk(KEYS, SCORES.astype(float), 1), "scores must be float32"),
    "merge shapes": (lambda: kernels.merge_topk(KEYS, SCORES[:1], 1), r"got the shapes \(2, 3\) and \(1, 3\)"),
    "merge one list": (lambda: kernels.merge_topk(KEYS[0], SCORES[0], 1), r"both be \(lists, n\)"),
    "merge strides": (lambda: kernels.merge_topk(KEYS.T, SCORES.T, 1), "C-contiguous"),
    "merge NaN": (lambda: kernels.merge_topk(KEYS, SCORES * np.float32(np.nan), 1), "scores must not be NaN"),
    "k zero": (lambda: kernels.merge_topk(KEYS, SCORES, 0), "k must be between 1 and"),
    "k float": (lambda: kernels.merge_topk(KEYS, SCORES, 2.0), "k must be a whole number"),
    "rows int32": (lambda: kernels.rescore(X, ROWS.astype(np.int32), X[0]), "rows must be int64, got int32"),
    "rows nested": (lambda: kernels.rescore(X, ROWS[None], X[0]), "rows must have one dimension"),
    "rows negative": (lambda: kernels.rescore(X, ROWS - 1, X[0]), "rows must be between 0 and 3, got -1 at 0"),
    "rows beyond": (lambda: kernels.rescore(X, ROWS + 3, X[0]), "rows must be between 0 and 3, got 4 at 1"),
    "rows of none": (lambda: kernels.rescore(X[:0], ROWS, X[0]), "rows must be indices into 0 vectors, got 0 at 0"),
    "query size": (lambda: kernels.rescore(X, ROWS, X[0, :5]), "query must have the 6 columns"),
    "query NaN": (lambda: kernels.rescore(X, ROWS, X[0] * np.float32(np.nan)), "must be finite and not huge"),
    "vectors vector": (lambda: kernels.rescore(X[0], ROWS, X[0]), "vectors must have two dimensions"),
    "covariance lengths": (lambda: kernels.covariance(X, X[:3]), "x and y must have as many rows"),
    "covariance NaN": (lambda: kernels.covariance(np.array([[1], [np.nan]], np.float32)), "NaN or infinity in row 1"),
    "covariance state": (lambda: kernels.covariance(X[:, :5], state=STATE), "state must come from rows like these"),
    "covariance cross": (lambda: kernels.covariance(X, X, state=STATE), "without a y"),
    "covariance huge": (lambda: kernels.covariance(X * np.float32(1e30)), "squares to be float32"),
    "covariance threads": (lambda: kernels.covariance(X, threads=0), "threads must be between 1 and"),
    "merge threads": (lambda: kernels.merge_topk(KEYS, SCORES, 1, threads=0), "threads must be between 1 and"),
    "covariance none": (lambda: kernels.covariance(X[:0]).covariance, "needs at least one row"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_what_cannot_be_used_is_refused(name: str) -> None:
    """Every bad argument is an InvalidInput that says what was expected and what came."""
    call, message = BAD_CALLS[name]
    with pytest.raises(InvalidInput, match=message):
        call()


def test_the_module_itself_guards_memory() -> None:
    """Called past the door, the compiled module still refuses what would touch foreign memory."""
    out = np.empty((4, 6), np.float32)
    with pytest.raises(ValueError, match="dtype"):
        _core.normalize(X.astype(float), out, None, 1)
    with pytest.raises(ValueError, match="shape of x"):
        _core.normalize(X, out[:3], None, 1)
    with pytest.raises(ValueError, match="one bool for each row"):
        _core.normalize(X, out, np.empty(3, np.bool_), 1)
    with pytest.raises(ValueError, match="one bool for each row"):
        _core.project(X, SQUARE, None, None, 0, True, None, np.empty(4, np.uint8), 1)
    with pytest.raises(ValueError, match="consecutive"):
        _core.normalize(X[:, ::2], out[:, :3], None, 1)
    with pytest.raises(ValueError, match="as many columns"):
        _core.project(X, SQUARE[:5], None, None, 0, True, None, None, 1)
    with pytest.raises(ValueError, match="another size"):
        _core.project(X, SQUARE, ZERO[:5], None, 0, True, None, None, 1)
    with pytest.raises(ValueError, match="share memory"):
        _core.project(X, SQUARE, None, None, 0, True, X, None, 1)
    with pytest.raises(ValueError, match="columns of vectors"):
        _core.rescore(X, None, X[:1, :3], 1)
    with pytest.raises(ValueError, match="same shape"):
        _core.merge_topk(KEYS, SCORES[:1], 1, 1)
    assert _core.rescore(X, ROWS + 3, X[0], 1)[1] == 1


@every_level
def test_the_environment_chooses_the_instruction_set(level: str) -> None:
    """CROSSFADE_SIMD names the level of a new process."""
    done = import_kernels(level)
    assert (done.returncode, done.stdout.strip()) == (0, level), done.stderr


def test_an_unknown_instruction_set_is_refused_at_import() -> None:
    """A level that doesn't exist, or that this machine lacks, is an InvalidInput that lists the ones there are."""
    done = import_kernels("mmx")
    assert done.returncode != 0
    assert f"InvalidInput: CROSSFADE_SIMD must be one of {', '.join(LEVELS)} on this machine, got 'mmx'" in done.stderr


def import_kernels(level: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import os; os.environ['CROSSFADE_SIMD'] = %r; from crossfade import kernels; print(kernels.instruction_set())"
    )
    return subprocess.run([sys.executable, "-c", code % level], capture_output=True, text=True)


def test_levels_include_nothing_the_linker_could_mix() -> None:
    """What is compiled per instruction set includes C headers and intrinsics only, and keeps its names to itself."""
    folder = Path(__file__).resolve().parent.parent / "cpp" / "kernels"
    per_level = [*folder.glob("simd_*.h"), *folder.glob("*_impl.h"), *folder.glob("level_*.cpp")]
    assert len(per_level) >= 9
    for path in per_level:
        text = path.read_text()
        included = set(re.findall(r"#include <(.*)>", text))
        assert included <= {"arm_neon.h", "immintrin.h", "stddef.h", "stdint.h", "string.h"}, path
        assert path.suffix == ".cpp" or "namespace crossfade {\nnamespace {\n" in text, path
