"""Retrieval metrics over judged queries, and whether two systems differ: arrays and dicts in, values out."""

from .comparison import POWER, Comparison, compare
from .corrections import benjamini_hochberg, holm
from .metrics import Gain, Qrels, Run, mean, mrr, ndcg, precision, ranked, recall

__all__ = [
    "POWER",
    "Comparison",
    "Gain",
    "Qrels",
    "Run",
    "benjamini_hochberg",
    "compare",
    "holm",
    "mean",
    "mrr",
    "ndcg",
    "precision",
    "ranked",
    "recall",
]
