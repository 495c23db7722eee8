"""Views: what was made from the vectors and can be made again: segments, and what was learned."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from crossfade.catalog import versions
from crossfade.errors import CrossfadeError, DamagedFile, StorageFailed
from crossfade.index import OpenSegment, segment_path
from crossfade.search.calibration import Calibration
from crossfade.search.fade import Fade
from crossfade.space import Space
from crossfade.store import Store, info_of
from crossfade.store.sealing import BACKPRESSURE, TAIL_ROWS

from .facts import Case
from .finding import REPAIR, Finding


class _Anew:
    """Remembers nothing, so that every checksum is compared."""

    def is_verified(self, identity: str) -> bool:
        return False

    def remember(self, identity: str) -> None:
        pass


def check_segments(case: Case) -> Iterator[Finding]:
    """Sizes, checksums and heads of the segments."""
    for version in case.facts.state.versions.values():
        folder, segments = case.store.layout.version(version.id), case.facts.segments_of(version.id)
        for segment in segments:
            try:
                OpenSegment(folder, info_of(segment), version.space.dim, verified=_Anew()).close()
            except (DamagedFile, StorageFailed) as error:
                yield Finding(
                    severity="damage",
                    kind="segment",
                    what=f"{segment.rows:,} vectors are scanned instead: {error}",
                    where=str(segment_path(folder, segment.name)),
                    remedy=f"{REPAIR} drops it, and it is built again",
                    version=version.id,
                    name=segment.name,
                )
            case.meter.advance(segment.size)
        what = f"version {version.id}: {len(segments)} segments looked through"
        yield Finding(severity="ok", kind="segments", what=what, where=str(folder))
        yield from _check_tail(case, version.id)


def _check_tail(case: Case, version: int) -> Iterator[Finding]:
    """Whether there are far more vectors than usual that no segment holds."""
    tail = sum(file.rows - file.sealed_rows for file in case.facts.files_of(version))
    if tail <= BACKPRESSURE * TAIL_ROWS:
        return
    with case.store.reading() as connection:
        failed = [detail["error"] for _, event, detail in versions.history(connection) if event == "sealing failed"]
    yield Finding(
        severity="problem",
        kind="tail",
        what=f"{tail:,} vectors are scanned, for no segment holds them" + (f": {failed[-1]}" if failed else ""),
        where=str(case.store.layout.version(version)),
        remedy="free space, then write a document: the builder tries again" if failed else "",
        version=version,
    )


def check_bridges(case: Case) -> Iterator[Finding]:
    """What the migration under way has learned."""
    migration = case.facts.state.migration
    if migration is None or migration.bridge is None:
        return
    folder = bridge_folder(case.store, migration)
    what = _wrong_bridge(case, migration, folder)
    if what:
        yield Finding(
            severity="damage",
            kind="bridge",
            what=f"version {case.facts.state.live} answers alone until it is learned again: {what}",
            where=str(folder),
            remedy=f"{REPAIR} forgets it, and the next crossfade migrate learns it again",
            name=migration.bridge,
        )
    else:
        yield Finding(severity="ok", kind="bridge", what="whole, and between the right Spaces", where=str(folder))


def check_calibrations(case: Case) -> Iterator[Finding]:
    """What was learned of the scores of versions."""
    for version in case.facts.state.versions.values():
        folder = case.store.layout.version(version.id)
        try:
            found = Calibration.load(folder, version.space)
        except CrossfadeError as error:
            yield Finding(
                severity="damage",
                kind="calibration",
                what=f"hits of version {version.id} have no relevance: {error}",
                where=str(folder),
                remedy=f"{REPAIR} removes it; crossfade calibrate makes another",
                version=version.id,
            )
        else:
            if found:
                what = f"version {version.id}: whole, from {found.queries:,} queries"
                yield Finding(severity="ok", kind="calibration", what=what, where=str(folder))


def bridge_folder(store: Store, migration: versions.MigrationRow) -> Path:
    """Where a migration's Bridge and blend stand."""
    return store.layout.bridges(migration.source, migration.target) / str(migration.bridge)


def _wrong_bridge(case: Case, migration: versions.MigrationRow, folder: Path) -> str:
    try:
        bridge = Fade.load(folder).bridge
    except CrossfadeError as error:
        return str(error)
    kept = case.facts.state.versions
    for number, space in ((migration.source, bridge.source), (migration.target, bridge.target)):
        if space is None or number not in kept or space.fingerprint != kept[number].space.fingerprint:
            return f"it does not lead from version {migration.source} to version {migration.target}"
    return ""


def check_spaces(case: Case) -> Iterator[Finding]:
    """The description of its Space that every version's folder holds, for people."""
    for version in case.facts.state.versions.values():
        path = case.store.layout.version(version.id) / "space.toml"
        if not _describes(path, version.space):
            yield Finding(
                severity="problem",
                kind="space",
                what="it is missing, or differs from the Space in the catalog",
                where=str(path),
                remedy=f"{REPAIR} writes it again",
                version=version.id,
            )


def _describes(path: Path, space: Space) -> bool:
    try:
        fields = tomllib.loads(path.read_text())
        return fields.pop("fingerprint", None) == space.fingerprint and Space.from_dict(fields) == space
    except (OSError, TypeError, ValueError, RecursionError):
        return False
