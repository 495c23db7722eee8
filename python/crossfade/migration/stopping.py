"""Stop: how a run is asked to end, by its caller, by Ctrl-C or by SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SLICE = 0.05  # seconds between two questions while a run waits

# What a signal does to a program that has not said otherwise, and what a run raises for it in the end.
_USUAL: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_RAISED: dict[int, Callable[[], BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: lambda: SystemExit(128 + signal.SIGTERM),
}


class Stop:
    """Whether a run is to end; once it is, it stays so.

    Entered in the main thread, it holds Ctrl-C and SIGTERM back until the run is at rest: no transaction is cut, and
    what the run holds is given back. What may be dropped is left at once. When it is left it raises KeyboardInterrupt,
    or SystemExit with 143. A second signal waits for nothing; it costs no more than a kill. Signals that the program
    handles itself are left to it.

    Args:
        ask: The caller's own say.
    """

    def __init__(self, ask: Callable[[], bool] | None = None) -> None:
        self._ask = ask
        self._asked = False
        self._signal: int | None = None
        self._droppable = False
        self._replaced: dict[int, Any] = {}

    @property
    def over(self) -> bool:
        """Whether it is known that the run is to end; asks nobody."""
        return self._asked or self._signal is not None

    def __call__(self) -> bool:
        """Whether the run is to end."""
        self._asked = self.over or (self._ask is not None and bool(self._ask()))
        return self._asked

    def pause(self, seconds: float) -> None:
        """Waits so long, or until the run is to end."""
        end = time.monotonic() + seconds
        while not self() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SLICE))

    @contextlib.contextmanager
    def droppable(self) -> Iterator[None]:
        """Around what can be left at any moment: there a signal is raised at once, one that was held back too."""
        self._droppable = True
        try:
            self._raise()
            yield
        finally:
            self._droppable = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _USUAL.items():
                if signal.getsignal(number) == usual:
                    self._replaced[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        if kind is None or issubclass(kind, Exception):
            self._raise()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again, self._signal = self._signal is not None, number
        if again or self._droppable:
            self._droppable = False
            self._raise()

    def _raise(self) -> None:
        if self._signal is not None:
            raise _RAISED[self._signal]()
