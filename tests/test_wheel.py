"""The wheel works where nothing else is installed."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Runs in the empty environment: a collection changes its model, with nothing but what the wheel brings.
PROGRAM = """
import numpy as np
import crossfade as cf

def encoder(name, dim, seed):
    rows = np.random.default_rng(seed).standard_normal((256, dim), dtype=np.float32)
    return cf.Encoder.wrap(lambda texts: np.stack([rows[[ord(c) % 256 for c in t]].sum(0) for t in texts]),
                           cf.Space(model=name, dim=dim))

old, new = encoder("old", 24, 1), encoder("new", 40, 2)
with cf.Collection.create("kb.cf", old) as docs:
    docs.upsert([cf.Document(f"d{i}", f"text number {i}") for i in range(300)])
    docs.migrate(new).run()
    docs.migration.cutover()
    assert docs.search("text number 7", k=1).ids == ["d7"]
print(cf.kernels.instruction_set(), cf.__file__)
from crossfade.encoder import list_models
print(sorted(info.name for info in list_models()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=600)
    (built,) = folder.glob("crossfade-*.whl")
    return built


def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Built, installed into a fresh virtual environment with its declared dependencies only, it does the main job."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, timeout=900)
    done = subprocess.run([python, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert str(environment) in done.stdout
    assert "minilm-l3" in done.stdout
    command = subprocess.run(
        [environment / "bin" / "crossfade", "--help"], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert command.returncode == 0, command.stderr


def test_wheel_holds_what_it_should(wheel: Path) -> None:
    """It carries the native module, type marker, stub, licence, manifests and prices, and no weights."""
    names = zipfile.ZipFile(wheel).namelist()
    data = ("crossfade/models/minilm-l3.toml", "crossfade/assess/prices.toml")
    for wanted in ("crossfade/py.typed", "crossfade/_core.pyi", *data):
        assert wanted in names
    assert any(name.startswith("crossfade/_core.") and name.endswith(".so") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".onnx", ".safetensors"))]
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]
