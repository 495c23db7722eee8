"""Cores: how many this process may use, and how a thread leaves them to others."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from crossfade._values import shown
from crossfade.errors import InvalidInput

# Of threads that work through a long call somebody waits for, and of those that work in the background.
BULK_NICENESS, BACKGROUND_NICENESS = 5, 19

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Cores this process may run on: those it is bound to, or fewer where its control group has a smaller quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota = cpu_quota(_CPU_QUOTA.read_text())
    except OSError:
        return cores
    return cores if quota is None else min(cores, quota)


def cpu_quota(text: str) -> int | None:
    """Whole cores that a control group's cpu.max grants, at least 1; None where it sets no limit.

    Example:
        >>> cpu_quota("150000 100000"), cpu_quota("max 100000")
        (2, None)
    """
    quota, _, period = text.strip().partition(" ")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, -(-int(quota) // int(period)))


def check_threads(threads: int, name: str = "threads") -> int:
    """The number, if it is a positive whole one; InvalidInput, calling it `name`, if not."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InvalidInput(f"{name} must be a positive number, got {shown(threads)}")
    return threads


def step_back(niceness: int) -> None:
    """Lets queries go first: Linux gives each thread a niceness of its own, and this one works through a long call.

    One of the lowest priority makes way at once: to a merely nice one the scheduler leaves some milliseconds more, each
    time that a thread of a query wakes up.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
            if niceness >= BACKGROUND_NICENESS:
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
