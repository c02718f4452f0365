"""BLAS keeps to one thread while plans run, and gets its threads back."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from scatc.compiler import compile as compile_plan
from scatc.ir.spec import Spec
from scatc.runtime import blas


def threads() -> set[int]:
    return {get() for get, _ in blas._libraries()}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    np.eye(2) @ np.eye(2)
    if not blas._libraries():
        pytest.skip("numpy does not use OpenBLAS here")
    before = [get() for get, _ in blas._libraries()]
    for _, set_count in blas._libraries():
        set_count(2)
    if threads() != {2}:
        pytest.skip("this OpenBLAS cannot have two threads")
    yield
    for (_, set_count), count in zip(blas._libraries(), before, strict=True):
        set_count(count)


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
