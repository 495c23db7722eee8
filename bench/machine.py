"""What machine a benchmark ran on, and how fast it can go: facts, and ceilings measured in the same run."""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crossfade import kernels

PEERS = ("numpy", "faiss-cpu", "numkong", "ranx", "ml_dtypes")


def facts(packages: Sequence[str] = PEERS) -> dict[str, Any]:
    """The processor, the instruction set in use, the versions of `packages` and the commit."""
    cpu = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(names),
        "instruction_set": kernels.instruction_set(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "commit": commit,
    }


def stolen() -> int:
    """Ticks that the hypervisor has given to others since the machine started."""
    return int(Path("/proc/stat").read_text().split()[8])


def ceilings(threads: int, quick: bool) -> dict[str, float]:
    """What `threads` threads can do at most: bytes a second of a plain copy, and floating-point operations a second.

    The copy's arrays are 2 GiB each, larger than any cache. "float32" and "bfloat16" are loops of multiply-adds in
    registers (peak.cpp); a processor that can't multiply bfloat16 does it as float32. The products are 2048³:
    NumPy's in float32 and NumKong's in bfloat16.
    """
    copied = _copy_seconds(2**26 if quick else 2**29, threads)
    peaks = _peaks(threads)
    left = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    right, product = left[::-1].copy(), np.empty_like(left)
    operations = 2.0 * 2048**3
    multiplied = _best(lambda: np.matmul(left, right, out=product), 7)
    return {
        "copy": 2.0 / copied,
        "float32": peaks["float32"],
        "bfloat16": peaks.get("bfloat16", peaks["float32"]),
        "numpy product": operations / multiplied,
        "numkong product": operations / _best(_bfloat16_product(left, right, threads), 7),
    }


def _peaks(threads: int) -> dict[str, float]:
    """What peak.cpp prints."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("peak.cpp")
        subprocess.run(["c++", "-O2", "-std=c++17", "-pthread", source, "-o", program], check=True)
        peaks: dict[str, float] = json.loads(
            subprocess.run([program, str(threads)], check=True, capture_output=True).stdout
        )
    return peaks


def _copy_seconds(size: int, threads: int) -> float:
    """Seconds for each byte of a copy of `size` floats."""
    source, target = np.ones(size, np.float32), np.ones(size, np.float32)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return _best(lambda: in_threads([lambda pair=pair: np.copyto(*pair) for pair in parts]), 5) / source.nbytes


def in_threads(calls: list[Callable[[], object]]) -> None:
    """Runs the calls at the same time, each on a thread of its own."""
    if len(calls) == 1:
        calls[0]()
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


def _bfloat16_product(left: Any, right: Any, threads: int) -> Callable[[], object]:
    import numkong
    from ml_dtypes import bfloat16

    narrow = left.astype(bfloat16)
    packed = numkong.dots_pack(right.T.astype(bfloat16, order="C"), dtype="bf16")
    parts = np.array_split(narrow, threads)
    return lambda: in_threads([lambda part=part: numkong.dots_packed(part, packed) for part in parts])


def _best(call: Callable[[], object], times: int) -> float:
    call()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
