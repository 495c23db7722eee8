"""Which engine runs a model on this machine: the fastest that is as good as float32, measured once and remembered.

What was measured lies in engines/ of the cache, a file for each model, processor, number of cores and set of versions;
deleting it has the next load measure again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import blake3

from crossfade._values import parse_json, shown
from crossfade.errors import EngineUnavailable, InvalidInput, ModelError

from .engines import ENGINES, REFERENCE, Engine, processor
from .fidelity import Fidelity, compare, sample_texts
from .folder import Model
from .runtime import Runtime

# How much faster than float32 on onnxruntime an engine must be to be chosen unasked: less is within the noise of a
# machine with other work to do.
ADVANTAGE = 1.15
AUTO = "auto"

_log = logging.getLogger("crossfade")


def engines_named(engine: object, precision: object) -> list[Engine]:
    """The engines that are meant.

    Raises:
        InvalidInput: There is none.
    """
    names = isinstance(engine, str) and isinstance(precision, str)
    named = [it for it in ENGINES if names and engine in (AUTO, it.name) and precision in (AUTO, it.precision)]
    if not named:
        known = ", ".join(it.label for it in ENGINES)
        raise InvalidInput(f"no engine is called {shown(engine)} with precision {shown(precision)}; there are {known}")
    return named


def choose(model: Model, precision: str, engine: str, threads: int, folder: Path) -> tuple[Runtime, Fidelity | None]:
    """A runtime for `model`, and how its rows compare with those of float32 where it isn't the reference itself.

    Args:
        model: What is to run.
        precision: One of `Precision`.
        engine: One of `EngineName`.
        threads: Cores that one call uses.
        folder: Where to remember what was measured.

    Raises:
        InvalidInput: No engine has that name, or none that precision.
        EngineUnavailable: What was asked for can't run here, or is not as good as float32.
    """
    named = engines_named(engine, precision)
    lacks = {it.label: _lacks(it, model) for it in named}
    usable = [it for it in named if not lacks[it.label]]
    if not usable:
        raise EngineUnavailable("; ".join(f"{label} can't run here: {reason}" for label, reason in lacks.items()))
    if AUTO in (precision, engine):
        flags = processor().get("flags", "").split()
        usable = [it for it in usable if it.promising(flags)] or usable
    return _Trial(model, threads, folder).pick(usable)


def _lacks(engine: Engine, model: Model) -> str:
    if engine.precision == "int8" and model.ready:
        return "the model is a ready ONNX graph, whose products stay as they are"
    return engine.missing()


class _Trial:
    """Compares engines that run one model."""

    def __init__(self, model: Model, threads: int, folder: Path) -> None:
        self._model = model
        self._threads = threads
        self._folder = folder

    def pick(self, engines: Sequence[Engine]) -> tuple[Runtime, Fidelity | None]:
        if engines == [REFERENCE]:
            return self._runtime(REFERENCE), None
        measured = self._measured(engines)
        pace = measured[REFERENCE.label].seconds
        passed = [it for it in engines if measured[it.label].passed]
        if not passed:
            found = "; ".join(f"{it.label} ({measured[it.label]})" for it in engines)
            raise EngineUnavailable(f"not as good as {REFERENCE.label} here, ask for another: {found}")
        best = min(passed, key=lambda it: measured[it.label].seconds)
        if REFERENCE in passed and pace < ADVANTAGE * measured[best.label].seconds:
            best = REFERENCE
        return self._runtime(best), None if best is REFERENCE else measured[best.label]

    def _runtime(self, engine: Engine) -> Runtime:
        graph = self._model.graph(engine.builder())
        return Runtime(graph, engine, self._model.space.dim, self._model.max_tokens, self._threads)

    def _measured(self, engines: Sequence[Engine]) -> Mapping[str, Fidelity]:
        """What is remembered of the engines and the reference, or is measured now."""
        compared = [REFERENCE, *(it for it in engines if it is not REFERENCE)]
        path = self._folder / f"{self._key(compared)}.json"
        known = _remembered(path)
        if not known.keys() >= {it.label for it in compared}:
            _log.info("measuring which engine is fastest for %s on this machine, once", self._model.space.model)
            known = self._measure(compared)
            _remember(path, known)
        return known

    def _measure(self, engines: Sequence[Engine]) -> dict[str, Fidelity]:
        ids = self._model.tokenizer(sample_texts(), self._model.space.document_prefix).ids
        runtimes, rows, failed = {}, [], {}
        for engine in engines:
            runtime = self._runtime(engine)
            try:
                rows.append(runtime.run(ids))
            except ModelError as error:
                if engine is REFERENCE:
                    raise
                failed[engine.label] = Fidelity(error=str(error))
            else:
                runtimes[engine.label] = runtime
        return failed | dict(zip(runtimes, compare(list(runtimes.values()), rows, ids), strict=True))

    def _key(self, engines: Sequence[Engine]) -> str:
        facts = [
            self._model.space.fingerprint,
            processor(),
            self._threads,
            [(it.label, it.version, it.tokens, it.step) for it in engines],
        ]
        return blake3.blake3(json.dumps(facts).encode()).hexdigest()[:32]


def _remembered(path: Path) -> dict[str, Fidelity]:
    try:
        return {label: Fidelity(**fields) for label, fields in parse_json(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none, or damaged: it is measured again
        return {}


def _remember(path: Path, measured: Mapping[str, Fidelity]) -> None:
    content = json.dumps({label: dataclasses.asdict(it) for label, it in measured.items()}, indent=1)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(content)
        draft.replace(path)
    except OSError as error:
        _log.warning("what was measured of the engines can't be kept: %s", error)
