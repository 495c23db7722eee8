"""Models of the Hugging Face hub, by repository and commit: fetched once, known by their content from then on.

Which files a model needs is found out from the small ones among them. They land where the hub has them, beside a record
of their sizes and sha256; with it the folder needs no network any more, and a damaged file is recognised.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from crossfade._values import parse_json
from crossfade.errors import InvalidInput, ModelDamaged, ModelError, ModelUnavailable

from .fetch import is_intact
from .folder import choose_weights
from .manifest import REPOSITORY, ModelFile
from .settings import module_paths

PREFIX = "hf:"
RECORD = "crossfade.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SETTINGS = ("config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
# What a module behind the Transformer keeps in its subfolder.
_MODULE_FILES = {"Pooling": ("config.json",), "Dense": ("config.json", "model.safetensors")}


@dataclasses.dataclass(frozen=True)
class Reference:
    """A repository of the hub at one commit; its text is what `Encoder.load` takes."""

    repo: str
    revision: str

    @classmethod
    def parse(cls, label: str) -> Reference:
        """The reference in "hf:org/name@commit".

        Raises:
            InvalidInput: It is none, or names a branch, which may point elsewhere tomorrow.

        Example:
            >>> Reference.parse("hf:intfloat/e5-small@" + "c" * 40).repo
            'intfloat/e5-small'
        """
        repo, _, revision = label.removeprefix(PREFIX).partition("@")
        if not label.startswith(PREFIX) or not REPOSITORY.fullmatch(repo):
            raise InvalidInput(f"a model of the hub is named hf:org/name@commit, got {label!r:.120}")
        if not _COMMIT.fullmatch(revision):
            raise InvalidInput(
                f"after {PREFIX}{repo}@ comes a commit of 40 hexadecimal digits, got {revision!r:.60}: a branch "
                "or tag may point elsewhere tomorrow. The repository's page on the hub lists its commits under Files"
            )
        return cls(repo, revision)

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}@{self.revision}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """What the hub says of a file: its size; its sha256 if it is kept apart from git, else git's own sha1."""

    size: int | None
    sha256: str | None
    git: str | None


def read_record(folder: Path) -> tuple[ModelFile, ...]:
    """The files of a folder that was fetched completely; none where it was not, or the record can't be read."""
    try:
        entries = parse_json((folder / RECORD).read_text("utf-8"))["files"]
        return tuple(ModelFile(name=name, size=size, sha256=digest) for name, (size, digest) in entries.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()


def pull_hub(reference: Reference, folder: Path, report: Callable[[str], None]) -> Path:
    """Fetch what `folder` lacks of a model, and replace what is damaged; nothing is asked of the hub if it is whole.

    Raises:
        ModelUnavailable: The hub can't be reached, or lacks the repository, the commit or a file.
        ModelDamaged: A file has another content than the hub says.
        ModelError: The model is of a kind that can't be run.
    """
    record = read_record(folder)
    if record and all(is_intact(folder / file.name, file) for file in record):
        return folder
    report(f"{reference}: list of files from the hub")
    listing = _listing(reference)
    fetched = []
    for name in _needed(reference, folder, listing):
        if not _is_as_listed(folder / name, listing[name]):
            report(f"{reference}: {name}")
            _download(reference, folder, name, listing[name])
        fetched.append(name)
    _write_record(folder, reference, fetched)
    return folder


def _needed(reference: Reference, folder: Path, listing: dict[str, _Entry]) -> Iterator[str]:
    """Names of the files to fetch. Each must be there before the next is asked for: the small name the large."""
    if "tokenizer.json" not in listing:
        raise ModelError(f"{reference} has no tokenizer.json; save it with a fast tokenizer")
    small = [name for name in _SETTINGS if name in listing]
    yield from ["tokenizer.json", *small]
    modules = module_paths(_read_json(folder / "modules.json") if "modules.json" in small else [])
    needed = [f"{path}/{file}" for kind, path in modules for file in _MODULE_FILES.get(kind, ())]
    if not modules and "1_Pooling/config.json" in listing:
        needed = ["1_Pooling/config.json"]
    config = _read_json(folder / "config.json") if "config.json" in small else {}
    weights = choose_weights(listing, config.get("model_type") if isinstance(config, dict) else None)
    for name in [*needed, weights]:
        if name not in listing:
            raise ModelUnavailable(f"{reference} lists no {name} with a checksum, but its other files ask for it")
        yield name


def _listing(reference: Reference) -> dict[str, _Entry]:
    import huggingface_hub  # takes half a second, and most loads need no download

    try:
        info = huggingface_hub.HfApi().model_info(reference.repo, revision=reference.revision, files_metadata=True)
    except Exception as error:  # its errors come from four libraries without a common base
        raise ModelUnavailable(f"the hub gave no list of files of {reference}: {error}") from error
    return {
        entry.rfilename: _Entry(size=entry.size, sha256=entry.lfs.sha256 if entry.lfs else None, git=entry.blob_id)
        for entry in info.siblings or ()
        if entry.lfs or entry.blob_id
    }


def _download(reference: Reference, folder: Path, name: str, entry: _Entry) -> None:
    import huggingface_hub

    path = folder / name
    try:
        huggingface_hub.hf_hub_download(
            reference.repo, name, revision=reference.revision, local_dir=folder, force_download=path.exists()
        )
    except Exception as error:  # as above
        raise ModelUnavailable(f"the hub gave no {name} of {reference}: {error}") from error
    if not _is_as_listed(path, entry):
        size = path.stat().st_size
        path.unlink()
        raise ModelDamaged(
            f"{name} of {reference} is not the file that the hub lists: expected {entry.size} bytes with "
            f"{'sha256 ' + entry.sha256 if entry.sha256 else f'git hash {entry.git}'}, got {size} of another; try again"
        )


def _is_as_listed(path: Path, entry: _Entry) -> bool:
    if not path.is_file() or (entry.size is not None and path.stat().st_size != entry.size):
        return False
    wanted = entry.sha256 or entry.git
    digest = (
        hashlib.sha256() if entry.sha256 else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    )
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: digest).hexdigest() == wanted


def _write_record(folder: Path, reference: Reference, names: list[str]) -> None:
    entries = {}
    temporary = folder / f".{RECORD}.{os.getpid()}"
    try:
        for name in names:
            with (folder / name).open("rb") as content:
                entries[name] = [(folder / name).stat().st_size, hashlib.file_digest(content, "sha256").hexdigest()]
        record = {"repo": reference.repo, "revision": reference.revision, "files": entries}
        temporary.write_text(json.dumps(record, indent=1), "utf-8")
        temporary.replace(folder / RECORD)
    except OSError as error:
        raise ModelUnavailable(f"{folder / RECORD} can't be written: {error}") from error


def _read_json(path: Path) -> object:
    try:
        return parse_json(path.read_bytes())
    except ValueError as error:
        raise ModelDamaged(f"{path} is no JSON ({error})") from error
