"""Forks: what a forked child must do before anything else runs in it, for the threads it has lost."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Owner = TypeVar("Owner")
Value = TypeVar("Value")

_calls: dict[weakref.WeakMethod[Any], None] = {}
_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_descriptors: set[int] = set()


def call_in_child(method: Callable[[], None]) -> None:
    """Calls a method in every child that is forked, for as long as its object lives."""
    _calls[weakref.WeakMethod(method, lambda gone: _calls.pop(gone, None))] = None


def lock() -> threading.Lock:
    """A lock that is free in a forked child: a thread that held it does not exist there, and can't give it back."""
    made = threading.Lock()
    _locks.add(made)
    return made


@contextlib.contextmanager
def only_here(descriptor: int) -> Iterator[None]:
    """While it lasts, a forked child closes its copy: a file's lock lives as long as any process holds a descriptor."""
    _descriptors.add(descriptor)
    try:
        yield
    finally:
        _descriptors.discard(descriptor)


def _after_in_child() -> None:
    for held in list(_locks):
        if held.locked():
            held.release()
    while _descriptors:
        os.close(_descriptors.pop())
    for reference in list(_calls):
        method = reference()
        if method:
            method()


os.register_at_fork(after_in_child=_after_in_child)


class lazy(Generic[Owner, Value]):
    """A property that is computed when it is first asked for, and kept; by two threads at once perhaps twice.

    `functools.cached_property` has a lock in Python 3.11, which a child that is forked meanwhile inherits taken.
    """

    def __init__(self, compute: Callable[[Owner], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, owner: Owner, kind: type[Owner] | None = None) -> Value:
        value = owner.__dict__[self._compute.__name__] = self._compute(owner)
        return value
