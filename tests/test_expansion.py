"""Expansion: a graph is asked as thoroughly as its own rows need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from crossfade.index import SegmentInfo, VersionIndex, build_segment, graph, new_id
from crossfade.index.expansion import NEIGHBOURS, Known, Queries, expansion_for
from crossfade.index.form import Form
from segments import built, clusters, exact, numbered, opened, unit_rows, version_of

WIDE = 64


def test_the_least_expansion_that_finds_97_percent_is_learned() -> None:
    """A graph that finds a share of the true neighbours by its expansion is asked for so many and no more."""
    rows, keys = unit_rows(3_000, WIDE), np.random.default_rng(1).permutation(numbered(3_000))
    asked: list[int] = []

    def search(queries: Queries, count: int, expansion: int) -> npt.NDArray[np.uint64]:
        """Misses the last ones of a hundred: 9 at an expansion of 100, 4 at 150, 2 at 200."""
        asked.append(expansion)
        missing = {100: 9, 150: 4, 200: 2}[expansion]
        order = np.argsort(-(queries @ rows.astype(np.float32).T), axis=1, kind="stable")
        found = keys[order[:, :count]]
        found[:, NEIGHBOURS - missing : NEIGHBOURS] = keys[order[:, -missing:]]
        return found

    known = Known.of(rows, Form.of(rows))
    assert known.expansion(search, keys, rows) == 200
    assert asked == [100, 150, 200]


def test_rows_that_are_hard_to_tell_apart_need_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows without any structure are; where there are a hundred rows all are candidates. Equal rows learn the same."""
    monkeypatch.setattr(graph, "CODES_SIZE", 0)  # walks from the nearest codes find these with the least expansion
    hard = built(tmp_path, numbered(4_000), unit_rows(4_000, WIDE))
    easy = built(tmp_path, numbered(100), unit_rows(100, WIDE))
    assert hard.expansion > NEIGHBOURS
    assert easy.expansion == NEIGHBOURS
    again = build_segment(tmp_path, new_id(), numbered(4_000), unit_rows(4_000, WIDE))
    assert again is not None
    assert again.expansion == hard.expansion


@pytest.mark.parametrize("pieces", [1, 2, 4])
@pytest.mark.parametrize("coded", [True, False])
def test_the_hundred_nearest_are_found_in_hard_rows_too(
    tmp_path: Path, coded: bool, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one segment or several 95 % are, for queries that are no rows; in one of which nothing was learned, and that
    is walked from its entry alone, not 90."""
    if not coded:
        monkeypatch.setattr(graph, "CODES_SIZE", 0)
    rows, keys = unit_rows(6_000, WIDE), numbered(6_000)
    parts = [slice(start, None, pieces) for start in range(pieces)]
    infos = [built(tmp_path, keys[part], np.ascontiguousarray(rows[part])) for part in parts]
    queries = clusters(100, WIDE, 5).astype(np.float32)
    true = [exact(keys, rows, query, 100) for query in queries]

    def recall(index: VersionIndex) -> float:
        near, _ = index.candidates(queries, 100)
        return float(np.mean([len({*a.tolist()} & {*b}) / 100 for a, b in zip(near, true, strict=True)]))

    def version(infos: list[SegmentInfo]) -> VersionIndex:
        return version_of(keys, rows, tuple(opened(tmp_path, info, WIDE) for info in infos), len(rows))

    assert recall(version(infos)) >= 0.95
    if pieces == 1 and not coded:
        assert recall(version([info._replace(expansion=NEIGHBOURS) for info in infos])) < 0.9


def test_few_neighbours_need_no_less_than_64_candidates() -> None:
    """Up to a hundred in proportion; beyond, as many more as for a hundred."""
    assert expansion_for(5, 100) == expansion_for(5, 300) == 64
    assert expansion_for(50, 300) == 150
    assert expansion_for(100, 300) == 300
    assert expansion_for(400, 300) == 600
