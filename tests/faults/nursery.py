"""The nursery: starts the suite's processes, one at a time, traces, limits or kills them, and says how each one ended.

Everything is imported once, in a process that does nothing else, and every task is a fork of it: a process of its own
that costs milliseconds. Tasks report by messages that keep their order and need none of the system calls that fail.
"""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

_MOST_BYTES = 1 << 17
_TELL_STACKS = signal.SIGUSR1
_ANYBODY_MAY_TRACE = (0x59616D61, -1)  # prctl's PR_SET_PTRACER


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a task ended: its exit code (negative: by that signal; None: it hung and was killed) and what it reported."""

    code: int | None
    messages: list[list[Any]]

    def said(self, word: str) -> list[list[Any]]:
        """The messages that begin with a word, without it."""
        return [message[1:] for message in self.messages if message[0] == word]


class Nursery:
    """The client's side."""

    def __init__(self) -> None:
        paths = [str(Path(__file__).resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(
        self,
        task: str,
        *,
        tracer: Sequence[str] = (),
        limits: dict[str, int] | None = None,
        kill: dict[str, Any] | None = None,
        seconds: float = 120.0,
        **arguments: Any,
    ) -> Outcome:
        """Runs a task to its end.

        Args:
            task: Name of a function of `tasks`.
            tracer: A command that is attached to the process before it passes its gate; the process's id is added.
            limits: By name ("NOFILE", "AS"): what it may have from its gate on; "AS" counts from what it has then.
            kill: `{"on": word, "count": n, "delay": s}`: a SIGKILL so long after the n-th message of that word.
            seconds: After so long it hangs.
            arguments: The function's own.
        """
        request = {"task": task, "tracer": list(tracer), "limits": limits or {}, "kill": kill, "seconds": seconds}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({**request, "arguments": arguments}, default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the nursery has ended"
        return Outcome(**json.loads(line))

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


# The nursery's own side


def serve() -> None:
    from faults import tasks

    for line in sys.stdin:
        request = json.loads(line)
        tasks.prepare(request["arguments"])
        sys.stdout.write(json.dumps(dataclasses.asdict(_run(request))) + "\n")
        sys.stdout.flush()


def _run(request: dict[str, Any]) -> Outcome:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    gate, opener = os.pipe()
    with tempfile.TemporaryFile() as stacks, ours:
        child = os.fork()
        if child == 0:
            ours.close()
            os.close(opener)
            faulthandler.register(_TELL_STACKS, stacks)
            _live(request, theirs, gate)
        theirs.close()
        os.close(gate)
        try:
            return _watch(request, child, ours, opener, stacks)
        finally:
            os.close(opener)


def _watch(request: dict[str, Any], child: int, ours: socket.socket, opener: int, stacks: IO[bytes]) -> Outcome:
    messages: list[list[Any]] = []
    tracer: subprocess.Popen[bytes] | None = None
    kill = request["kill"] or {"on": None, "count": 0, "delay": 0.0}
    left, hung, kill_at = float(request["seconds"]), False, float("inf")
    while True:
        began = time.monotonic()
        ready = select.select([ours], [], [], max(0.0, min(left, kill_at - began, 1.0)))[0]
        left -= min(time.monotonic() - began, 1.0)  # how long this process itself was stopped does not count
        if not ready:
            if left <= 0.0 and not hung:
                hung = True
                messages.append(["hung", _stacks(child, stacks)])
            if left <= 0.0 or time.monotonic() >= kill_at:
                os.kill(child, signal.SIGKILL)
                left, kill_at = 60.0, float("inf")
            continue
        packet = ours.recv(_MOST_BYTES)
        if not packet:
            break
        messages.append(json.loads(packet))
        if messages[-1] == ["gate"]:
            tracer = _attach(request["tracer"], child)
            os.write(opener, b"g")
        elif messages[-1][0] == kill["on"]:
            kill["count"] -= 1
            if kill["count"] == 0:
                kill_at = time.monotonic() + kill["delay"]
    _, status = os.waitpid(child, 0)
    if tracer:
        tracer.wait()
    return Outcome(None if hung else os.waitstatus_to_exitcode(status), messages)


def _stacks(child: int, told: IO[bytes]) -> str:
    """Where it is."""
    os.kill(child, _TELL_STACKS)
    time.sleep(0.3)
    told.seek(0)
    return told.read().decode(errors="replace")


def _attach(command: list[str], child: int) -> subprocess.Popen[bytes] | None:
    if not command:
        return None
    tracer = subprocess.Popen([*command, str(child)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
        assert tracer.poll() is None, f"{command[0]} ended with {tracer.returncode}"
        time.sleep(0.001)
    return tracer


def _live(request: dict[str, Any], channel: socket.socket, gate: int) -> None:
    """The child's whole life."""
    from faults import tasks, tracing

    def say(*words: Any) -> None:
        channel.send(json.dumps(words).encode()[:_MOST_BYTES])

    def pass_gate() -> None:
        say("gate")
        os.read(gate, 1)
        if request["tracer"]:
            tracing.wait_until_traced(request["arguments"]["folder"])
        for name, most in request["limits"].items():
            allowed = most + (_address_space() if name == "AS" else 0)
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (allowed, allowed))

    code = 1
    try:
        ctypes.CDLL(None).prctl(*_ANYBODY_MAY_TRACE)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        getattr(tasks, request["task"])(say, pass_gate, **request["arguments"])
        code = 0
    except BaseException:
        say("untyped", traceback.format_exc()[-3_000:])
    finally:
        os._exit(code)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    serve()
