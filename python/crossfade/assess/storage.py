"""Storage: the disk and memory that a collection takes now, while it has two versions, and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from crossfade.catalog import files, versions
from crossfade.index.graph import codes_held
from crossfade.index.vectors import ROW_BYTES_A_VALUE
from crossfade.store import Store

from .evidence import Evidence
from .growth import Growth, segments_of, standing_of

# What a reader holds of a row: where its key stands, and of a row of a segment, where its links do; and codes.
_KEY_BYTES, _LINK_BYTES = 4, 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Storage:
    """Bytes.

    Args:
        disk_now: Of the collection's folder, as the catalog counts it.
        disk_during: At most, while the new version is filled and its index built.
        disk_after: When the old version is pruned.
        memory_now: Held by a process that searches, without the mapped files and the models.
        memory_during: At most, while it builds the new version's largest segment as well.
        memory_after: When the old version is pruned.
    """

    disk_now: Evidence
    disk_during: Evidence
    disk_after: Evidence
    memory_now: Evidence
    memory_during: Evidence
    memory_after: Evidence


def storage(store: Store, rows: int, dim: int, growth: Growth | None) -> Storage:
    """What `rows` rows of `dim` columns take beside the collection as it stands.

    Args:
        store: The collection's.
        rows: Of the new version.
        dim: Their columns.
        growth: Of its index; None where it needs none.
    """
    catalog, live, others, blocks, held_now = _standing(store)
    segments = standing_of(rows)
    indexed = round(growth.bytes_a_row * sum(segments)) if growth else 0
    building = round(growth.bytes_a_row * max((it.rows for it in segments_of(rows)), default=0)) if growth else 0
    new = round(rows * (dim * ROW_BYTES_A_VALUE + blocks)) + indexed
    now = catalog + live + others
    held = held_now, _held(rows, segments, dim)
    return Storage(
        disk_now=_bytes("disk now", now, "the catalog, the vectors and their index"),
        disk_during=_bytes("disk during", now + new + building, "both versions, and a segment that replaces others"),
        disk_after=_bytes("disk after", now - live + new, "once the old version is pruned, 14 days after the cutover"),
        memory_now=_bytes("memory now", held[0], "besides models and mapped files, which the system keeps if it can"),
        memory_during=_bytes(
            "memory during", sum(held) + 2 * building, "both versions, and the largest segment while it is built"
        ),
        memory_after=_bytes("memory after", held[1], f"to search at full speed, {_size(new)} of mapped files besides"),
    )


def _standing(store: Store) -> tuple[int, int, int, float, int]:
    """Bytes of the catalog, the live version and the others, of a row's record, and a reader of the live one holds."""
    with store.reading() as connection:
        state = versions.read(connection)
        all_files, all_segments = files.all_files(connection), files.all_segments(connection)
    sizes = dict.fromkeys(state.versions, 0)
    for file in all_files:
        if file.version in sizes:
            sizes[file.version] += (
                file.block_bytes + file.rows * state.versions[file.version].space.dim * ROW_BYTES_A_VALUE
            )
    for segment in all_segments:
        if segment.version in sizes:
            sizes[segment.version] += segment.size
    live = sizes.pop(state.live)
    rows = sum(file.rows for file in all_files)
    live_rows = sum(file.rows for file in all_files if file.version == state.live)
    blocks = sum(file.block_bytes for file in all_files) / max(rows, 1)
    segments = [segment.rows for segment in all_segments if segment.version == state.live]
    held = _held(live_rows, segments, state.live_version.space.dim)
    return store.layout.catalog.stat().st_size, live, sum(sizes.values()), blocks, held


def _held(rows: int, segments: Sequence[int], dim: int) -> int:
    return rows * _KEY_BYTES + sum(segment * _LINK_BYTES + codes_held(segment, dim) for segment in segments)


def _bytes(name: str, value: int, meaning: str) -> Evidence:
    return Evidence(name=f"{name}, bytes", value=value, meaning=f"{_size(value)}: {meaning}")


def _size(value: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1_000:
            return f"{value:.3g} {unit}"
        value /= 1_000
    return f"{value:.3g} TB"
