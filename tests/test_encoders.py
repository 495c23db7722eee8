"""Encoders of a collection: loaded by name when first needed, and not looked for again and again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import crossfade as cf
from crossfade import encoders
from crossfade.catalog.versions import Version, read
from crossfade.store import Store
from support import COUNT, filled
from tiny_models import write_bert


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """A version whose model lies in a folder that is gone."""
    cf.Collection.create(tmp_path / "kb.cf", cf.Encoder.load(write_bert(tmp_path / "model"))).close()
    (tmp_path / "model").rename(tmp_path / "away")
    store = Store(tmp_path / "kb.cf", read_only=True)
    with store.reading() as connection:
        found = read(connection).live_version
    store.close()
    return found


def test_an_absent_encoder_is_not_looked_for_at_every_search(tmp_path: Path, version: Version) -> None:
    """Looking may take a download that fails: who can do without looks once a minute, who can't at once, for both."""
    known = encoders.Encoders()
    assert known.find(version, again=False) is None
    (tmp_path / "away").rename(tmp_path / "model")
    assert known.find(version, again=False) is None
    found = known.find(version)
    assert found is not None
    assert known.find(version, again=False) is found


def test_an_absent_encoder_is_looked_for_in_the_end(
    tmp_path: Path, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that time it is found where it has come back."""
    monkeypatch.setattr(encoders, "ABSENT_SECONDS", 0.0)
    known = encoders.Encoders()
    assert known.find(version, again=False) is None
    (tmp_path / "away").rename(tmp_path / "model")
    assert known.find(version, again=False) is not None


def test_the_next_model_is_ready_before_it_is_needed(folder: Path, tmp_path: Path, old: cf.Encoder) -> None:
    """What a search finds to be migrated to, it loads in the background: none waits for it once the blend begins."""
    model = write_bert(tmp_path / "next")
    with filled(folder, old, COUNT) as docs, cf.Collection.open(folder, old, read_only=True) as service:
        fade = docs.migrate(cf.Encoder.load(model))
        assert service.search("alpha").explain().reason == "not fitted"
        for thread in threading.enumerate():
            if thread.name == "crossfade-prepare":
                thread.join()
        model.rename(tmp_path / "away")
        fade.run(until=0.5)
        assert service.search("alpha", merge="rrf").explain().reason == "merge"
