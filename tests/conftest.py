"""What several test modules need: real encoders, and small ones that need no model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import crossfade as cf
from catalogs import SPACE
from crossfade.catalog import Database, versions
from embedding_service import DIM, KEY, SEED, Service, serving
from examined import fading as fading
from examined import kb as kb
from kernel_rows import level as level
from support import COUNT, NEW, OLD, THIRD, filled, wrapped

# A shell starts what it runs in the background with Ctrl-C ignored, which the processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def l3() -> cf.Encoder:
    return cf.Encoder.load("minilm-l3", precision="float32", engine="onnxruntime")


@pytest.fixture(scope="session")
def l6() -> cf.Encoder:
    return cf.Encoder.load("minilm-l6", precision="float32", engine="onnxruntime")


@pytest.fixture(scope="session")
def old() -> cf.Encoder:
    return wrapped(*OLD)


@pytest.fixture(scope="session")
def new() -> cf.Encoder:
    return wrapped(*NEW)


@pytest.fixture(scope="session")
def third() -> cf.Encoder:
    return wrapped(*THIRD)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kb.cf"


@pytest.fixture
def docs(folder: Path, old: cf.Encoder) -> Iterator[cf.Collection]:
    with filled(folder, old, COUNT) as collection:
        yield collection


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(DIM, SEED) as running:
        yield running


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_API_KEY", KEY)
    return "TEST_API_KEY"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Database]:
    """A catalog with one version and no documents."""
    opened = Database.create(tmp_path / "catalog.sqlite")
    with opened.writing() as connection:
        versions.initialise(connection, SPACE, None, {})
    yield opened
    opened.close()
