"""Manifests: what one must say of a model's files and sources, and how it is refused where it does not."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any

import pytest

from crossfade.encoder.manifest import Manifest, manifest_folder, manifest_names, read_manifest
from crossfade.errors import ModelError


def test_shipped_manifests_are_complete() -> None:
    """Every shipped manifest can be read, has 256 tokens, and names a source for each file."""
    assert manifest_names() == ["minilm-l3", "minilm-l6", "mpnet"]
    for name in manifest_names():
        shipped = read_manifest(name)
        assert shipped.space.max_tokens == 256
        assert all(any(file.name in source.files for source in shipped.sources) for file in shipped.files)


def shipped_fields(name: str = "minilm-l3") -> dict[str, Any]:
    return tomllib.loads((manifest_folder() / f"{name}.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("space", "dim"), 0),
        (("space", "colour"), "red"),
        (("graph", "kind"), "torch"),
        (("files", "model.onnx", "sha256"), "abc"),
        (("files", "model.onnx", "size"), "12"),
        (("files", "../evil"), {"size": 1, "sha256": "0" * 64}),
        (("source", 0, "kind"), "ftp"),
        (("source", 0, "package"), "--index-url=http://evil"),
        (("source", 0, "version"), "1.0 --pre"),
        (("source", 0, "files"), {}),
    ],
)
def test_unusable_manifests_are_refused(path: tuple[Any, ...], value: object) -> None:
    """A wrong field, an option in place of a package, or a file without a source is a ModelError that names it."""
    fields = shipped_fields()
    Manifest.parse("good", fields)
    *parents, last = path
    place: Any = fields
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(ModelError, match="manifest 'bad'"):
        Manifest.parse("bad", fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"package": "--index-url=http://evil"}, r"source\.parts\.package can't be '--index-url"),
        ({"version": "1.0 --pre"}, r"source\.parts\.version can't be"),
        ({"path": ""}, r"source\.parts\.path can't be"),
        ({"path": 7}, "expected string"),
        ({"size": 0}, r"source\.parts\.size must be a number of bytes, got 0"),
        ({"size": "12"}, r"source\.parts\.size must be a number of bytes, got '12'"),
        ({"size": True}, r"source\.parts\.size must be a number of bytes, got True"),
    ],
)
def test_unusable_parts_are_refused(change: dict[str, object], message: str) -> None:
    """A part of an archive is checked field by field like a source."""
    fields = shipped_fields("mpnet")
    assert [part.size for part in Manifest.parse("good", fields).sources[0].parts] == [94_371_840] * 4 + [26_933_972]
    fields["source"][0]["parts"][2] |= change
    with pytest.raises(ModelError, match=f"manifest 'bad': .*{message}"):
        Manifest.parse("bad", fields)


@pytest.mark.parametrize("missing", ["package", "version", "path", "size"])
def test_incomplete_parts_are_refused(missing: str) -> None:
    """A part without one of its fields, or an archive without parts, is a ModelError that names what lacks."""
    fields = shipped_fields("mpnet")
    del fields["source"][0]["parts"][4][missing]
    with pytest.raises(ModelError, match=f"manifest 'bad': '{missing}' is missing"):
        Manifest.parse("bad", fields)
    fields["source"][0]["parts"] = []
    with pytest.raises(ModelError, match="needs parts"):
        Manifest.parse("bad", fields)


@pytest.mark.parametrize("missing", ["space", "graph", "files", "source"])
def test_incomplete_manifests_are_refused(missing: str) -> None:
    """A missing table is named."""
    fields = shipped_fields()
    del fields[missing]
    with pytest.raises(ModelError, match=missing):
        Manifest.parse("bad", fields)


def test_manifest_is_a_value() -> None:
    """Reading a manifest twice gives equal values, and none can be altered."""
    assert read_manifest("minilm-l6") == read_manifest("minilm-l6")
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_manifest("minilm-l6").name = "other"  # type: ignore[misc]
