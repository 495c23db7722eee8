"""Failures: the operating system's errors, at every system call in turn that writes, syncs or reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults import history, tracing
from faults.ground import Ground
from faults.nursery import Outcome
from faults.tasks import NEVER

SYNC_FAILURES = (".rows", ".blocks")  # after a failed sync of these nothing may be acknowledged


class Failures(Ground):
    """Whatever fails raises crossfade's own errors, acknowledges nothing, and is right at the next try."""

    def fail_everywhere(
        self, kind: str, error: str, every: int = 1, seed: int = 1, only: str = "", lasting: bool = False
    ) -> None:
        """An error of the operating system at one operation's system calls: once, or from there on."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        calls = self._calls(folder, seed, number, kind)
        if error == "ENOSPC":
            calls = [call for call in calls if call.name in (*tracing.WRITES, *tracing.NAMES)]
        for call in [call for call in calls if only in call.arguments][::every]:
            if self.is_over:
                return
            at = f"{error} at {call.name} {call.count} of one {kind}{', lasting' if lasting else ''}"
            copy = self._copy(folder)
            injection = f"{call.name}:error={error}:when={call.count}{'+' if lasting else ''}"
            outcome = self._traced(copy, seed, number, kind, injection, again=not lasting)
            self.figures["errors"] += 1
            self._require(outcome, at, may_fail=True)
            done = len(outcome.said("done"))
            if not done and not lasting:
                self.violations.append(f"{at}: the next try failed too: {outcome.said('failed')[-1:]}")
            if any(one.injected and one.syncs(*SYNC_FAILURES) for one in tracing.read(self._log)) and not outcome.said(
                "failed"
            ):
                self.violations.append(f"{at}: acknowledged all the same")
            self._check(copy, seed, number + done, not done, at)
            shutil.rmtree(copy)

    def fail_and_kill(self, kind: str, every: int = 1, seed: int = 1) -> None:
        """A commit whose sync fails, and a SIGKILL at each system call of the next try."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        calls = self._calls(folder, seed, number, kind)
        rows = max(place for place, call in enumerate(calls) if call.syncs(*SYNC_FAILURES))
        for sync in [call for call in calls[rows:] if call.syncs("-wal")][:1]:
            failure = f"{sync.name}:error=EIO:when={sync.count}"
            copy = self._copy(folder)
            self._traced(copy, seed, number, kind, failure, again=True)
            calls = list(tracing.read(self._log))
            failed = next((place for place, call in enumerate(calls) if call.injected), len(calls))
            for call in [call for call in calls[failed + 1 :] if call.name != sync.name][::every]:
                if self.is_over:
                    return
                copy = self._copy(folder)
                kill = f"{call.name}:signal=KILL:when={call.count}"
                outcome = self._traced(copy, seed, number, kind, failure, kill, again=True)
                self.figures["points"] += 1
                self._count_kill(outcome)
                done = len(outcome.said("done"))
                at = f"EIO at {sync.name} {sync.count}, then killed at {call.name} {call.count} of one {kind}"
                self._require(outcome, at, killed=True, may_fail=True)
                self._check(copy, seed, number + done, not done, at)
                shutil.rmtree(copy)

    def fail_reads(self, kind: str, every: int = 1, seed: int = 1, only: str = "", lasting: bool = False) -> None:
        """EIO at the system calls of one operation that read the collection's files: once, or from there on."""
        folder, number = self._before(kind, seed), history.first_of(seed, kind)
        arguments = {"seed": seed, "first": number, "count": 1, "again": not lasting}
        for at, copy, outcome in self._unreadable(folder, kind, every, only, lasting, **arguments):
            done = len(outcome.said("done"))
            if not done and not lasting:
                self.violations.append(f"{at}: the next try failed too: {outcome.said('failed')[-1:]}")
            self._check(copy, seed, number + done, not done, at)

    def fail_reading(self, what: str, every: int = 1, seed: int = 1, only: str = "", lasting: bool = False) -> None:
        """EIO at the system calls with which a collection is opened ("open"), or an open one searched ("search")."""
        folder, number = self._before("fill", seed), history.first_of(seed, "fill") + 1
        filled = self._copy(folder)
        self._require(self._work(filled, seed, number - 1, 1, tail=NEVER, bug=None), "fill")
        arguments = {"task": "look", "seed": seed, "number": number, "what": what}
        for at, copy, outcome in self._unreadable(filled, what, every, only, lasting, **arguments):
            if not outcome.said("looked") and not lasting:
                self.violations.append(f"{at}: the next try failed too: {outcome.said('failed')[-1:]}")
            self.violations += [f"{at}: {problem}" for (problems,) in outcome.said("looked") for problem in problems]
            self._check(copy, seed, number, False, at)

    def _unreadable(
        self,
        folder: Path,
        doing: str,
        every: int,
        only: str = "",
        lasting: bool = False,
        task: str = "work",
        **arguments: Any,
    ) -> Iterator[tuple[str, Path, Outcome]]:
        """What a task does to copies of a folder where one of its reads fails, for each of them."""

        def run(*injections: str) -> tuple[Path, Outcome]:
            copy = self._copy(folder)
            tracer = tracing.command(self._log, *injections, calls=tracing.READS, under=copy)
            return copy, self._nursery.run(task, tracer=tracer, folder=copy, bug=self._bug, **arguments)

        self._require(run()[1], f"one {doing}")
        for call in [call for call in tracing.read(self._log) if only in call.arguments][::-every]:
            if self.is_over:
                return
            at = f"EIO at {call.name} {call.count} of one {doing}{', lasting' if lasting else ''}"
            copy, outcome = run(f"{call.name}:error=EIO:when={call.count}{'+' if lasting else ''}")
            self._require(outcome, at, may_fail=True)
            injected = [one for one in tracing.read(self._log) if one.injected]
            at += f", {injected[0].arguments[:120]}" if injected else ""
            self.figures["errors of reads"] += bool(injected)
            yield at, copy, outcome
            shutil.rmtree(copy)
