"""Request: what an assessment is asked for, checked before anything is embedded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from crossfade import judged
from crossfade._values import shown
from crossfade.encoder import check_threads
from crossfade.errors import InvalidInput
from crossfade.evaluate import Gain

from .judgements import Judge
from .measuring import check
from .queries import Queries, given
from .thresholds import Thresholds


class Options(TypedDict, total=False):
    """What `Collection.assess` takes beside queries; those of `Thresholds`, of `measure`, and of `price`.

    Args:
        min_lift, margin, significance, least_queries, window_seconds, max_seconds, max_money: As in `Thresholds`.
        k, gain, fields: As of `measure`.
        seed: Of the sample, the draws and the resampling.
        cores: As of a fill; None for all.
        per_million_tokens: What a service asks for a million tokens.
        table: A table of prices, as of `tariff_of`.
    """

    min_lift: float
    margin: float
    significance: float
    least_queries: int
    window_seconds: float
    max_seconds: float | None
    max_money: float | None
    k: int
    gain: Gain
    fields: Sequence[str] | None
    seed: int
    cores: int | None
    per_million_tokens: float | None
    table: str | Path | None


class Request(NamedTuple):
    """What is asked for.

    Args:
        queries: The user's; None for those of the log, or made ones.
        judge: A program that grades.
        sample: How many documents are embedded at most.
        thresholds: What decides.
        measuring: Options of `measure`.
        pricing: Options of `gather`.
    """

    queries: Queries | None
    judge: Judge | None
    sample: int
    thresholds: Thresholds
    measuring: dict[str, Any]
    pricing: dict[str, Any]


def request(
    queries: judged.Queries | None, qrels: judged.Qrels | None, judge: Judge | None, sample: int, options: Options
) -> Request:
    """What is asked for, checked before anything is embedded.

    Raises:
        InvalidInput: An argument can't be used.
    """
    left: dict[str, Any] = dict(options)
    limits, measuring, pricing = (
        {name: left.pop(name) for name in names if name in left}
        for names in (
            [field.name for field in dataclasses.fields(Thresholds)],
            ("k", "gain", "fields"),
            ("cores", "per_million_tokens", "table"),
        )
    )
    seed = left.pop("seed", 0)
    if left:
        raise InvalidInput(
            f"assess has no option {', '.join(sorted(left))}; known are {', '.join(Options.__annotations__)}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInput(f"seed must be a whole number from 0 on, got {shown(seed)}")
    if pricing.get("cores") is not None:
        check_threads(pricing["cores"], "cores")
    if judge is not None and not callable(judge):
        raise InvalidInput(f"judge must be a callable of the texts of query and document, got {shown(judge)}")
    if queries is None and qrels is not None:
        raise InvalidInput("qrels= goes with queries=; judgements of logged queries are kept with docs.judge")
    check(measuring.get("k", 10), sample)
    thresholds = Thresholds(**limits)
    measuring |= {"seed": seed, "confidence": 1.0 - thresholds.significance}
    asked = None if queries is None else given(queries, qrels)
    return Request(asked, judge, sample, thresholds, measuring, pricing | {"seed": seed})
