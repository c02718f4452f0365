"""BLAS keeps to one thread while plans run, and gets its threads back."""

from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from scatc.compiler import compile as compile_plan
from scatc.ir.spec import Spec
from scatc.runtime import blas


def threads() -> set[int]:
    """Threads of the BLAS libraries that plans know of (other tests may have loaded more)."""
    return {pool["num_threads"] for pool in blas._controller().info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    np.eye(2) @ np.eye(2)
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this BLAS cannot have two threads")
        yield


def test_one_inside_and_as_before_outside() -> None:
    with blas.single_thread():
        assert threads() == {1}
        with blas.single_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


def test_contexts_that_overlap_across_threads_restore_once_all_have_ended() -> None:
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with blas.single_thread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with blas.single_thread():
        leave.set()
        thread.join()
        assert threads() == {1}
    assert threads() == {2}


def test_restored_after_an_exception() -> None:
    with pytest.raises(KeyError), blas.single_thread():
        raise KeyError
    assert threads() == {2}


def test_a_plan_leaves_blas_as_it_was() -> None:
    seen: list[set[int]] = []
    plan = compile_plan(Spec(dim=1, shape=64, J=3), cache=False, workers=2)
    run = plan._module.run

    def watched(*arguments: object) -> None:
        seen.append(threads())
        run(*arguments)

    vars(plan._module)["run"] = watched
    plan(np.ones((4, 64)))
    assert seen
    assert all(count == {1} for count in seen)
    assert threads() == {2}


def _child(queue: multiprocessing.Queue) -> None:
    before = threads()
    with blas.single_thread():
        inside = threads()
    queue.put((before, inside, threads()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_plan_runs_starts_afresh() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with blas.single_thread():
        child = context.Process(target=_child, args=(queue,))
        child.start()
        assert queue.get(timeout=20) == ({2}, {1}, {2})
        child.join()
    assert threads() == {2}
