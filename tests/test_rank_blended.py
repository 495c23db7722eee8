"""Blended ranks keep the live model's scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import InvalidInput
from crossfade.kernels import rank_blended

cosines = st.sampled_from([-1.0, -0.25, 0.0, 0.125, 0.5, 0.75, 1.0]) | st.floats(-1, 1, width=32)


def ranked(blended: list[float], own: list[float], keys: list[int]) -> tuple[list[int], list[float]]:
    as_scores = [np.array(scores, np.float32) for scores in (blended, own)]
    order, scores = rank_blended(np.array(keys, np.uint64), *as_scores)
    assert (order.dtype, scores.dtype) == (np.int64, np.float32)
    return order.tolist(), scores.tolist()


@given(rows=st.lists(st.tuples(cosines, cosines | st.just(float("nan")), st.integers(0, 2**64 - 2)), max_size=30))
def test_the_distribution_is_the_live_models_and_the_order_the_blends(rows: list[tuple[float, float, int]]) -> None:
    """Descending exactly where the blend descends; without ties the scores are those of the live model, permuted."""
    blended, own, keys = ([row[side] for row in rows] for side in (0, 1, 2))
    order, scores = ranked(blended, own, keys)
    assert order == sorted(range(len(rows)), key=lambda place: (-blended[place], keys[place], place)) or len(
        set(keys)
    ) < len(keys)
    in_order = [blended[place] for place in order]
    pairs = list(zip(in_order, in_order[1:], scores, scores[1:], strict=False))
    assert all((after < before) == (lower < higher) for before, after, higher, lower in pairs)
    assert all(lower <= higher for _, _, higher, lower in pairs)
    known = [mine if np.isnan(theirs) else theirs for mine, theirs in zip(blended, own, strict=True)]
    if len(set(blended)) == len(set(known)) == len(rows):
        assert sorted(scores) == sorted(known)
    if rows:
        assert scores[0] == max(known)


def test_a_blend_that_changes_no_order_changes_no_score() -> None:
    """Where both models agree on the order, the scores are the live model's, each its own."""
    own = [0.875, 0.5, 0.25]
    assert ranked([0.75, 0.625, 0.125], own, [3, 1, 2]) == ([0, 1, 2], own)


def test_what_cannot_be_ranked_is_refused() -> None:
    """NaN has no rank, and each key needs two scores."""
    with pytest.raises(InvalidInput, match="NaN"):
        ranked([0.5, float("nan")], [0.5, 0.5], [1, 2])
    with pytest.raises(InvalidInput, match="size"):
        ranked([0.5], [0.5, 0.5], [1, 2])
