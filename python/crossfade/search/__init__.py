"""Searches: how a query is answered in every state of a collection."""

from .hits import Hit, Hits
from .searcher import How, OnRead, Searcher, check_question

__all__ = ["Hit", "Hits", "How", "OnRead", "Searcher", "check_question"]
