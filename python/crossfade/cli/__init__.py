"""The command line: the same words as the library's, each command thin over one call of it."""

from __future__ import annotations

from crossfade.cli.app import app, main

__all__ = ["app", "main"]
