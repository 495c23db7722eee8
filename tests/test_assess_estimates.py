"""What a sample tells of a whole, and how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from crossfade.assess.benefit import reached
from crossfade.assess.estimates import Estimate, ratio, total
from crossfade.assess.growth import Built, Growth, segments_of
from crossfade.store.sealing import TAIL_ROWS


@pytest.mark.parametrize("taken", [8, 40, 160])
def test_an_interval_holds_the_truth_as_often_as_it_says(taken: int) -> None:
    """Of samples of skewed values, drawn without returning them, 95 % tell an interval that holds the sum."""
    generator = np.random.default_rng(0)
    values = generator.gamma(2.0, 50.0, 200).astype(np.int64) + 1
    hits = 0
    for _ in range(1_000):
        interval = total(generator.permutation(values)[:taken], len(values)).interval
        assert interval is not None
        hits += interval[0] <= values.sum() <= interval[1]
    assert 915 <= hits <= 975


def test_a_ratio_is_told_with_its_error() -> None:
    """Of parts whose numerators follow their denominators, the true ratio lies in 95 % of the intervals."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(1_000):
        tokens = generator.integers(3_000, 9_000, 8)
        interval = ratio(0.002 * tokens * generator.normal(1.0, 0.1, 8), tokens).interval
        assert interval is not None
        hits += interval[0] <= 0.002 <= interval[1]
    assert 920 <= hits <= 980


def test_what_is_counted_whole_has_no_error() -> None:
    """All values give their exact sum; a single part gives a ratio of unknown error, and nothing gives 0."""
    assert total(np.array([1, 2, 3]), 3) == Estimate(6.0)
    assert total(np.array([1, 2, 3]), 3).interval is None
    assert ratio(np.array([4.0]), np.array([2])).interval is None
    assert ratio(np.array([4.0]), np.array([2])).value == 2.0
    assert ratio(np.empty(0), np.empty(0)).value == 0.0


def test_errors_are_carried_through_products_and_sums() -> None:
    """A product's relative errors add in squares, a sum's absolute ones; an interval is kept to what is possible."""
    assert Estimate(10.0, 0.3).times(Estimate(4.0, 0.16)).error == pytest.approx(40.0 * np.hypot(0.03, 0.04))
    assert Estimate(1.0, 0.3).plus(Estimate(1.0, 0.4)).error == pytest.approx(0.5)
    assert Estimate(1.0, 1.0).within(0.0, 2.0) == (0.0, 2.0)


def test_every_segment_that_is_built_counts() -> None:
    """Few rows need no index; many are built into segments that later ones take in."""
    assert segments_of(TAIL_ROWS) == []
    assert segments_of(TAIL_ROWS + 1) == [(TAIL_ROWS + 1, 0)]
    built = segments_of(100 * (TAIL_ROWS + 1))
    assert len(built) == 100
    assert max(it.rows for it in built) > 40 * TAIL_ROWS
    assert 100 * TAIL_ROWS < sum(it.rows - it.there for it in built) < 300 * TAIL_ROWS
    assert sum(it.rows for it in built) > 200 * TAIL_ROWS


def test_growth_is_carried_on_by_n_log_n_with_its_trend_as_error() -> None:
    """Ten times the rows take ten times n log n; where measured times grew faster, the interval reaches further up."""
    steady, rising = Growth(4_096, 1e-5, 0.0, 0.0, 900.0), Growth(4_096, 1e-5, 0.1, 0.01, 900.0)
    value, interval = steady.seconds([Built(40_960, 0)])
    assert value == pytest.approx(1e-5 * 40_960 * np.log(40_960))
    assert interval == (value, value)
    value, (low, high) = rising.seconds([Built(40_960, 0)])
    assert low == pytest.approx(0.98 * value)
    assert high == pytest.approx(1.02 * value * 10**0.1)


def test_benefits_are_told_by_order() -> None:
    """An order's time to half and nine tenths is that of the share from which on its curve stays above; or never."""
    curves = {
        "random": lambda share: share,
        "hot": lambda share: min(1.0, 2.0 * share),
        "dipping": lambda share: 0.95 if 0.1 < share < 0.2 else share,
        "vain": lambda share: 0.6 * share,
    }
    found = {it.order: it for it in reached(curves, Estimate(100.0, 5.0, 30))}
    assert found["random"].half.value == pytest.approx(50.0)
    assert found["random"].most.value == pytest.approx(90.0)
    assert found["hot"].half.value == pytest.approx(25.0)
    assert found["dipping"].most.value == pytest.approx(90.0)
    assert found["vain"].half.value == pytest.approx(83.4, abs=0.2)
    assert found["vain"].most.value is None
    assert found["random"].half.interval == pytest.approx((44.9, 55.1), abs=0.1)
