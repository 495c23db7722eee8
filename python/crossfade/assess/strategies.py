"""Strategies: the ways to carry out a verdict, the rule that chooses one, and what to type for it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .curves import LEAST_DOCUMENTS
from .price import Price
from .thresholds import Thresholds
from .verdict import Decision, Strategy

# What a fit embeds of a collection: less can't be paid for.
LEAST_SHARE = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A way to carry out a verdict; `{order}`, `{until}`, `{folder}` and `{model}` are filled in.

    Args:
        order: What is re-embedded first, where it is searched and where not.
        code: Lines of Python, with `docs` and `new` as in `docs.assess(new)`.
        commands: The same for a shell.
        end_state: Where it ends.
    """

    order: Mapping[bool, str]
    code: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    end_state: str


_CUTOVER = ("fade.cutover()  # docs.rollback() goes back", "crossfade cutover {folder}")
_BY_LOG = {True: "hot", False: "default"}
PLANS: Mapping[Strategy, Plan] = {
    "stay": Plan(order={True: "", False: ""}, end_state="the live version goes on answering; nothing is written"),
    "bridge only": Plan(
        order=_BY_LOG,
        code=("fade = docs.migrate(new, order={order!r})", "fade.fit()"),
        commands=("crossfade migrate {folder} --to {model} --order {order} --until 0",),
        end_state=(
            "the new model's queries meet the stored vectors through the Bridge: no upgrade, until fade.run() has "
            "re-embedded the documents and fade.cutover() switches"
        ),
    ),
    "on-read": Plan(
        order=_BY_LOG,
        code=(
            "fade = docs.migrate(new, order={order!r})",
            "fade.run(until={until})",
            'docs.search(text, on_read="sync", budget=0.2)  # every search re-embeds some of what it looks at',
        ),
        commands=("crossfade migrate {folder} --to {model} --order {order} --until {until}",),
        end_state=(
            "both versions answer together, with new vectors for what is searched; it does not end by itself: "
            "fade.run() completes it, fade.abandon() drops it"
        ),
    ),
    "dual index": Plan(
        order=_BY_LOG,
        code=("fade = docs.migrate(new, order={order!r})", "fade.run()", _CUTOVER[0]),
        commands=("crossfade migrate {folder} --to {model} --order {order}", _CUTOVER[1]),
        end_state=(
            "the new version answers alone; the old one is kept for 14 days, in which docs.rollback() goes back, and "
            "docs.prune() drops it"
        ),
    ),
    "bulk": Plan(
        order={True: "default", False: "default"},
        code=("fade = docs.migrate(new)", "fade.run()", _CUTOVER[0]),
        commands=("crossfade migrate {folder} --to {model}", _CUTOVER[1]),
        end_state=(
            "the new version answers alone, within one maintenance window; the old one is kept for 14 days, in which "
            "docs.rollback() goes back, and docs.prune() drops it"
        ),
    ),
}


class Choice(NamedTuple):
    """A strategy, and the rule that chose it."""

    strategy: Strategy
    rule: str
    until: float = 1.0


class Chosen(NamedTuple):
    """A plan with everything filled in."""

    order: str
    code: tuple[str, ...]
    commands: tuple[str, ...]
    end_state: str


def choose(decision: Decision, price: Price, thresholds: Thresholds, *, callable_old: bool) -> Choice:
    """The strategy for a decision; of "not enough evidence" the one that a "go" would lead to.

    Args:
        decision: The decision.
        price: What a whole migration costs.
        thresholds: Its limits.
        callable_old: Whether the live version's encoder is at hand.
    """
    documents, seconds = int(price.documents.value or 0), price.seconds.value
    if decision in ("stay", "nothing to do"):
        return Choice("stay", "nothing is to be carried out")
    if not callable_old:
        return Choice("bridge only", "the live version's encoder is not at hand: its queries need the Bridge at once")
    limits = dict(_shares(price, thresholds))
    tightest = min(limits, key=lambda name: limits[name], default="")
    if tightest and limits[tightest] < LEAST_SHARE:
        return Choice("stay", f"{tightest} pays for {limits[tightest]:.1%} of the documents, a fit takes up to 5%")
    if tightest and limits[tightest] < 1.0:
        told = f"{tightest} pays for {limits[tightest]:.0%} of the documents: those that are searched come first"
        return Choice("on-read", told, int(100 * limits[tightest]) / 100)
    if documents < LEAST_DOCUMENTS:
        return Choice("bulk", f"of {documents} documents nothing can be learned for the time between")
    if seconds is not None and seconds <= thresholds.window_seconds:
        return Choice("bulk", f"a fill of {seconds:,.0f} s fits into a window of {thresholds.window_seconds:,.0f} s")
    took = "of unknown time" if seconds is None else f"of {seconds:,.0f} s"
    told = f"a fill {took} is longer than a window of {thresholds.window_seconds:,.0f} s: it runs behind the searches"
    return Choice("dual index", told)


def filled(choice: Choice, folder: str, model: str | None, searched: bool) -> Chosen:
    """What to type; nothing for a shell where the new encoder has no name to load it by.

    Args:
        choice: The strategy.
        folder: The collection's.
        model: The new encoder's name.
        searched: Whether it is known what is searched.
    """
    plan = PLANS[choice.strategy]
    order = plan.order[searched]
    values = {"order": order, "until": f"{choice.until:g}"}
    code = tuple(line.format(**values) for line in plan.code)
    shell = values | {"folder": shlex.quote(folder), "model": shlex.quote(model or "")}
    commands = tuple(line.format(**shell) for line in plan.commands) if model else ()
    return Chosen(order, code, commands, plan.end_state)


def would_change(choice: Choice, price: Price, thresholds: Thresholds) -> Iterator[str]:
    """What would lead to another strategy."""
    seconds = price.seconds.value
    if choice.strategy == "dual index" and seconds is not None:
        yield f"a maintenance window above {seconds:,.0f} s (window_seconds): all at once in it"
        yield f"less than {seconds:,.0f} s for it (max_seconds), or money: only what is searched"
    if choice.strategy == "bulk":
        yield f"a maintenance window below {seconds or 0.0:,.0f} s (window_seconds): a fill behind the searches"
    if choice.strategy == "on-read" or (choice.strategy == "stay" and choice.rule.startswith("max_")):
        yield "higher limits (max_seconds, max_money): more of the documents, or all"


def _shares(price: Price, thresholds: Thresholds) -> Iterator[tuple[str, float]]:
    """What share of the documents each limit pays for."""
    costs = (("max_seconds", thresholds.max_seconds, price.seconds), ("max_money", thresholds.max_money, price.money))
    for name, limit, cost in costs:
        if limit is not None and cost.value:
            yield name, limit / cost.value
