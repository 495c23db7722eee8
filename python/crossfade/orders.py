"""Orders: which documents a migration re-embeds first. Values, to be added, weighed and multiplied.

Example:
    >>> from crossfade import orders
    >>> str(0.7 * orders.Hot() + 0.3 * orders.Uncertain())
    '0.7*hot + 0.3*uncertain'
    >>> orders.parse("hot*uncertain") == orders.Hot() * orders.Uncertain()
    True

An order gives every document a grade from 0 to 1: its place among the documents that the order says anything of, so
that orders can be mixed whatever they go by. Documents of equal grade are spread evenly over the collection.
"""

from __future__ import annotations

import abc
import ast
import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from crossfade._values import shown
from crossfade.errors import InvalidInput

HALF_A_YEAR = 182.5
DAY_SECONDS = 86_400.0
HOT_SHARE = 0.05

Grades = npt.NDArray[np.float64]


class Facts(Protocol):
    """What is known of a collection's documents, in the order of their keys, `(n,)` each."""

    now: float
    failing: Grades
    priority: Grades
    updated_at: Grades  # NaN where unknown

    @property
    def hits(self) -> Grades: ...
    @property
    def uncertainty(self) -> Grades: ...


class Order(abc.ABC):
    """An order; add, weigh and multiply them: `0.7 * Hot() + 0.3 * Random()`, `Hot() * Uncertain()`.

    A product favours what is high in both: often looked at and hard to estimate, say.
    """

    name: ClassVar[str] = ""

    @abc.abstractmethod
    def grades(self, facts: Facts) -> Grades:
        """A grade for each document; higher is re-embedded earlier."""

    def __add__(self, other: Order) -> Order:
        return Sum((*_terms(self), *_terms(other))) if isinstance(other, Order) else NotImplemented

    def __mul__(self, other: Order | float) -> Order:
        if isinstance(other, Order):
            return Product((*_factors(self), *_factors(other)))
        return Weighted(other, self)

    def __rmul__(self, weight: float) -> Order:
        return Weighted(weight, self)

    def __str__(self) -> str:
        values = [getattr(self, field.name) for field in dataclasses.fields(self) if _is_set(self, field)]  # type: ignore[arg-type]
        return f"{self.name}({values[0]})" if values else self.name


@dataclasses.dataclass(frozen=True)
class Default(Order):
    """The rule of the field: the 5 % searched most, then updated in half a year, then failing or of priority."""

    name = "default"

    def grades(self, facts: Facts) -> Grades:
        hot, recent = _graded(facts.hits), Recent().grades(facts)
        marked = np.maximum(Failing().grades(facts), Priority().grades(facts))
        hotter = np.rint((hot > 0).sum() * (1.0 - hot))  # how many documents are hotter
        tiers = [(hot > 0) & (hotter < HOT_SHARE * len(hot)), recent > 0, marked > 0]
        return np.select(tiers, [3.0 + hot, 2.0 + recent, 1.0 + marked], hot) / 4.0


@dataclasses.dataclass(frozen=True)
class Hot(Order):
    """What searches look at, by how often and how high.

    As counted, or as the most frequent logged queries look at now, when they are asked again: whatever is more. A
    service's queries are not asked again, which would cost money.
    """

    name = "hot"

    def grades(self, facts: Facts) -> Grades:
        return _graded(facts.hits)


@dataclasses.dataclass(frozen=True)
class Recent(Order):
    """What was updated in the last half year (or so many days), the latest first; the rest is left alone."""

    days: float = HALF_A_YEAR
    name = "recent"

    def __post_init__(self) -> None:
        _positive(self.days, "recent(days)")

    def grades(self, facts: Facts) -> Grades:
        since = facts.now - self.days * DAY_SECONDS
        return _graded(np.where(facts.updated_at >= since, facts.updated_at - since + 1.0, 0.0))


@dataclasses.dataclass(frozen=True)
class Failing(Order):
    """What queries find that were reported as failing (`Collection.report_failing`)."""

    name = "failing"

    def grades(self, facts: Facts) -> Grades:
        return _graded(facts.failing)


@dataclasses.dataclass(frozen=True)
class Priority(Order):
    """By `Document.priority`: revenue, value, whatever you have."""

    name = "priority"

    def grades(self, facts: Facts) -> Grades:
        return _graded(facts.priority - facts.priority.min(initial=np.inf))


@dataclasses.dataclass(frozen=True)
class Uncertain(Order):
    """Those first whose new vector the Bridge can tell least, by the leverage the old vector has in its regression.

    It is (x − m)ᵀ (C + λI)⁻¹ (x − m) with the mean m and covariance C of a uniform sample of the old vectors, and λ a
    tenth of C's mean eigenvalue: what the variance of a ridge regression's answer is in proportion to. It needs the old
    vectors only. Its rank correlation with the true residual was .65 to .81 on six pairs of models and collections.
    """

    name = "uncertain"

    def grades(self, facts: Facts) -> Grades:
        return _graded(facts.uncertainty)


@dataclasses.dataclass(frozen=True)
class Age(Order):
    """The oldest first: those of unknown `updated_at` in the order they were added, then by `updated_at`."""

    name = "age"

    def grades(self, facts: Facts) -> Grades:
        order = np.argsort(facts.updated_at, kind="stable")  # NaN comes last
        known = len(order) - int(np.isnan(facts.updated_at).sum())
        grades = np.empty(len(order))
        grades[np.concatenate([order[known:], order[:known]])] = np.arange(len(order), 0, -1) / max(len(order), 1)
        return grades


@dataclasses.dataclass(frozen=True)
class Random(Order):
    """Any order, the same one for the same seed."""

    seed: int = 0
    name = "random"

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InvalidInput(f"random(seed) needs a whole number from 0 on, got {shown(self.seed)}")

    def grades(self, facts: Facts) -> Grades:
        return np.random.default_rng(self.seed).random(len(facts.hits))


@dataclasses.dataclass(frozen=True)
class Weighted(Order):
    """An order's grades, so many times: for sums."""

    weight: float
    order: Order

    def __post_init__(self) -> None:
        _positive(self.weight, "the weight of an order")

    def grades(self, facts: Facts) -> Grades:
        return self.weight * self.order.grades(facts)

    def __str__(self) -> str:
        return f"{float(self.weight):g}*{_bracketed(self.order)}"


@dataclasses.dataclass(frozen=True)
class Sum(Order):
    """The sum of several orders' grades."""

    orders: tuple[Order, ...]

    def grades(self, facts: Facts) -> Grades:
        grades: Grades = np.sum([order.grades(facts) for order in self.orders], axis=0)
        return grades

    def __str__(self) -> str:
        return " + ".join(map(str, self.orders))


@dataclasses.dataclass(frozen=True)
class Product(Order):
    """The product of several orders' grades."""

    orders: tuple[Order, ...]

    def grades(self, facts: Facts) -> Grades:
        grades: Grades = np.prod([order.grades(facts) for order in self.orders], axis=0)
        return grades

    def __str__(self) -> str:
        return "*".join(map(_bracketed, self.orders))


NAMED: Mapping[str, Callable[..., Order]] = {
    kind.name: kind for kind in (Default, Hot, Recent, Failing, Priority, Uncertain, Age, Random)
}
LONGEST = 500  # characters of an order's text


def parse(order: str | Order) -> Order:
    """An order from its text: names, numbers, `+`, `*` and brackets; `recent(90)` is of 90 days, `random(3)` of seed 3.

    Raises:
        InvalidInput: It says no order.
    """
    if isinstance(order, Order):
        return order
    if isinstance(order, str) and len(order) <= LONGEST:
        with contextlib.suppress(SyntaxError, TypeError, ValueError):
            found = _meant(ast.parse(order.strip(), mode="eval").body)
            if isinstance(found, Order):
                return found
    raise InvalidInput(
        f"order must be one of {', '.join(NAMED)}, or a mix of them like '0.7*hot + 0.3*uncertain', got {shown(order)}"
    )


def _meant(node: ast.expr) -> Order | float:
    """What a part of an order's text says. It looks like Python, and only these few things are known."""
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _meant(left) + _meant(right)  # type: ignore[operator]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _meant(left) * _meant(right)
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in NAMED:
            return NAMED[name]()
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=number)], keywords=[]) if name in NAMED:
            return NAMED[name](number)
        case _:
            raise ValueError


def _graded(values: Grades) -> Grades:
    """For the values above 0, the share of those that are not greater; equal ones get the same, others 0."""
    some = values > 0
    _, places, counts = np.unique(values[some], return_inverse=True, return_counts=True)
    grades = np.zeros(len(values))
    grades[some] = np.cumsum(counts)[places] / max(len(places), 1)
    return grades


def _positive(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidInput(f"{name} must be a positive number, got {shown(value)}")


def _terms(order: Order) -> tuple[Order, ...]:
    return order.orders if isinstance(order, Sum) else (order,)


def _factors(order: Order) -> tuple[Order, ...]:
    return order.orders if isinstance(order, Product) else (order,)


def _bracketed(order: Order) -> str:
    return f"({order})" if isinstance(order, Sum) else str(order)


def _is_set(order: Order, field: dataclasses.Field[object]) -> bool:
    return bool(getattr(order, field.name) != field.default)
