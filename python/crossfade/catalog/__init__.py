"""The catalog: everything a collection knows that is not a vector. Only this room imports apsw (SQLite).

`Database` gives connections inside transactions; the modules beside it are plain functions over such a connection,
one module per noun, so that what must be atomic is what stands inside one `with database.writing()`.
"""

from apsw import Connection

from . import documents, files, health, judgements, searched, tasks, texts, versions
from .database import Database, sqlite_version

__all__ = [
    "Connection",
    "Database",
    "documents",
    "files",
    "health",
    "judgements",
    "searched",
    "sqlite_version",
    "tasks",
    "texts",
    "versions",
]
