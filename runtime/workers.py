"""Threads over the chunks of a batch: numpy and the FFT libraries release the interpreter lock while they compute."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import numbers
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from scatc.ir.errors import CompileError

T = TypeVar("T")

MOST_WORKERS = 1024
"""More are refused: each has scratch memory of its own, and no machine would gain from them."""


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    """The pool shared by all plans, made when first needed."""
    # Threads start only when there is work; more of them than cores would gain nothing, whoever asks for them.
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="scatc")


if hasattr(os, "register_at_fork"):
    # A forked child has the parent's pool object but none of its threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def checked_workers(value: Any) -> int:
    """A number of threads that was asked for.

    Raises
    ------
    CompileError
        If it is not a whole number of at least 1, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < 1:
        raise CompileError(f"workers={value!r} is not possible: workers must be a whole number of at least 1, or None")
    if int(value) > MOST_WORKERS:
        raise CompileError(f"workers={value} is not possible: workers must be at most {MOST_WORKERS}")
    return int(value)


def default_workers() -> int:
    """How many threads a plan uses when its user does not say.

    Returns
    -------
    int
        ``SCATC_WORKERS`` if set, else the number of cores that this process may run on.

    Raises
    ------
    ValueError
        If ``SCATC_WORKERS`` is not a whole number from 1 to `MOST_WORKERS`.
    """
    text = os.environ.get("SCATC_WORKERS", "").strip()
    if text:
        # int refuses thousands of digits with words of its own
        if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_WORKERS:
            allowed = f"a whole number from 1 to {MOST_WORKERS}, or unset"
            raise ValueError(f"SCATC_WORKERS={text!r} is not possible: it must be {allowed}")
        return int(text)
    return cores()


def cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _submit(task: Callable[[int], None], indices: range) -> list[concurrent.futures.Future[None]]:
    """Offer ``task(index)`` to the shared pool for every index, each in a copy of the caller's context."""
    futures: list[concurrent.futures.Future[None]] = []
    try:
        for index in indices:
            futures.append(_pool().submit(contextvars.copy_context().run, task, index))
    except RuntimeError:  # the interpreter is shutting down: the caller does the work alone
        pass
    return futures


def run_chunks(function: Callable[[int, T], object], chunks: Sequence[T], workers: int) -> None:
    """Call ``function(worker_index, chunk)`` for every chunk, on up to `workers` threads.

    The calling thread is worker 0 and takes chunks like the others, so the work goes on even when every other
    thread of the shared pool is busy; nested and concurrent calls cannot block each other.

    Parameters
    ----------
    function : callable
        What to do with one chunk. `worker_index` lies in ``range(workers)`` and belongs to one thread for the length
        of this call: use it to pick scratch memory. Context variables (`numpy.errstate`) are those of the caller.
    chunks : sequence
        The pieces of work, handed out in order to whichever worker is free.
    workers : int
        The most threads to use; with 1 or less, or with one chunk, everything runs in the calling thread.

    Raises
    ------
    BaseException
        The first exception that any worker raised, after all workers have stopped.
    """
    waiting = deque(chunks)
    failures: list[BaseException] = []

    def work(index: int) -> None:
        while True:
            try:
                chunk = waiting.popleft()  # atomic
            except IndexError:
                return
            try:
                function(index, chunk)
            except BaseException as error:  # also KeyboardInterrupt: the others must not outlive this call
                failures.append(error)
                waiting.clear()

    futures = _submit(work, range(1, min(workers, len(chunks))))
    work(0)
    # A task that has not begun finds nothing left to do. Waiting for it could wait forever: the threads that it needs
    # may all be in calls like this one.
    begun = [future for future in futures if not future.cancel()]
    try:
        concurrent.futures.wait(begun)
    except BaseException:  # an interrupt while waiting
        waiting.clear()
        concurrent.futures.wait(begun)
        raise
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()  # breaks the cycle exception -> traceback -> this frame -> exception
