"""One thread for BLAS while plans run: their own workers use the cores.

Several workers that each let BLAS start a thread a core wait for one another more than they compute: of 1D and 2D plans
on two cores with OpenBLAS the two workers together were slower than one alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from threadpoolctl import ThreadpoolController


@functools.cache
def _controller() -> ThreadpoolController:
    """The BLAS libraries of this process; looking for them takes a millisecond, so it is done once."""
    return ThreadpoolController()


class _Limit:
    """The number of BLAS threads is the process's: the first plan that runs lowers it, the last one restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._running == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._running += 1

    def leave(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._limiter.restore_original_limits()

    def after_fork(self) -> None:
        """A forked child has none of the parent's running plans."""
        if self._running:
            self._limiter.restore_original_limits()
        self.__init__()  # type: ignore[misc]


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.after_fork)


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Keep BLAS to one thread, in the whole process, until the last of overlapping contexts ends."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()
