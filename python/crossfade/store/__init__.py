"""The store: a collection's folder. It joins the catalog and the vector files into consistent snapshots and commits."""

from .commit import Batch, Overtaken
from .layout import checked_folder
from .snapshot import Snapshot
from .store import Store

__all__ = ["Batch", "Overtaken", "Snapshot", "Store", "checked_folder"]
