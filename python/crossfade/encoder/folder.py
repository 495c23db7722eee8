"""A model's files made ready to run, and the Space of a folder that has no manifest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossfade.errors import InvalidInput, ModelDamaged, ModelError
from crossfade.space import Space

from .bert import BertConfig, as_float32, read_weights
from .graph import Graph, bert_graph, hidden_output, onnx_graph, parse_onnx
from .identity import hash_bert, hash_onnx, hash_tokenizer
from .tokenizer import Tokenizer

DEFAULT_MAX_TOKENS = 256
Reader = Callable[[str], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What is needed to encode."""

    space: Space
    max_tokens: int
    graph: Graph
    tokenizer: Tokenizer


def build_model(space: Space, graph: str, hidden: str | None, read: Reader) -> Model:
    """Make a model's files ready to run and complete its Space with the hashes of weights and tokenizer.

    Args:
        space: The Space but for the hashes.
        graph: "bert" or "onnx".
        hidden: Output of the ONNX file that holds one vector a token; None for the only one of rank 3.
        read: Gives the content of a file by its name.

    Raises:
        ModelDamaged: A file can't be parsed, or the files don't belong together.
        ModelError: The model is of a kind that can't be run.
    """
    if space.max_tokens is None or space.pooling == "none":
        raise ModelError("a model with weights needs max_tokens and a pooling in its Space")
    tokenizer = read("tokenizer.json")
    if graph == "bert":
        content, weights_hash = _build_bert(space, space.max_tokens, read)
    else:
        content, weights_hash = _build_onnx(space, hidden, read)
    return Model(
        space=dataclasses.replace(space, weights=weights_hash, tokenizer=hash_tokenizer(tokenizer)),
        max_tokens=space.max_tokens,
        graph=content,
        tokenizer=Tokenizer(tokenizer, space.max_tokens),
    )


def _build_bert(space: Space, max_tokens: int, read: Reader) -> tuple[Graph, str]:
    config = BertConfig.parse(read("config.json"))
    if config.hidden != space.dim:
        raise ModelDamaged(
            f"the Space has {space.dim} columns, config.json {config.hidden}; they don't belong together"
        )
    if max_tokens > config.positions:
        raise ModelError(f"max_tokens is {max_tokens}, but the model knows {config.positions} positions; lower it")
    weights = read_weights(read("model.safetensors"), config)
    return bert_graph(config, as_float32(weights), space), hash_bert(config, weights)


def _build_onnx(space: Space, hidden: str | None, read: Reader) -> tuple[Graph, str]:
    content = read("model.onnx")
    model = parse_onnx(content)
    name = hidden_output(model, hidden)
    return onnx_graph(model, space, name), hash_onnx(content, name)


def read_folder(folder: Path) -> tuple[Space, str]:
    """Space (but for the hashes) and kind of graph of a folder, as the files of sentence-transformers in it
    say.

    These are config.json, sentence_bert_config.json, 1_Pooling/config.json, modules.json and
    config_sentence_transformers.json. Where one lacks: mean pooling, 256 tokens, cosine, unit rows, no
    prefixes.

    Raises:
        ModelError: Files are missing, or a setting has no equal here.
        ModelDamaged: A file can't be parsed.
    """
    graph = "onnx" if (folder / "model.onnx").is_file() else "bert"
    needed = [
        "tokenizer.json",
        *({"onnx": ["model.onnx"], "bert": ["model.safetensors", "config.json"]}[graph]),
    ]
    lacking = [name for name in needed if not (folder / name).is_file()]
    if lacking:
        raise ModelError(
            f"{folder} must hold tokenizer.json and model.onnx, or model.safetensors and config.json; "
            f"it lacks {', '.join(lacking)}"
        )
    config = _settings(folder / "config.json")
    extra = _settings(folder / "config_sentence_transformers.json")
    prompts = extra.get("prompts") or {}
    positions = config.get("max_position_embeddings") or DEFAULT_MAX_TOKENS
    modules = (folder / "modules.json").read_text("utf-8") if (folder / "modules.json").is_file() else ""
    dim = (
        BertConfig.parse((folder / "config.json").read_bytes()).hidden if graph == "bert" else _onnx_dim(folder, config)
    )
    try:
        space = Space(
            model=folder.name or "model",
            dim=dim,
            metric="dot" if extra.get("similarity_fn_name") == "dot" else "cos",
            normalized=".Normalize" in modules if modules else True,
            pooling=_pooling(_settings(folder / "1_Pooling" / "config.json")),
            max_tokens=_settings(folder / "sentence_bert_config.json").get("max_seq_length")
            or min(DEFAULT_MAX_TOKENS, positions),
            document_prefix=prompts.get("document") or prompts.get("passage") or "",
            query_prefix=prompts.get("query") or "",
        )
    except (InvalidInput, TypeError, AttributeError) as error:
        raise ModelDamaged(f"the settings in {folder} can't be used: {error}") from error
    return space, graph


def _pooling(settings: dict[str, Any]) -> str:
    names = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
    }
    if isinstance(settings.get("pooling_mode"), str):
        chosen = [settings["pooling_mode"]]
    else:
        chosen = [names.get(key, key) for key, on in settings.items() if key.startswith("pooling_mode_") and on is True]
    pooling = chosen[0] if chosen else "mean"
    if len(chosen) > 1 or pooling not in names.values():
        raise ModelError(f"pooling must be one of {', '.join(names.values())}, the folder asks for {', '.join(chosen)}")
    return pooling


def _onnx_dim(folder: Path, config: dict[str, Any]) -> int:
    model = parse_onnx((folder / "model.onnx").read_bytes())
    name = hidden_output(model)
    shape = next(value for value in model.graph.output if value.name == name).type.tensor_type.shape
    dim = shape.dim[-1].dim_value or config.get("hidden_size")
    if not dim:
        raise ModelError(f"{folder / 'model.onnx'} doesn't say its columns; put the model's config.json beside it")
    return int(dim)


def _settings(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        fields = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelDamaged(f"{path} is no JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ModelDamaged(f"{path} must hold an object, found {type(fields).__name__}")
    return fields
