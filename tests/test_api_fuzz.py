"""Anything given to anything: what can't be used is a CrossfadeError, and a collection is as it was before."""

from __future__ import annotations

import dataclasses
import decimal
import fractions
import json
import os
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import crossfade as cf
from crossfade import kernels
from crossfade._values import shown
from crossfade.cli import app
from crossfade.encoder.service import ServiceOptions
from crossfade.errors import CrossfadeError, InvalidInput
from support import NEW, OLD, content_of, documents, everything, filled, text_of, wrapped

LONG = os.environ.get("CROSSFADE_FAULTS") == "long"
OLD_SPACE, NEW_SPACE = wrapped(*OLD).space, wrapped(*NEW).space
Call = Callable[[Any], object]


class Unprintable:
    """What shows itself badly."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


INJECTIONS = ["' OR 1=1 --", '"; DROP TABLE document; --', "d1' --", "[d1]", '{"$gt": ""}', "%", "d_", "*", "?1", "\\"]
NUMBERS: list[Any] = [
    *(-(10**400), -1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 10**9, 10**400, 10**5_000),
    *(float("nan"), float("inf"), -0.0, 1.7, 5e-324, 1e308, 1j, decimal.Decimal("1"), fractions.Fraction(1, 2)),
    *(True, False, np.int64(3), np.float32(0.5), np.float64("nan"), np.uint64(2**64 - 1), np.bool_(True)),
]
WORDS: list[Any] = [
    *("", " \n", "\0", "a\0b", "\ud800", "\udcff", "\ud83d\ude00", "x" * 2_000, "\u0301" * 2_000, "../../x"),
    *INJECTIONS,
]
THINGS: list[Any] = [
    *(None, b"x", bytearray(b"\0"), [], (), {}, set(), frozenset({"a"}), [None], ["\0"], ["a", "a"], [10**5_000]),
    *({"a": 1}, {1: 2}, {"a": [[{1: 2, "b": 3}]]}, {"a": nested(200)}, {"a": nested(100_000)}, nested(100_000)),
    *(np.zeros(0), np.zeros((2, 32)), np.ones(32, complex), np.array(["a"]), np.array(None), Unprintable(), object),
    *(slice(1), Ellipsis, datetime(2020, 1, 1, tzinfo=UTC), date(2020, 1, 1), range(2), ServiceOptions),
]


@dataclasses.dataclass(frozen=True)
class Given:
    """A value that a report can show, whatever it is."""

    value: Any

    def __repr__(self) -> str:
        return shown(self.value)


KNOWN = [*NUMBERS, *WORDS, *THINGS]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
ANYTHING = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner), max_leaves=5)
# Mostly what has broken something somewhere.
VALUES = st.integers(0, len(KNOWN) - 1).map(lambda place: Given(KNOWN[place])) | ANYTHING.map(Given)

GROUND = ["cwd", "fading.cf", "free.cf", "kb.cf"]


class Ground:
    """Three collections, one of them in a migration and one empty, in a folder that holds nothing else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.docs = filled(root / "kb.cf", wrapped(*OLD), 20)
        self.mid = filled(root / "fading.cf", wrapped(*OLD), 220)
        self.free = cf.Collection.create(root / "free.cf", wrapped(*OLD))
        self.fade = self.mid.migrate(wrapped(*NEW))
        self.fade.run(until=0.6)
        self.docs.search("w1", on_read="off")  # notes what it has compared with its checksums
        pairs = np.random.default_rng(0).standard_normal((40, 6), dtype=np.float32)
        self.pairs, self.bridge = pairs, cf.Bridge.fit(pairs, pairs[:, :4])
        self.content = content_of(self.docs.path)
        # Every public call that takes a value, by what is fuzzed of it.
        self.calls = self._documents() | self._judgements() | self._migrations() | self._encoders() | self._bridges()
        self.calls |= _spaces() | _kernels()

    def _documents(self) -> dict[str, Call]:
        docs, rows = self.docs, np.ones((2, 32))
        return {
            "Document id": lambda v: cf.Document(v, "text"),
            "Document text": lambda v: cf.Document("a", v),
            "Document title": lambda v: cf.Document("a", "text", title=v),
            "Document updated_at": lambda v: cf.Document("a", "text", updated_at=v),
            "upsert": lambda v: docs.upsert(v),
            "upsert a list": lambda v: docs.upsert([cf.Document("e", "text"), v]),
            "upsert a stream": lambda v: docs.upsert(iter([v])),
            "upsert vectors": lambda v: docs.upsert(documents(2), vectors=v, space=OLD_SPACE),
            "upsert numbers": lambda v: docs.upsert(documents(2), vectors=[[v] * 32] * 2, space=OLD_SPACE),
            "upsert space": lambda v: docs.upsert(documents(2), vectors=rows, space=v),
            "get": lambda v: docs.get(v),
            "in": lambda v: v in docs,
            "vectors": lambda v: docs.vectors(v),
            "search": lambda v: docs.search(v, on_read="off"),
            "search a list": lambda v: docs.search([v], on_read="off"),
            "search k": lambda v: docs.search("w1", k=v, on_read="off"),
            "search vector": lambda v: docs.search(vector=v, on_read="off"),
            "search numbers": lambda v: docs.search(vector=[v] * 32, on_read="off"),
            "search space": lambda v: docs.search(vector=rows[0], space=v, on_read="off"),
            "search filter": lambda v: docs.search("w1", filter=v, on_read="off"),
            "search filter value": lambda v: docs.search("w1", filter={"parity": v}, on_read="off"),
            "search filter field": lambda v: docs.search("w1", filter={v if v.__hash__ else None: 1}, on_read="off"),
            "search merge": lambda v: docs.search("w1", merge=v, on_read="off"),
            "search on_read": lambda v: self.mid.search("w1", on_read=v if isinstance(v, str) else [v]),
            "search budget": lambda v: docs.search("w1", budget=v, on_read="off"),
        }

    def _judgements(self) -> dict[str, Call]:
        docs, texts, qrels = self.docs, {"q": "w1"}, {"q": {"d1": 1.0}}
        return {
            "judge": lambda v: docs.judge(v, "d1", float("nan")),
            "judge id": lambda v: docs.judge("w1", v, float("nan")),
            "judge grade": lambda v: docs.judge("w1", "nobody", v),
            "calibrate": lambda v: docs.calibrate(v, qrels),
            "calibrate texts": lambda v: docs.calibrate({"q": v}, qrels),
            "calibrate qrels": lambda v: docs.calibrate(texts, v),
            "calibrate grades": lambda v: docs.calibrate(texts, {"q": v}),
            "calibrate a grade": lambda v: docs.calibrate(texts, {"q": {"d1": v}}),
            "calibrate k": lambda v: docs.calibrate(texts, qrels, k=v),
            "side_by_side": lambda v: docs.side_by_side(v),
            "side_by_side a list": lambda v: docs.side_by_side([v]),
            "side_by_side with": lambda v: docs.side_by_side(["w1"], v),
            "side_by_side k": lambda v: docs.side_by_side(["w1"], k=v),
            "side_by_side sample": lambda v: docs.side_by_side(["w1"], sample=v),
            "side_by_side seed": lambda v: docs.side_by_side(["w1"], seed=v),
        }

    def _migrations(self) -> dict[str, Call]:
        docs, mid, fade = self.docs, self.mid, self.fade
        return {
            "migrate": lambda v: docs.migrate(v),
            "rollback": lambda v: docs.rollback(force=v),
            "search while fading": lambda v: mid.search(v, on_read="off"),
            "vector while fading": lambda v: mid.search(vector=[v] * 48, space=NEW_SPACE, on_read="off"),
            "fit sample": lambda v: fade.fit(sample=v) if not is_count(v) else None,
            "fit seed": lambda v: fade.fit(seed=v) if not is_count(v) else None,
            "fit cores": lambda v: fade.fit(cores=v) if not is_count(v) else None,
            "run until": lambda v: fade.run(until=v if not is_count(v) else 0.6),
            "run cores": lambda v: fade.run(until=0.6, cores=v),
            "create": lambda v: cf.Collection.create(no_path(v), wrapped(*OLD)),
            "create with": lambda v: cf.Collection.create("never.cf", v),
            "open": lambda v: cf.Collection.open(v).close(),
            "open with": lambda v: cf.Collection.open(docs.path, v).close(),
            "backup": lambda v: docs.backup(no_path(v)),
            "examine": lambda v: cf.doctor.examine(v),
            "repair": lambda v: cf.doctor.repair(v),
        }

    def _encoders(self) -> dict[str, Call]:
        url, encoder = "http://127.0.0.1:9", wrapped(*OLD)
        space = cf.Space(model="m", dim=3)
        options = {
            f"http {name}": lambda v, name=name: cf.Encoder.http(url, "m", dim=3, **{name: v})
            for name in ServiceOptions.__annotations__
            if name != "count_tokens"
        }
        return options | {
            "load": lambda v: cf.Encoder.load(v),
            "load precision": lambda v: cf.Encoder.load("minilm-l3", precision=v),
            "load engine": lambda v: cf.Encoder.load("minilm-l3", engine=v),
            "wrap space": lambda v: cf.Encoder.wrap(list, v),
            "wrap name": lambda v: cf.Encoder.wrap(list, space, name=v),
            "wrap answer": lambda v: cf.Encoder.wrap(lambda texts: v, space).encode(["a"]),
            "wrap numbers": lambda v: cf.Encoder.wrap(lambda texts: [[v] * 3], space).encode(["a"]),
            "http url": lambda v: cf.Encoder.http(v, "m", dim=3),
            "http model": lambda v: cf.Encoder.http(url, v, dim=3),
            "encode": lambda v: encoder.encode(v),
            "encode a list": lambda v: encoder.encode([v]),
            "encode kind": lambda v: encoder.encode(["a"], v),
            "encode cut": lambda v: encoder.encode(["a"], cut=v),
            "encode threads": lambda v: encoder.encode(["a"], threads=v),
        }

    def _bridges(self) -> dict[str, Call]:
        pairs, bridge = self.pairs, self.bridge
        return {
            "Bridge.fit": lambda v: cf.Bridge.fit(v, pairs),
            "Bridge.fit numbers": lambda v: cf.Bridge.fit([[v] * 4] * 20, pairs[:20]),
            "Bridge.fit seed": lambda v: cf.Bridge.fit(pairs, pairs, seed=v),
            "Bridge.fit holdout": lambda v: cf.Bridge.fit(pairs, pairs, holdout=v),
            "Bridge.fit source": lambda v: cf.Bridge.fit(pairs, pairs, source=v),
            "Bridge.apply": lambda v: bridge.apply(v),
            "Bridge.apply numbers": lambda v: bridge.apply([[v] * 6]),
            "Bridge.load": lambda v: cf.Bridge.load(v),
            "Bridge.save": lambda v: bridge.save(no_path(v)),
        }


def can_be_given(word: str) -> bool:
    """Whether it can be an argument of a command, or the name of a file."""
    try:
        return b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        return False


def no_path(value: Any) -> Any:
    """The value, or None where a folder of that name might be made."""
    return None if isinstance(value, str) and can_be_given(value) else value


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _spaces() -> dict[str, Call]:
    fields = [*cf.Space.__dataclass_fields__]
    return {f"Space {name}": lambda v, name=name: cf.Space(**{"model": "m", "dim": 3, name: v}) for name in fields}


def _kernels() -> dict[str, Call]:
    rows, key, score = np.ones((3, 4), np.float32), np.ones((1, 2), np.uint64), np.ones((1, 2), np.float32)
    matrix = np.eye(4, dtype=np.float32)
    return {
        "normalize": lambda v: kernels.normalize(v),
        "normalize out": lambda v: kernels.normalize(rows.copy(), v),
        "normalize dtype": lambda v: kernels.normalize(rows, dtype=v),
        "normalize bad": lambda v: kernels.normalize(rows, bad=v),
        "normalize threads": lambda v: kernels.normalize(rows, threads=v),
        "project": lambda v: kernels.project(v, matrix),
        "project matrix": lambda v: kernels.project(rows, v),
        "project center": lambda v: kernels.project(rows, matrix, v),
        "project offset": lambda v: kernels.project(rows, matrix, None, v),
        "project precision": lambda v: kernels.project(rows, matrix, precision=v),
        "project out": lambda v: kernels.project(rows, matrix, out=v),
        "project threads": lambda v: kernels.project(rows, matrix, threads=v),
        "merge_topk keys": lambda v: kernels.merge_topk(v, score, 3),
        "merge_topk scores": lambda v: kernels.merge_topk(key, v, 3),
        "merge_topk k": lambda v: kernels.merge_topk(key, score, v),
        "rescore": lambda v: kernels.rescore(v, None, rows[0]),
        "rescore rows": lambda v: kernels.rescore(rows, v, rows[0]),
        "rescore query": lambda v: kernels.rescore(rows, None, v),
    }


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The ground; the working folder is an empty one beside the collections."""
    root, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    (root / "cwd").mkdir()
    os.chdir(root / "cwd")
    ground = Ground(root)
    yield ground
    ground.docs.close()
    ground.mid.close()
    ground.free.close()
    os.chdir(before)


def names(root: Path) -> list[str]:
    """What lies in a folder and one level deeper, but for the collections' own."""
    return sorted(str(path.relative_to(root)) for path in [*root.glob("*"), *root.glob("cwd/*")])


def check(ground: Ground, name: str, value: Any) -> None:
    """One call: it is answered or refused in a few words, and nothing has changed."""
    message = "an answer"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ground.calls[name](value)
    except CrossfadeError as error:
        message = str(error)
    assert 0 < len(message) < 1_000
    assert content_of(ground.docs.path) == ground.content, f"{name} has changed something"
    assert names(ground.root) == GROUND, name


@settings(
    max_examples=100_000 if LONG else 300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_only_documented_errors(ground: Ground, data: st.DataObject) -> None:
    """Whatever is given to a public call, it raises nothing but a CrossfadeError and changes no byte."""
    name = data.draw(st.sampled_from(sorted(ground.calls)))
    check(ground, name, data.draw(VALUES).value)


@pytest.mark.skipif(not LONG, reason="CROSSFADE_FAULTS=long tries all of them")
def test_everything_that_is_known_to_be_bad(ground: Ground) -> None:
    """Each of the bad values in each of the calls."""
    for name in ground.calls:
        for value in KNOWN:
            check(ground, name, value)


IDS = st.sampled_from([*INJECTIONS, "d1", "d2", "e"]) | st.text(min_size=1, max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=5
)
META = st.dictionaries(st.sampled_from(INJECTIONS) | st.text(), JSON | st.sampled_from(INJECTIONS), max_size=3)
TEXTS = st.sampled_from([text_of(1), " ", "a\0b", "\ud800"]) | st.text()
BATCHES = st.lists(st.tuples(IDS, TEXTS, META), max_size=4)


def comparable(value: Any) -> str:
    """Equal for two values exactly if a filter takes them for the same."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, sort_keys=True)


def has(meta: dict[str, Any], field: str, value: Any) -> bool:
    """Whether a filter for that value must find a document of this metadata."""
    found = meta.get(field, [])
    return comparable(value) in map(comparable, found if isinstance(found, list) else [found])


def written(batch: list[Any], model: dict[str, Any]) -> dict[str, Any] | None:
    """What the model is after a batch; None where the batch must be refused."""
    after = dict(model)
    for entry in batch:
        identifier = entry if isinstance(entry, str) else entry[0]
        if "\0" in identifier or (entry is not identifier and (not entry[1].strip() or "\ud800" in entry[1])):
            return None
        if entry is identifier:
            after.pop(identifier, None)
        else:
            after[identifier] = entry[1:]
    twice = len({entry[0] for entry in batch}) < len(batch) and not isinstance(batch[0], str)
    return None if twice else after


@settings(
    max_examples=20_000 if LONG else 60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(BATCHES | st.lists(IDS, max_size=3), max_size=4))
def test_batches_are_whole_or_not_there(ground: Ground, batches: list[list[Any]]) -> None:
    """Any ids, texts and metadata beside a dict: all of a batch or nothing, and filters find what they must."""
    docs = ground.free
    docs.delete(everything(docs.path))
    model: dict[str, Any] = {}
    for batch in batches:
        after = written(batch, model)
        try:
            if batch and isinstance(batch[0], str):
                docs.delete(batch)
            else:
                docs.upsert([cf.Document(identifier, text, meta=meta) for identifier, text, meta in batch])
        except InvalidInput:
            assert after is None
        else:
            assert after is not None
            model = after
        assert everything(docs.path) == {identifier: text for identifier, (text, _) in model.items()}
    conditions = [(field, value) for _, meta in model.values() for field, value in meta.items()]
    conditions += [(field, item) for field, value in conditions if isinstance(value, list) for item in value]
    for field, value in conditions:
        if isinstance(value, (list, dict)):
            continue
        hits = docs.search("w1", k=1_000, filter={field: value})
        assert set(hits.ids) == {name for name, (_, meta) in model.items() if has(meta, field, value)}


LINES = st.lists(st.builds(json.dumps, JSON) | st.text() | st.sampled_from(["[" * 10**5, '{"id": 1}', "\ud800"]))
COMMANDS = [
    "create",
    "add",
    "search",
    "migrate",
    "status",
    "retry",
    "cutover",
    "rollback",
    "abandon",
    "prune",
    "doctor",
    "judge",
    "calibrate",
]
OPTIONS = [
    "-k",
    "--filter",
    "--json",
    "--force",
    "--to",
    "--model",
    "--format",
    "--cores",
    "--repair",
    "--failed",
    "--queries",
]
ARGUMENTS = [word for word in WORDS if can_be_given(word)]


@settings(
    max_examples=20_000 if LONG else 40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    command=st.sampled_from(COMMANDS),
    words=st.lists(st.sampled_from([*OPTIONS, *ARGUMENTS, "9" * 5_000, "a=1e999", "a=" + "[" * 10**5]), max_size=4),
    lines=LINES,
)
def test_the_command_line_refuses_in_one_line(ground: Ground, command: str, words: list[str], lines: list[str]) -> None:
    """Any words behind a command and any file given to it: an exit code of ours, one error, and nothing changed."""
    done = CliRunner().invoke(
        app, [command, str(ground.docs.path), *words], input="\n".join(lines).encode("utf-8", "replace")
    )
    assert done.exit_code in (0, 1, 2), done.output
    assert "error: unexpected" not in done.output
    assert content_of(ground.docs.path) == ground.content
    assert names(ground.root) == GROUND
