"""Fitted arrays on disk: `<name>.json` with what is known about them, and the safetensors file it names.

The JSON file is the commit point. It is renamed into place last and names the array file by its checksum, so
that a reader sees the old pair or the new one, never a mixture. Both files carry a BLAKE3 checksum that
reading verifies.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from blake3 import blake3
from safetensors import SafetensorError

from crossfade._values import parse_json
from crossfade.errors import DamagedFile, InvalidInput, NewerFormat, StorageFailed

FORMAT = 1

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def write(folder: Path, name: str, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write arrays and facts under a name, replacing what had that name in one atomic step.

    Args:
        folder: Made where it does not exist.
        name: Of the pair of files, without a suffix.
        arrays: Any shapes and numeric dtypes.
        facts: Plain values that JSON can hold.

    Raises:
        StorageFailed: The disk is full or failed; what was there before is still whole.
    """
    payload = safetensors.numpy.save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
    digest = blake3(payload).hexdigest()
    data = _data_name(name, digest)
    record = {"format_version": FORMAT, "file": data, "bytes": len(payload), "blake3": digest, **facts}
    record["record_blake3"] = _digest(record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stale = [path for path in folder.glob(f"{name}-*.safetensors") if path.name != data]
        _replace(folder / data, payload)
        _replace(folder / f"{name}.json", _written(record))
        for path in stale:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"could not write {name} into {folder}: {error}; save again") from error


def read(folder: Path, name: str) -> tuple[Arrays, dict[str, Any]]:
    """Read and verify what `write` wrote.

    Returns:
        The arrays, and the facts as plain values.

    Raises:
        InvalidInput: Nothing of that name is in the folder.
        NewerFormat: A newer crossfade wrote it.
        DamagedFile: A file is missing, or differs from its checksum.
        StorageFailed: The disk could not be read.
    """
    path = folder / f"{name}.json"
    remedy = "fit and save it again"
    try:
        content = path.read_bytes()
        record = parse_json(content)
    except FileNotFoundError as error:
        raise InvalidInput(f"{folder} holds no {name}.json; check the path, or {remedy}") from error
    except ValueError as error:
        raise DamagedFile(f"{path} is not the JSON that was written; {remedy}") from error
    except OSError as error:
        raise StorageFailed(f"could not read {path}: {error}") from error
    # Compared as it was written too: "1E5" for "1e5" means the same, but is not what was written.
    written = isinstance(record, dict) and _written(record) == content
    if not written or record.pop("record_blake3", None) != _digest(record):
        raise DamagedFile(f"{path} differs from its checksum; {remedy}")
    version, digest, size = record.get("format_version"), record.get("blake3"), record.get("bytes")
    if isinstance(version, int) and version > FORMAT:
        raise NewerFormat(f"{path} has format {version}, but {FORMAT} is known; upgrade crossfade")
    own = re.fullmatch("[0-9a-f]{64}", str(digest)) and record.get("file") == _data_name(name, str(digest))
    if version != FORMAT or not own:
        raise DamagedFile(f"{path} names no file of its own; {remedy}")
    data = folder / record["file"]
    try:
        if data.is_symlink() or data.stat().st_size != size:
            raise DamagedFile(f"{data} is not the file of {size} bytes that was written; {remedy}")
        payload = data.read_bytes()
    except FileNotFoundError as error:
        raise DamagedFile(f"{data} is missing; {remedy}") from error
    except OSError as error:
        raise StorageFailed(f"could not read {data}: {error}") from error
    if blake3(payload).hexdigest() != digest:
        raise DamagedFile(f"{data} differs from its checksum; {remedy}")
    try:
        arrays = safetensors.numpy.load(payload)
    except SafetensorError as error:
        raise DamagedFile(f"{data} can't be parsed; {remedy}") from error
    return arrays, record


def remove(folder: Path, name: str) -> None:
    """Remove what `write` wrote, whole or damaged; nothing where there is none.

    Raises:
        StorageFailed: It can't be removed.
    """
    try:
        for path in [folder / f"{name}.json", *folder.glob(f"{name}-*.safetensors")]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"could not remove {name} from {folder}: {error}; check permissions") from error


@contextlib.contextmanager
def complete(folder: str | Path, name: str) -> Iterator[None]:
    """Around the use of what `read` gave: a field that lacks, or is of another kind, is a DamagedFile."""
    try:
        yield
    except (LookupError, TypeError, AttributeError) as error:
        raise DamagedFile(f"{name}.json in {folder} lacks what is needed ({error}); fit and save it again") from error


def _written(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _data_name(name: str, digest: str) -> str:
    return f"{name}-{digest[:16]}.safetensors"


def _digest(record: Mapping[str, Any]) -> str:
    return blake3(json.dumps(record, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _replace(path: Path, payload: bytes) -> None:
    """Write to a temporary file beside `path`, make it durable, and rename it over `path`."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
