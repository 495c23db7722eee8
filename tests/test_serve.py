"""After a cutover: the new version alone, or `serve="blend"`, both together until somebody says otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crossfade as cf
from crossfade.errors import InvalidInput, MigrationConflict, NotReady, SpaceMismatch
from crossfade.migration import roles
from support import (
    COUNT,
    NEW,
    OLD,
    documents,
    filled,
    history,
    is_first,
    require_true_vectors,
    states,
    text_of,
    wrapped,
)

QUERIES = [text_of(number, words=6) for number in range(5_000, 5_020)]
LATE = "written while the old encoder was away"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, old: cf.Encoder, new: cf.Encoder) -> Path:
    """A collection whose migration has embedded everything, to be copied."""
    folder = tmp_path_factory.mktemp("embedded") / "kb.cf"
    with filled(folder, old, COUNT) as docs:
        docs.migrate(new).run()
    return folder


@pytest.fixture
def docs(embedded: Path, folder: Path, old: cf.Encoder, new: cf.Encoder) -> Iterator[cf.Collection]:
    shutil.copytree(embedded, folder)
    with cf.Collection.open(folder, old, new) as collection:
        yield collection


@pytest.fixture
def fade(docs: cf.Collection) -> cf.Migration:
    assert docs.migration is not None
    return docs.migration


@pytest.fixture
def late(docs: cf.Collection, fade: cf.Migration, folder: Path, new: cf.Encoder) -> cf.Collection:
    """A collection whose versions serve together, with a document that has no old vector."""
    fade.cutover(serve="blend")
    with cf.Collection.open(folder, new) as without_old:
        without_old.upsert(cf.Document("late", LATE))
    return docs


def ids(docs: cf.Collection, k: int = 30) -> list[list[str]]:
    return [hits.ids for hits in docs.search(QUERIES, k=k)]


def test_the_order_stays_and_the_scale_is_the_new_one(docs: cf.Collection, fade: cf.Migration) -> None:
    """The blend finds what it found before the cutover, with scores like those that the new version gives alone."""
    before = docs.search(QUERIES, k=30)
    fade.cutover(serve="blend")
    after = docs.search(QUERIES, k=30)
    assert [hits.ids for hits in after] == [hits.ids for hits in before]
    for hits in after:
        assert (hits.method, hits.coverage, {hit.version for hit in hits}) == ("fade", 1.0, {2})
        assert 0.0 < hits.weight < 1.0
    fade.cutover(serve="new")
    alone = docs.search(QUERIES, k=30)
    together, single = (np.array([hits.scores for hits in found]) for found in (after, alone))
    assert together.max() <= 1.0 + 1e-6
    assert abs(together.mean() - single.mean()) < 0.1
    assert 0.6 < together.std() / single.std() < 1.6


def test_the_new_version_alone_is_the_new_model(docs: cf.Collection, fade: cf.Migration, new: cf.Encoder) -> None:
    """serve="new" is what a cutover does unless told: exactly what comparing all its vectors gives."""
    rows = new.encode([item.content for item in documents(COUNT)]).astype(np.float16).astype(np.float32)
    exact = new.encode(QUERIES, kind="query") @ rows.T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    for serve in ("new", "blend", "new"):
        fade.cutover(serve=serve)  # type: ignore[arg-type]
        if serve == "new":
            found = docs.search(QUERIES)
            assert [hits.ids for hits in found] == [[f"d{number}" for number in row] for row in best]
            assert np.array([hits.scores for hits in found]) == pytest.approx(
                np.take_along_axis(exact, best, 1), abs=1e-5
            )
            assert {(hits.method, hits.coverage, hits.weight) for hits in found} == {("live", 0.0, 0.0)}


def test_either_follows_the_other(docs: cf.Collection, fade: cf.Migration, folder: Path) -> None:
    """A call with the other word switches and is recorded, the same call again changes nothing."""
    fade.cutover(serve="blend")
    blended = ids(docs)
    for serve in ("blend", "new", "new", "blend"):
        fade.cutover(serve=serve)  # type: ignore[arg-type]
        assert fade.status().serve == serve
        assert (ids(docs) == blended) == (serve == "blend")
    assert [detail["serve"] for event, detail in history(folder) if event == "cut over"] == ["blend", "new", "blend"]
    assert states(docs) == {1: "retained", 2: "live"}
    with pytest.raises(InvalidInput, match="serve must be one of new, blend, got 'old'"):
        fade.cutover(serve="old")  # type: ignore[arg-type]


def test_a_rollback_ends_it(docs: cf.Collection, fade: cf.Migration) -> None:
    """Then the old version answers alone, and the next cutover says anew what it wants."""
    fade.cutover(serve="blend")
    docs.rollback()
    assert (docs.search(QUERIES[0]).method, fade.status().serve) == ("live", "new")
    fade.cutover()
    assert docs.search(QUERIES[0]).method == "live"


def test_retention_begins_at_its_end(docs: cf.Collection, fade: cf.Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time that passes drops a version that serves: only its end, and then its retention, or force."""
    monkeypatch.setattr(roles, "RETENTION_SECONDS", -1.0)
    fade.cutover()
    fade.cutover(serve="blend")
    assert docs.prune() == []
    assert docs.status().versions[0]["retained_until"] is None
    assert docs.search(QUERIES[0]).method == "fade"
    fade.cutover(serve="new")
    assert docs.prune() == [1]


def test_a_forced_prune_ends_it(docs: cf.Collection, fade: cf.Migration, folder: Path) -> None:
    """Without the old version, its vectors and the Bridge the new one answers alone."""
    fade.cutover(serve="blend")
    assert docs.prune(force=True) == [1]
    assert docs.search(QUERIES[0]).method == "live"
    assert docs.status().migration is None
    assert not list(folder.glob("bridges/*"))
    with pytest.raises(NotReady, match=r"call migrate\(\) again"):
        fade.cutover(serve="blend")


def test_a_third_model_waits_for_its_end(docs: cf.Collection, fade: cf.Migration, third: cf.Encoder) -> None:
    """A migration starts from one version: while two answer it is refused, and nothing is lost by surprise."""
    fade.cutover(serve="blend")
    with pytest.raises(MigrationConflict, match=r"versions 1 and 2 answer together.*cutover\(serve=\"new\"\)"):
        docs.migrate(third)
    assert docs.search(QUERIES[0]).method == "fade"
    fade.cutover(serve="new")
    docs.migrate(third)
    assert states(docs) == {1: "retained", 2: "live", 3: "filling"}


def test_it_needs_a_bridge(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Where nothing could be learned there is nothing to blend by: refused, and the cutover is still to be made."""
    with filled(folder, old, 50) as docs:
        fade = docs.migrate(new)
        fade.run()
        with pytest.raises(NotReady, match=r"nothing is learned yet.*cutover\(serve=\"new\"\)"):
            fade.cutover(serve="blend")
        assert states(docs) == {1: "live", 2: "filling"}


def test_a_damaged_bridge_is_learned_again(docs: cf.Collection, fade: cf.Migration, folder: Path) -> None:
    """Until the next run the new version answers alone, then both again."""
    fade.cutover(serve="blend")
    docs.close()
    for path in folder.glob("bridges/*/*/*.json"):
        path.write_bytes(b"damaged")
    with cf.Collection.open(folder, wrapped(*OLD), wrapped(*NEW)) as again:
        assert (again.search(QUERIES[0]).method, again.status().migration["bridge"]) == ("live", None)  # type: ignore[index]
        again.migrate(wrapped(*NEW)).run()
        assert again.search(QUERIES[0]).method == "fade"


def test_without_the_old_encoder(late: cf.Collection, fade: cf.Migration, folder: Path, new: cf.Encoder) -> None:
    """Where it is not at hand, or fails, the new version answers alone and says so; no document is lost."""

    def fail(texts: list[str]) -> None:
        raise ConnectionError("no route to the model")

    for encoders in ((new,), (new, wrapped(*OLD, before=fail))):
        with cf.Collection.open(folder, *encoders, read_only=True) as serving:
            assert {hits.method for hits in serving.search(QUERIES)} == {"live"}
            assert serving.search(LATE, k=1).ids == ["late"]
            alone = ids(serving)
    assert ids(late) != alone
    fade.cutover(serve="new")
    assert ids(late) == alone


def test_a_document_without_an_old_vector(
    late: cf.Collection, fade: cf.Migration, folder: Path, old: cf.Encoder
) -> None:
    """The new version alone decides where it stands; it is found like any other, until the next run and after it."""
    for _ in range(2):
        hits = late.search(LATE, k=1_000)
        assert (hits[0].id, hits.method) == ("late", "fade")
        assert len(set(hits.ids)) == len(hits) == COUNT + 1
        is_first(late, 3, 77)
        assert late.search("w1 w2", k=1_000, merge="rrf").ids[:1] != []
        fade.run()
    late.close()
    assert require_true_vectors(folder, 1, old) == COUNT + 1


def test_documents_without_a_new_vector(docs: cf.Collection, fade: cf.Migration) -> None:
    """After a forced cutover to the blend they go on being found; leaving them out takes another reason."""
    docs.upsert(documents(100, start=COUNT))
    before = ids(docs)
    fade.cutover(force="the switch is today", serve="blend")
    assert ids(docs) == before
    assert len(docs.search(QUERIES[0], k=1_000)) == COUNT + 100
    with pytest.raises(NotReady, match="100 of 500 documents"):
        fade.cutover(serve="new")
    fade.cutover(force="the old model is off", serve="new")
    assert len(docs.search(QUERIES[0], k=1_000)) == COUNT
    fade.cutover(serve="blend")
    assert len(docs.search(QUERIES[0], k=1_000)) == COUNT + 100


def test_query_vectors(late: cf.Collection, old: cf.Encoder, new: cf.Encoder) -> None:
    """A bare one is refused; one of the new Space meets the new version alone; one of the old Space ranks by the old
    version, scored on the new scale, with what has no old vector by the query carried over."""
    with pytest.raises(SpaceMismatch, match="two versions serve"):
        late.search(vector=new.encode([LATE])[0])
    hits = late.search(vector=new.encode([LATE])[0], space=new.space)
    assert (hits[0].id, hits[0].score, hits.method) == ("late", pytest.approx(1.0, abs=1e-3), "live")
    by_new = late.search(vector=new.encode([text_of(9)])[0], space=new.space, k=50)
    by_old = late.search(vector=old.encode([text_of(9)])[0], space=old.space, k=1_000)
    assert (by_old[0].id, by_old.method, len(set(by_old.ids))) == ("d9", "bridged", COUNT + 1)
    assert abs(by_new.scores[1:].mean() - by_old.scores[1:50].mean()) < 0.1
    late.migration.cutover()  # type: ignore[union-attr]
    with pytest.raises(SpaceMismatch, match="query vector"):
        late.search(vector=old.encode([text_of(9)])[0], space=old.space)


def test_a_copy_serves_alike(docs: cf.Collection, fade: cf.Migration, tmp_path: Path) -> None:
    """A backup holds both versions and the Bridge; the doctor finds nothing wrong with it."""
    fade.cutover(serve="blend")
    docs.backup(tmp_path / "copy.cf")
    with cf.Collection.open(tmp_path / "copy.cf", wrapped(*OLD), wrapped(*NEW)) as copy:
        assert ids(copy) == ids(docs)
    assert {finding.severity for finding in cf.doctor.examine(tmp_path / "copy.cf")} == {"ok"}
