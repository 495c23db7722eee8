"""Models by name, from the hub, or from a folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from crossfade._values import checked_folder, shown
from crossfade.errors import InvalidInput, ModelDamaged, ModelUnavailable, UnknownModel

from .folder import ONNX, SAFETENSORS, Description, Model, build_model, read_folder
from .hub import PREFIX, Reference, read_record
from .manifest import manifest_names, read_manifest
from .models import model_folder, pull, pull_manifest, read_file


def load_model(name_or_folder: str | Path) -> tuple[Model, str]:
    """A model, and what loads it again.

    Raises:
        UnknownModel, ModelUnavailable, ModelDamaged, ModelError, InvalidInput: As `Encoder.load`.
    """
    if not isinstance(name_or_folder, str | Path):
        raise InvalidInput(f"a model is named by a string or a Path, got {shown(name_or_folder)}")
    label = str(name_or_folder)
    if label in manifest_names():
        return _load_named(label), label
    if label.startswith(PREFIX):
        return _load_hub(label), label
    try:
        folder = checked_folder(Path(name_or_folder).expanduser(), "a model")
    except RuntimeError as error:
        raise UnknownModel(f"{label} is no folder: {error}") from error
    if not folder.is_dir():
        read_manifest(label)  # raises UnknownModel with the names there are
        raise UnknownModel(f"{folder} is no folder")
    return build_model(read_folder(folder), lambda file: _read(folder / file)), str(folder)


def _load_named(name: str) -> Model:
    manifest = read_manifest(name)
    folder = model_folder(name)
    files = {file.name: file for file in manifest.files}
    try:
        contents = {file: read_file(folder, files[file]) for file in files}
    except (ModelDamaged, ModelUnavailable):
        pull_manifest(manifest, folder)
        contents = {file: read_file(folder, files[file]) for file in files}
    weights = ONNX if manifest.graph == "onnx" else SAFETENSORS
    description = Description(space=manifest.space, graph=manifest.graph, weights=weights, hidden=manifest.hidden)
    return build_model(description, contents.__getitem__)


def _load_hub(label: str) -> Model:
    reference = Reference.parse(label)
    folder = pull(label)
    description = read_folder(folder)
    space = dataclasses.replace(description.space, model=reference.repo, version=reference.revision)
    files = {file.name: file for file in read_record(folder)}

    def read(name: str) -> bytes:
        if name not in files:
            raise ModelDamaged(f"{folder / name} did not come with {label}; delete it")
        return read_file(folder, files[name])

    return build_model(dataclasses.replace(description, space=space), read)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelUnavailable(f"{path} can't be read: {error}") from error
