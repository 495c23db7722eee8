"""Encoders as safetensors: the tensors that BERT and MPNet models hold, and what a config.json makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from crossfade._values import parse_json
from crossfade.errors import ModelDamaged, ModelError

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
RELATIVE_BIAS = "encoder.relative_attention_bias.weight"
RELATIVE_BUCKETS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The fields of a config.json that decide how the weights are used. They enter the model's identity."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    vocabulary: int
    layer_norm_eps: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """What tells one family of encoders from another.

    Args:
        name: Its `model_type` in a config.json; also a prefix that names of tensors may carry.
        required: What else a config.json must say for the graph to be the model; a missing key means the value here.
        layer_norm_eps: Used where a config.json has none.
        reserved_positions: Rows of the position table that come before the first token's.
        query, key, value, attended: The four matrices of an attention.
        attention_norm: The LayerNorm behind it.
        tables: Shapes of tensors outside the layers that only this family has: numbers, names of fields of
            `Config`, or None for any number.
    """

    name: str
    required: Mapping[str, object]
    layer_norm_eps: float
    reserved_positions: int
    query: str
    key: str
    value: str
    attended: str
    attention_norm: str
    tables: Mapping[str, tuple[int | str | None, ...]]

    def parse(self, content: bytes) -> Config:
        """Read a config.json.

        Raises:
            ModelDamaged: It is no JSON object, or lacks a size.
            ModelError: It describes another architecture.
        """
        fields = _json_object(content)
        _require(fields, {"model_type": self.name}, missing=None)
        for key, wanted in self.required.items():
            _require(fields, {key: wanted}, missing=wanted)
        try:
            config = Config(
                hidden=int(fields["hidden_size"]),
                layers=int(fields["num_hidden_layers"]),
                heads=int(fields["num_attention_heads"]),
                intermediate=int(fields["intermediate_size"]),
                positions=int(fields["max_position_embeddings"]),
                vocabulary=int(fields["vocab_size"]),
                layer_norm_eps=float(fields.get("layer_norm_eps", self.layer_norm_eps)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelDamaged(f"config.json lacks a usable size ({error}); fetch it again") from error
        if min(dataclasses.astuple(config)) <= 0 or config.hidden % config.heads or self.known_positions(config) < 1:
            raise ModelDamaged(f"config.json describes an impossible model: {config}; fetch it again")
        return config

    def known_positions(self, config: Config) -> int:
        """Tokens of the longest text."""
        return config.positions - self.reserved_positions

    def shapes(self, config: Config) -> dict[str, tuple[int | None, ...]]:
        """Name and shape of every tensor the encoder uses, None for any number; poolers and position ids are none."""
        hidden, wide = config.hidden, config.intermediate
        shapes: dict[str, tuple[int | None, ...]] = {
            "embeddings.word_embeddings.weight": (config.vocabulary, hidden),
            "embeddings.position_embeddings.weight": (config.positions, hidden),
            "embeddings.LayerNorm.weight": (hidden,),
            "embeddings.LayerNorm.bias": (hidden,),
        }
        for name, sizes in self.tables.items():
            shapes[name] = tuple(getattr(config, size) if isinstance(size, str) else size for size in sizes)
        matrices = dict.fromkeys((self.query, self.key, self.value, self.attended), (hidden, hidden))
        matrices |= {"intermediate.dense": (wide, hidden), "output.dense": (hidden, wide)}
        for layer in range(config.layers):
            prefix = f"encoder.layer.{layer}"
            for name, shape in matrices.items():
                shapes[f"{prefix}.{name}.weight"] = shape
                shapes[f"{prefix}.{name}.bias"] = shape[:1]
            for name in (self.attention_norm, "output.LayerNorm"):
                shapes[f"{prefix}.{name}.weight"] = (hidden,)
                shapes[f"{prefix}.{name}.bias"] = (hidden,)
        return shapes

    def read_weights(self, content: bytes, config: Config) -> dict[str, NDArray[np.generic]]:
        """The tensors the encoder uses, in the type they are stored in.

        Args:
            content: A safetensors file; names may carry the family's name and a dot as prefix.
            config: What must be in it.

        Raises:
            ModelDamaged: It is no safetensors file, a tensor is missing, or has another shape.
            ModelError: A tensor's type is not float32 or float16.
        """
        stored = read_tensors(content, "model.safetensors")
        tensors = {name.removeprefix(f"{self.name}."): value for name, value in stored.items()}
        return {name: checked_tensor(tensors, name, shape) for name, shape in self.shapes(config).items()}


BERT = Family(
    name="bert",
    required={"hidden_act": "gelu", "position_embedding_type": "absolute"},
    layer_norm_eps=1e-12,
    reserved_positions=0,
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    tables={TOKEN_TYPES: (None, "hidden")},
)
MPNET = Family(
    name="mpnet",
    required={"hidden_act": "gelu", "relative_attention_num_buckets": RELATIVE_BUCKETS},
    layer_norm_eps=1e-12,
    reserved_positions=2,
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attended="attention.attn.o",
    attention_norm="attention.LayerNorm",
    tables={RELATIVE_BIAS: (RELATIVE_BUCKETS, "heads")},
)
FAMILIES = {family.name: family for family in (BERT, MPNET)}


def family_of(content: bytes) -> Family:
    """The family that a config.json names.

    Raises:
        ModelDamaged: It is no JSON object.
        ModelError: Its `model_type` is none of ours.
    """
    name = _json_object(content).get("model_type")
    if name not in FAMILIES:
        raise ModelError(_no_equal("model_type", " or ".join(map(repr, FAMILIES)), name))
    return FAMILIES[name]


def read_tensors(content: bytes, file: str) -> dict[str, NDArray[np.generic]]:
    """All tensors of a safetensors file; ModelDamaged if it is none."""
    try:
        return dict(safetensors.numpy.load(content))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(f"{file} is no readable safetensors file ({error}); fetch it again") from error


def checked_tensor(
    tensors: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int | None, ...]
) -> NDArray[np.generic]:
    """The tensor of that name, if it has that shape (None: any number from 1) and a usable type."""
    found = tensors[name].shape if name in tensors else None
    fits = found is not None and len(found) == len(shape)
    if not fits or not all(
        size > 0 and wanted in (None, size) for size, wanted in zip(found or (), shape, strict=True)
    ):
        wanted = "({})".format(", ".join("any" if size is None else str(size) for size in shape))
        raise ModelDamaged(f"{name} must have shape {wanted}, found {found}; weights and config.json don't match")
    if tensors[name].dtype not in (np.float32, np.float16):
        raise ModelError(f"{name} is {tensors[name].dtype}; save the weights as float32 or float16")
    return tensors[name]


def as_float32(weights: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """The same tensors as float32."""
    return {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}


def _require(fields: Mapping[str, Any], wanted: Mapping[str, object], missing: object) -> None:
    for key, value in wanted.items():
        if fields.get(key, missing) != value:
            raise ModelError(_no_equal(key, repr(value), fields.get(key, missing)))


def _no_equal(key: str, wanted: str, found: object) -> str:
    return (
        f"only encoders with {key} = {wanted} can be built from safetensors, this model has {found!r}; export it to "
        "ONNX and put the file beside tokenizer.json as model.onnx"
    )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        fields = parse_json(content)
    except ValueError as error:
        raise ModelDamaged(f"config.json is no JSON ({error}); fetch it again") from error
    if not isinstance(fields, dict):
        raise ModelDamaged(f"config.json must hold an object, found {type(fields).__name__}; fetch it again")
    return fields
