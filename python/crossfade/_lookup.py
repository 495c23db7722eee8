"""Tables looked up by key: which keys may be found, and where their rows stand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade.errors import InvalidInput

Keys = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]


def admit(keys: Keys, dead: Marks | None = None, allowed: Marks | None = None) -> tuple[Marks, int]:
    """Which keys are some, not dead, and allowed.

    Args:
        keys: Of any shape, uint64, C-contiguous; 2**64 - 1 is none.
        dead: By key, bool; keys beyond its end are alive, as all are where it is None.
        allowed: By key, bool; keys beyond its end are not allowed. All are where it is None.

    Returns:
        A mask of the shape of `keys`, and how many are admitted.

    Raises:
        InvalidInput: An argument has another dtype or layout.

    Example:
        >>> admit(np.array([1, 5, 2**64 - 1], dtype=np.uint64), np.array([False, True]))[0].tolist()
        [False, True, False]
    """
    try:
        return _core.admit(keys, dead, allowed)
    except ValueError as error:
        raise InvalidInput(f"{error}; keys are uint64 arrays, masks bool vectors") from error


def locate(
    places: npt.NDArray[np.uint32],
    runs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    bits: int,
    keys: Keys,
    file: int,
    rows: int,
) -> tuple[npt.NDArray[np.int64], int]:
    """The rows of keys in one file.

    Args:
        places: By key, 1 + the number of its row among those of all files; 0 for none.
        runs: Of each run of 2**bits numbers, whose rows they are, and which is the first.
        bits: See `runs`.
        keys: `(m,)` uint64.
        file: Whose rows are wanted.
        rows: How many the file has.

    Returns:
        `(m,)` int64, -1 where a key has no row there; and how many have one.

    Raises:
        InvalidInput: An argument has another dtype or layout.
    """
    try:
        return _core.locate(places, *runs, bits, keys, file, rows)
    except ValueError as error:
        raise InvalidInput(f"{error}; keys are uint64 vectors, tables uint32 and int64") from error
