"""crossfade changes the embedding model under a live vector index.

Measure whether a new model is worth it, migrate while searches go on, switch atomically, roll back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from .document import Document
from .errors import CrossfadeError
from .space import Space

if TYPE_CHECKING:
    from . import doctor, kernels, orders, report
    from .bridge import Bridge
    from .collection import Collection
    from .encoder import Encoder
    from .migration import Migration
    from .search import Hit, Hits

__version__ = "0.1.0"

# Loaded at first use, so that `import crossfade` stays quick: each of these brings native libraries with it.
_LAZY = {
    "Bridge": "bridge",
    "Collection": "collection",
    "Encoder": "encoder",
    "Hit": "search",
    "Hits": "search",
    "Migration": "migration",
    "doctor": "doctor",
    "kernels": "kernels",
    "orders": "orders",
    "report": "report",
}

__all__ = [
    "Bridge",
    "Collection",
    "CrossfadeError",
    "Document",
    "Encoder",
    "Hit",
    "Hits",
    "Migration",
    "Space",
    "__version__",
    "doctor",
    "errors",
    "kernels",
    "orders",
    "report",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module 'crossfade' has no attribute {name!r}")
    module = import_module(f".{_LAZY[name]}", __name__)
    value = module if name == _LAZY[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
