"""The suite: its parts, each of which does something bad to processes or files and has what is left checked."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Sequence

from faults import history, power, tracing
from faults.failures import Failures
from faults.tasks import NEVER, TAIL_ROWS

ALL_OF_IT = 10**9
HISTORY = 150  # operations before a new history begins


class Suite(Failures):
    """Everything bad that can be done; what is found adds up in `violations`."""

    def walk(self, seed: int, operations: int, step: int = 10, clock: bool = False) -> None:
        """A history without any fault, checked every few operations."""
        folder = self._begin(seed)
        for first in range(0, operations, step):
            what = f"history {seed} from {first}"
            outcome = self._work(folder, seed, first, step, clock=clock)
            self.figures["operations"] += step
            self._require(outcome, what)
            if self._check(folder, seed, first + step, False, what, thorough=True) is None:
                return

    def once(self, kind: str, seed: int = 1) -> None:
        """One operation without any fault."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        outcome = self._work(folder, seed, number, 1, tail=NEVER)
        self._require(outcome, kind)
        self._check(folder, seed, number + len(outcome.said("done")), False, kind, thorough=True)

    def kill_at_random(self, kills: int, seed: int) -> None:
        """SIGKILLs at any moment, most of them aimed at the windows of publish and cutover."""
        chance = random.Random(seed)
        folder, number, steps, done = self._begin(seed), 0, 0, 0
        while done < kills:
            if number > HISTORY or steps > HISTORY:
                seed, number, steps = seed + 1_000, 0, 0
                folder = self._begin(seed)
            aims = [("enter", chance.randint(1, 3), 0.006)] * 3 + [("begin", chance.randint(1, 8), 0.02)]
            word, count, longest = chance.choice(aims)
            kill = {"on": word, "count": count, "delay": chance.uniform(0.0, longest)}
            outcome = self._work(folder, seed, number, 12, tail=TAIL_ROWS // 2, kill=kill)
            steps += 1
            done += self._count_kill(outcome)
            what = f"history {seed} from {number}, killed {kill}"
            self._require(outcome, what, killed=True)
            number += len(outcome.said("done"))
            found = self._check(folder, seed, number, outcome.code != 0, what, thorough=steps % 8 == 0)
            number = HISTORY + 1 if found is None else found

    def kill_everywhere(self, kind: str, every: int = 1, seed: int = 1) -> None:
        """A SIGKILL at the system calls of one operation, one at a time."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        for place, call in enumerate(self._calls(folder, seed, number, kind)[::every]):
            if self.is_over:
                return
            at = f"{call.name} {call.count} of one {kind}"
            copy, injection = self._copy(folder), f"{call.name}:signal=KILL:when={call.count}"
            outcome = self._traced(copy, seed, number, kind, injection)
            self.figures["points"] += 1
            self._count_kill(outcome)
            self._require(outcome, at, killed=True)
            done = len(outcome.said("done"))
            self._check(copy, seed, number + done, outcome.code != 0, f"killed at {at}", thorough=place % 6 == 0)
            shutil.rmtree(copy)

    def lose_power(self, kind: str, operations: int, tries: int, most: int = ALL_OF_IT, seed: int = 1) -> None:
        """The power goes after system calls of some operations, and with it what was not synced."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        run = self._copy(folder)
        tracer = tracing.command(self._log, calls=power.CALLS, data=True)
        tail = 4 if kind == "seal" else NEVER
        outcome = self._work(run, seed, number, operations, tail=tail, tracer=tracer)
        self._require(outcome, f"{operations} operations from {kind}")
        before = self.root / "before"
        shutil.rmtree(run)
        shutil.copytree(folder, run)  # the log names its paths
        chance = random.Random(seed)
        calls = list(tracing.read(self._log))
        states = sum(1 for _ in power.losses(run, iter(calls)))
        every = max(1, states // most)
        for place, (disk, call) in enumerate(power.losses(run, iter(calls))):
            if self.is_over:
                return
            if place % every and place != states - 1:
                continue
            done = sum(message[0] == "done" for message in disk.messages)
            in_hand = sum(message[0] == "begin" for message in disk.messages) > done
            for attempt in range(tries):
                disk.write_after_loss(before, chance if attempt else None)
                self.figures["losses of power"] += 1
                what = f"power lost after call {place} of {operations} operations from {kind}, a {call.name}"
                self._check(before, seed, number + done, in_hand, what, thorough=place % 12 == 0)
                shutil.rmtree(before)

    def lose_power_while_creating(self, tries: int, every: int = 1) -> None:
        """The power goes while a collection is made: there is a whole one, or none."""
        parent = self.root / "parent"
        parent.mkdir()
        tracer = tracing.command(self._log, calls=power.CALLS, data=True)
        outcome = self._nursery.run("create", tracer=tracer, folder=parent / "kb.cf", bug=self._bug)
        self._require(outcome, "create")
        shutil.rmtree(parent)
        parent.mkdir()
        chance, after = random.Random(1), self.root / "after"
        for place, (disk, call) in enumerate(power.losses(parent, tracing.read(self._log))):
            if self.is_over:
                return
            if place % every:
                continue
            for attempt in range(tries):
                disk.write_after_loss(after, chance if attempt else None)
                self.figures["losses of power"] += 1
                if (after / "kb.cf").exists():
                    what = f"power lost after call {place} of a create, a {call.name}"
                    self._check(after / "kb.cf", 0, -1, False, what, thorough=True)
                shutil.rmtree(after)

    def damage_files(self, cases: int, only: str = "", seed: int = 1) -> None:
        """Files are damaged, one at a time: they are refused, or every answer is right."""
        number = next(
            place
            for place in range(20, 10_000)
            if history.at(seed, place).kind in ("fit", "fill") and history.after(seed, place + 1).state == "filling"
        )
        folder = self._begin(seed)
        self._require(self._work(folder, seed, 0, number + 1, leave=True, bug=None), "before the damage")
        wanted = list(self._damages(folder, only, cases))
        scratch = self.root / "scratch"
        scratch.mkdir(exist_ok=True)
        while wanted and not self.is_over:
            outcome = self._nursery.run(
                "serve",
                folder=folder,
                scratch=scratch,
                seed=seed,
                number=number + 1,
                cases=wanted[:100],
                bug=self._bug,
                seconds=120.0,
            )
            begun = len(outcome.said("begin"))
            for _, *case in outcome.said("begin")[len(outcome.said("done")) :]:
                self.violations.append(f"damage {case}: ended with {outcome.code} {outcome.said('untyped')}")
            for place, result, problems in outcome.said("done"):
                self._count_damage(wanted[place], result, problems)
            if not begun:
                self.violations.append(f"the whole folder was not served: {outcome}")
                return
            wanted = wanted[begun:]

    def starve(self, kind: str, name: str, amounts: Sequence[int], seed: int = 1) -> None:
        """A process that may have only so many descriptors or so much memory: errors are typed, nothing is lost."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        for amount in amounts:
            copy, what = self._copy(folder), f"{name} {amount} for {kind}"
            outcome = self._work(copy, seed, number, 6, tail=NEVER, limits={name: amount})
            self.figures["starved"] += 1
            self._require(outcome, what, may_fail=True)
            done = len(outcome.said("done"))
            self._check(copy, seed, number + done, done < 6, what, thorough=True)
            shutil.rmtree(copy)

    def fill_the_disk(self, size: int, seed: int = 1) -> bool:
        """A file system that fills up: writes are refused, searches go on; with space again, so does everything.

        Returns:
            False where no file system may be mounted.
        """
        disk = self.root / "disk"
        disk.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True
        ).returncode:
            return False
        try:
            folder, number = disk / "kb.cf", 0
            shutil.copytree(self._begin(seed), folder)
            outcome = self._work(folder, seed, number, HISTORY, tail=TAIL_ROWS, search=True)
            self._require(outcome, "a disk that fills up", may_fail=True)
            number = len(outcome.said("done"))
            if outcome.said("failed") and outcome.said("searched") != [[3]]:
                self.violations.append("no search on a full disk")
            self.figures["operations until the disk was full"] += number
            grown = ["mount", "-o", f"remount,size={100 * size}", disk]
            subprocess.run(grown, check=True)
            found = self._check(folder, seed, number, number < HISTORY, "a full disk", thorough=True)
            if found is not None:
                self._require(self._work(folder, seed, found, 20), "space again")
                self._check(folder, seed, found + 20, False, "space again", thorough=True)
        finally:
            subprocess.run(["umount", disk], check=True)
        return True


TEETH: dict[str, Callable[[Suite, str], object]] = {
    "history": lambda suite, kind: suite.once(kind),
    "walk": lambda suite, seed: suite.walk(int(seed), 150),
    "kills": lambda suite, kind: suite.kill_everywhere(kind),
    "errors": lambda suite, kind: suite.fail_everywhere(kind, "EIO"),
    "errors, then kills": lambda suite, kind: suite.fail_and_kill(kind),
    "power": lambda suite, kind: (
        suite.lose_power_while_creating(tries=1)
        if kind == "create"
        else suite.lose_power(kind, 1 if kind == "seal" else 4, tries=2)
    ),
    "damage": lambda suite, kind: suite.damage_files(150, only=kind),
}


def finds(suite: Suite, part: str) -> bool:
    """Whether a part of the suite, named as in `bugs.BUGS`, finds anything."""
    name, _, kind = part.partition(": ")
    TEETH[name](suite, kind)
    return bool(suite.violations)
