"""Assess: whether a migration is worth it, measured on the collection itself, on a capped sample."""

from .assessment import Assessment
from .curves import Point
from .evidence import Evidence
from .facts import Facts
from .judgements import CLICKS_CAVEAT, Judge, from_clicks
from .measuring import measure
from .pool import PoolSize
from .quality import Changed, Listed, Measure, Quality, Slice
from .queries import Queries, from_log, given, made
from .request import Options
from .sides import Sides
from .thresholds import Thresholds
from .verdict import Verdict

__all__ = [
    "CLICKS_CAVEAT",
    "Assessment",
    "Changed",
    "Evidence",
    "Facts",
    "Judge",
    "Listed",
    "Measure",
    "Options",
    "Point",
    "PoolSize",
    "Quality",
    "Queries",
    "Sides",
    "Slice",
    "Thresholds",
    "Verdict",
    "from_clicks",
    "from_log",
    "given",
    "made",
    "measure",
]
