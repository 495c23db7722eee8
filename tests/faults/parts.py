"""The parts of the long form, by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from faults import bugs
from faults.suite import Suite, finds

Part = Callable[[Suite], object]
TESTS = Path(__file__).resolve().parent.parent
AIMED = ("seal", "cutover", "rollback", "upsert", "delete", "migrate", "fill", "fit", "prune", "abandon", "metadata")
STEPS_OF_ONE = 2_500  # of a process of the state machine


def parts(kills: int, mutations: int, steps: int) -> dict[str, Part]:
    """All of them; most need strace."""
    chosen: dict[str, Part] = {
        f"history {seed}": lambda suite, seed=seed: suite.walk(seed, 200) for seed in range(100, 103)
    }
    chosen |= {f"clock {seed}": lambda suite, seed=seed: suite.walk(seed, 100, clock=True) for seed in (200, 201)}
    chosen |= {
        f"random kills {place}": lambda suite, place=place: suite.kill_at_random(-(-kills // 8), 10_000 * place + 7)
        for place in range(8)
    }
    chosen |= {
        f"damage {place}": lambda suite, place=place: suite.damage_files(-(-mutations // 8), seed=place + 1)
        for place in range(8)
    }
    chosen["descriptors"] = lambda suite: suite.starve("upsert", "NOFILE", range(8, 60))
    chosen["memory"] = lambda suite: suite.starve("fit", "AS", range(0, 64 << 20, 2 << 20))
    chosen["full disk"] = lambda suite: suite.fill_the_disk(1_500_000)
    chosen |= _traced() | _seeded()
    return chosen | {
        f"any order {seed}": lambda suite, seed=seed: any_order(suite, seed, STEPS_OF_ONE)
        for seed in range(1, -(-steps // STEPS_OF_ONE) + 1)
    }


def _traced() -> dict[str, Part]:
    chosen: dict[str, Part] = {}
    for kind in AIMED:
        chosen[f"kills everywhere: {kind}"] = lambda suite, kind=kind: suite.kill_everywhere(kind)
        chosen[f"EIO everywhere: {kind}"] = lambda suite, kind=kind: suite.fail_everywhere(kind, "EIO")
        chosen[f"ENOSPC everywhere: {kind}"] = lambda suite, kind=kind: suite.fail_everywhere(kind, "ENOSPC")
        chosen[f"lasting EIO everywhere: {kind}"] = lambda suite, kind=kind: suite.fail_everywhere(
            kind, "EIO", lasting=True
        )
        chosen[f"EIO on reads: {kind}"] = lambda suite, kind=kind: suite.fail_reads(kind)
        chosen[f"power: {kind}"] = lambda suite, kind=kind: suite.lose_power(kind, 1 if kind == "seal" else 4, 4)
    for what in ("open", "search"):
        chosen[f"EIO on reads: {what}"] = lambda suite, what=what: suite.fail_reading(what)
        chosen[f"lasting EIO on reads: {what}"] = lambda suite, what=what: suite.fail_reading(what, lasting=True)
    chosen["lasting EIO on reads: upsert"] = lambda suite: suite.fail_reads("upsert", lasting=True)
    chosen["EIO, then kills"] = lambda suite: suite.fail_and_kill("upsert")
    chosen["power: create"] = lambda suite: suite.lose_power_while_creating(4)
    return chosen


def _seeded() -> dict[str, Part]:
    return {f"seeded bug: {name}": lambda suite, name=name: _finds(suite, name) for name in bugs.BUGS}


def _finds(suite: Suite, name: str) -> None:
    with suite.another(bug=name) as broken:
        found = finds(broken, bugs.BUGS[name].part)
    suite.figures["seeded bugs"] += 1
    suite.figures["seeded bugs found"] += found
    if not found:
        suite.violations.append("was not found")


def any_order(suite: Suite, seed: int, steps: int) -> None:
    """The state machine of test_stateful.py, in a process of its own."""
    noted = suite.root / "steps.json"
    options = ["-q", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(TESTS / "test_stateful.py")],
        cwd=TESTS.parent,
        env=os.environ | {"CROSSFADE_STEPS": str(steps), "CROSSFADE_STEPS_NOTED": str(noted)},
        capture_output=True,
        text=True,
    )
    suite.figures.update(json.loads(noted.read_text()) if noted.exists() else {})
    if done.returncode:
        suite.violations.append(f"ended with {done.returncode}: {done.stdout[-4_000:]}{done.stderr[-1_000:]}")
