"""Models of the Hugging Face hub by repository and commit: fetched, checked, kept, and run without the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from crossfade.encoder import Encoder, is_cached, pull, verify
from crossfade.encoder.hub import Reference
from crossfade.errors import InvalidInput
from hub_server import COMMIT, Hub, running_hub
from tiny_models import CONFIG, HIDDEN, WORDS, random_weights, write_bert, write_onnx

LABEL = f"hf:someone/tiny@{COMMIT}"
LOAD = """
import json, sys
from crossfade.encoder import Encoder
encoder = Encoder.load(sys.argv[1], precision="float32", engine="onnxruntime")
json.dump({
    "name": encoder.name,
    "model": encoder.space.model,
    "version": encoder.space.version,
    "fingerprint": encoder.space.fingerprint,
    "row": encoder.encode(["alpha beta"])[0].tolist(),
    "asked": "huggingface_hub" in sys.modules,
}, sys.stdout)
"""
LIST_FILES = f"/api/models/someone/tiny/revision/{COMMIT}"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What sentence-transformers saves, and what repositories have besides."""
    folder = write_bert(
        tmp_path / "repository",
        sentence_bert_config={"max_seq_length": 30},
        config_sentence_transformers={"prompts": {"query": "query : "}},
        modules=[
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "README.md").write_text("# tiny")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    return folder


def loaded(hub: Hub, home: Path) -> dict[str, Any]:
    done = hub.run(home, LOAD, LABEL)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def failure(hub: Hub, home: Path) -> str:
    """The last line that a failing load leaves."""
    done = hub.run(home, LOAD, LABEL)
    assert done.returncode == 1
    return [line for line in done.stderr.splitlines() if line.startswith("crossfade.errors.")][-1]


def cached(home: Path) -> Path:
    return home / "cache" / "hub" / "someone" / "tiny" / COMMIT


def address(name: str) -> str:
    return f"/someone/tiny/resolve/{COMMIT}/{name}"


def test_a_repository_is_the_model_of_its_files(hub: Hub, repository: Path, tmp_path: Path) -> None:
    """The rows and the Space are those of the same files in a folder; only the files that are needed are fetched."""
    hub.add(repository, "someone/tiny")
    answer = loaded(hub, tmp_path)
    local = Encoder.load(repository, precision="float32", engine="onnxruntime")
    assert answer["fingerprint"] == local.space.fingerprint
    assert (answer["name"], answer["model"], answer["version"]) == (LABEL, "someone/tiny", COMMIT)
    np.testing.assert_array_equal(np.array(answer["row"], np.float32), local.encode(["alpha beta"])[0])
    fetched = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    fetched -= {"README.md", "pytorch_model.bin"}
    assert {line.partition(COMMIT)[2].strip("/") for line in hub.requests if line.startswith("GET /someone")} == fetched


def test_no_network_is_needed_afterwards(hub: Hub, repository: Path, tmp_path: Path) -> None:
    """A second load asks nothing of the hub, nor loads its library."""
    hub.add(repository, "someone/tiny")
    first = loaded(hub, tmp_path)
    hub.served.clear()
    hub.requests.clear()
    second = loaded(hub, tmp_path)
    assert hub.requests == []
    assert (first["asked"], second["asked"]) == (True, False)
    assert second["row"] == first["row"]


def test_a_damaged_file_is_fetched_again(hub: Hub, repository: Path, tmp_path: Path) -> None:
    """One changed byte in the cache is noticed, and that file alone is replaced."""
    hub.add(repository, "someone/tiny")
    first = loaded(hub, tmp_path)
    path = cached(tmp_path) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    hub.requests.clear()
    assert loaded(hub, tmp_path)["row"] == first["row"]
    assert [line for line in hub.requests if line.startswith("GET /someone")] == [f"GET {address('model.safetensors')}"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_another_content_than_listed_is_refused(hub: Hub, repository: Path, tmp_path: Path, name: str) -> None:
    """A file that differs by a byte from what the hub lists, in LFS or in git, is not kept; the next pull gets it."""
    hub.add(repository, "someone/tiny")
    right = hub.served[address(name)]
    hub.served[address(name)] = right[:-2] + b" " + right[-1:]
    message = failure(hub, tmp_path)
    assert re.search(rf"ModelDamaged: {name} of {LABEL} is not the file that the hub lists", message)
    assert not (cached(tmp_path) / name).exists()
    hub.served[address(name)] = right
    loaded(hub, tmp_path)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("tokenizer.json", "ModelError: .* has no tokenizer.json; save it with a fast tokenizer"),
        ("model.safetensors", "ModelUnavailable: .* lists no model.safetensors"),
        ("1_Pooling/config.json", "ModelUnavailable: .* lists no 1_Pooling/config.json"),
    ],
)
def test_a_repository_that_lacks_a_file(hub: Hub, repository: Path, tmp_path: Path, name: str, error: str) -> None:
    """What a repository must have and hasn't is named."""
    (repository / name).unlink()
    hub.add(repository, "someone/tiny")
    assert re.search(error, failure(hub, tmp_path))


def test_a_listed_file_that_is_not_there(hub: Hub, repository: Path, tmp_path: Path) -> None:
    """A file that the hub lists and doesn't give is an error of ours that names it; what came before it stays."""
    hub.add(repository, "someone/tiny")
    right = hub.served.pop(address("model.safetensors"))
    assert re.search("ModelUnavailable: the hub gave no model.safetensors", failure(hub, tmp_path))
    hub.served[address("model.safetensors")] = right
    hub.requests.clear()
    loaded(hub, tmp_path)
    assert [line for line in hub.requests if line.startswith("GET /someone")] == [f"GET {address('model.safetensors')}"]


def test_an_unknown_repository(hub: Hub, tmp_path: Path) -> None:
    """A repository or commit that the hub doesn't know is ModelUnavailable."""
    assert re.search(f"ModelUnavailable: the hub gave no list of files of {LABEL}", failure(hub, tmp_path))


def test_an_interrupted_download_goes_on(hub: Hub, tmp_path: Path) -> None:
    """A connection that breaks off is taken up where it ended, and the file is whole."""
    words, weights = 90_000, random_weights()
    table = "embeddings.word_embeddings.weight"
    weights[table] = np.concatenate([weights[table], np.zeros((words - len(WORDS), HIDDEN), np.float32)])
    hub.add(write_bert(tmp_path / "repository", weights, CONFIG | {"vocab_size": words}), "someone/tiny")
    hub.cut[address("model.safetensors")] = 11_000_000
    loaded(hub, tmp_path)
    assert (cached(tmp_path) / "model.safetensors").read_bytes() == safetensors.numpy.save(weights)
    ranges = [line for line in hub.requests if "bytes=" in line]
    assert len(ranges) == 1
    assert re.fullmatch(rf"GET {address('model.safetensors')} bytes=10\d{{6}}-", ranges[0])


def test_an_export_stands_in_for_weights_that_cannot_be_built(hub: Hub, tmp_path: Path) -> None:
    """A repository of another architecture is run from onnx/model.onnx, and its safetensors are left there."""
    folder = write_onnx(tmp_path / "repository")
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(random_weights()))
    (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "roberta"}))
    hub.add(folder, "someone/tiny")
    assert loaded(hub, tmp_path)["fingerprint"] == Encoder.load(folder).space.fingerprint
    assert not (cached(tmp_path) / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("hf:someone/tiny", "40 hexadecimal digits, got ''.*lists its commits under Files"),
        ("hf:someone/tiny@main", "40 hexadecimal digits, got 'main'"),
        ("hf:someone/tiny@" + COMMIT[:7], "40 hexadecimal digits, got '0123456'"),
        ("hf:someone/tiny@" + COMMIT.upper(), "40 hexadecimal digits"),
        ("hf:", "hf:org/name@commit, got 'hf:'"),
        ("hf:../../etc@" + COMMIT, "hf:org/name@commit"),
        ("hf:a/b/c@" + COMMIT, "hf:org/name@commit"),
        ("hf:https://hub.example/a/b@" + COMMIT, "hf:org/name@commit"),
    ],
)
def test_a_reference_names_a_repository_and_a_commit(label: str, message: str) -> None:
    """A branch, a shortened commit or another path is refused before anything is asked, and the message helps."""
    for call in (Encoder.load, pull, verify, is_cached):
        with pytest.raises(InvalidInput, match=message):
            call(label)


def test_references_are_written_as_they_are_read() -> None:
    """The text of a reference gives the reference."""
    assert str(Reference.parse(LABEL)) == LABEL


def test_the_command_pulls_and_verifies(hub: Hub, repository: Path, tmp_path: Path) -> None:
    """`crossfade models pull hf:…` fetches into the cache, and `verify` reads every file; a cached one is no news."""
    hub.add(repository, "someone/tiny")
    command = "import sys; from crossfade.cli import main; main()"
    done = hub.run(tmp_path, command, "models", "verify", LABEL)
    assert done.returncode == 1
    assert f"crossfade models pull {LABEL}" in done.stderr
    done = hub.run(tmp_path, command, "models", "pull", LABEL, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": LABEL, "folder": str(cached(tmp_path))}
    done = hub.run(tmp_path, command, "models", "verify", LABEL, "--json")
    files = json.loads(done.stdout)["files"]
    assert all(files.values())
    assert {"model.safetensors", "tokenizer.json", "1_Pooling/config.json"} < set(files)
