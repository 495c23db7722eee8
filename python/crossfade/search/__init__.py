"""Searches: how a query is answered in every state of a collection."""

from .hits import Hit, Hits
from .searcher import Searcher

__all__ = ["Hit", "Hits", "Searcher"]
