"""Fitted arrays on disk: `<name>.json` with what is known about them, and the safetensors file it names.

The JSON file is the commit point. It is renamed into place last and names the array file by its checksum, so
that a reader sees the old pair or the new one, never a mixture. Both files carry a BLAKE3 checksum that
reading verifies.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
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
        _replace(folder / f"{name}.json", json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
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
        record = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"{folder} holds no {name}.json; check the path, or {remedy}") from error
    except ValueError as error:
        raise DamagedFile(f"{path} is not the JSON that was written; {remedy}") from error
    except OSError as error:
        raise StorageFailed(f"could not read {path}: {error}") from error
    if not isinstance(record, dict) or record.pop("record_blake3", None) != _digest(record):
        raise DamagedFile(f"{path} differs from its checksum; {remedy}")
    if record.get("format_version", FORMAT) > FORMAT:
        raise NewerFormat(f"{path} has format {record['format_version']}, but {FORMAT} is known; upgrade crossfade")
    digest, size = record.get("blake3"), record.get("bytes")
    if not re.fullmatch("[0-9a-f]{64}", str(digest)) or record.get("file") != _data_name(name, str(digest)):
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
