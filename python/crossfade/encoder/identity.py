"""What a model is, as hashes: equal for the same weights whatever they are called, different for any other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from crossfade._values import parse_json
from crossfade.errors import ModelDamaged

from .head import Dense
from .transformer import Config

# Settings of a tokenizer.json that crossfade replaces by its own.
_OVERRIDDEN = ("truncation", "padding")
_DIGEST_BYTES = 16


def hash_transformer(config: Config, weights: Mapping[str, NDArray[np.generic]]) -> str:
    """Hash of the tensors an encoder uses (name, type, shape, bytes) and of the config that says how.

    The file's header, its metadata, the order of its tensors and tensors that aren't used do not enter.
    """
    digest = blake3(_canonical(dataclasses.asdict(config)))
    for name in sorted(weights):
        _add_tensor(digest, name, weights[name])
    return str(digest.hexdigest(_DIGEST_BYTES))


def hash_onnx(content: bytes, hidden: str) -> str:
    """Hash of an ONNX file and of the output that is taken from it.

    The bytes of the file stand for weights and graph: a graph has no canonical form, so the same network
    exported twice counts as two models.
    """
    digest = blake3(_canonical({"hidden": hidden}))
    digest.update(content)
    return str(digest.hexdigest(_DIGEST_BYTES))


def hash_dense(encoder: str, dense: Sequence[Dense]) -> str:
    """Hash of an encoder with layers behind its pooling; that of the encoder where there are none."""
    if not dense:
        return encoder
    digest = blake3(_canonical({"encoder": encoder, "activations": [layer.activation for layer in dense]}))
    for number, layer in enumerate(dense):
        _add_tensor(digest, f"{number}.weight", layer.weight)
        if layer.bias is not None:
            _add_tensor(digest, f"{number}.bias", layer.bias)
    return str(digest.hexdigest(_DIGEST_BYTES))


def hash_tokenizer(content: bytes) -> str:
    """Hash of a tokenizer.json without truncation and padding, which are set by crossfade, and without layout."""
    try:
        fields = parse_json(content)
    except ValueError as error:
        raise ModelDamaged(f"tokenizer.json is no JSON ({error}); fetch it again") from error
    if not isinstance(fields, dict):
        raise ModelDamaged(f"tokenizer.json must hold an object, found {type(fields).__name__}; fetch it again")
    kept = {key: value for key, value in fields.items() if key not in _OVERRIDDEN}
    return str(blake3(_canonical(kept)).hexdigest(_DIGEST_BYTES))


def _add_tensor(digest: blake3, name: str, value: NDArray[np.generic]) -> None:
    tensor = np.ascontiguousarray(value)
    digest.update(_canonical([name, tensor.dtype.str, list(tensor.shape)]))
    digest.update(tensor.reshape(-1).view(np.uint8).data)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()
