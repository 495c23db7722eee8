"""The ground that the suite's parts stand on: folders to work in, runs of tasks, what is required of them, counts."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from faults import damage, history, tracing
from faults.nursery import Nursery, Outcome
from faults.tasks import NEVER, TAIL_ROWS

LEAD = 6  # operations before the one that is looked at whose rows are in no segment
CATALOG = "catalog.sqlite"


class Ground:
    """What is found adds up in `violations`, and what was done in `figures`.

    Args:
        nursery: Runs the tasks.
        root: An empty folder.
        bug: Which rule of crossfade is broken in the tasks that work (not in those that check).
        kept: Where folders to begin with are kept for others, if not in `root`.
    """

    def __init__(self, nursery: Nursery, root: Path, bug: str | None = None, kept: Path | None = None) -> None:
        self.figures: Counter[str] = Counter()
        self.violations: list[str] = []
        self._nursery = nursery
        self.root = root
        self._kept = kept or root
        self._bug = bug
        self._numbers = 0

    @contextmanager
    def another(self, bug: str) -> Iterator[Self]:
        """One of the same kind for a seeded bug, in a folder of its own."""
        with tempfile.TemporaryDirectory(dir=self.root) as root:
            yield type(self)(self._nursery, Path(root), bug, self._kept)

    @property
    def is_over(self) -> bool:
        """Whether the seeded bug was found."""
        return self._bug is not None and bool(self.violations)

    @property
    def _log(self) -> Path:
        return self.root / "calls.log"

    def _work(
        self, folder: Path, seed: int, first: int, count: int, *, bug: str | None = "", **keywords: Any
    ) -> Outcome:
        bug = self._bug if bug == "" else bug
        return self._nursery.run("work", folder=folder, seed=seed, first=first, count=count, bug=bug, **keywords)

    def _traced(
        self, folder: Path, seed: int, number: int, kind: str, *injections: str, again: bool = False
    ) -> Outcome:
        tail = 4 if kind == "seal" else NEVER
        tracer = tracing.command(self._log, *injections)
        return self._work(folder, seed, number, 1, tail=tail, tracer=tracer, again=again)

    def _calls(self, folder: Path, seed: int, number: int, kind: str) -> list[tracing.Call]:
        """What one operation does, undisturbed."""
        copy = self._copy(folder)
        self._require(self._traced(copy, seed, number, kind), f"one {kind}")
        shutil.rmtree(copy)
        return [call for call in tracing.read(self._log) if call.made_a_file]

    def _begin(self, seed: int) -> Path:
        """A new folder as every history begins with."""
        first = self._kept / "first"
        if not first.exists():
            self._require(self._nursery.run("create", folder=first), "create")
        return self._copy(first)

    def _before(self, kind: str, seed: int) -> Path:
        """A folder in which the next operation is of a kind."""
        folder = self._kept / f"before-{kind}-{seed}"
        if not folder.exists():
            number = history.first_of(seed, kind)
            made = self._begin(seed)
            for first, last, tail in ((0, number - LEAD, TAIL_ROWS), (number - LEAD, number, NEVER)):
                outcome = self._work(made, seed, first, last - first, tail=tail, bug=None, sealed=tail != NEVER)
                self._require(outcome, f"before {kind}")
            made.rename(folder)
        return folder

    def _copy(self, folder: Path) -> Path:
        self._numbers += 1
        return Path(shutil.copytree(folder, self.root / f"copy-{self._numbers}"))

    def _require(self, outcome: Outcome, what: str, *, killed: bool = False, may_fail: bool = False) -> None:
        """A task ends by itself or by a SIGKILL it was sent, and raises nothing but crossfade's own errors."""
        for (trace,) in outcome.said("untyped"):
            self.violations.append(f"{what}: {trace}")
        if outcome.code not in ((0, -9) if killed else (0,)) and not outcome.said("untyped"):
            self.violations.append(f"{what}: ended with {outcome.code} {outcome.said('hung')}")
        if not may_fail:
            self.violations += [f"{what}: failed without a fault: {failed}" for failed in outcome.said("failed")]

    def _check(
        self, folder: Path, seed: int, number: int, in_hand: bool, what: str, thorough: bool = False
    ) -> int | None:
        """Has a folder checked; after how many operations it stands, None where that can't be told."""
        outcome = self._nursery.run(
            "check", folder=folder, seed=seed, number=number, in_hand=in_hand, thorough=thorough
        )
        self.figures["checks"] += 1
        checked = outcome.said("checked")
        if not checked or outcome.code != 0:
            why = outcome.said("untyped") + outcome.said("hung")
            self.violations.append(f"{what}: the checker ended with {outcome.code} {why}")
            return None
        problems, found = checked[0]
        self.violations += [f"{what}: {problem}" for problem in problems]
        return None if problems else int(found)

    def _count_kill(self, outcome: Outcome) -> int:
        if outcome.code != -9:
            return 0
        self.figures["kills"] += 1
        entered = Counter(window for (window,) in outcome.said("enter"))
        entered.subtract(window for (window,) in outcome.said("leave"))
        for window in +entered:
            self.figures[f"kills inside {window}"] += 1
        return 1

    def _damages(self, folder: Path, only: str, cases: int) -> Iterator[tuple[str, str, int]]:
        """As many damages as are asked for, spread over all files and ways."""
        names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [name for name in names if name.endswith(only) and not name.endswith("-shm")]
        once = [(name, how, 0) for name in names for how in damage.RARE]
        yield from once[:cases]
        often = [(name, how) for how in damage.WAYS if how not in damage.RARE for name in names]
        for place in range(cases - len(once)):
            yield (*often[place % len(often)], place)

    def _count_damage(self, case: Sequence[Any], result: str, problems: list[str]) -> None:
        name = Path(case[0]).name
        kind = name if name.startswith(CATALOG) else name.rpartition(".")[2]
        self.figures["mutations"] += 1
        self.figures[f"mutations of {kind}, {result}"] += 1
        # SQLite's pages carry no checksums: what a damaged row says can't be known.
        if result == "untyped" or (result == "differs" and not name.startswith(CATALOG)):
            self.violations.append(f"damage {list(case)}: {result} {problems}")
