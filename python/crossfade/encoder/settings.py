"""The settings that sentence-transformers writes beside a model: what comes behind it, where it cuts, its prompts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossfade._values import parse_json
from crossfade.errors import ModelDamaged, ModelError

_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_METRICS = {"cosine": "cos", "dot": "dot"}
# The modules that can be run, in the only order that can be: one letter each.
_MODULES = {"Transformer": "t", "Pooling": "p", "Dense": "d", "Normalize": "n"}
_ORDER = re.compile("tp?d*n?")
_SUBFOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The names under which prompts for documents are kept, in the order in which they are looked for.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the files say.

    Args:
        pooling: "mean", "cls" or "max".
        dense: Subfolders of the dense layers behind the pooling, in their order.
        normalized: Whether rows are brought to unit length at the end.
        metric: "cos" or "dot".
        max_tokens: Where texts are cut; None where no file says it.
        document_prefix: Put before every document.
        query_prefix: Put before every query.
    """

    pooling: str
    dense: tuple[str, ...]
    normalized: bool
    metric: str
    max_tokens: int | None
    document_prefix: str
    query_prefix: str


def read_settings(folder: Path) -> Settings:
    """The settings in modules.json, sentence_bert_config.json, config_sentence_transformers.json and the subfolders.

    Where a file lacks: mean pooling, cosine, unit rows, no prefixes.

    Raises:
        ModelError: A setting has no equal here.
        ModelDamaged: A file can't be parsed.
    """
    modules = _modules(folder / "modules.json")
    extra = read_object(folder / "config_sentence_transformers.json")
    prompts = _prompts(extra.get("prompts"))
    metric = str(extra.get("similarity_fn_name") or "cosine")
    if metric not in _METRICS:
        raise ModelError(f"rows are compared by {' or '.join(_METRICS)}, the folder asks for {metric!r:.80}")
    pooling = read_object(
        folder / next((path for kind, path in modules if kind == "Pooling"), "1_Pooling") / "config.json"
    )
    body = read_object(folder / "sentence_bert_config.json")
    if body.get("do_lower_case") and not _lowers(read_object(folder / "tokenizer.json").get("normalizer")):
        raise ModelError(
            "sentence_bert_config.json asks for small letters, tokenizer.json makes none; save the tokenizer with a "
            "Lowercase normalizer"
        )
    document = next((prompts[name] for name in _DOCUMENT_PROMPTS if prompts.get(name)), "")
    query = prompts.get("query", "")
    if pooling.get("include_prompt") is False and (document or query):
        raise ModelError("include_prompt is false: a pooling that leaves the prompt's tokens out can't be done here")
    return Settings(
        pooling=_pooling(pooling),
        dense=tuple(path for kind, path in modules if kind == "Dense"),
        normalized=not modules or any(kind == "Normalize" for kind, _ in modules),
        metric=_METRICS[metric],
        max_tokens=body.get("max_seq_length"),
        document_prefix=document,
        query_prefix=query,
    )


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file."""
    fields = _read_json(path, {})
    if not isinstance(fields, dict):
        raise ModelDamaged(f"{path} must hold an object, found {type(fields).__name__}")
    return fields


def module_paths(modules: object) -> list[tuple[str, str]]:
    """Kind and subfolder of every module in a parsed modules.json.

    Raises:
        ModelError: A module, or the order of them, can't be run, or a subfolder lies elsewhere.
        ModelDamaged: It is no list of modules.
    """
    try:
        found = [(str(entry["type"]).rpartition(".")[2], str(entry.get("path") or "")) for entry in modules]  # type: ignore[attr-defined]
    except (TypeError, KeyError, AttributeError) as error:
        raise ModelDamaged(f"modules.json must hold a list of modules with type and path ({error!r})") from error
    kinds = [kind for kind, _ in found]
    if found and not _ORDER.fullmatch("".join(_MODULES.get(kind, "?") for kind in kinds)):
        raise ModelError(
            "modules must be Transformer, Pooling, any number of Dense and perhaps Normalize, the folder has "
            f"{', '.join(kinds)}"
        )
    for kind, path in found:
        if kind == "Transformer" and path:
            raise ModelError(f"the Transformer must lie in the folder itself, modules.json puts it into {path!r:.80}")
        if kind in ("Pooling", "Dense") and not _SUBFOLDER.fullmatch(path):
            raise ModelError(f"a module's path must be the name of a subfolder, modules.json has {path!r:.80}")
    return found


def _modules(path: Path) -> list[tuple[str, str]]:
    return module_paths(_read_json(path, []))


def _read_json(path: Path, default: object) -> Any:
    if not path.is_file():
        return default
    try:
        return parse_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelDamaged(f"{path} is no JSON ({error})") from error


def _prompts(found: object) -> dict[str, str]:
    prompts = found or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ModelDamaged(f"prompts in config_sentence_transformers.json must be texts by name, found {found!r:.80}")
    return {str(name): text or "" for name, text in prompts.items()}


def _pooling(settings: dict[str, Any]) -> str:
    named = settings.get("pooling_mode")
    if isinstance(named, str):
        chosen: Sequence[str] = [named]
    elif isinstance(named, list):
        chosen = [str(mode) for mode in named]
    else:
        modes = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True]
        chosen = [_POOLINGS.get(key, key) for key in modes]
    pooling = chosen[0] if chosen else "mean"
    if len(chosen) > 1 or pooling not in _POOLINGS.values():
        raise ModelError(
            f"pooling must be one of {', '.join(_POOLINGS.values())}, the folder asks for {', '.join(chosen)}"
        )
    return pooling


def _lowers(normalizer: object) -> bool:
    """Whether the normalizer of a tokenizer.json makes small letters."""
    if not isinstance(normalizer, dict):
        return False
    inner = normalizer.get("normalizers") or []
    return normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True or any(map(_lowers, inner))
