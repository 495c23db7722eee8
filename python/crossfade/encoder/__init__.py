"""Models: what they are, where their files come from, and how texts become rows."""

from __future__ import annotations

import os
import sys

# usearch 2.26 carries a C++ library of its own whose unique symbols onnxruntime would take for its own: loading it
# second is a segmentation fault. The other order is safe.
if "usearch" in sys.modules and "onnxruntime" not in sys.modules:
    raise ImportError(
        "usearch was imported before onnxruntime, and loading onnxruntime now would crash this process; "
        "put `import onnxruntime` before the first import of usearch"
    )

# From 1.29 on onnxruntime reports to its makers, and keeps a database in the user's home for that. The variable is read
# once, when onnxruntime is loaded; whoever wants to report sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .cores import check_threads, usable_cores
from .encoder import Encoder
from .models import ModelInfo, is_cached, list_models, pull, verify
from .service import ServiceOptions
from .spending import Spent

__all__ = [
    "Encoder",
    "ModelInfo",
    "ServiceOptions",
    "Spent",
    "check_threads",
    "is_cached",
    "list_models",
    "pull",
    "usable_cores",
    "verify",
]
