"""The compiled kernels, as crossfade.kernels calls them; nothing is converted or copied.

Half precision travels as uint16. Arrays of rows are (n, d): consecutive elements in a row, any row stride.
The functions stand in the order of cpp/bindings/module.cpp.
"""

import numpy as np
import numpy.typing as npt

_FloatOrHalf = npt.NDArray[np.float32] | npt.NDArray[np.uint16]

def normalize(x: npt.NDArray[np.float32], out: _FloatOrHalf, threads: int) -> tuple[int, int]:
    """Number of bad rows and the index of the first; `out` is written only where there are none."""

def project(
    x: _FloatOrHalf,
    matrix: npt.NDArray[np.float32],
    center: npt.NDArray[np.float32] | None,
    offset: npt.NDArray[np.float32] | None,
    unit: bool,
    out: npt.NDArray[np.float32],
    threads: int,
) -> tuple[int, int]:
    """Number of bad rows and the index of the first; their places in `out` are unspecified."""

def rescore(
    vectors: _FloatOrHalf,
    rows: npt.NDArray[np.int64] | None,
    queries: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
    threads: int,
) -> int:
    """-1, or the place in `rows` of the first index outside `vectors` (then nothing was written)."""

def merge_topk(
    keys: npt.NDArray[np.uint64],
    scores: npt.NDArray[np.float32],
    out_keys: npt.NDArray[np.uint64],
    out_scores: npt.NDArray[np.float32],
) -> None:
    """Fills both outputs, a row per query, as many places as they have columns."""

def instruction_set() -> str:
    """The instruction set in use."""

def instruction_sets() -> list[str]:
    """Those this machine can run, slowest first."""

def force_instruction_set(name: str) -> bool:
    """Use this one, in the whole process; False, and no change, where it isn't available."""
