"""Blended ranks keep the live model's scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossfade.search.scale import ranked_scores

cosines = st.sampled_from([-1.0, -0.25, 0.0, 0.125, 0.5, 0.75, 1.0]) | st.floats(-1, 1, width=32)


@given(pairs=st.lists(st.tuples(cosines, cosines | st.just(float("nan"))), max_size=30))
def test_the_distribution_is_the_live_models_and_the_order_the_blends(pairs: list[tuple[float, float]]) -> None:
    """Descending exactly where the blend descends; without ties the scores are those of the live model, permuted."""
    pairs.sort(key=lambda pair: -pair[0])
    blended, own = (np.array([pair[side] for pair in pairs], np.float32) for side in (0, 1))
    scores = ranked_scores(blended, own)
    assert scores.dtype == np.float32
    assert ((scores[1:] < scores[:-1]) == (blended[1:] < blended[:-1])).all()
    assert not (scores[1:] > scores[:-1]).any()
    known = np.where(np.isnan(own), blended, own)
    if len(set(blended.tolist())) == len(set(known.tolist())) == len(pairs):
        assert sorted(scores.tolist()) == sorted(known.tolist())
    if len(pairs):
        assert scores[0] == known.max()


def test_a_blend_that_changes_no_order_changes_no_score() -> None:
    """Where both models agree on the order, the scores are the live model's, each its own."""
    own = np.array([0.9, 0.5, 0.25], np.float32)
    assert ranked_scores(np.array([0.7, 0.6, 0.1], np.float32), own).tolist() == own.tolist()
