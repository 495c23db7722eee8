"""Models: what they are, where their files come from, and how texts become rows."""

from __future__ import annotations

from .encoder import Encoder
from .models import ModelInfo, list_models, pull, verify

__all__ = ["Encoder", "ModelInfo", "list_models", "pull", "verify"]
