"""Where each key's row stands: four bytes a key, shared by all snapshots of a version."""

from __future__ import annotations

import threading
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import InvalidInput
from crossfade.index.blocks import NO_KEY, Keys
from crossfade.kernels import Tables

Places: TypeAlias = NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.uint32)

MAX_FILE_NO = (1 << 31) - 1
ABSENT = -1
_CHUNK_BITS = 12
_CHUNK = 1 << _CHUNK_BITS
_MOST_CHUNKS = (1 << (32 - _CHUNK_BITS)) - 1


class RowRange(NamedTuple):
    """Rows `start` to `stop` (exclusive) of the file with the number `file_no`."""

    file_no: int
    start: int
    stop: int


class Locations:
    """Which file and row each key has, and which key each row has. It only grows; readers need no lock.

    The rows of all files are numbered together, in chunks of 4,096 rows of one file, so that four bytes say where a key
    stands. Keys by row are kept as well where they are asked for all the time: in the rows that no segment holds.

    A reader may find rows that are newer than the files it has mapped, so it compares with their length.

    Example:
        >>> locations = Locations()
        >>> locations.add(3, np.array([7, 5], dtype=np.uint64), first_row=10)
        >>> files, rows = locations.find(np.array([5, 6], dtype=np.uint64))
        >>> files.tolist(), rows[0].tolist()
        ([3, -1], 11)
    """

    def __init__(self) -> None:
        # By key, 1 + the number of its row; 0 is nowhere, so that room for more keys is memory nobody has touched.
        self._places: NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        # By chunk, which file it is of and its first row.
        self._files: Places = np.zeros(0, dtype=np.int64)
        self._first_rows: Places = np.zeros(0, dtype=np.int64)
        self._chunks: dict[int, list[int]] = {}
        self._recent: dict[int, tuple[int, Keys]] = {}
        self._used = 0
        self._writing = threading.Lock()

    def add(self, file_no: int, keys: Keys, first_row: int) -> None:
        """Note that `keys` stand in a file from `first_row` on; a key known before has moved there.

        Args:
            file_no: Number of the file, 0 to 2³¹−1.
            keys: `(n,)` uint64, dense: the array is as long as the highest key.
            first_row: Row of the first key.

        Raises:
            InvalidInput: The number is out of range, or there are more than 4.29·10⁹ rows.
        """
        if not 0 <= file_no <= MAX_FILE_NO:
            raise InvalidInput(f"a file's number must be between 0 and {MAX_FILE_NO}, got {file_no}")
        if len(keys) == 0:
            return
        with self._writing:
            rows = np.arange(first_row, first_row + len(keys), dtype=np.int64)
            places = self._numbered(file_no, rows)
            if keys.max() >= len(self._places):
                self._places = _grown(self._places, int(keys.max()) + 1)
            self._places[keys] = places + 1
            start, known = self._recent.get(file_no, (first_row, keys[:0]))
            settled = max(0, start - first_row)
            # A gap has no keys; of what stands twice the later one counts.
            kept = np.full(first_row + settled - start, NO_KEY, dtype=np.uint64)
            kept[: len(known)] = known[: len(kept)]
            self._recent[file_no] = start, np.concatenate([kept, keys[settled:]])

    def settle(self, file_no: int, row: int) -> None:
        """Keep no keys by row for the rows before `row`: a segment holds them."""
        with self._writing:
            start, known = self._recent.get(file_no, (row, np.empty(0, dtype=np.uint64)))
            if row > start:
                self._recent[file_no] = row, known[row - start :].copy()

    def find(self, keys: Keys) -> tuple[Places, Places]:
        """The file numbers, -1 for an unknown key, and the rows of `keys` (m,): two int64 arrays `(m,)`."""
        known = self._places
        inside = keys < len(known)
        places = np.zeros(len(keys), dtype=np.int64)
        places[inside] = known[keys[inside]]
        absent = places == 0
        places -= ~absent
        if not len(self._files):
            return np.full(len(keys), ABSENT), places
        chunks = places >> _CHUNK_BITS
        return np.where(absent, ABSENT, self._files[chunks]), self._first_rows[chunks] + (places & (_CHUNK - 1))

    def tables(self) -> Tables:
        """What the kernels look up."""
        return Tables(self._places, self._files, self._first_rows, _CHUNK_BITS)

    def keys(self, rows: RowRange) -> Keys:
        """The keys of the rows of a range, `(stop - start,)` uint64; 2⁶⁴−1 where a row has none, or it has moved."""
        start, recent = self._recent.get(rows.file_no, (0, np.empty(0, dtype=np.uint64)))
        if start <= rows.start and rows.stop <= start + len(recent):
            return recent[rows.start - start : rows.stop - start]
        found = np.full(max(0, rows.stop - rows.start), NO_KEY, dtype=np.uint64)
        every = self.known()
        files, at = self.find(every)
        here = (files == rows.file_no) & (at >= rows.start) & (at < rows.stop)
        found[at[here] - rows.start] = every[here]
        return found

    def known(self) -> Keys:
        """Every key that has a row, ascending, `(n,)` uint64."""
        return np.flatnonzero(self._places).astype(np.uint64)

    def _numbered(self, file_no: int, rows: Places) -> NDArray[np.uint32]:
        """The numbers of a file's rows, some of which may be new."""
        of_file = self._chunks.setdefault(file_no, [])
        while len(of_file) <= rows[-1] >> _CHUNK_BITS:
            if self._used == _MOST_CHUNKS:
                raise InvalidInput(
                    f"a version holds at most {_MOST_CHUNKS * _CHUNK} rows; prune, or split the collection"
                )
            if self._used == len(self._files):
                self._files, self._first_rows = _grown(self._files, 1), _grown(self._first_rows, 1)
            self._files[self._used], self._first_rows[self._used] = file_no, len(of_file) << _CHUNK_BITS
            of_file.append(self._used)
            self._used += 1
        first = rows[0] >> _CHUNK_BITS
        numbers = np.array(of_file[first : (rows[-1] >> _CHUNK_BITS) + 1], dtype=np.uint32)[
            (rows >> _CHUNK_BITS) - first
        ]
        numbered: NDArray[np.uint32] = (numbers << _CHUNK_BITS) | (rows & (_CHUNK - 1)).astype(np.uint32)
        return numbered


def _grown(array: NDArray[Number], length: int) -> NDArray[Number]:
    larger = np.zeros(max(length, 2 * len(array), 1024), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
