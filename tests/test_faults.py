"""Faults: after kills, errors, damage and power loss a model says what is there; `make faults` is the long form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import bugs, power, tracing
from faults.nursery import Nursery
from faults.suite import Suite, finds
from faults.tracing import strace

traced = pytest.mark.skipif(strace() is None, reason="strace puts the faults into system calls, and is not installed")
# Those that are found at once; the long form tries them all.
SHORT = ["acknowledged_before_commit", "cutover_in_two_transactions", "epochs_not_compared", "segments_not_verified"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    started = Nursery()
    yield started
    started.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def suite(nursery: Nursery, tmp_path: Path, kept: Path) -> Iterator[Suite]:
    """Whatever a part finds fails its test."""
    made = Suite(nursery, tmp_path, kept=kept)
    yield made
    assert made.violations == []


def test_a_history_without_faults(suite: Suite) -> None:
    """The model says after every few operations what is there, whatever the clock says meanwhile."""
    suite.walk(seed=3, operations=30, step=15, clock=True)


def test_a_task_that_hangs_says_where(nursery: Nursery, tmp_path: Path) -> None:
    """It is killed after its time, and its stacks are told."""
    nursery.run("create", folder=tmp_path / "kb.cf")
    outcome = nursery.run("work", folder=tmp_path / "kb.cf", seed=1, first=0, count=10**6, seconds=0.3)
    assert outcome.code is None
    assert "in work" in outcome.said("hung")[0][0]


def test_kills_at_any_moment(suite: Suite) -> None:
    """SIGKILLs, most of them aimed at publish and cutover, lose nothing acknowledged and bring nothing back."""
    suite.kill_at_random(kills=8, seed=1)
    assert suite.figures["kills inside publish"] + suite.figures["kills inside cutover"] > 0


@traced
@pytest.mark.parametrize(("kind", "every"), [("seal", 8), ("cutover", 3)])
def test_kills_at_system_calls(suite: Suite, kind: str, every: int) -> None:
    """A SIGKILL at a system call of a publish or a cutover leaves it done or not begun."""
    suite.kill_everywhere(kind, every)
    assert suite.figures["kills"] >= 2


@traced
@pytest.mark.parametrize(("error", "lasting"), [("EIO", False), ("ENOSPC", True)])
def test_errors_at_system_calls(suite: Suite, error: str, lasting: bool) -> None:
    """An error of a write or sync is crossfade's own, acknowledges nothing, and the next try succeeds."""
    suite.fail_everywhere("upsert", error, every=12, lasting=lasting)
    suite.fail_everywhere("seal", error, every=12, lasting=lasting)


@traced
def test_a_log_that_cant_be_opened_for_a_moment(suite: Suite) -> None:
    """SQLite then opens its log to read only, and stays so; such a connection is not used again."""
    suite.fail_everywhere("seal", "EIO", only='-wal", O_RDWR')
    assert suite.figures["errors"] > 0


@traced
def test_errors_of_reads(suite: Suite) -> None:
    """A read that fails is an error of crossfade's own or does not matter, and the next try is right."""
    suite.fail_reading("open", every=20)
    suite.fail_reads("upsert", every=40)
    suite.fail_reads("prune", every=3, only="/bridges")


@traced
@pytest.mark.parametrize("only", [".segment", ", 4096, 0"])
def test_a_segment_whose_reading_fails_is_kept(suite: Suite, only: str) -> None:
    """Where a segment can't be mapped, or the catalog's first page can't be read meanwhile, no segment is dropped."""
    suite.fail_reading("search", every=2, only=only)
    assert suite.figures["errors of reads"] >= 3


@traced
def test_a_kill_after_a_failed_commit(suite: Suite) -> None:
    """A commit whose sync failed may come back from the log after a crash, whole, and its rows with it."""
    suite.fail_and_kill("upsert", every=12)


@traced
@pytest.mark.parametrize(("kind", "operations"), [("migrate", 3), ("seal", 1)])
def test_power_is_lost(suite: Suite, kind: str, operations: int) -> None:
    """What was acknowledged survives the loss of everything that was not synced."""
    suite.lose_power(kind, operations, tries=2, most=4)


@pytest.mark.parametrize("synced", [True, False])
def test_a_file_that_was_made_before_calls_were_noted(tmp_path: Path, synced: bool) -> None:
    """What is written to it lasts once it and its folder are synced, like that of any other."""
    folder = tmp_path / "kb.cf"
    folder.mkdir()
    disk = power.Disk(folder)
    disk.feed(tracing.Call("pwrite64", rf'3<{folder}/log>, "\x61", 1, 0', 1, 1, False))
    for path in (folder / "log", folder) if synced else ():
        disk.feed(tracing.Call("fsync", f"3<{path}>", 0, 1, False))
    disk.write_after_loss(tmp_path / "left", None)
    assert [path.read_bytes() for path in (tmp_path / "left").iterdir()] == ([b"a"] if synced else [])


@traced
def test_power_is_lost_while_a_collection_is_made(suite: Suite) -> None:
    """There is a whole collection, or none."""
    suite.lose_power_while_creating(tries=1, every=6)


def test_damaged_files(suite: Suite) -> None:
    """Whatever a file of the folder holds, the answers are right or it is refused; no process dies of it."""
    suite.damage_files(cases=80)


def test_few_descriptors(suite: Suite) -> None:
    """Where no file can be opened any more, errors are crossfade's own and nothing is lost."""
    suite.starve("upsert", "NOFILE", range(10, 34, 6))


def test_little_memory(suite: Suite) -> None:
    """Where memory ends, so it is."""
    suite.starve("fill", "AS", [0, 1 << 20, 8 << 20])


def test_a_full_disk(suite: Suite) -> None:
    """Searches go on while nothing can be written, and writes do as soon as there is space."""
    if not suite.fill_the_disk(1_500_000):
        pytest.skip("a file system of a size of its own can't be mounted here")
    assert suite.figures["operations until the disk was full"] > 0


@traced
@pytest.mark.parametrize("name", SHORT)
def test_seeded_bugs_are_found(nursery: Nursery, tmp_path: Path, kept: Path, name: str) -> None:
    """A rule of the protocol that is broken makes the part of the suite fail that watches over it."""
    assert finds(Suite(nursery, tmp_path, bug=name, kept=kept), bugs.BUGS[name].part)


@traced
def test_the_long_form_goes_on_where_it_was(tmp_path: Path) -> None:
    """Figures are in its file after every part; what stands there is not run again, nor mixed with another run's."""
    file = tmp_path / "faults.json"
    tests = Path(__file__).resolve().parent
    command = [sys.executable, "-m", "faults", "--only=seeded bug: acknowledged", "--resume", f"--json={file}"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(tests)}
        return subprocess.run([*command, *options], cwd=tests.parent, env=environment, capture_output=True, text=True)

    assert run().returncode == 0
    written = file.read_bytes()
    report = json.loads(written)
    assert [part["figures"] for part in report["parts"].values()] == [{"seeded bugs": 1, "seeded bugs found": 1}]
    assert report["violations"] == []
    again = run()
    assert (again.returncode, again.stderr, file.read_bytes()) == (0, "", written)
    assert "ask for the same" in run("--kills=7").stderr
