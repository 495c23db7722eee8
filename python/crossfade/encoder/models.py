"""The models that have a manifest, and the cache of their files.

The cache is the folder named by the environment variable CROSSFADE_CACHE, else the user's cache folder of the
platform. A model's files lie in models/<name>/ inside it, those of the hub in hub/<repository>/<commit>/; deleting any
of them is harmless.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from crossfade.errors import ModelDamaged, ModelError, ModelUnavailable

from .fetch import fetch, has_size, is_intact
from .hub import PREFIX, RECORD, Reference, pull_hub, read_record
from .manifest import Manifest, ModelFile, Source, manifest_names, read_manifest

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model that can be loaded by name.

    Args:
        name: What `Encoder.load` takes.
        model: The name its makers gave it.
        dim: Columns of a row.
        max_tokens: Where texts are cut.
        size: Bytes of its files.
        cached: Whether all its files are in the cache with the right sizes; `verify` reads them.
        folder: Where they are, or will be.
    """

    name: str
    model: str
    dim: int
    max_tokens: int | None
    size: int
    cached: bool
    folder: Path


def cache_folder() -> Path:
    """Where fetched files are kept."""
    chosen = os.environ.get("CROSSFADE_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("crossfade"))


def model_folder(name: str) -> Path:
    """Where the files of one model are kept."""
    return cache_folder() / "models" / name


def hub_folder(reference: Reference) -> Path:
    """Where the files of one model of the hub are kept."""
    return cache_folder() / "hub" / reference.repo / reference.revision


def is_cached(name: str) -> bool:
    """Whether all files of a model are in the cache with the right sizes; a folder needs none."""
    if name.startswith(PREFIX):
        folder = hub_folder(Reference.parse(name))
        files = read_record(folder)
        return bool(files) and all(has_size(folder / file.name, file) for file in files)
    return all(info.cached for info in list_models() if info.name == name)


def list_models() -> list[ModelInfo]:
    """All models with a manifest, by name; reads no weights and fetches nothing."""
    infos = []
    for manifest in map(read_manifest, manifest_names()):
        folder = model_folder(manifest.name)
        infos.append(
            ModelInfo(
                name=manifest.name,
                model=manifest.space.model,
                dim=manifest.space.dim,
                max_tokens=manifest.space.max_tokens,
                size=manifest.size,
                cached=all(has_size(folder / file.name, file) for file in manifest.files),
                folder=folder,
            )
        )
    return infos


def pull(name: str, progress: Report | None = None) -> Path:
    """Fetch what the cache lacks of a model, and replace what is damaged.

    Args:
        name: A name in models/, or "hf:org/name@commit" for a repository of the Hugging Face hub.
        progress: Called with one line of text before every step that may take long.

    Returns:
        The folder that holds the model's files.

    Raises:
        UnknownModel: There is no such name.
        InvalidInput: What follows "hf:" is no repository and commit.
        ModelUnavailable: No source gave a file.
        ModelDamaged: What the sources gave differs from the manifest.
    """
    if name.startswith(PREFIX):
        reference = Reference.parse(name)
        return pull_hub(reference, hub_folder(reference), progress or (lambda line: None))
    return pull_manifest(read_manifest(name), model_folder(name), progress)


def verify(name: str) -> list[tuple[str, bool]]:
    """Whether each file of a model is in the cache with the content its manifest names, or the hub named.

    Raises:
        UnknownModel: There is no such name.
        InvalidInput: What follows "hf:" is no repository and commit.
    """
    if name.startswith(PREFIX):
        folder = hub_folder(Reference.parse(name))
        files = [(file.name, is_intact(folder / file.name, file)) for file in read_record(folder)]
        return files or [(RECORD, False)]
    folder = model_folder(name)
    return [(file.name, is_intact(folder / file.name, file)) for file in read_manifest(name).files]


def read_file(folder: Path, file: ModelFile) -> bytes:
    """The content of a model's file, compared with its manifest.

    Raises:
        ModelDamaged: It differs.
        ModelUnavailable: It can't be read.
    """
    path = folder / file.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelUnavailable(f"{path} can't be read: {error}") from error
    if len(content) != file.size or hashlib.sha256(content).hexdigest() != file.sha256:
        raise ModelDamaged(f"{path} is not the file of the manifest; delete it, it will be fetched again")
    return content


def pull_manifest(manifest: Manifest, folder: Path, progress: Report | None = None) -> Path:
    """Like `pull`, for a manifest at hand and a folder of choice."""
    report = progress or (lambda line: None)
    missing = [file for file in manifest.files if not is_intact(folder / file.name, file)]
    failures: list[ModelError] = []
    for source in (*_neighbours(missing, folder), *manifest.sources):
        wanted = [file for file in missing if file.name in source.files]
        if not wanted:
            continue
        report(f"{manifest.name}: {', '.join(file.name for file in wanted)} from {source}")
        try:
            fetch(source, wanted, folder)
        except (ModelUnavailable, ModelDamaged) as error:
            failures.append(error)
        missing = [file for file in missing if not is_intact(folder / file.name, file)]
    if missing:
        damaged = bool(failures) and all(isinstance(error, ModelDamaged) for error in failures)
        kind = ModelDamaged if damaged else ModelUnavailable
        raise kind(
            f"no source of {manifest.name!r} gave {', '.join(file.name for file in missing)}: "
            + "; ".join(map(str, failures))
        ) from (failures[-1] if failures else None)
    return folder


def _neighbours(missing: list[ModelFile], folder: Path) -> list[Source]:
    """Folders beside `folder` that hold one of the missing files: models share tokenizers, and wheels are large."""
    sources = []
    for other in sorted(path for path in folder.parent.glob("*") if path.is_dir() and path != folder):
        files = {file.name: file.name for file in missing if is_intact(other / file.name, file)}
        if files:
            sources.append(Source(kind="folder", where={"path": str(other)}, files=files))
    return sources
