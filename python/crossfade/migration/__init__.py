"""Migrations: a collection moves to another encoder: fit → fill → cut over, or back; all state is on disk."""

from .migration import Migration, MigrationStatus
from .on_read import BUDGET_SECONDS, on_read
from .roles import prune, rollback, start

__all__ = ["BUDGET_SECONDS", "Migration", "MigrationStatus", "on_read", "prune", "rollback", "start"]
