"""What to expect of an order: from measured curves and the log."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.assess import curves
from crossfade.assess.curves import MEASURED, SHARES, Expected, expected
from support import filled, text_of, wrapped

ROOT = Path(__file__).resolve().parent.parent
LEAST_LIFT = 0.05


def test_the_prior_is_what_was_measured() -> None:
    """The table is least, median and greatest lift of the real upgrades in docs/fade.md, cut at 1."""
    shares = ("0%", "2%", "5%", "10%", "25%", "50%", "75%", "90%", "100%")
    text = (ROOT / "docs" / "fade.md").read_text()
    lifts = []
    for part in text.split("\n### ")[1:]:
        rows = [line for line in part.splitlines() if line.startswith("| crossfade |")]
        after = re.search(r"\| old until the cutover \|.*?([\d.]+) \| [\d.]+ \| [+-][\d.]+ \|", part)
        if not rows or after is None:
            continue
        values = np.array([float(cell) for cell in rows[0].split("|")[2 : 2 + len(shares)]])
        old, new = values[0], float(after[1])
        if new > (1.0 + LEAST_LIFT) * old:
            lifts.append((values - old) / (new - old))
    assert len(lifts) == 6
    found = np.stack([np.min(lifts, axis=0), np.median(lifts, axis=0), np.max(lifts, axis=0)], axis=1)
    np.testing.assert_allclose(
        MEASURED[:, 1:], np.minimum(found, 1.0), atol=0.008, err_msg="docs/fade.md was measured anew: set MEASURED"
    )


def test_without_a_log_only_a_random_order_has_a_curve(docs: cf.Collection) -> None:
    """Its benefit is the measured one, between its bounds."""
    found = expected(docs._store, docs._encoders)
    assert list(found) == ["random"]
    curve = found["random"]
    assert [curve(share) for share in SHARES] == pytest.approx(MEASURED[:, 2].tolist())
    for share in SHARES:
        low, middle, high = curve.bounds(share)
        assert low <= middle <= high


def test_hot_documents_bring_most_where_searches_repeat(docs: cf.Collection) -> None:
    """A few queries asked over and over are served by few documents; a random order takes as long as ever."""
    for number in (1, 2, 3):
        for _ in range(20):
            docs.search(text_of(number))
    docs._store.write_log()
    found = expected(docs._store, docs._encoders)
    assert set(found) == set(curves.ORDERS)
    assert found["hot"](0.3) > 0.6 > found["random"](0.3)
    assert found["hot"](0.0) == found["random"](0.0) == 0.0
    assert found["hot"](1.0) == found["random"](1.0) == 1.0
    values = [found["hot"](share) for share in np.linspace(0, 1, 50)]
    assert values == sorted(values)


def test_queries_that_come_once_gain_as_in_random_order(docs: cf.Collection) -> None:
    """Where no query was ever repeated the next one is taken to be new: no order is better than another."""
    docs.search([text_of(number) for number in range(50)])
    docs._store.write_log()
    assert list(expected(docs._store, docs._encoders)) == ["random"]


def test_a_query_gains_by_its_own_candidates() -> None:
    """Of two queries one is reached at once and one at the end; each weighs by how often it is asked."""
    reached, worth = np.array([[0.0, 0.01], [0.97, 0.98]]), np.ones((2, 2))
    curve = Expected(1.0, np.array([0.75, 0.25]), reached, worth, 1_000)
    assert curve(0.05) == pytest.approx(0.75)
    assert curve(0.5) == pytest.approx(0.75)
    assert Expected(0.0, np.array([0.75, 0.25]), reached, worth, 1_000)(0.5) == pytest.approx(MEASURED[5, 2])


def test_under_64_documents_the_benefit_comes_with_the_cutover(tmp_path: Path) -> None:
    """Nothing is learned from so few, and the old version answers alone."""
    with filled(tmp_path / "kb.cf", wrapped("old", 32, 1), 63) as docs:
        curve = expected(docs._store, docs._encoders)["random"]
    assert [curve(share) for share in (0.0, 0.5, 0.99, 1.0)] == [0.0, 0.0, 0.0, 1.0]
