"""The gate: through it goes every use of a connection, and it is shut while the process forks.

SQLite keeps what it knows of a file's locks once a process. A forked child inherits that knowledge with any connection
that is open, but not the locks: what it opens later is taken to be locked already, so that its parent removes the
log under it, and commits that were acknowledged are lost. So nothing is open at that moment, in all threads.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

from crossfade.errors import CollectionClosed

PATIENCE = 60.0  # seconds that a fork waits for the transactions of other threads


class Connected(Protocol):
    """What has connections."""

    def disconnect(self) -> None:
        """Close all of them; nobody is using one."""

    def start_anew(self) -> None:
        """In a forked child: forget what threads of the parent have left."""


class Gate:
    """Lets any number of threads in, one of them as often as it likes; shut, it lets in nobody new."""

    def __init__(self) -> None:
        self._connected: weakref.WeakSet[Connected] = weakref.WeakSet()
        self._open_anew()

    def __enter__(self) -> None:
        """Around every use of a connection.

        Raises:
            CollectionClosed: This process inherits connections.
        """
        if self.is_bypassed:
            raise CollectionClosed(
                "this process inherits connections of SQLite, whose locks stayed with its parent: it was forked in a "
                "transaction, or not by os.fork; open collections in processes that are started anew (spawn)"
            )
        me = threading.get_ident()
        with self._lock:
            while self._shut and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        with self._lock:
            self._inside[me] -= 1
            if not self._inside[me]:
                del self._inside[me]
                if self._shut:
                    self._changed.notify_all()

    @property
    def is_bypassed(self) -> bool:
        """Whether this process was forked while connections were open: it must neither use nor close them."""
        return os.getpid() != self._process

    def watch(self, connected: Connected) -> None:
        """Disconnects it before every fork, for as long as it lives."""
        self._connected.add(connected)

    def before_fork(self) -> None:
        """Lets the threads inside finish, and leaves no connection behind; in vain where this thread is one of them."""
        patience = 0.0 if threading.get_ident() in self._inside else PATIENCE
        with self._lock:
            self._changed.wait_for(lambda: not self._shut, patience)  # while another thread forks
            self._shut, self._empty = True, False
            if not self._changed.wait_for(lambda: not self._inside, patience):
                return
        for connected in list(self._connected):
            connected.disconnect()
        self._empty = True

    def after_in_parent(self) -> None:
        """Lets everybody in again."""
        with self._lock:
            self._shut = False
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Starts with nobody inside, where nothing is inherited."""
        if self._empty:
            self._open_anew()
            for connected in list(self._connected):
                connected.start_anew()

    def _open_anew(self) -> None:
        self._process = os.getpid()
        # Taken by itself, not by way of the condition, whose __enter__ may be left by Ctrl-C with the lock locked.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside: dict[int, int] = {}
        self._shut = self._empty = False


GATE = Gate()
os.register_at_fork(before=GATE.before_fork, after_in_parent=GATE.after_in_parent, after_in_child=GATE.after_in_child)
