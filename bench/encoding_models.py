"""The texts and the one folder of model files that all contenders read."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

from bench.encoders.sorted_model import MAX_TOKENS
from bench.encoding_contenders import ROOT, NotAvailable, environment
from crossfade.encoder import pull

_TOKENIZERS = {"bert": "BertTokenizer", "mpnet": "MPNetTokenizer"}
_MODULES = ("Transformer", "Pooling", "Normalize")


def model_folder(name: str, cache: Path) -> Path:
    """A folder with the files of a model of crossfade's, as sentence-transformers and fastembed want them."""
    folder = cache / "models" / name
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    for path in pull(name).iterdir():
        shutil.copy(path, folder)
    config = json.loads((folder / "config.json").read_text())
    padding = json.loads((folder / "tokenizer.json").read_text())["padding"] or {}
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": _TOKENIZERS[config["model_type"]],
            "do_lower_case": True,
            "model_max_length": MAX_TOKENS,
            "pad_token": padding.get("pad_token", "[PAD]" if config["model_type"] == "bert" else "<pad>"),
        },
        "sentence_bert_config.json": {"max_seq_length": MAX_TOKENS, "do_lower_case": False},
        "modules.json": [
            {
                "idx": index,
                "name": str(index),
                "path": "" if index == 0 else f"{index}_{module}",
                "type": f"sentence_transformers.models.{module}",
            }
            for index, module in enumerate(_MODULES)
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True},
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=1))
    return folder


def export_onnx(folder: Path, python: Path) -> None:
    """Writes `folder`/onnx/model.onnx once, with the torch of the environment of `python`.

    Raises:
        NotAvailable: The export failed.
    """
    target = folder / "onnx" / "model.onnx"
    if target.exists():
        return
    target.parent.mkdir(exist_ok=True)
    part = target.with_name("part.onnx")
    command = [str(python), "-m", "bench.encoders.export", str(folder), str(part)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise NotAvailable(f"the export to ONNX failed: {done.stderr.strip().splitlines()[-1]}")
    part.rename(target)


def texts_of(path: Path, count: int, seed: int) -> tuple[list[str], list[str]]:
    """`count` documents chosen at random, and queries: of a BEIR folder, or of a JSON-lines file with "text".

    Titles are put before the texts. A single file's queries are the first ten words of its documents.
    """
    lines = (path / "corpus.jsonl" if path.is_dir() else path).read_text().splitlines()
    records = [json.loads(line) for line in lines if line.strip()]
    documents = [f"{record.get('title', '')} {record['text']}".strip() for record in records]
    documents = [text for text in documents if text]
    chosen = random.Random(seed).sample(documents, min(count, len(documents)))
    if path.is_dir():
        queries = [json.loads(line)["text"] for line in (path / "queries.jsonl").read_text().splitlines()]
    else:
        queries = [" ".join(text.split()[:10]) for text in chosen]
    return chosen, queries
