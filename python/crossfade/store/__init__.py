"""The store: a collection's folder. It joins the catalog and the vector files into consistent snapshots and commits."""

from .commit import Batch, Overtaken
from .contents import info_of
from .layout import Layout, listed, sync_folder
from .log import amounts
from .sealing import GRACE_SECONDS, only_builder
from .snapshot import Snapshot
from .store import Store

__all__ = [
    "GRACE_SECONDS",
    "Batch",
    "Layout",
    "Overtaken",
    "Snapshot",
    "Store",
    "amounts",
    "info_of",
    "listed",
    "only_builder",
    "sync_folder",
]
