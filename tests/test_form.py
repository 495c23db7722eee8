"""Form: graphs keep int8, and float16 where that would lose something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.index import Base, build_segment, new_id
from crossfade.index.expansion import Known
from crossfade.index.form import FLOAT16, Form
from segments import built, clusters, exact, numbered, opened, unit_rows, version_of


def beside_a_large_value(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """The same with one column before them that is a thousand times as large, and the same in all rows."""
    large = np.full((len(rows), 1), 0.99, np.float16)
    return np.concatenate([large, (rows.astype(np.float32) / 1000).astype(np.float16)], axis=1)


@given(seed=st.integers(0, 2**32 - 1), length=st.floats(1e-3, 1e3), dim=st.integers(1, 70))
def test_products_keep_their_order_nearly(seed: int, length: float, dim: int) -> None:
    """Of rows of any length: what int8 says of a product differs by less than rounding can make of it."""
    rng = np.random.default_rng(seed)
    rows = (length * rng.standard_normal((50, dim))).astype(np.float16)
    query = rng.standard_normal((1, dim)).astype(np.float32)
    form = Form.of(rows)
    kept = form.rows(rows)
    assert kept.dtype == np.int8
    found = kept.astype(np.float64) @ query[0] / form.scale
    # Half a step, and the values above the quantile, which with so few rows is nearly the largest one.
    error = np.abs(query).sum() * (0.5 / form.scale + 1e-3 * np.abs(rows.astype(np.float64)).max())
    assert (np.abs(found - rows.astype(np.float64) @ query[0]) <= 1.02 * error).all()


def test_zeros_have_a_form(tmp_path: Path) -> None:
    """Rows of zeros stay float16."""
    assert Form.of(np.zeros((5, 4), np.float16)) == FLOAT16
    assert FLOAT16.rows(unit_rows(3)) is not None
    info = built(tmp_path, numbered(5), np.zeros((5, 4), np.float16))
    assert info.scale == 0.0


def test_a_few_far_values_do_not_spoil_the_others() -> None:
    """One value a thousand times as large as the rest is cut, and the rest keep their steps."""
    rows = unit_rows(2_000, 64)
    usual = Form.of(rows).scale
    rows[3, 5] = 500.0
    assert Form.of(rows).scale > 0.5 * usual
    assert np.abs(Form.of(rows).rows(rows).astype(int)).max() == 127


def test_int8_takes_half_the_bytes(tmp_path: Path) -> None:
    """A segment of ordinary rows is smaller by a byte for each value than one of float16 rows."""
    rows = clusters(2_000, 64, 0)
    info = built(tmp_path, numbered(2_000), rows)
    assert info.scale > 0
    assert info.size < 2_000 * (2 * 64 + 100)


def test_rows_that_int8_can_not_tell_apart_stay_float16(tmp_path: Path) -> None:
    """Where one column is a thousand times as large as the others all rows would be the same."""
    rows, keys = beside_a_large_value(clusters(3_000, 15, 0)), numbered(3_000)
    assert Known.of(rows, Form.of(rows)).kept < 0.9
    info = built(tmp_path, keys, rows)
    assert info.scale == 0.0
    queries = beside_a_large_value(clusters(3_050, 15, 0)[3_000:]).astype(np.float32)
    queries[:, 0] = 0.0  # of what tells rows apart
    found, _ = version_of(keys, rows, (opened(tmp_path, info, 16),), len(rows)).candidates(queries, 10)
    hits = [len({*near.tolist()} & {*exact(keys, rows, query, 10)}) for near, query in zip(found, queries, strict=True)]
    assert np.mean(hits) >= 9.5


@pytest.mark.parametrize("first", ["int8", "float16"])
def test_a_graph_is_added_to_in_its_own_form(tmp_path: Path, first: str) -> None:
    """A graph of float16 rows stays one; one of int8 rows gives way where what is added can't be told apart by it."""
    keys, usual, hard = numbered(2_000), clusters(1_000, 16, 0), beside_a_large_value(clusters(1_000, 15, 1))
    rows = np.concatenate([usual, hard] if first == "int8" else [hard, usual])
    base = built(tmp_path, keys[:1_000], rows[:1_000])
    assert (base.scale > 0.0) == (first == "int8")

    info = build_segment(tmp_path, new_id(), keys, rows, base=Base(base, keys[:1_000]))

    assert info is not None
    assert info.scale == 0.0
    queries = clusters(1_050, 16, 0)[1_000:].astype(np.float32)
    found, _ = version_of(keys, rows, (opened(tmp_path, info, 16),), len(rows)).candidates(queries, 10)
    hits = [len({*near.tolist()} & {*exact(keys, rows, query, 10)}) for near, query in zip(found, queries, strict=True)]
    assert np.mean(hits) >= 9.5
