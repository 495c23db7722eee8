"""Searches: how a query is answered in every state of a collection."""

from .calibration import Calibration
from .explanation import Explanation
from .hits import Hit, Hits
from .searcher import How, OnRead, Searcher, check_question

__all__ = ["Calibration", "Explanation", "Hit", "Hits", "How", "OnRead", "Searcher", "check_question"]
