"""The sample that is doubled while that pays, and what is learned again while a collection fills."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade._uniform import held_out, in_order
from crossfade.bridge import Bridge
from crossfade.cli.results import bridge_line, status_shown
from crossfade.migration import learning
from crossfade.migration.fill import BATCH
from crossfade.search.fade import Fade
from support import NEW, OLD, filled, history, is_first, text_of, wrapped

COUNT = 1_000


def figures(folder: Path, event: str) -> list[int]:
    """The numbers of pairs in the journal's entries of a kind."""
    return [detail["pairs"] for name, detail in history(folder) if name == event]


def bridges(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "bridges" / "0001-0002").iterdir())


@pytest.fixture
def old() -> cf.Encoder:
    return wrapped(*OLD)


@pytest.fixture
def new() -> cf.Encoder:
    return wrapped(*NEW)


def test_any_beginning_of_the_order_is_uniform() -> None:
    """Keys come in an order that has nothing to do with their size, is kept when keys come and go, and has a seed."""
    keys = np.arange(1, 20_001)
    order = in_order(keys, 0)
    assert sorted(order.tolist()) == keys.tolist()
    beginning = order[:2_000].astype(np.float64)
    assert abs(beginning.mean() - 10_000) < 500
    assert abs(held_out(order[:2_000]).mean() - 0.2) < 0.03
    some = keys[keys % 3 > 0]
    assert in_order(some, 0).tolist() == [key for key in order.tolist() if key % 3 > 0]
    assert in_order(keys, 1).tolist() != order.tolist()


@pytest.mark.parametrize("seed", [0, 5])
def test_a_run_learns_again_at_doublings(folder: Path, old: cf.Encoder, new: cf.Encoder, seed: int) -> None:
    """From 200 pairs on, each time there are twice as many; what is in use has learned from the most that helped."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        first = fade.fit(sample=200, seed=seed)
        assert first is not None
        fade.run()
        seen = figures(folder, "fitted") + figures(folder, "fit not adopted")
        assert len(seen) == 3
        assert seen[0] == 200
        assert sorted(seen)[1] in range(400, 400 + BATCH)
        assert sorted(seen)[2] in range(800, COUNT + 1)
        adopted = fade_in_use(folder)
        assert adopted.bridge.quality.pairs == figures(folder, "fitted")[-1] > 200
        assert adopted.bridge.quality.cosine > first.cosine
        is_first(docs, 3, 500)


def bridge_in_use(folder: Path) -> str:
    store = learning.Store(folder, read_only=True)
    try:
        migration = store.snapshot().state.migration
        assert migration is not None
        return str(migration.bridge)
    finally:
        store.close()


def fade_in_use(folder: Path) -> Fade:
    return Fade.load(folder / "bridges" / "0001-0002" / bridge_in_use(folder))


def test_the_sample_grows_while_that_pays(
    folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is doubled from 200 up to a share of the collection, if recall still rises."""
    monkeypatch.setattr("crossfade.migration.fit.SHARE", 0.35)
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        quality = fade.fit()
        assert quality is not None
        assert figures(folder, "fitted") == [200, 350]
        assert fade.status().done == quality.pairs == 350


def test_the_sample_stops_where_nothing_is_gained(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is the old one rotated needs no more pairs than it begins with, or twice as many."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((OLD[1], OLD[1])))[0].astype(np.float32)
    turned = cf.Encoder.wrap(
        lambda texts: wrapped(*OLD).encode(texts) @ rotation, cf.Space(model="turned", dim=OLD[1], version="1")
    )
    monkeypatch.setattr("crossfade.migration.fit.SHARE", 1.0)
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(turned)
        quality = fade.fit()
        assert quality is not None
        assert quality.recall_at_10 > 0.9
        assert fade.status().done <= 400


def test_without_the_old_encoder_the_sample_is_as_large_as_helps(
    folder: Path, old: cf.Encoder, new: cf.Encoder
) -> None:
    """Every answer depends on the Bridge then, and a twentieth of the collection is no limit."""
    filled(folder, old, COUNT).close()
    with cf.Collection.open(folder) as docs:
        fade = docs.migrate(new)
        assert fade.fit() is not None
        assert fade.status().done > 200
        assert docs.search(text_of(1)).method == "bridged"


def test_until_limits_the_sample(
    folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is to stop at a share does not embed more than that for its sample."""
    monkeypatch.setattr("crossfade.migration.fit.SHARE", 1.0)
    with filled(folder, old, COUNT) as docs:
        assert docs.migrate(new).run(until=0.25).done == 250


def test_what_searches_look_at_leaves_less_for_the_sample(
    folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where any was logged, the sample is a quarter of what a run is to embed, and the rest is what they looked at."""
    monkeypatch.setattr("crossfade.migration.fit.SHARE", 1.0)
    with filled(folder, old, 2 * COUNT) as docs:
        looked_at = {identifier for number in range(6) for identifier in docs.search(text_of(number), k=100).ids}
        fade = docs.migrate(new, order="hot")
        fade.run(until=0.4)
        assert figures(folder, "fitted")[0] == 200
        sample = in_order(np.arange(1, 2 * COUNT + 1), 0)[:200].astype(np.int64) - 1
        left = [f"d{number}" for number in range(2 * COUNT) if f"d{number}" in looked_at and number not in sample]
        assert all({vector.version for vector in docs.vectors(identifier)} == {1, 2} for identifier in left)


def test_a_worse_fit_is_not_adopted(
    folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What loses on held-out documents is noted, and the Bridge in use stays; the blend is learned anew."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        fade.fit(sample=200)
        before = fade_in_use(folder)
        whole = Bridge.fit

        def forgetful(left: np.ndarray, right: np.ndarray, **kept: object) -> Bridge:
            return whole(left, np.roll(right, 1, axis=0), **kept)  # type: ignore[arg-type]

        monkeypatch.setattr(Bridge, "fit", forgetful)
        fade.run()
        assert fade_in_use(folder).bridge.digest == before.bridge.digest
        assert fade_in_use(folder).blend.documents > before.blend.documents
        assert len(figures(folder, "fit not adopted")) == 2


def test_what_was_replaced_is_removed(
    folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once no reader can be about to open it; so is what a killed process had saved and not yet named."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        fade.fit(sample=200)
        (folder / "bridges" / "0001-0002" / "0badc0de").mkdir()
        monkeypatch.setattr(learning, "GRACE_SECONDS", -1.0)
        fade.run()
        assert bridges(folder) == [bridge_in_use(folder)]


def test_what_is_being_replaced_stays_for_a_moment(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """However long it was in use: a reader of the state before may be about to open it."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        fade.fit(sample=200)
        first = bridge_in_use(folder)
        os.utime(folder / "bridges" / "0001-0002" / first, (0.0, 0.0))
        fade.run()
        assert first in bridges(folder)
        assert bridge_in_use(folder) in set(bridges(folder)) - {first}


def test_workers_learn_one_at_a_time(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Of several runs of one migration one learns at a doubling, and the others go on embedding."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        fade.fit(sample=200)
        workers = [threading.Thread(target=fade.run) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert fade.status().done == COUNT
        assert len(figures(folder, "fitted") + figures(folder, "fit not adopted")) <= 3


def test_the_status_tells_what_the_bridge_is_worth(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Cosine, recall and expected retention with their intervals, for programs and people; None before the fit."""
    with filled(folder, old, COUNT) as docs:
        fade = docs.migrate(new)
        assert fade.quality is None
        assert docs.status().migration is not None
        assert docs.status().migration["bridge"] is None
        quality = fade.fit()
        assert quality == fade.quality
        assert quality is not None
        found = json.loads(json.dumps(docs.status().to_dict()))["migration"]["bridge"]
        assert found["recall_at_10"] == quality.recall_at_10
        assert found["retention_interval"] == list(quality.retention_interval or ())
        said = bridge_line(found)
        assert said.startswith(f"bridge: {quality.method}, {quality.pairs} pairs, cosine {quality.cosine:.3f} (")
        assert f"expected retention {quality.retention:.3f} (" in said
        assert said in list(status_shown(docs.status()))
        assert "retention" not in bridge_line(found | {"retention": None, "cosine_interval": None})
