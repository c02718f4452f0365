"""One thread for OpenBLAS while plans run: their own workers use the cores.

Several workers that each let BLAS start a thread a core wait for one another more than they compute: of 1D and 2D plans
on two cores, two workers together were slower than one alone. The count belongs to the process, so it is lowered by the
first plan that runs and restored by the last; threadpoolctl cannot do that (since 3.8 only the thread that lowered a
count may restore it). Other BLAS libraries are left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

# OpenBLAS as its authors name it, and as the builds in numpy's and scipy's wheels do.
_NAMES = [f"{prefix}openblas_{{}}_num_threads{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", "")]


@functools.cache
def _libraries() -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """Of each OpenBLAS that numpy may use: the functions that get and set its number of threads."""
    found = []
    for path in _paths():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in _NAMES:
            if hasattr(library, name.format("get")) and hasattr(library, name.format("set")):
                found.append((getattr(library, name.format("get")), getattr(library, name.format("set"))))
                break
    return found


def _paths() -> list[str]:
    """The files of OpenBLAS libraries: those loaded, where the system tells; else those in numpy's wheel."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = {line.split(maxsplit=5)[-1].strip() for line in maps.read_text().splitlines() if "openblas" in line}
        return sorted(path for path in mapped if path.startswith("/"))
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    return sorted(str(path) for folder in folders for path in folder.glob("*openblas*"))


class _Limit:
    """How many plans run, and what the thread counts were before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._before: list[int] = []

    def enter(self) -> None:
        with self._lock:
            if self._running == 0:
                self._before = [get() for get, _ in _libraries()]
                for _, set_count in _libraries():
                    set_count(1)
            self._running += 1

    def leave(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._restore()

    def _restore(self) -> None:
        for (_, set_count), count in zip(_libraries(), self._before, strict=True):
            set_count(count)

    def after_fork(self) -> None:
        """A forked child has none of its parent's running plans, and perhaps its parent's held lock."""
        if self._running:
            self._restore()
        self._lock, self._running = threading.Lock(), 0


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.after_fork)


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Keep OpenBLAS to one thread, in the whole process, until the last of overlapping contexts ends."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()
