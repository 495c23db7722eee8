"""The map between two spaces: what it recovers, what it refuses, and that its files are checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossfade.bridge import Bridge, files
from crossfade.bridge.fitting import CANDIDATES, Moments, Solver, carry, carry_unseen
from crossfade.errors import DamagedFile, InvalidInput, NewerFormat, SpaceMismatch
from crossfade.space import Space
from support import unit

Rows = NDArray[np.float32]


def rotation(rng: np.random.Generator, d1: int, d2: int) -> NDArray[np.float64]:
    """A `(d1, d2)` matrix with orthonormal columns or rows."""
    left, _, right = np.linalg.svd(rng.standard_normal((d1, d2)), full_matrices=False)
    matrix: NDArray[np.float64] = left @ right
    return matrix


def pairs(n: int, d1: int, d2: int, noise: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Rows with a common mean, and their rotated and moved counterparts with some noise."""
    rng = np.random.default_rng(seed)
    old = unit(rng.standard_normal((n, d1)) + 1.0)
    new = old @ rotation(rng, d1, d2) + 0.3 + noise * rng.standard_normal((n, d2))
    return old, unit(new)


@pytest.mark.parametrize(("d1", "d2"), [(12, 12), (8, 20), (20, 8)])
def test_a_rotated_space_is_recovered(d1: int, d2: int) -> None:
    """Where the new space is the old one rotated and moved, unseen rows are carried over almost exactly."""
    old, new = pairs(600, d1, d2, noise=0.0)
    bridge = Bridge.fit(old[:500], new[:500])
    cosines = np.einsum("nd,nd->n", bridge.apply(old[500:]), new[500:])
    assert cosines.mean() > 0.995
    assert bridge.quality.cosine == pytest.approx(cosines.mean(), abs=0.003)


def test_procrustes_is_kept_where_pairs_are_few() -> None:
    """With hardly more pairs than columns a full linear map has too much to learn; a rotation has less."""
    old, new = pairs(60, 40, 40, noise=0.03)
    quality = Bridge.fit(old, new).quality
    assert quality.method == "procrustes"
    assert quality.regularisation == 0.0


def test_ridge_is_kept_where_the_map_is_no_rotation() -> None:
    """A map that stretches some directions and drops others is linear, but no rotation."""
    rng = np.random.default_rng(1)
    old = unit(rng.standard_normal((2000, 12)))
    new = unit(old @ (rng.standard_normal((12, 12)) * np.geomspace(1, 0.01, 12)))
    quality = Bridge.fit(old, new).quality
    assert quality.method == "ridge"
    assert {candidate.method for candidate in quality.candidates} == {"procrustes", "low rank + diagonal", "ridge"}


def test_quality_is_measured_on_pairs_the_map_has_not_seen() -> None:
    """For spaces with nothing in common, a map that could learn pairs by heart still reports no agreement."""
    rng = np.random.default_rng(2)
    old, new = unit(rng.standard_normal((200, 64))), unit(rng.standard_normal((200, 64)))
    quality = Bridge.fit(old, new).quality
    assert abs(quality.cosine) < 0.1
    assert quality.recall_at_10 < 0.4
    assert (quality.pairs, quality.held_out) == (200, 40)


def test_quality_reports_the_kept_candidate() -> None:
    """The four leading numbers of the quality are those of one of its candidates."""
    quality = Bridge.fit(*pairs(100, 8, 8, noise=0.1)).quality
    kept = (quality.method, quality.regularisation, quality.cosine, quality.recall_at_10)
    assert kept in {(c.method, c.regularisation, c.cosine, c.recall_at_10) for c in quality.candidates}


@settings(max_examples=25, deadline=None)
@given(n=st.integers(10, 60), d1=st.integers(1, 12), d2=st.integers(1, 12), seed=st.integers(0, 9))
def test_any_pair_of_dims_gives_finite_unit_rows(n: int, d1: int, d2: int, seed: int) -> None:
    """Whatever the dims and however few the pairs, carried rows are float32 and of length 1."""
    rng = np.random.default_rng(seed)
    old, new = (
        rng.standard_normal((n, d1)).astype(np.float32),
        rng.standard_normal((n, d2)).astype(np.float32),
    )
    carried = Bridge.fit(old, new, seed=seed).apply(old)
    assert carried.dtype == np.float32
    assert carried.shape == (n, d2)
    np.testing.assert_allclose(np.linalg.norm(carried, axis=1), 1.0, atol=1e-5)


def test_low_rank_and_diagonal_is_kept_where_that_is_the_map() -> None:
    """A rotation that scales each column differently takes fewer pairs to learn than a full map."""
    rng = np.random.default_rng(4)
    old = rng.standard_normal((300, 200)).astype(np.float32)
    matrix = rotation(rng, 200, 200) * np.geomspace(0.5, 2.0, 200)
    new = (old @ matrix + 0.5 * rng.standard_normal((300, 200))).astype(np.float32)
    assert Bridge.fit(old, new).quality.method == "low rank + diagonal"


@pytest.mark.parametrize("kind", CANDIDATES, ids=str)
@pytest.mark.parametrize(("d1", "d2"), [(8, 8), (6, 9), (9, 6)])
def test_every_kind_fits_any_dims(kind: tuple[str, float], d1: int, d2: int) -> None:
    """Each method gives a finite map of the right shape that carries unseen rows nearer to their counterparts."""
    old, new = pairs(300, d1, d2, noise=0.1)
    moments = Moments.of(old[:200], new[:200])
    matrix = Solver(moments).solve(*kind)
    assert matrix.shape == (d1, d2)
    carried = carry(old[200:], matrix, moments)
    uncarried = unit(np.broadcast_to(moments.offset, carried.shape))
    cosines, without = (np.einsum("nd,nd->n", rows, new[200:]).mean() for rows in (carried, uncarried))
    assert cosines > without


def test_moments_are_those_of_the_rows() -> None:
    """Blocks of rows, their sum and the reverse have the means and covariances of all rows, float16 ones too."""
    old, new = pairs(9_000, 5, 3, noise=0.2)
    whole = Moments.of(old, new)
    halves = Moments.of(old, new, np.arange(2_500)) + Moments.of(old, new, np.arange(2_500, 9_000))
    stored = Moments.of(old.astype(np.float16), new.astype(np.float16))
    centred, moved = old - old.mean(axis=0, dtype=np.float64), new - new.mean(axis=0, dtype=np.float64)
    for moments, tolerance in ((whole, 1e-6), (halves, 1e-6), (stored, 1e-3)):
        assert moments.count == 9_000
        np.testing.assert_allclose(moments.covariance, centred.T @ centred / 9_000, atol=tolerance)
        np.testing.assert_allclose(moments.cross, centred.T @ moved / 9_000, atol=tolerance)
        np.testing.assert_allclose(moments.reversed.covariance, moved.T @ moved / 9_000, atol=tolerance)
        np.testing.assert_allclose(moments.reversed.center, new.mean(axis=0), atol=tolerance)


def test_unseen_rows_are_carried_by_maps_that_have_not_seen_them() -> None:
    """A row's own counterpart says nothing about what becomes of it; those of the other folds do."""
    old, new = pairs(60, 4, 4, noise=0.1)
    fold, kind = np.arange(60) % 3, ("ridge", 0.1)
    carried = carry_unseen(old, new, kind, fold)
    other = new.copy()
    other[fold == 1] = unit(np.random.default_rng(5).standard_normal((20, 4)))
    changed = carry_unseen(old, other, kind, fold)
    assert changed[fold == 1].tobytes() == carried[fold == 1].tobytes()
    assert changed[fold == 0].tobytes() != carried[fold == 0].tobytes()


def test_both_directions_come_from_the_same_pairs() -> None:
    """The map back is the one that fitting new rows to old ones gives, and each undoes the other where that can be."""
    old, new = pairs(400, 6, 6, noise=0.0)
    there, back = Bridge.fit_both(old, new, source=Space(model="old", dim=6), target=Space(model="new", dim=6))
    assert there.matrix.tobytes() == Bridge.fit(old, new).matrix.tobytes()
    np.testing.assert_allclose(back.matrix, Bridge.fit(new, old).matrix, atol=1e-4)
    assert (back.source, back.target) == (there.target, there.source)
    assert np.einsum("nd,nd->n", back.apply(there.apply(old)), old).mean() > 0.99


def test_held_out_pairs_are_never_fitted() -> None:
    """What is held out by name changes the measurement, and not the map by one bit."""
    old, new = pairs(100, 6, 4, noise=0.1)
    marks = np.arange(100) % 5 == 0
    bridge = Bridge.fit(old, new, held_out=marks)
    other = np.where(marks[:, None], new[::-1], new)
    same = Bridge.fit(old, other, held_out=marks)
    assert (bridge.quality.pairs, bridge.quality.held_out) == (100, 20)
    if (same.quality.method, same.quality.regularisation) == (bridge.quality.method, bridge.quality.regularisation):
        assert same.matrix.tobytes() == bridge.matrix.tobytes()
    assert same.quality.cosine < bridge.quality.cosine
    with pytest.raises(InvalidInput, match="held_out must mark"):
        Bridge.fit(old, new, held_out=marks[:50])
    with pytest.raises(InvalidInput, match="held_out must mark"):
        Bridge.fit(old, new, held_out=np.ones(100, bool))


def test_every_figure_has_its_interval() -> None:
    """It holds the figure, is the same every time, and is narrower where more pairs are held out."""
    few, many = (Bridge.fit(*pairs(count, 8, 8, noise=0.3)).quality for count in (100, 2_000))
    for quality in (few, many):
        for value, limits in (
            (quality.cosine, quality.cosine_interval),
            (quality.recall_at_10, quality.recall_interval),
            (quality.retention, quality.retention_interval),
        ):
            assert value is not None
            assert limits is not None
            assert 0.0 <= limits[0] < value < limits[1] <= 1.0
    assert np.ptp(many.retention_interval) < np.ptp(few.retention_interval)
    assert Bridge.fit(*pairs(100, 8, 8, noise=0.3)).quality == few


def test_a_perfect_map_keeps_everything() -> None:
    """Where the spaces are the same, retention, recall and cosine are 1, with nothing in doubt."""
    old, _ = pairs(500, 8, 8, noise=0.0)
    quality = Bridge.fit(old, old).quality
    assert (quality.retention, quality.retention_interval) == (1.0, (1.0, 1.0))
    assert quality.recall_at_10 > 0.99
    assert quality.cosine > 0.9999


def test_a_record_without_the_later_figures_is_read(tmp_path: Path) -> None:
    """What was saved before retention and intervals were measured loads, and says that it does not know them."""
    bridge = Bridge.fit(*pairs(50, 6, 4, noise=0.1))
    quality = {name: value for name, value in dataclasses.asdict(bridge.quality).items() if "retention" not in name}
    quality = {name: value for name, value in quality.items() if "interval" not in name}
    arrays = {"matrix": bridge.matrix, "center": bridge.center, "offset": bridge.offset}
    files.write(tmp_path, "bridge", arrays, {"source": None, "target": None, "quality": quality})
    loaded = Bridge.load(tmp_path)
    assert loaded.matrix.tobytes() == bridge.matrix.tobytes()
    assert loaded.quality.recall_at_10 == bridge.quality.recall_at_10
    assert (loaded.quality.retention, loaded.quality.cosine_interval) == (None, None)


def test_fit_repeats_itself() -> None:
    """The same pairs and seed give the same bytes; the seed only chooses what is held out."""
    old, new = pairs(200, 8, 8, noise=0.1)
    first, again, other = Bridge.fit(old, new), Bridge.fit(old, new), Bridge.fit(old, new, seed=1)
    assert first.matrix.tobytes() == again.matrix.tobytes()
    assert first.quality == again.quality
    assert first.quality.cosine != other.quality.cosine


def test_apply_to_no_rows_gives_no_rows() -> None:
    """The empty case keeps shape and dtype."""
    carried = Bridge.fit(*pairs(50, 6, 4, noise=0.1)).apply(np.empty((0, 6), dtype=np.float32))
    assert carried.shape == (0, 4)
    assert carried.dtype == np.float32


def test_apply_is_the_map_it_says() -> None:
    """(rows − center) @ matrix + offset at unit length, for float32, float64 and float16 rows alike."""
    old, new = pairs(50, 6, 4, noise=0.1)
    bridge = Bridge.fit(old, new)
    expected = unit((old.astype(np.float64) - bridge.center) @ bridge.matrix + bridge.offset)
    np.testing.assert_allclose(bridge.apply(old), expected, atol=1e-6)
    np.testing.assert_allclose(bridge.apply(old.astype(np.float64)), expected, atol=1e-6)
    np.testing.assert_allclose(bridge.apply(old.astype(np.float16)), expected, atol=1e-3)


def test_only_rows_of_the_source_space_are_taken() -> None:
    """Another Space is refused even where its dim fits, and so is the target's own."""
    source, target = Space(model="old", dim=8), Space(model="new", dim=8)
    old, new = pairs(50, 8, 8, noise=0.1)
    bridge = Bridge.fit(old, new, source=source, target=target)
    assert len(bridge.apply(old, Space(model="old", dim=8))) == 50
    with pytest.raises(SpaceMismatch):
        bridge.apply(new, target)


def test_a_space_of_another_dim_is_refused() -> None:
    """Rows that can't be of the Space they are said to be of are refused before anything is learned."""
    with pytest.raises(SpaceMismatch, match="9 columns"):
        Bridge.fit(*pairs(50, 8, 8, noise=0.1), source=Space(model="old", dim=9))


def test_fit_refuses_what_it_can_not_learn_from() -> None:
    """Too few pairs, pairs that don't match, NaN, constant rows and a silly holdout are named."""
    old, new = pairs(50, 6, 4, noise=0.1)
    with pytest.raises(InvalidInput, match="at least 10 pairs"):
        Bridge.fit(old[:9], new[:9])
    with pytest.raises(InvalidInput, match="paired rows"):
        Bridge.fit(old, new[:-1])
    with pytest.raises(InvalidInput, match="paired rows"):
        Bridge.fit(old[0], new[0])
    with pytest.raises(InvalidInput, match="NaN"):
        Bridge.fit(np.where(old == old[3, 3], np.nan, old), new)
    with pytest.raises(InvalidInput, match="all the same"):
        Bridge.fit(np.ones((20, 6)), new[:20])
    with pytest.raises(InvalidInput, match="holdout"):
        Bridge.fit(old, new, holdout=0.0)


def test_apply_refuses_wrong_rows() -> None:
    """A wrong dim, a bare vector and NaN are named instead of being carried."""
    bridge = Bridge.fit(*pairs(50, 6, 4, noise=0.1))
    for wrong in (np.ones((3, 5)), np.ones(6)):
        with pytest.raises(InvalidInput, match=r"\(n, 6\)"):
            bridge.apply(wrong)
    with pytest.raises(InvalidInput, match="NaN"):
        bridge.apply(np.full((1, 6), np.nan))


def test_a_bridge_can_not_be_changed() -> None:
    """Neither its attributes nor its arrays, nor through the arrays it was made from."""
    old, new = pairs(50, 6, 4, noise=0.1)
    bridge = Bridge.fit(old, new)
    with pytest.raises(AttributeError, match="immutable"):
        bridge.matrix = np.zeros((6, 4), dtype=np.float32)
    with pytest.raises(AttributeError, match="immutable"):
        del bridge.quality
    with pytest.raises(ValueError, match="read-only"):
        bridge.matrix[0, 0] = 1.0


def test_a_saved_bridge_comes_back_whole(tmp_path: Path) -> None:
    """Arrays bit for bit, both Spaces, and every measured number."""
    source = Space(model="old", dim=6, weights="abc")
    target = Space(model="new", dim=4, version="2")
    old, new = pairs(50, 6, 4, noise=0.1)
    bridge = Bridge.fit(old, new, source=source, target=target)
    bridge.save(tmp_path / "0001-0002")
    loaded = Bridge.load(tmp_path / "0001-0002")
    assert loaded.apply(old).tobytes() == bridge.apply(old).tobytes()
    assert (loaded.source, loaded.target) == (source, target)
    assert loaded.quality == bridge.quality


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A second Bridge takes the first one's place; the folder holds one pair of files."""
    Bridge.fit(*pairs(50, 6, 4, noise=0.1)).save(tmp_path)
    second = Bridge.fit(*pairs(50, 5, 3, noise=0.1))
    second.save(tmp_path)
    assert Bridge.load(tmp_path).matrix.tobytes() == second.matrix.tobytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cut_or_missing_file_is_noticed(tmp_path: Path) -> None:
    """It is an error, never a wrong map."""
    Bridge.fit(*pairs(50, 3, 2, noise=0.1)).save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        with pytest.raises(DamagedFile):
            Bridge.load(tmp_path)
        path.write_bytes(whole)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(DamagedFile, match="missing"):
        Bridge.load(tmp_path)


def test_a_folder_without_a_bridge_is_named(tmp_path: Path) -> None:
    """Loading from the wrong place says so."""
    with pytest.raises(InvalidInput, match=r"holds no bridge\.json"):
        Bridge.load(tmp_path)


def test_a_newer_format_is_not_guessed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a later version wrote is refused with the remedy."""
    with monkeypatch.context() as later:
        later.setattr("crossfade.bridge.files.FORMAT", 2)
        Bridge.fit(*pairs(50, 6, 4, noise=0.1)).save(tmp_path)
    assert json.loads((tmp_path / "bridge.json").read_text())["format_version"] == 2
    with pytest.raises(NewerFormat, match="upgrade crossfade"):
        Bridge.load(tmp_path)


@pytest.mark.parametrize(
    "rows", [[[1.0], [1.0, 2.0]], [["a"] * 4] * 20, np.ones((20, 4)) * 1j, np.full((20, 4), 1e200), None, "rows"]
)
def test_what_is_no_rows_is_refused(rows: Any) -> None:
    """Ragged lists, words, complex numbers and what float32 can't hold are refused by both doors, in words of ours."""
    good = np.random.default_rng(0).standard_normal((20, 4))
    for pair in ((rows, good), (good, rows)):
        with pytest.raises(InvalidInput, match="rows"):
            Bridge.fit(*pair)
    with pytest.raises(InvalidInput, match=r"rows? "):
        Bridge.fit(good, good).apply(rows)


def test_what_is_no_space_or_seed_is_refused() -> None:
    """Before anything is fitted."""
    good = np.random.default_rng(0).standard_normal((20, 4))
    with pytest.raises(InvalidInput, match="expected a Space, got 'old'"):
        Bridge.fit(good, good, source="old")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="seed must be a whole number"):
        Bridge.fit(good, good, seed="x")  # type: ignore[arg-type]
