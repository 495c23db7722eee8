"""The machine that figures were measured on, in one line beside them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("numpy", "onnxruntime", "usearch")


def describe() -> str:
    """Processor, instruction set in use, usable cores, Python and library versions."""
    from crossfade import kernels

    cores = len(os.sched_getaffinity(0))
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{_processor()}, {kernels.instruction_set()}, {cores} cores; Python {platform.python_version()}, {libraries}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
