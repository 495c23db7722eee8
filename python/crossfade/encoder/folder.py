"""A model's files made ready to run, and what a folder without a manifest holds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossfade._values import parse_json
from crossfade.errors import InvalidInput, ModelDamaged, ModelError
from crossfade.space import Space

from .graph import Graph, GraphBuilder
from .head import ACTIVATIONS, Dense
from .identity import hash_dense, hash_onnx, hash_tokenizer, hash_transformer
from .onnx_file import hidden_output, onnx_graph, parse_onnx
from .ort import check_graph
from .settings import Settings, read_object, read_settings
from .tokenizer import Tokenizer
from .transformer import FAMILIES, as_float32, checked_tensor, family_of, read_tensors
from .transformer_graph import transformer_graph

DEFAULT_MAX_TOKENS = 256
SAFETENSORS, ONNX = "model.safetensors", "model.onnx"
# Where sentence-transformers and the hub's own exporter put the file.
EXPORTED_ONNX = "onnx/model.onnx"
Reader = Callable[[str], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What must be known to make files ready to run.

    Args:
        space: The Space but for the hashes.
        graph: "onnx", or the family of a model in safetensors.
        weights: The file that holds them.
        hidden: Output of the ONNX file that holds one vector a token; None for the only one of rank 3.
        dense: Subfolders of the dense layers behind the pooling.
    """

    space: Space
    graph: str
    weights: str
    hidden: str | None = None
    dense: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What is needed to encode.

    Args:
        space: Its Space, complete.
        max_tokens: Tokens of the longest text.
        tokenizer: Its tokenizer.
        graph: Puts its graph together with a builder's kind of products and padding. A ready graph comes as it is.
        ready: Whether it is one.
    """

    space: Space
    max_tokens: int
    tokenizer: Tokenizer
    graph: Callable[[GraphBuilder], Graph]
    ready: bool


def build_model(description: Description, read: Reader) -> Model:
    """Make a model's files ready to run and complete its Space with the hashes of weights and tokenizer.

    Args:
        description: What the files are.
        read: Gives the content of a file by its name.

    Raises:
        ModelDamaged: A file can't be parsed, or the files don't belong together.
        ModelError: The model is of a kind that can't be run.
    """
    space = description.space
    if space.max_tokens is None or space.pooling == "none":
        raise ModelError("a model with weights needs max_tokens and a pooling in its Space")
    tokenizer = read("tokenizer.json")
    dense = [_read_dense(path, read) for path in description.dense]
    made = Tokenizer(tokenizer, space.max_tokens)
    ready = description.graph == "onnx"
    if ready:
        graph, weights_hash = _build_onnx(description, dense, read)
    else:
        graph, weights_hash = _build_transformer(description, space.max_tokens, made.largest_id, dense, read)
    return Model(
        space=dataclasses.replace(space, weights=hash_dense(weights_hash, dense), tokenizer=hash_tokenizer(tokenizer)),
        max_tokens=space.max_tokens,
        tokenizer=made,
        graph=graph,
        ready=ready,
    )


def _build_transformer(
    description: Description, max_tokens: int, largest_id: int, dense: Sequence[Dense], read: Reader
) -> tuple[Callable[[GraphBuilder], Graph], str]:
    family, space = FAMILIES[description.graph], description.space
    config = family.parse(read("config.json"))
    _require_columns(config.hidden, space, dense)
    known = family.known_positions(config)
    if max_tokens > known:
        raise ModelError(f"max_tokens is {max_tokens}, but the model knows {known} positions; lower it")
    if largest_id >= config.vocabulary:
        raise ModelDamaged(
            f"tokenizer.json gives ids up to {largest_id}, config.json has {config.vocabulary} rows for them; "
            "they don't belong together"
        )
    weights = family.read_weights(read(description.weights), config)

    def build(graph: GraphBuilder) -> Graph:
        return transformer_graph(graph, family, config, as_float32(weights), space, dense)

    return build, hash_transformer(config, weights)


def _build_onnx(
    description: Description, dense: Sequence[Dense], read: Reader
) -> tuple[Callable[[GraphBuilder], Graph], str]:
    content = read(description.weights)
    model = parse_onnx(content)
    name = hidden_output(model, description.hidden)
    graph = onnx_graph(model, description.space, name, dense)
    check_graph(graph)
    return lambda builder: graph, hash_onnx(content, name)


def _require_columns(hidden: int, space: Space, dense: Sequence[Dense]) -> None:
    """Each layer must take as many columns as the one before it gives."""
    gives = [hidden, *(layer.weight.shape[0] for layer in dense)]
    takes = [*(layer.weight.shape[1] for layer in dense), space.dim]
    for given, taken in zip(gives, takes, strict=True):
        if given != taken:
            raise ModelDamaged(
                f"config.json and the modules behind it give {given} columns where {taken} are taken; "
                "they don't belong together"
            )


def _read_dense(path: str, read: Reader) -> Dense:
    """The layer in a subfolder that sentence-transformers wrote for a Dense module."""
    try:
        fields = parse_json(read(f"{path}/config.json"))
        activation = str(fields.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
        shape = (int(fields["out_features"]), int(fields["in_features"]))
        places = {fields.get(key) or "sentence_embedding" for key in ("module_input_name", "module_output_name")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelDamaged(f"{path}/config.json lacks a usable size ({error!r}); fetch it again") from error
    if activation not in ACTIVATIONS or fields.get("use_residual") or places != {"sentence_embedding"}:
        raise ModelError(
            f"a Dense module must map sentence embeddings without residual through {' or '.join(ACTIVATIONS)}, "
            f"{path}/config.json has {json.dumps(fields):.200}"
        )
    tensors = read_tensors(read(f"{path}/model.safetensors"), f"{path}/model.safetensors")
    bias: NDArray[np.generic] | None = None
    if fields.get("bias", True):
        bias = checked_tensor(tensors, "linear.bias", shape[:1])
    return Dense(weight=checked_tensor(tensors, "linear.weight", shape), bias=bias, activation=activation)


def read_folder(folder: Path) -> Description:
    """What a folder holds, as the files of sentence-transformers in it say.

    Where they say nothing: mean pooling, at most 256 tokens, cosine, unit rows, no prefixes.

    Raises:
        ModelError: Files are missing, or a setting has no equal here.
        ModelDamaged: A file can't be parsed.
    """
    present = [name for name in (ONNX, SAFETENSORS, EXPORTED_ONNX) if (folder / name).is_file()]
    weights = choose_weights(present, read_object(folder / "config.json").get("model_type"))
    needed = ["tokenizer.json", weights, *(["config.json"] if weights == SAFETENSORS else [])]
    _require_files(folder, needed, "tokenizer.json and model.onnx, or model.safetensors and config.json")
    settings = read_settings(folder)
    for path in settings.dense:
        _require_files(folder / path, ["config.json", SAFETENSORS], "config.json and model.safetensors")
    sizes = _transformer_sizes if weights == SAFETENSORS else _onnx_sizes
    graph, columns, positions = sizes(folder, weights)
    if settings.dense:
        columns = read_object(folder / settings.dense[-1] / "config.json").get("out_features", columns)
    space = _space(folder, settings, columns, positions)
    return Description(space=space, graph=graph, weights=weights, dense=settings.dense)


def choose_weights(names: Container[str], model_type: object) -> str:
    """The file to run of those a folder or repository holds.

    An ONNX file beside the tokenizer was put there to be run. Safetensors come next where their graph can be built,
    and then the export that many repositories have in a subfolder. Where there is none of them: model.safetensors.

    Example:
        >>> choose_weights(["model.safetensors", "onnx/model.onnx"], "bert")
        'model.safetensors'
        >>> choose_weights(["model.safetensors", "onnx/model.onnx"], "roberta")
        'onnx/model.onnx'
    """
    if ONNX in names:
        return ONNX
    buildable = SAFETENSORS in names and str(model_type) in FAMILIES
    return EXPORTED_ONNX if EXPORTED_ONNX in names and not buildable else SAFETENSORS


def _require_files(folder: Path, needed: Sequence[str], wanted: str) -> None:
    lacking = [name for name in needed if not (folder / name).is_file()]
    if lacking:
        raise ModelError(f"{folder} must hold {wanted}; it lacks {', '.join(lacking)}")


def _space(folder: Path, settings: Settings, columns: int, positions: int) -> Space:
    try:
        return Space(
            model=folder.name or "model",
            dim=columns,
            metric=settings.metric,
            normalized=settings.normalized,
            pooling=settings.pooling,
            max_tokens=settings.max_tokens or min(DEFAULT_MAX_TOKENS, positions),
            document_prefix=settings.document_prefix,
            query_prefix=settings.query_prefix,
        )
    except (InvalidInput, TypeError) as error:
        raise ModelDamaged(f"the settings in {folder} can't be used: {error}") from error


def _transformer_sizes(folder: Path, weights: str) -> tuple[str, int, int]:
    """Family, columns of the hidden states, and tokens of the longest text."""
    content = (folder / "config.json").read_bytes()
    family = family_of(content)
    config = family.parse(content)
    return family.name, config.hidden, family.known_positions(config)


def _onnx_sizes(folder: Path, weights: str) -> tuple[str, int, int]:
    config = read_object(folder / "config.json")
    model = parse_onnx((folder / weights).read_bytes())
    name = hidden_output(model)
    shape = next(value for value in model.graph.output if value.name == name).type.tensor_type.shape
    columns = shape.dim[-1].dim_value or config.get("hidden_size")
    if not columns:
        raise ModelError(f"{folder / weights} doesn't say its columns; put the model's config.json beside it")
    return "onnx", int(columns), config.get("max_position_embeddings") or DEFAULT_MAX_TOKENS
