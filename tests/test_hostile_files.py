"""Hostile models and folders: tokenizers that panic, bits that flip, records that point elsewhere, pickles."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tokenizers

import crossfade as cf
from crossfade.bridge import files
from crossfade.catalog import tasks
from crossfade.encoder.manifest import ModelFile
from crossfade.encoder.models import read_file
from crossfade.errors import DamagedFile, EncodingFailed, ModelDamaged, ModelError, NotReady
from crossfade.search.blend import Blend
from crossfade.search.fade import Fade
from crossfade.search.judgement import Judgement
from faults import tracing
from support import OLD, content_of, filled, wrapped
from tiny_models import random_weights, word_tokenizer, write_bert, write_onnx

FLIPS = 334  # of each of three files
POISON = "a" * 40 + "!"  # what the pattern below takes too long for


def panicking(folder: Path) -> cf.Encoder:
    """A model whose tokenizer panics, which is no `Exception`, over some texts."""
    write_bert(folder)
    tokenizer = word_tokenizer()
    tokenizer.normalizer = tokenizers.normalizers.Replace(tokenizers.Regex("(a+)+$"), "b")
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    return cf.Encoder.load(folder, precision="float32", engine="onnxruntime")


def test_a_tokenizer_that_panics(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A panic is an EncodingFailed: a write of it is refused whole, a search refused, and the next text encoded."""
    encoder = panicking(tmp_path / "model")
    with cf.Collection.create(tmp_path / "kb.cf", encoder) as docs:
        docs.upsert(cf.Document("good", "alpha beta"))
        docs.search("alpha")
        before = content_of(docs.path)
        for call in (
            lambda: docs.upsert([cf.Document("fine", "gamma"), cf.Document("bad", POISON)]),
            lambda: docs.search(POISON),
            lambda: docs.search(["alpha", POISON]),
            lambda: encoder.count_tokens([POISON]),
        ):
            with pytest.raises(EncodingFailed, match=r"the tokenizer failed: .*retry-limit"):
                call()
        assert content_of(docs.path) == before
        assert docs.search("alpha").ids == ["good"]
    assert "panicked" in capfd.readouterr().err


def test_a_document_that_makes_the_tokenizer_panic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker survives, does all other documents, gives this one up with its reason, and the cutover waits."""
    encoder = panicking(tmp_path / "model")
    monkeypatch.setattr(tasks, "FIRST_WAIT", 0.01)
    with filled(tmp_path / "kb.cf", wrapped(*OLD), 30) as docs:
        docs.upsert(cf.Document("bad", POISON, priority=1e9))
        fade = docs.migrate(encoder)
        status = fade.run()
        assert (status.done, status.failed) == (30, 1)
        (failure,) = fade.failures()
        assert (failure.id, failure.attempts) == ("bad", 3)
        assert "the tokenizer failed" in failure.error
        with pytest.raises(NotReady, match="1 of 31"):
            fade.cutover()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "model.safetensors"])
def test_no_flipped_bit_of_a_model_is_parsed(tmp_path: Path, name: str) -> None:
    """Of hundreds of files with one bit flipped, none is given to a parser."""
    write_onnx(tmp_path / "onnx")
    write_bert(tmp_path / "bert")
    path = next(path for path in tmp_path.glob(f"*/{name}"))
    content = path.read_bytes()
    file = ModelFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert read_file(path.parent, file) == content
    for flipped in flips(content):
        path.write_bytes(flipped)
        with pytest.raises(ModelDamaged, match="not the file of the manifest"):
            read_file(path.parent, file)


def test_no_flipped_bit_of_a_bridge_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hundreds of Bridges and blends with one bit flipped in one of eight files, none is given out, or its arrays
    parsed."""
    fade = learned().judged(Judgement(made_from="judged", full_weight=0.5))
    fade.save(tmp_path)
    whole = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    assert len(whole) == 8
    assert Fade.load(tmp_path).bridge.digest == fade.bridge.digest
    monkeypatch.setattr(safetensors.numpy, "load", lambda payload: intact(payload, whole))
    for path, content in whole.items():
        for flipped in flips(content, 100):
            path.write_bytes(flipped)
            with pytest.raises(DamagedFile):
                Fade.load(tmp_path)
        path.write_bytes(content)


def intact(payload: bytes, whole: dict[Path, bytes]) -> dict[str, Any]:
    """What a parser of arrays does in this test: it must never see others than those that were written."""
    assert payload in whole.values()
    return dict(ORIGINAL_LOAD(payload))


ORIGINAL_LOAD = safetensors.numpy.load


def flips(content: bytes, count: int = FLIPS) -> Iterator[bytes]:
    generator = np.random.default_rng(len(content))
    for position in generator.integers(0, 8 * len(content), count).tolist():
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        yield bytes(flipped)


def learned() -> Fade:
    pairs = np.random.default_rng(0).standard_normal((300, 8), dtype=np.float32)
    pairs /= np.linalg.norm(pairs, axis=1, keepdims=True)
    bridge = cf.Bridge.fit(pairs, pairs[:, :6])
    new = pairs[:, :6] / np.linalg.norm(pairs[:, :6], axis=1, keepdims=True)
    return Fade(bridge, Blend.fit(pairs, new, bridge))


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../outside.safetensors"},
        {"file": "/etc/passwd", "bytes": 10},
        {"file": "bridge-0.safetensors"},
        {"blake3": "../../../outside"},
        {"blake3": None},
        {"bytes": 10**12},
        {"bytes": None},
        {"quality": None},
        {"source": 5},
        {"format_version": "1"},
    ],
    ids=str,
)
def test_a_record_with_the_right_checksum_that_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    """A Bridge from elsewhere whose record fits its own checksum opens no other file, and fails as a damaged one."""
    learned().save(tmp_path / "bridge")
    record = json.loads((tmp_path / "bridge" / "bridge.json").read_text()) | change
    del record["record_blake3"]
    record["record_blake3"] = files._digest(record)
    (tmp_path / "bridge" / "bridge.json").write_bytes(files._written(record))
    (tmp_path / "outside.safetensors").write_bytes(next((tmp_path / "bridge").glob("bridge-*")).read_bytes())
    with pytest.raises(DamagedFile, match="again"):
        cf.Bridge.load(tmp_path / "bridge")


def test_arrays_behind_a_link_are_not_read(tmp_path: Path) -> None:
    """A link in the place of a Bridge's arrays is not followed, whatever it points to."""
    learned().save(tmp_path / "bridge")
    path = next((tmp_path / "bridge").glob("bridge-*"))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedFile, match="is not the file"):
        cf.Bridge.load(tmp_path / "bridge")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "modules.json", "config_sentence_transformers.json"])
@pytest.mark.parametrize("content", ["[" * 200_000, '{"a": ' * 200_000, '{"hidden_size": ' + "9" * 5_000 + "}"])
def test_settings_that_cannot_be_read(tmp_path: Path, name: str, content: str) -> None:
    """Nested without end, or with numbers without end: a ModelError, and no error of the parser's."""
    write_bert(tmp_path / "model")
    (tmp_path / "model" / name).write_text(content)
    with pytest.raises(ModelError):
        cf.Encoder.load(tmp_path / "model")


def test_a_bridge_that_cannot_be_read(tmp_path: Path) -> None:
    """So it is with the record of a Bridge."""
    (tmp_path / "bridge.json").write_text("[" * 200_000)
    with pytest.raises(DamagedFile, match="not the JSON"):
        cf.Bridge.load(tmp_path)


def test_no_pickle_is_read_and_no_file_made_elsewhere(tmp_path: Path) -> None:
    """From creation to backup and repair nothing is unpickled, nobody is connected to, and all that is made, renamed,
    removed or opened to be written lies below the folders that were named."""
    if tracing.strace() is None:
        pytest.skip("strace is not installed")
    write_bert(tmp_path / "old")
    write_bert(tmp_path / "new", random_weights(seed=5))
    log = tmp_path.with_suffix(".log")
    script = Path(__file__).with_name("whole_life.py")
    others = ("open", "creat", "link", "linkat", "symlink", "symlinkat", "connect")
    traced = tracing.command(log, calls=[*tracing.NAMES, *others])
    command = [*traced[: traced.index("-p")], sys.executable, str(script), str(tmp_path)]
    environment = os.environ | {"CROSSFADE_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    before, after = map(ast.literal_eval, done.stdout.splitlines())
    assert before == []
    assert {"loads", "pickle.find_class"} <= set(after)
    calls = list(tracing.read(log))
    assert [call.arguments for call in calls if reaches_out(call)] == []
    written = [call.arguments for call in calls if call.result not in (None, -1) and writes(call)]
    assert len(written) > 50
    assert [arguments for arguments in written if not all(below(name, tmp_path) for name in named(arguments))] == []


def reaches_out(call: tracing.Call) -> bool:
    return call.name == "connect" and "AF_UNIX" not in call.arguments


def writes(call: tracing.Call) -> bool:
    """Whether a call makes, changes or removes a file, or opens one for that."""
    if call.name == "connect":
        return False
    opens = call.name in ("open", "openat")
    return not opens or any(flag in call.arguments for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))


def named(arguments: str) -> list[Path]:
    """The paths in a call's arguments; strace tells what a descriptor of a folder stands for."""
    found = re.findall(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', arguments)
    return [Path(os.path.normpath(Path(folder) / name)) for folder, name in found]


def below(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) or path.is_relative_to("/dev")
