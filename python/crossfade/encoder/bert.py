"""BERT models as safetensors: which tensors they hold, and how their config decides what those mean."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from crossfade.errors import ModelDamaged, ModelError

# What a config.json must say for the graph to be the model; a missing key has BERT's own default.
_REQUIRED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The fields of a config.json that decide how the weights are used."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    vocabulary: int
    layer_norm_eps: float

    @classmethod
    def parse(cls, content: bytes) -> BertConfig:
        """Read a config.json.

        Raises:
            ModelDamaged: It is no JSON object, or lacks a size.
            ModelError: It describes another architecture.
        """
        fields = _json_object(content)
        for key, wanted in _REQUIRED.items():
            found = fields.get(key, wanted if key != "model_type" else None)
            if found != wanted:
                raise ModelError(
                    f"only BERT encoders with {key} = {wanted!r} can be built from safetensors, this model has "
                    f"{found!r}; export it to ONNX and put the file beside tokenizer.json as model.onnx"
                )
        try:
            config = cls(
                hidden=int(fields["hidden_size"]),
                layers=int(fields["num_hidden_layers"]),
                heads=int(fields["num_attention_heads"]),
                intermediate=int(fields["intermediate_size"]),
                positions=int(fields["max_position_embeddings"]),
                vocabulary=int(fields["vocab_size"]),
                layer_norm_eps=float(fields.get("layer_norm_eps", 1e-12)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelDamaged(f"config.json lacks a usable size ({error}); fetch it again") from error
        sizes = dataclasses.astuple(config)
        if min(sizes) <= 0 or config.hidden % config.heads:
            raise ModelDamaged(f"config.json describes an impossible model: {config}; fetch it again")
        return config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor the encoder uses; the pooler and position ids are not among them."""
        hidden, wide = self.hidden, self.intermediate
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.word_embeddings.weight": (self.vocabulary, hidden),
            "embeddings.position_embeddings.weight": (self.positions, hidden),
            "embeddings.LayerNorm.weight": (hidden,),
            "embeddings.LayerNorm.bias": (hidden,),
        }
        matrices = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (wide, hidden),
            "output.dense": (hidden, wide),
        }
        for layer in range(self.layers):
            prefix = f"encoder.layer.{layer}"
            for name, shape in matrices.items():
                shapes[f"{prefix}.{name}.weight"] = shape
                shapes[f"{prefix}.{name}.bias"] = shape[:1]
            for name in ("attention.output.LayerNorm", "output.LayerNorm"):
                shapes[f"{prefix}.{name}.weight"] = (hidden,)
                shapes[f"{prefix}.{name}.bias"] = (hidden,)
        return shapes


TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


def read_weights(content: bytes, config: BertConfig) -> dict[str, NDArray[np.generic]]:
    """The tensors the encoder uses, in the type they are stored in.

    Args:
        content: A safetensors file; names may carry the prefix "bert.".
        config: What must be in it.

    Raises:
        ModelDamaged: It is no safetensors file, a tensor is missing, or has another shape.
        ModelError: A tensor's type is not float32 or float16.
    """
    try:
        stored = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"the weights are no readable safetensors file ({error}); fetch it again") from error
    tensors = {name.removeprefix("bert."): value for name, value in stored.items()}
    shapes = config.shapes() | {TOKEN_TYPES: tensors.get(TOKEN_TYPES, np.empty(0)).shape}
    if TOKEN_TYPES not in tensors or tensors[TOKEN_TYPES].ndim != 2 or tensors[TOKEN_TYPES].shape[1] != config.hidden:
        raise ModelDamaged(f"the weights lack a usable {TOKEN_TYPES}; they are not those of config.json")
    for name, shape in shapes.items():
        found = tensors[name].shape if name in tensors else None
        if found != shape:
            raise ModelDamaged(f"{name} must have shape {shape}, found {found}; weights and config.json don't match")
        if tensors[name].dtype not in (np.float32, np.float16):
            raise ModelError(f"{name} is {tensors[name].dtype}; save the weights as float32 or float16")
    return {name: tensors[name] for name in shapes}


def as_float32(weights: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """The same tensors as float32."""
    return {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise ModelDamaged(f"config.json is no JSON ({error}); fetch it again") from error
    if not isinstance(fields, dict):
        raise ModelDamaged(f"config.json must hold an object, found {type(fields).__name__}; fetch it again")
    return fields
