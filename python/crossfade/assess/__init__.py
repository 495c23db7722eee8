"""Assess: whether a migration is worth it, measured on the collection itself, on a capped sample."""

from .judgements import CLICKS_CAVEAT, Judge, from_clicks
from .measuring import measure
from .pool import PoolSize
from .quality import Changed, Listed, Measure, Quality, Slice
from .queries import Queries, from_log, given, made
from .sides import Sides

__all__ = [
    "CLICKS_CAVEAT",
    "Changed",
    "Judge",
    "Listed",
    "Measure",
    "PoolSize",
    "Quality",
    "Queries",
    "Sides",
    "Slice",
    "from_clicks",
    "from_log",
    "given",
    "made",
    "measure",
]
