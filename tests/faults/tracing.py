"""Tracing: strace notes a process's system calls and puts faults into them."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
SYNCS = ("fsync", "fdatasync", "sync_file_range")
NAMES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "openat")
SIZES = ("ftruncate", "truncate", "fallocate", "fchmod")
READS = ("openat", "read", "pread64", "readv", "preadv", "preadv2", "mmap", "getdents64")
ALL = (*WRITES, *SYNCS, *NAMES, *SIZES)

# What a process calls to learn that it is traced: then, and only then, it gets this error.
PROBE, PROBE_ERROR = "getxattr", errno.EXDEV

_LINE = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|\?)(?P<rest>.*)")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


@dataclasses.dataclass(frozen=True)
class Call:
    """One system call of a log; `count` is its place among the calls of that name of its thread, from 1 on."""

    name: str
    arguments: str
    result: int | None
    count: int
    injected: bool

    @property
    def made_a_file(self) -> bool:
        return self.name != "openat" or "O_CREAT" in self.arguments

    def syncs(self, *endings: str) -> bool:
        """Whether it syncs a file whose name ends so."""
        return self.name in SYNCS and self.arguments.rstrip(">").endswith(endings)


def strace() -> str | None:
    """The program, or None where it is not installed."""
    return shutil.which("strace")


def command(
    log: Path, *injections: str, calls: Sequence[str] = ALL, data: bool = False, under: Path | None = None
) -> list[str]:
    """A tracer for `Nursery.run`.

    Args:
        log: Where the calls are noted.
        injections: As strace takes them: "fsync:error=EIO:when=3".
        calls: What is noted.
        data: Whether all that is written is noted too.
        under: Only calls with what is in this folder now, which are those that faults are put into then.
    """
    traced = ",".join(f"?{name}" for name in (*calls, PROBE))
    injections = (f"{PROBE}:error={errno.errorcode[PROBE_ERROR]}", *injections)
    size = ["-xx", "-s", "16777216"] if data else ["-s", "32"]
    faults = [part for injection in injections for part in ("-e", f"inject={injection}")]
    paths = [part for path in ([under, *sorted(under.rglob("*"))] if under else []) for part in ("-P", str(path))]
    noted = ["-o", str(log), "-e", f"trace={traced}"]
    return [strace() or "strace", "-f", "-qq", "-y", *size, *noted, *paths, *faults, "-p"]


def wait_until_traced(folder: str) -> None:
    """Returns when this process's next system call is seen by the tracer that was given `folder` or no folder."""
    while True:
        try:
            os.getxattr(folder, "user.traced")
        except OSError as error:
            if error.errno == PROBE_ERROR:
                return
        time.sleep(0.001)


def read(log: Path) -> Iterator[Call]:
    """The calls of a log, in order."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="surrogateescape").splitlines():
        found = _LINE.fullmatch(line)
        if found and found["name"] != PROBE:
            counts[found["thread"], found["name"]] += 1
            yield Call(
                found["name"],
                found["arguments"],
                None if found["result"] == "?" else int(found["result"]),
                counts[found["thread"], found["name"]],
                "(INJECTED)" in found["rest"],
            )


def decoded(text: str) -> bytes:
    """What a string of a log stands for."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode(errors="surrogateescape"))
