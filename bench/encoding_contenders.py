"""Who is compared: each with its environment, its program under bench/encoders/ and what it is told."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from crossfade.encoder import engines

ROOT = Path(__file__).parent.parent
REQUIREMENTS = Path(__file__).with_name("encoding-requirements")
# A line of a requirements file names a package that is required by another, but in the way.
WITHOUT = "# without: "
REFERENCE = "sentence-transformers float32"


class NotAvailable(Exception):
    """Why a contender can't be measured."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One of those compared.

    Args:
        name: What tables call it.
        program: Module under bench/encoders/.
        requirements: File under bench/encoding-requirements/, without ".txt"; None for this Python.
        options: What the program is told.
    """

    name: str
    program: str
    requirements: str | None
    options: dict[str, Any]


def contenders() -> list[Contender]:
    """All of them; crossfade in float32 comes first."""
    torch = "sentence-transformers"
    budget = {"budget": 256}  # the fastest of 256, 512, 1,024 and 2,048 on two cores with AVX2
    return [
        *_of_crossfade(),
        Contender(REFERENCE, "sentence_transformers", torch, {"dtype": "float32"}),
        Contender(f"{torch} bfloat16", "sentence_transformers", torch, {"dtype": "bfloat16"}),
        Contender(f"{torch} onnx", "sentence_transformers", f"{torch}-onnx", {"backend": "onnx"}),
        Contender(f"{torch} 5.7 onnx", "sentence_transformers", f"{torch}-5-onnx", {"backend": "onnx"}),
        Contender(f"{torch} openvino", "sentence_transformers", f"{torch}-openvino", {"backend": "openvino"}),
        Contender("fastembed", "fastembed", "fastembed", {}),
        Contender("fastembed batch 16", "fastembed", "fastembed", {"batch_size": 16}),
        Contender("onnxruntime", "onnxruntime", "onnxruntime", budget),
        Contender("onnxruntime fused", "onnxruntime", "onnxruntime", {**budget, "optimizer": True}),
        Contender("openvino", "openvino", "openvino", {**budget, "hints": {}}),
        Contender("openvino float32", "openvino", "openvino", {**budget, "hints": {"INFERENCE_PRECISION_HINT": "f32"}}),
    ]


def _of_crossfade() -> list[Contender]:
    """crossfade with every engine that is installed: float32 on onnxruntime is called by its name alone."""
    return [
        Contender(
            "crossfade" if engine is engines.REFERENCE else f"crossfade {engine.label}",
            "crossfade",
            None,
            {"precision": engine.precision, "engine": engine.name},
        )
        for engine in engines.ENGINES
        if not engine.missing()
    ]


def python_of(contender: Contender, cache: Path) -> Path:
    """The Python of a contender's environment, which is made on first use.

    Raises:
        NotAvailable: The requirements can't be installed together.
    """
    if contender.requirements is None:
        return Path(sys.executable)
    requirements = REQUIREMENTS / f"{contender.requirements}.txt"
    stamp = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    folder = cache / "environments" / f"{contender.requirements}-{stamp}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip"]
        done = subprocess.run(
            [*pip, "install", "--quiet", "--requirement", requirements], capture_output=True, text=True
        )
        if done.returncode:
            errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            raise NotAvailable(f"not installable ({errors[0] if errors else done.stderr[-200:]})")
        for line in requirements.read_text().splitlines():
            if line.startswith(WITHOUT):
                subprocess.run([*pip, "uninstall", "--quiet", "--yes", line.removeprefix(WITHOUT)], check=True)
        complete.touch()
    return python


class Process:
    """A contender's program, running and loaded.

    Args:
        contender: Whose.
        model: Folder of the model.
        threads: Threads it may use.
        cache: Where environments are kept.

    Raises:
        NotAvailable: It can't be installed, or can't load the model.
    """

    def __init__(self, contender: Contender, model: Path, threads: int, cache: Path) -> None:
        command = [str(python_of(contender, cache)), "-m", f"bench.encoders.{contender.program}"]
        arguments = [str(model), str(threads), json.dumps(contender.options)]
        log = cache / "logs" / f"{contender.name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [*command, *arguments], cwd=ROOT, stdin=-1, stdout=-1, stderr=errors, text=True, env=environment()
            )
        self._log = log
        self.loaded = self._answer()

    def ask(self, do: str, texts: list[str], rows: Path | None = None) -> dict[str, Any]:
        """The answer to a request; `rows` names a file that the rows are written to.

        Raises:
            NotAvailable: It failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "texts": texts, "rows": rows and str(rows)}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # What a library prints while it is imported is no answer.
        line = next((text for text in self._process.stdout if text.startswith('{"')), "")
        if not line:
            last = self._log.read_text().strip().splitlines()[-1:]
            raise NotAvailable(last[0] if last else f"ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise NotAvailable(answer["error"])
        return answer


def environment() -> dict[str, str]:
    """This one's, without what asks a hub, and with the repository on the path."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "PYTHONPATH": str(ROOT)}
