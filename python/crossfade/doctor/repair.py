"""The repair: what can be rebuilt from what is sound is rebuilt; no document is ever deleted."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crossfade._values import checked_folder
from crossfade.catalog import Connection, files, health, tasks, versions
from crossfade.document import TEXT_HASH_BYTES
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.index import Block, VectorFile, is_owned, rewrite
from crossfade.migration.fill import catch_up
from crossfade.search.calibration import Calibration
from crossfade.store import Store

from . import leftovers, records
from .examine import Progress, examine
from .facts import extent_of, pair_of
from .finding import Finding

Findings = Sequence[Finding]


def repair(path: str | Path, *encoders: Encoder, progress: Progress | None = None) -> list[Finding]:
    """Rebuilds what can be, and examines again.

    Segments, counts and what was learned for a migration are made anew from what they were made of. Of a damaged
    vector file the sound rows are kept and the other documents queued for embedding; in the live version, and one
    kept for rollback, they are embedded at once where the encoder is at hand. Texts and metadata are in the catalog
    alone: where that is damaged, only a backup helps.

    Other processes may go on searching and writing; writers wait while a vector file is copied.

    Args:
        path: The collection's folder.
        encoders: Encoders of its versions, as for `Collection.open`.
        progress: Called with (megabytes read, megabytes to read), for each examination from the start.

    Returns:
        What was repaired (`repaired` says how), and then all that was seen afterwards.

    Raises:
        NotACollection: The folder holds none.
        CollectionError: A repair failed; what was repaired before it stays so.
        EncodingFailed: An encoder failed; likewise.

    Example:
        left = [finding for finding in cf.doctor.repair("kb.cf") if finding.is_wrong]
    """
    before = examine(path, progress=progress)
    to_do = {
        kind: found
        for kind in _REPAIRS
        if (found := [finding for finding in before if finding.kind == kind and finding.severity != "ok"])
    }
    if not to_do or any(finding.kind in records.FATAL and finding.is_wrong for finding in before):
        return before
    known = Encoders(*encoders)
    with contextlib.closing(Store(checked_folder(path))) as store:
        done = {kind: _REPAIRS[kind](store, found) for kind, found in to_do.items()}
        store.seal()
        if "vectors" in done or "missing" in done:
            done["missing"] = _embed(store, known)
    return _merged(before, examine(path, progress=progress), done)


def _merged(before: Findings, after: Findings, done: Mapping[str, str]) -> list[Finding]:
    """What something was done about and is gone, marked so; then all there is now."""
    left = {finding.subject for finding in after if finding.severity != "ok"}
    gone = [
        dataclasses.replace(finding, repaired=done[finding.kind])
        for finding in before
        if finding.kind in done and finding.severity != "ok" and finding.subject not in left
    ]
    return [*gone, *after]


def _spaces(store: Store, found: Findings) -> str:
    with store.writing() as connection:
        for version in versions.read(connection).versions.values():
            store.prepare_version(version.id, version.space)
    return "written again from the catalog"


def _counts(store: Store, found: Findings) -> str:
    with store.writing() as connection:
        health.correct_counts(connection)
        versions.note(connection, "repaired", {"counts": [str(finding.what) for finding in found]})
    return "counted again"


def _segments(store: Store, found: Findings) -> str:
    with store.writing() as connection:
        for name in (finding.name for finding in found if finding.name):
            files.drop_segment(connection, name)
            versions.note(connection, "segment lost", {"name": name})
    return "dropped; its vectors are scanned until there are enough to build one again"


def _reach(store: Store, found: Findings) -> str:
    names = {finding.name for finding in found}
    with store.writing() as connection:
        for file in files.all_files(connection):
            if file.id in names:
                files.unseal(connection, file.number)
    return "scanned until they are sealed again"


def _bridge(store: Store, found: Findings) -> str:
    with store.writing() as connection:
        migration = versions.read(connection).migration
        if migration and migration.bridge in {finding.name for finding in found}:
            versions.set_bridge(connection, migration.id, None)
    return "forgotten; the next crossfade migrate learns it again"


def _calibrations(store: Store, found: Findings) -> str:
    with store.writing() as connection:
        for number in {finding.version for finding in found}:
            if number is not None and number in versions.read(connection).versions:
                Calibration.remove(store.layout.version(number))
        versions.advance_epoch(connection)
    return "removed; hits have no relevance until crossfade calibrate makes another"


def _leases(store: Store, found: Findings) -> str:
    for number in {finding.version for finding in found}:
        if number is not None:
            store.release_dead_leases(number)
    return "given back"


def _leftovers(store: Store, found: Findings) -> str:
    leftovers.remove(store)
    return "removed"


def _vectors(store: Store, found: Findings) -> str:
    for number in sorted({finding.version for finding in found if finding.version is not None}):
        _mend_version(store, number, {finding.name for finding in found if finding.version == number and finding.name})
    return "sound vectors kept, the other documents queued for embedding"


def _mend_version(store: Store, number: int, damaged: set[str]) -> None:
    """Moves the sound rows of damaged files into new ones; then each document has one vector or one task."""
    with store.writing() as connection:
        version = versions.read(connection).versions.get(number)
        if version is None:
            return
        mine = [file for file in files.all_files(connection) if file.version == number]
        replaced = [file for file in mine if file.id in damaged]
        keys, hashes = health.revisions(connection)
        wanted = _Wanted(keys, hashes)
        for file in mine:
            if file not in replaced:
                wanted.take(*_rows_of(store, version, file))
        for file in replaced:
            name, extent = rewrite(pair_of(store, version, file), extent_of(file), wanted.pick)
            files.remove_file(connection, file.number)
            added = files.add_file(connection, number, name)
            files.extend(connection, added.number, extent.rows, extent.block_bytes)
        queued = _queue(connection, number, keys, wanted.taken)
        versions.advance_epoch(connection)
        versions.note(connection, "repaired", {"version": number, "files": sorted(damaged), "queued": queued})
    for file in replaced:
        _unlink(store, number, file.id)


class _Wanted:
    """Which rows may still be taken: those of current texts, each document once."""

    def __init__(self, keys: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint8]) -> None:
        self._keys = keys
        self._hashes = hashes
        self.taken = np.zeros(len(keys), np.bool_)

    def pick(self, block: Block) -> npt.NDArray[np.bool_]:
        """Takes what it wants of a block."""
        return self.take(block.keys, block.text_hashes)

    def take(self, keys: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Marks documents as taken care of; which of the rows did it."""
        place = np.searchsorted(self._keys, keys)
        picked = place < len(self._keys)
        picked[picked] = self._keys[place[picked]] == keys[picked]
        picked[picked] = (self._hashes[place[picked]] == hashes[picked]).all(axis=1)
        picked[picked] = ~self.taken[place[picked]]
        _, first = np.unique(place[picked], return_index=True)
        once = np.zeros(int(picked.sum()), np.bool_)
        once[first] = True
        picked[picked] = once
        self.taken[place[picked]] = True
        return picked


def _rows_of(
    store: Store, version: versions.Version, file: files.FileRow
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    pair = pair_of(store, version, file)
    known = VectorFile.map(pair.folder, pair.file_id, pair.dim, pair.fingerprint)
    keys = known.refresh(extent_of(file)).keys
    hashes = [np.empty((0, TEXT_HASH_BYTES), np.uint8), *(block.text_hashes for block in known.blocks())]
    return keys, np.concatenate(hashes)


def _queue(connection: Connection, version: int, keys: npt.NDArray[np.uint64], taken: npt.NDArray[np.bool_]) -> int:
    """Gives every document without a vector a task, and takes away those of the others; how many were queued."""
    waiting = np.isin(keys, health.task_keys(connection, version))
    missing = keys[~taken & ~waiting].tolist()
    tasks.add(connection, version, missing)
    tasks.done(connection, version, keys[taken & waiting].tolist())
    return len(missing)


def _unlink(store: Store, version: int, file_id: str) -> None:
    """Removes a file that nothing names any more; one that a living process writes is left to the next repair."""
    folder = store.layout.version(version)
    if not is_owned(folder, file_id):
        for ending in ("rows", "blocks"):
            (folder / f"{file_id}.{ending}").unlink(missing_ok=True)


def _missing(store: Store, found: Findings) -> str:
    return ""  # done at the end, when what the other repairs have queued is known


def _embed(store: Store, encoders: Encoders) -> str:
    """Embeds what versions lack that no migration fills."""
    with store.reading() as connection:
        state = versions.read(connection)
    for version in state.versions.values():
        if version.state != "filling" and version.pending:
            catch_up(store, encoders, version.id)
    return "embedded"


# Kind of finding → what is done about all of that kind. In this order: later ones build on earlier ones.
_REPAIRS: dict[str, Callable[[Store, Findings], str]] = {
    "space": _spaces,
    "segment": _segments,
    "vectors": _vectors,
    "reach": _reach,
    "bridge": _bridge,
    "calibration": _calibrations,
    "lease": _leases,
    "counts": _counts,
    "leftover": _leftovers,
    "missing": _missing,
}
