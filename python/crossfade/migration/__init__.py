"""Migrations: a collection moves to another encoder: fit → fill → cut over, or back; all state is on disk."""

from .migration import Migration, MigrationStatus
from .roles import prune, rollback, start

__all__ = ["Migration", "MigrationStatus", "prune", "rollback", "start"]
