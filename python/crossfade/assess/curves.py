"""Curves: what part of the benefit to expect when a share of the documents is re-embedded, by the order.

No measurement, but an expectation, of three parts:

* What a query gains by the share of its candidates that have new vectors is taken from docs/fade.md: there documents
  were re-embedded at random, so that this share was that of all documents. The median over the six pairs of models and
  collections with a real upgrade counts, the least and the greatest of them are its bounds.
* Which share of each query's candidates an order has reached is known of the queries in the log.
* How often a query comes that was never asked before is estimated by how many of the logged ones came once (Good 1953).
  Those gain with the share of all documents, as in a random order.
"""

from __future__ import annotations

import dataclasses
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossfade import orders
from crossfade.catalog import searched, versions
from crossfade.encoders import Encoders
from crossfade.search.replay import Replay, replay
from crossfade.store import Store, amounts

from .price import Price
from .quality import Quality

# From docs/fade.md, crossfade's own method in random order: the share re-embedded; the least, median and greatest lift,
# at most 1, which is what the new model has alone after the cutover.
MEASURED = np.array(
    [
        (0.00, 0.00, 0.00, 0.00),
        (0.02, -0.04, 0.03, 0.11),
        (0.05, 0.03, 0.11, 0.21),
        (0.10, 0.09, 0.21, 0.37),
        (0.25, 0.30, 0.49, 0.58),
        (0.50, 0.67, 0.76, 0.78),
        (0.75, 0.88, 0.94, 1.00),
        (0.90, 0.96, 1.00, 1.00),
        (1.00, 1.00, 1.00, 1.00),
    ]
)
SHARES = tuple(MEASURED[:, 0].tolist())
LEAST, MEDIAN, GREATEST = 1, 2, 3
# Where a curve is computed; hot documents may be few.
_GRID = np.unique(np.concatenate([SHARES, np.linspace(0.0, 1.0, 41), np.geomspace(1e-5, 1.0, 41)]))
# In a smaller collection nothing is learned, and the old version answers alone until the cutover.
LEAST_DOCUMENTS = 64
# Orders whose grades can be told before a migration begins.
ORDERS = ("default", "hot", "recent", "age", "random")

Numbers = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """What is expected when a share of the documents is re-embedded; an expectation, no measurement.

    Args:
        share: Of the documents, 0 to 1.
        seconds: Since the fill began; None where no batch could be timed.
        money: Spent by then; None where the price is not known.
        benefit: Share of the whole benefit that is expected; 1 is what the new model has alone.
        low, high: The least and the most of it that was measured in such cases.
        quality: The first metric that is expected then; None where no quality was measured.
    """

    share: float
    seconds: float | None
    money: float | None
    benefit: float
    low: float
    high: float
    quality: float | None


class Traffic(NamedTuple):
    """What the log says of the queries to come.

    Args:
        seen: The share of them that are in the log, and were asked again.
        replayed: These queries.
    """

    seen: float
    replayed: Replay


class Expected:
    """The expected benefit in one order, by the share re-embedded.

    Args:
        seen: The share of queries to come that the log has.
        weights: Of each logged query `(q,)`, adding up to 1.
        reached: When each of its candidates has its new vector, as a share of the documents `(q, c)`.
        worth: What each candidate counts `(q, c)`; 0 where a query has fewer.
        documents: How many there are.
    """

    def __init__(self, seen: float, weights: Numbers, reached: Numbers, worth: Numbers, documents: int) -> None:
        self._late = documents < LEAST_DOCUMENTS
        worth = worth / np.maximum(worth.sum(axis=1, keepdims=True), 1e-12)
        rows = []
        for share in _GRID:
            covered = ((reached < share) * worth).sum(axis=1)
            known = [float(weights @ _gained(covered, column)) for column in (LEAST, MEDIAN, GREATEST)]
            unseen = [float(_gained(share, column)) for column in (LEAST, MEDIAN, GREATEST)]
            rows.append([seen * one + (1.0 - seen) * other for one, other in zip(known, unseen, strict=True)])
        self._table = np.array(rows)

    def __call__(self, share: float) -> float:
        """The expected benefit when a share of the documents is re-embedded."""
        return self.bounds(share)[1]

    def bounds(self, share: float) -> tuple[float, float, float]:
        """The least, the expected and the greatest benefit."""
        if share >= 1.0 or self._late:
            return (1.0, 1.0, 1.0) if share >= 1.0 else (0.0, 0.0, 0.0)
        low, middle, high = (float(np.interp(share, _GRID, column)) for column in self._table.T)
        return low, middle, high


def expected(store: Store, encoders: Encoders) -> dict[str, Expected]:
    """By order, what to expect; of a random order alone where no logged query could be asked again."""
    with store.reading() as connection:
        live = versions.read(connection).live
        keys, columns = searched.columns(connection)
    traffic = _traffic(store, encoders, live)
    if not traffic.seen:
        return {"random": Expected(0.0, np.empty(0), np.empty((0, 0)), np.empty((0, 0)), len(keys))}
    hits, failing, priority, updated_at = columns
    hits = np.maximum(hits, traffic.replayed.hits(keys))
    facts = _Facts(time.time(), hits, failing, priority, updated_at)
    worth = _padded([amounts(found) for found in traffic.replayed.candidates])
    weights = traffic.replayed.counts / traffic.replayed.counts.sum()
    curves = {}
    for name in ORDERS:
        places = _places(orders.parse(name).grades(facts))
        each = [places[_found(keys, candidates)] for candidates in traffic.replayed.candidates]
        curves[name] = Expected(traffic.seen, weights, _padded(each), worth, len(keys))
    return curves


def points(curve: Expected, price: Price, quality: Quality | None) -> tuple[Point, ...]:
    """A curve over time, money and the first metric."""
    first = quality.measures[0] if quality else None

    def point(share: float) -> Point:
        low, benefit, high = curve.bounds(share)
        return Point(
            share=share,
            seconds=None if price.seconds.value is None else share * price.seconds.value,
            money=None if price.money.value is None else share * price.money.value,
            benefit=benefit,
            low=low,
            high=high,
            quality=first.old + benefit * (first.new - first.old) if first else None,
        )

    return tuple(map(point, SHARES))


@dataclasses.dataclass
class _Facts:
    """What the orders of `ORDERS` go by."""

    now: float
    hits: Numbers
    failing: Numbers
    priority: Numbers
    updated_at: Numbers

    @property
    def uncertainty(self) -> Numbers:
        return np.zeros(len(self.hits))


def _traffic(store: Store, encoders: Encoders, live: int) -> Traffic:
    with store.reading() as connection:
        logged = [query.count for query in searched.queries(connection, searched.MOST_QUERIES)]
    replayed = replay(store, encoders, live)
    whole = sum(logged)
    if not whole or not len(replayed) or not replayed.counts.sum():
        return Traffic(0.0, replayed)
    again = 1.0 - sum(count == 1 for count in logged) / whole
    return Traffic(again * float(replayed.counts.sum()) / whole, replayed)


def _gained(covered: npt.ArrayLike, column: int) -> Numbers:
    """The benefit of queries by the share of their candidates that have new vectors."""
    gained: Numbers = np.interp(np.asarray(covered, np.float64), MEASURED[:, 0], MEASURED[:, column])
    return gained


def _places(grades: Numbers) -> Numbers:
    """When each document's turn comes, as a share of all; equal grades are spread evenly, as a fill does it."""
    spread = np.random.default_rng(0).permutation(len(grades))
    places = np.empty(len(grades))
    places[np.lexsort((spread, -grades))] = np.arange(len(grades)) / max(len(grades), 1)
    return places


def _found(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where keys stand among `keys`, which ascend."""
    return np.searchsorted(keys, wanted.astype(np.int64)).clip(max=len(keys) - 1)


def _padded(rows: list[Numbers]) -> Numbers:
    """Rows of different lengths as one array, with zeros behind the shorter ones."""
    padded = np.zeros((len(rows), max(map(len, rows), default=0)))
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
