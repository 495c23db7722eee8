"""Models: what they are, where their files come from, and how texts become rows."""

from __future__ import annotations

import os
import sys

# From 1.29 on onnxruntime reports to its maker unless it is told not to. It does so in a thread, which a forked child
# lacks and would wait for at its end.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# usearch 2.26 carries a C++ library of its own whose unique symbols onnxruntime would take for its own: loading it
# second is a segmentation fault. The other order is safe.
if "usearch" in sys.modules and "onnxruntime" not in sys.modules:
    raise ImportError(
        "usearch was imported before onnxruntime, and loading onnxruntime now would crash this process; "
        "put `import onnxruntime` before the first import of usearch"
    )

from .cores import BACKGROUND_NICENESS, check_threads, step_back, usable_cores
from .encoder import Encoder
from .models import ModelInfo, is_cached, list_models, pull, verify
from .service import ServiceOptions
from .spending import Spent

__all__ = [
    "BACKGROUND_NICENESS",
    "Encoder",
    "ModelInfo",
    "ServiceOptions",
    "Spent",
    "check_threads",
    "is_cached",
    "list_models",
    "pull",
    "step_back",
    "usable_cores",
    "verify",
]
