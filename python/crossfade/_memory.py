"""Memory that was freed, given back to the operating system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Gives back what the C library keeps of freed memory, where it is glibc.

    It keeps blocks of up to 32 MB for later once one of that size was freed, tens of megabytes for as long as the
    process lives: nearly as much as an open collection of a million documents needs.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
