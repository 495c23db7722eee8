"""Manifests: what a model is, where its files come from and how they are recognised, as data in models/*.toml."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossfade.errors import InvalidInput, ModelError, UnknownModel
from crossfade.space import Space

from .transformer import FAMILIES

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Source kinds and the fields that say where to look; the values end up in commands and addresses.
_SOURCE_FIELDS = {
    "pypi": ("package", "version"),
    "pypi-split-zip": (),
    "hub": ("repo", "revision"),
    "folder": ("path",),
}
# Source kinds whose files lie in an archive that comes in parts.
_IN_PARTS = ("pypi-split-zip",)
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_FIELD = {
    "package": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*"),
    "repo": REPOSITORY,
    "revision": re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*"),
    "path": re.compile(r".+"),
}
GRAPH_KINDS = ("onnx", *FAMILIES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of a model, known by its content."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One part of an archive that is spread over several packages on PyPI.

    Args:
        package, version: The package that carries it.
        path: Where it lies inside the package's wheel.
        size: Its bytes.
    """

    package: str
    version: str
    path: str
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A place that has some of a model's files.

    Args:
        kind: "pypi", "pypi-split-zip", "hub" or "folder".
        where: Package and version, repository and revision, or the path of a folder.
        files: Name of a model's file → where it lies inside the source.
        parts: What a split zip is put together from, in this order; empty for the other kinds.
    """

    kind: str
    where: Mapping[str, str]
    files: Mapping[str, str]
    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.kind, *self.where.values(), *(f"{part.package} {part.version}" for part in self.parts)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A model that can be loaded by name.

    Args:
        name: Its name, that of its file in models/ without ".toml".
        space: Its Space but for the hashes, which are taken from the files.
        graph: "bert" or "mpnet" (built from model.safetensors and config.json), or "onnx" (model.onnx).
        hidden: Output of the ONNX file that holds one vector a token; None for the only one of rank 3.
        files: Its files.
        sources: Where they come from, in the order in which they are tried.
    """

    name: str
    space: Space
    graph: str
    hidden: str | None
    files: tuple[ModelFile, ...]
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    @classmethod
    def parse(cls, name: str, fields: Mapping[str, Any]) -> Manifest:
        """The manifest in a parsed TOML file.

        Raises:
            ModelError: A field is missing or can't be used.
        """
        try:
            if not _NAME.fullmatch(name):
                raise ModelError("a model's name has small letters, digits, dots and dashes only")
            if fields["graph"]["kind"] not in GRAPH_KINDS:
                raise ModelError(f"graph.kind must be one of {', '.join(GRAPH_KINDS)}")
            manifest = cls(
                name=name,
                space=Space.from_dict(fields["space"]),
                graph=fields["graph"]["kind"],
                hidden=fields["graph"].get("hidden"),
                files=tuple(_file(key, value) for key, value in fields["files"].items()),
                sources=tuple(_source(value) for value in fields["source"]),
            )
        except KeyError as error:
            raise ModelError(f"manifest {name!r}: {error} is missing") from error
        except (ModelError, InvalidInput, TypeError, AttributeError) as error:
            raise ModelError(f"manifest {name!r}: {error}") from error
        offered = {file for source in manifest.sources for file in source.files}
        lacking = {file.name for file in manifest.files} - offered
        if lacking or not manifest.files:
            raise ModelError(f"manifest {name!r}: no source has {', '.join(sorted(lacking)) or 'any file'}")
        return manifest


def manifest_folder() -> Path:
    """Where the manifests lie: inside an installed package, at the repository's top in a checkout."""
    installed = Path(__file__).parents[1] / "models"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "models"


def manifest_names(folder: Path | None = None) -> list[str]:
    """Names of all models, sorted."""
    return sorted(path.stem for path in (folder or manifest_folder()).glob("*.toml"))


def read_manifest(name: str, folder: Path | None = None) -> Manifest:
    """The manifest of that name.

    Raises:
        UnknownModel: There is none; the message lists those there are.
        ModelError: It can't be read.
    """
    if name not in manifest_names(folder):
        raise UnknownModel(
            f"no model named {name!r}; known are {', '.join(manifest_names(folder))}. For a model of your own, give a "
            "folder that holds tokenizer.json and model.onnx, or model.safetensors and config.json; for one of the "
            "Hugging Face hub, hf:org/name@commit"
        )
    path = (folder or manifest_folder()) / f"{name}.toml"
    try:
        return Manifest.parse(name, tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"manifest {name!r} can't be read: {error}") from error


def _file(name: str, fields: Mapping[str, Any]) -> ModelFile:
    size, digest = fields["size"], fields["sha256"]
    if not _FILE.fullmatch(name) or not isinstance(size, int) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ModelError(f"file {name!r} needs a plain name, a size and a sha256")
    return ModelFile(name=name, size=size, sha256=digest)


def _source(fields: Mapping[str, Any]) -> Source:
    kind = fields["kind"]
    if kind not in _SOURCE_FIELDS:
        raise ModelError(f"source.kind must be one of {', '.join(_SOURCE_FIELDS)}, got {kind!r}")
    where = {key: fields[key] for key in _SOURCE_FIELDS[kind]}
    _check_fields("source", where)
    parts = tuple(map(_part, fields["parts"])) if kind in _IN_PARTS else ()
    if kind in _IN_PARTS and not parts:
        raise ModelError(f"a source of kind {kind!r} needs parts")
    return Source(kind=kind, where=where, files=dict(fields["files"]), parts=parts)


def _part(fields: Mapping[str, Any]) -> Part:
    part = Part(package=fields["package"], version=fields["version"], path=fields["path"], size=fields["size"])
    _check_fields("source.parts", {"package": part.package, "version": part.version, "path": part.path})
    if isinstance(part.size, bool) or not isinstance(part.size, int) or part.size < 1:
        raise ModelError(f"source.parts.size must be a number of bytes, got {part.size!r}")
    return part


def _check_fields(table: str, fields: Mapping[str, str]) -> None:
    for key, value in fields.items():
        if not _FIELD[key].fullmatch(value):
            raise ModelError(f"{table}.{key} can't be {value!r}")
