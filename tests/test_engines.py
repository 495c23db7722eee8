"""Engines and precisions: the same vectors from all of them, the fastest chosen once, the unfit refused."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import crossfade as cf
from crossfade.catalog import versions
from crossfade.encoder.engines import ENGINES, REFERENCE, Engine
from crossfade.encoder.fidelity import sample_texts
from crossfade.encoder.int8 import BLOCK, rounded
from crossfade.errors import EngineUnavailable, InvalidInput
from tiny_models import random_weights, write_bert

HERE = [engine for engine in ENGINES if not engine.missing()]
TEXTS = [*sample_texts(), "ok", "ok then", "日本", "🎉", "a\x00b"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which nothing is remembered."""
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(name: str | Path, engine: Engine) -> cf.Encoder:
    """The model on that engine; skips where the processor can't compute so."""
    try:
        return cf.Encoder.load(name, precision=engine.precision, engine=engine.name)  # type: ignore[arg-type]
    except EngineUnavailable as error:
        if "computes in" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("engine", HERE, ids=[engine.label for engine in HERE])
@pytest.mark.parametrize("name", ["minilm-l6", "minilm-l3"])
def test_every_engine_gives_the_same_vectors(name: str, engine: Engine, l6: cf.Encoder, l3: cf.Encoder) -> None:
    """Rows of every engine are those of float32 within its precision, alone and in batches, for all kinds of text."""
    if engine.precision == "int8" and name == "minilm-l3":
        pytest.skip("a ready graph keeps its products")
    encoder, reference = load(name, engine), {"minilm-l6": l6, "minilm-l3": l3}[name]
    assert encoder.space == reference.space
    assert (encoder.engine["engine"], encoder.engine["precision"]) == (engine.name, engine.precision)
    rows, expected = encoder.encode(TEXTS), reference.encode(TEXTS)
    closest = {"float32": 0.99999, "bf16": 0.995, "int8": 0.995}[engine.precision]
    assert np.sum(rows * expected, axis=1).min() >= closest
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.sum(rows * alone, axis=1).min() >= 1 - 1e-3
    assert encoder.encode([]).shape == (0, 384)


def succeeds(program: str) -> None:
    """Runs a program in a process of its own: what else this one has done with an engine must not matter.

    Skips as `load` does.
    """
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", program], env=here, capture_output=True, text=True, check=False)
    *_, error = done.stderr.strip().splitlines() or [""]
    if "EngineUnavailable" in error and "computes in" in error:
        pytest.skip(error)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", HERE, ids=[engine.label for engine in HERE])
def test_a_forked_child_has_sessions_of_its_own(engine: Engine) -> None:
    """Threads of a session are gone after a fork; the child makes new ones instead of waiting for them."""
    program = f"""
import numpy as np
import crossfade as cf
from support import holds_in_a_child

encoder = cf.Encoder.load("minilm-l6", engine={engine.name!r}, precision={engine.precision!r})
texts = {TEXTS!r}
many, one = encoder.encode(texts), encoder.encode(texts[:1])
assert holds_in_a_child(
    lambda: np.allclose(encoder.encode(texts[:1]), one, atol=1e-5)
    and np.allclose(encoder.encode(texts), many, atol=1e-5)
)
"""
    succeeds(program)


@pytest.mark.parametrize("engine", HERE, ids=[engine.label for engine in HERE])
def test_a_child_encodes_after_its_parent_has_freed_sessions(engine: Engine) -> None:
    """Threads that an engine keeps for its next session are not there after a fork; nobody waits for them."""
    program = f"""
import gc
import numpy as np
import crossfade as cf
from support import holds_in_a_child

texts = {TEXTS!r}
two = [cf.Encoder.load("minilm-l6", engine={engine.name!r}, precision={engine.precision!r}) for _ in range(2)]
many, one = [[it.encode(part) for it in two][0] for part in (texts, texts[:1])]
encoder = two.pop()
two.clear()
gc.collect()
assert holds_in_a_child(
    lambda: np.sum(encoder.encode(texts[:1]) * one, axis=1).min() >= 0.995
    and np.sum(encoder.encode(texts) * many, axis=1).min() >= 0.995
)
"""
    succeeds(program)


@pytest.mark.parametrize("engine", HERE, ids=[engine.label for engine in HERE])
def test_the_first_call_may_be_a_long_one(engine: Engine) -> None:
    """Threads that are the first to run an engine, all at once, do not wait for each other."""
    program = f"""
import sys
import crossfade as cf
from support import holds_in_a_child

encoder = cf.Encoder.load("minilm-l6", engine={engine.name!r}, precision={engine.precision!r}, threads=2)

def encodes():
    sys.setswitchinterval(1e-6)
    return encoder.encode([f"{{n}} first words" * 40 for n in range(64)]).shape == (64, 384)

assert all(holds_in_a_child(encodes) for _ in range(3))
"""
    succeeds(program)


@pytest.mark.parametrize("engine", HERE, ids=[engine.label for engine in HERE])
def test_an_interrupt_is_noticed_beside_an_engine(cache: Path, tmp_path: Path, engine: Engine) -> None:
    """Ctrl-C is a KeyboardInterrupt while an engine is there, after a fork, and when it is there no longer."""
    folder = write_bert(tmp_path / "m")
    program = f"""
import gc, os, signal, threading
import crossfade as cf

def interrupted():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        threading.Event().wait(20)
    except KeyboardInterrupt:
        return True

try:
    encoder = cf.Encoder.load({str(folder)!r}, precision={engine.precision!r}, engine={engine.name!r})
except cf.errors.EngineUnavailable:
    os._exit(0 if interrupted() else 1)
encoder.encode(["alpha", "alpha beta"])
there = interrupted()
child = os.fork()
if child == 0:
    os._exit(0 if interrupted() else 1)
forked = os.waitpid(child, 0)[1] == 0
del encoder
gc.collect()
os._exit(0 if there and forked and interrupted() else 1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_float32_needs_no_measurement(cache: Path, tmp_path: Path) -> None:
    """What the others are compared with is not compared with itself, and says nothing of fidelity."""
    encoder = cf.Encoder.load(write_bert(tmp_path / "m"), precision="float32", engine="onnxruntime")
    assert "fidelity" not in encoder.engine
    assert repr(encoder).endswith("onnxruntime float32)")
    assert not (cache / "engines").exists()


def test_a_choice_is_remembered(cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Engines are measured by the first load on a machine only; a damaged memory is replaced, not trusted."""
    folder = write_bert(tmp_path / "m")
    caplog.set_level(logging.INFO, "crossfade")
    first = cf.Encoder.load(folder, precision="int8")
    assert "measuring" in caplog.text
    assert first.engine["fidelity"]["least"] >= 0.995
    (memory,) = (cache / "engines").iterdir()
    assert set(json.loads(memory.read_text())) == {"onnxruntime float32", "onnxruntime int8"}

    caplog.clear()
    assert cf.Encoder.load(folder, precision="int8").engine == first.engine
    assert not caplog.records

    memory.write_text(memory.read_text()[:40])
    cf.Encoder.load(folder, precision="int8")
    assert "measuring" in caplog.text
    assert set(json.loads(memory.read_text())) == {"onnxruntime float32", "onnxruntime int8"}


def test_a_cache_that_keeps_nothing_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where what was measured can't be written, the model is loaded all the same, with a warning."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path / "file"))
    assert cf.Encoder.load(write_bert(tmp_path / "m"), precision="int8").engine["precision"] == "int8"
    assert "can't be kept" in caplog.text


def test_an_engine_too_far_from_float32_is_refused(cache: Path, tmp_path: Path) -> None:
    """Weights that eight bits can't hold make int8 unusable: the error says how far it is, auto does without it."""
    weights = random_weights()
    for name, value in weights.items():
        if "LayerNorm" in name:
            value[0] = 0  # so that the first column of the states is always 0, and its weights could be anything
        elif name.endswith(("query.weight", "key.weight", "value.weight", "intermediate.dense.weight")):
            value[:, 0] = 1e4  # beside which the others of the block are rounded to nothing
    folder = write_bert(tmp_path / "m", weights)
    with pytest.raises(EngineUnavailable, match=r"int8 \(cosine to float32: mean 0\.\d+"):
        cf.Encoder.load(folder, precision="int8")
    assert cf.Encoder.load(folder).engine["precision"] != "int8"


def test_what_is_not_there_is_refused() -> None:
    """A name that no engine has is bad input; an engine or precision that this machine lacks says what it needs."""
    with pytest.raises(InvalidInput, match="no engine is called 'onnxruntime' with precision 'bf16'; there are"):
        cf.Encoder.load("minilm-l6", engine="onnxruntime", precision="bf16")
    with pytest.raises(InvalidInput, match="no engine is called 'tpu'"):
        cf.Encoder.load("minilm-l6", engine="tpu")  # type: ignore[arg-type]
    lacking = next(engine for engine in ENGINES if engine.missing())
    with pytest.raises(EngineUnavailable, match=f"{lacking.label} can't run here: .*install"):
        cf.Encoder.load("minilm-l6", engine=lacking.name)  # type: ignore[arg-type]
    with pytest.raises(EngineUnavailable, match="ready ONNX graph"):
        cf.Encoder.load("minilm-l3", precision="int8")


def test_a_version_keeps_what_was_asked_for(tmp_path: Path) -> None:
    """A version tells its engine, and is opened again in the precision its encoder was loaded with."""
    folder = write_bert(tmp_path / "m")
    with cf.Collection.create(tmp_path / "kb.cf", cf.Encoder.load(folder, precision="int8")) as docs:
        docs.upsert([cf.Document(id="a", text="alpha beta")])
        (version,) = docs.status().versions
        assert (version["engine"]["engine"], version["engine"]["precision"]) == ("onnxruntime", "int8")
    with cf.Collection.open(tmp_path / "kb.cf") as docs:
        assert [hit.id for hit in docs.search("alpha", k=1)] == ["a"]
        with docs._store.reading() as connection:
            kept = versions.read(connection).versions[1]
        assert docs._encoders.get(kept).engine["precision"] == "int8"


def test_an_engine_that_waits_for_hardware_is_not_tried_unasked() -> None:
    """Eight bits are promising only where the processor has instructions for them."""
    int8 = next(engine for engine in ENGINES if engine.label == "onnxruntime int8")
    assert int8.promising(["sse2", "avx512_vnni"])
    assert not int8.promising(["sse2", "avx2"])
    assert REFERENCE.promising([])


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 100)), elements=st.floats(-9, 9, width=32)))
def test_weights_are_rounded_by_blocks(weight: np.ndarray) -> None:
    """A weight comes back within half a step of its block, whatever the sizes; zeros come back as zeros."""
    values, scales = rounded(weight)
    columns, depth = weight.shape
    steps = np.repeat(scales.reshape(columns, -1), BLOCK, axis=1)[:, :depth]
    back = (values.reshape(columns, -1)[:, :depth].astype(np.float32) - 128) * steps
    assert values.shape == (columns, -(-depth // BLOCK), BLOCK)
    assert (np.abs(back - weight) <= 0.51 * steps + 1e-30).all()
