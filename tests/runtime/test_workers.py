"""Chunks over threads: all done once, exclusive scratch memory, no deadlock, first error wins."""

from __future__ import annotations

import gc
import multiprocessing
import operator
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scatc.runtime.workers import default_workers, run_chunks

CHUNKS = [slice(i, i + 1) for i in range(50)]


@pytest.mark.parametrize("workers", [-1, 0, 1, 2, 7, 100])
def test_every_chunk_is_done_once(workers: int) -> None:
    done: list[int] = []
    indices: set[int] = set()

    def work(index: int, chunk: slice) -> None:
        done.append(chunk.start)
        indices.add(index)

    run_chunks(work, CHUNKS, workers)
    assert sorted(done) == list(range(50))
    assert indices <= set(range(max(workers, 1)))


def test_no_chunks_no_calls() -> None:
    run_chunks(lambda index, chunk: pytest.fail("called"), [], 4)


@pytest.mark.parametrize(("chunks", "workers"), [(CHUNKS, 1), (CHUNKS[:1], 8)])
def test_one_worker_or_chunk_stays_in_the_calling_thread(chunks: list[slice], workers: int) -> None:
    threads = set()
    run_chunks(lambda index, chunk: threads.add(threading.get_ident()), chunks, workers)
    assert threads == {threading.get_ident()}


def test_two_threads_take_part_at_the_same_time() -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("the pool has one thread")
    meeting = threading.Barrier(2, timeout=30)
    run_chunks(lambda index, chunk: meeting.wait(), CHUNKS[:2], 2)


def test_an_index_belongs_to_one_thread() -> None:
    owner: dict[int, int] = {}

    def work(index: int, chunk: slice) -> None:
        assert owner.setdefault(index, threading.get_ident()) == threading.get_ident()
        time.sleep(0.001)

    run_chunks(work, CHUNKS, 4)


def test_the_first_error_is_raised_and_the_rest_is_not_begun() -> None:
    done: list[int] = []
    failing = threading.Event()

    def work(index: int, chunk: slice) -> None:
        done.append(chunk.start)
        if chunk.start == 3:
            failing.set()
            raise KeyError("third")
        if chunk.start > 3:
            assert failing.wait(30)
            time.sleep(0.02)  # for the error to become known

    with pytest.raises(KeyError, match="third"):
        run_chunks(work, CHUNKS, 3)
    assert len(done) < 10


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_the_work_itself_may_be_an_index_error(workers: int) -> None:
    with pytest.raises(IndexError, match="mine"):
        run_chunks(lambda index, chunk: (_ for _ in ()).throw(IndexError("mine")), CHUNKS, workers)


def test_errors_leave_no_cycle() -> None:
    class Big:
        pass

    def call() -> weakref.ref[Big]:
        big = Big()

        def work(index: int, chunk: slice) -> None:
            assert big
            raise KeyError

        try:
            run_chunks(work, CHUNKS, 2)
        except KeyError:
            pass
        return weakref.ref(big)

    gc.disable()
    try:
        left = call()
        deadline = time.monotonic() + 30
        while left() is not None and time.monotonic() < deadline:
            time.sleep(0.001)  # a pool thread lets go of its task a moment after the task is done
        assert left() is None
    finally:
        gc.enable()


def test_nested_and_concurrent_calls_do_not_deadlock() -> None:
    total: list[int] = []

    def outer(index: int, chunk: slice) -> None:
        run_chunks(lambda i, c: run_chunks(lambda j, d: total.append(1), CHUNKS[:4], 4), CHUNKS[:4], 4)

    with ThreadPoolExecutor(8) as callers:
        for future in [callers.submit(run_chunks, outer, CHUNKS[:8], 4) for _ in range(8)]:
            future.result(timeout=60)
    assert len(total) == 8 * 8 * 4 * 4


def test_the_callers_context_reaches_the_workers() -> None:
    states = []
    with np.errstate(divide="raise"):
        run_chunks(lambda index, chunk: states.append(np.geterr()["divide"]), CHUNKS, 4)
    assert set(states) == {"raise"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_run_chunks_too(method: str) -> None:
    run_chunks(operator.ne, CHUNKS, 2)  # the parent has a pool
    child = multiprocessing.get_context(method).Process(target=run_chunks, args=(operator.ne, CHUNKS, 2))
    child.start()
    child.join(timeout=120)
    child.kill()
    assert child.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork") or (os.cpu_count() or 1) < 2, reason="needs fork and two threads")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_working_threads() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def meet() -> None:
        run_chunks(lambda index, chunk: meeting.wait(), CHUNKS[:2], 2)

    meet()
    child = multiprocessing.get_context("fork").Process(target=meet)
    child.start()
    child.join(timeout=60)
    child.kill()
    assert child.exitcode == 0


def test_default_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCATC_WORKERS", raising=False)
    assert 1 <= default_workers() <= (os.cpu_count() or 1)
    monkeypatch.setenv("SCATC_WORKERS", "3")
    assert default_workers() == 3
    monkeypatch.setenv("SCATC_WORKERS", "1024")
    assert default_workers() == 1024


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1025", str(2**63), "9" * 5000])
def test_a_bad_number_of_workers_is_explained(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_WORKERS", value)
    with pytest.raises(ValueError, match=f"SCATC_WORKERS='{value}' is not possible: it must be a whole number"):
        default_workers()
