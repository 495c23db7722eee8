"""Standard units: a score as the number of deviations above what the corpus scores on average."""

from __future__ import annotations

import numpy as np
import pytest

from crossfade.errors import InvalidInput
from crossfade.search.units import StandardUnits
from support import unit


def test_standard_units_are_standard() -> None:
    """Over a corpus, any query's z has mean 0 and standard deviation 1, where the sample is large."""
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((20_000, 16)) @ rng.standard_normal((16, 16)) + 0.5).astype(np.float32)
    units = StandardUnits.fit(rows)
    for query in rng.standard_normal((5, 16)).astype(np.float32):
        z = units.z(query, rows @ query)
        assert z.mean() == pytest.approx(0.0, abs=1e-3)
        assert z.std() == pytest.approx(1.0, abs=0.01)


def test_standard_units_keep_what_their_axes_leave_out() -> None:
    """With more columns than axes, the floor stands for the rest: deviations are within 5 percent of the true ones."""
    rng = np.random.default_rng(1)
    spread = np.geomspace(1.0, 0.05, 200)
    rows = unit(rng.standard_normal((20_000, 200)) * spread)
    units = StandardUnits.fit(rows, prior=0.0)
    assert units.axes.shape == (64, 200)
    queries = unit(rng.standard_normal((50, 200)) * spread)
    ratio = np.array([units.moments(query)[1] for query in queries]) / (rows @ queries.T).std(axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.05)


def test_a_prior_pulls_units_towards_a_sphere() -> None:
    """With a prior far larger than the sample every direction of a query has the same deviation."""
    rows = unit(np.random.default_rng(2).standard_normal((50, 8)) * np.geomspace(1.0, 0.1, 8))
    units = StandardUnits.fit(rows, prior=1e9)
    sigmas = [units.moments(axis)[1] for axis in np.eye(8, dtype=np.float32)]
    assert max(sigmas) == pytest.approx(min(sigmas), rel=1e-3)


def test_units_refuse_what_has_no_deviation() -> None:
    """One row, constant rows, NaN and a negative prior are named."""
    with pytest.raises(InvalidInput, match="n >= 2"):
        StandardUnits.fit(np.ones((1, 4)))
    with pytest.raises(InvalidInput, match="all the same"):
        StandardUnits.fit(np.ones((9, 4)))
    with pytest.raises(InvalidInput, match="finite"):
        StandardUnits.fit(np.full((9, 4), np.nan))
    with pytest.raises(InvalidInput, match="prior"):
        StandardUnits.fit(np.eye(4), prior=-1.0)
