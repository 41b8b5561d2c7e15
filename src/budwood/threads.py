"""Threads and forks: locks that outlive a fork, and how many threads torch runs on."""

import ctypes
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from types import TracebackType
from typing import Any, TypeVar

from budwood.machine import cores

Thing = TypeVar("Thing")

_locks: "weakref.WeakSet[Lock]" = weakref.WeakSet()


class Lock:
    """A lock that its thread may take again. In a forked process nobody holds it, and a copy is
    another lock.

    Example:
        >>> lock = Lock()
        >>> with lock, lock:
        ...     pass
    """

    def __init__(self) -> None:
        self._lock = RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> Any:
        return Lock, ()


TRACING = Lock()
"""Held while a network is traced, built or converted: what torch.fx replaces, the global random
state, warning filters and `sys.modules` are one for all threads. Whoever holds it must not wait for
another thread."""


@cache
def settle_torch() -> None:
    """Called before torch computes anything: it then takes no more threads than there are cores for
    it, and one in a forked process.

    Torch counts the processors of the machine, of which a container may be given two. And its
    OpenMP threads are gone after a fork: who hands them work there waits for ever, as in
    pytorch/pytorch#17199. One thread is what torch's own data loader takes in its workers, too.
    """
    import torch

    if cores() < torch.get_num_threads():
        torch.set_num_threads(cores())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


_counting = Lock()
_alone: list[int] = []
"""How many threads torch had, for each part of the program that now wants it to have one."""


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch on one thread; as it was before, once the last thread that is in here leaves."""
    import torch

    with _counting:
        _alone.append(_alone[0] if _alone else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _counting:
            torch.set_num_threads(_alone.pop())


_with_threads: weakref.WeakSet[Any] = weakref.WeakSet()


def never_destroyed_in_forks(thing: Thing) -> Thing:
    """The same thing, of which a copy in a forked process stays as long as that process.

    What has threads of its own waits for them when it is destroyed, and there they are gone.
    """
    _with_threads.add(thing)
    return thing


def _after_fork() -> None:
    for lock in _locks:  # whoever held it is not here
        lock._lock = RLock()
    for thing in _with_threads:  # a reference that nobody counts holds even while Python ends
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    _with_threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
