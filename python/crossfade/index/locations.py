"""Where each key's row stands: two arrays, shared by all snapshots of a version."""

from __future__ import annotations

import threading
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import InvalidInput
from crossfade.index.blocks import Keys

Places: TypeAlias = NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.uint64)

ROW_BITS = 40
MAX_FILE_NO = (1 << (63 - ROW_BITS)) - 1
ABSENT = -1
_ROW_MASK = (1 << ROW_BITS) - 1
_SMALLEST = 1024


class RowRange(NamedTuple):
    """Rows `start` to `stop` (exclusive) of the file with the number `file_no`."""

    file_no: int
    start: int
    stop: int


class Locations:
    """Which file and row each key has, and which key each row has. It only grows; readers need no lock.

    A reader may find rows that are newer than the files it has mapped, so it compares with their length.
    Memory is 8 bytes for each key up to the highest and 8 for each row.

    Example:
        >>> locations = Locations()
        >>> locations.add(3, np.array([7, 5], dtype=np.uint64), first_row=10)
        >>> files, rows = locations.find(np.array([5, 6], dtype=np.uint64))
        >>> files.tolist(), rows[0].tolist()
        ([3, -1], 11)
    """

    def __init__(self) -> None:
        self._packed: Places = np.full(_SMALLEST, ABSENT, dtype=np.int64)
        self._keys: dict[int, Keys] = {}
        self._writing = threading.Lock()

    def add(self, file_no: int, keys: Keys, first_row: int) -> None:
        """Note that `keys` stand in a file from `first_row` on; a key known before has moved there.

        Args:
            file_no: Number of the file, 0 to 2²³−1.
            keys: `(n,)` uint64, dense: the arrays are as long as the highest key.
            first_row: Row of the first key.

        Raises:
            InvalidInput: The number is out of range.
        """
        if not 0 <= file_no <= MAX_FILE_NO:
            raise InvalidInput(f"a file's number must be between 0 and {MAX_FILE_NO}, got {file_no}")
        if len(keys) == 0:
            return
        with self._writing:
            of_file = self._keys.get(file_no, np.empty(0, dtype=np.uint64))
            of_file = _with_room(of_file, first_row + len(keys), 0)
            of_file[first_row : first_row + len(keys)] = keys
            packed = _with_room(self._packed, int(keys.max()) + 1, ABSENT)
            packed[keys] = (file_no << ROW_BITS) | np.arange(first_row, first_row + len(keys), dtype=np.int64)
            self._keys[file_no] = of_file
            self._packed = packed

    def find(self, keys: Keys) -> tuple[Places, Places]:
        """The file numbers, -1 for an unknown key, and the rows of `keys` (m,): two int64 arrays `(m,)`."""
        packed = self._packed
        inside = keys < len(packed)
        found = np.where(inside, packed[np.where(inside, keys, 0)], ABSENT)
        return found >> ROW_BITS, found & _ROW_MASK

    def keys(self, rows: RowRange) -> Keys:
        """The keys of the rows of a range, `(stop - start,)` uint64, not to be written to."""
        known = self._keys.get(rows.file_no, np.empty(0, dtype=np.uint64))
        return known[rows.start : rows.stop]


def _with_room(array: NDArray[Number], length: int, filling: int) -> NDArray[Number]:
    if length <= len(array):
        return array
    larger = np.full(max(length, 2 * len(array), _SMALLEST), filling, dtype=array.dtype)
    larger[: len(array)] = array
    return larger
