"""Python's collector of cycles, which waits while plans are made."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Pauses:
    """How many threads want no collection; the last of them ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._enabled = False

    def begin(self) -> None:
        with self._lock:
            if self._count == 0:
                self._enabled = gc.isenabled()
                gc.disable()
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count = max(self._count - 1, 0)
            if self._count == 0 and self._enabled:
                gc.enable()

    def after_fork(self) -> None:
        """Threads that wanted none are not in the child, and nobody there would end their pause."""
        self._lock = threading.Lock()
        if self._count:
            self._count = 1
            self.end()


_pauses = _Pauses()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pauses.after_fork)


@contextmanager
def paused() -> Iterator[None]:
    """Collect no cycles meanwhile, in any thread.

    Graphs are thousands of objects without cycles. While they pile up the collector would look through all that the
    process holds, which with a framework imported takes longer than to read a plan, and find nothing.
    """
    _pauses.begin()
    try:
        yield
    finally:
        _pauses.end()
