"""How workers share a call: by chunks of the batch, by branches of the transform, or not at all."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compiled import Array, assert_agrees, by_path, fresh
from samples import SPECS, assert_same, noise

from scatc.ir.nodes import Fold, Input
from scatc.ir.schedule import Program
from scatc.ir.spec import Spec
from scatc.runtime import code as plan_module
from scatc.runtime.numpy import NumpyPlan
from scatc.runtime.plan import Plan

LARGER = [
    *SPECS,
    Spec(dim=1, shape=1000, J=6, Q=(8, 2), order=3),
    Spec(dim=1, shape=500, J=5, Q=4, T="global"),
    Spec(dim=2, shape=(40, 33), J=3, L=4),
    Spec(dim=2, shape=(24, 24), J=2, L=3, T=0),
    Spec(dim=3, shape=(12, 10, 8), J=2, L=3, rotation_covariant=False),
]
ALL = pytest.mark.parametrize("spec", LARGER, ids=lambda spec: f"{spec.dim}D-{spec.average}-{spec.shape[0]}")


@pytest.fixture
def shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share whatever is small, too."""
    monkeypatch.setattr(plan_module, "SHORTEST_CALL", 0.0)


class Shared:
    """What `run_chunks` was asked to share: how many pieces, among how many workers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[list[Any], int]] = []
        run = plan_module.run_chunks

        def noted(function: Callable[[int, Any], object], chunks: list[Any], workers: int) -> None:
            self.calls.append((list(chunks), workers))
            run(function, chunks, workers)

        monkeypatch.setattr(plan_module, "run_chunks", noted)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Shared:
    return Shared(monkeypatch)


def program_of(plan: Plan) -> Program:
    return plan._program


def retimed(plan: Plan, seconds_a_call: float) -> Plan:
    """The same plan, its calls predicted to take so long."""
    program = dataclasses.replace(program_of(plan), seconds_a_call=seconds_a_call)
    return NumpyPlan(dataclasses.replace(plan._compiled, program=program))


def assert_close(got: dict[Any, Array], wanted: dict[Any, Array]) -> None:
    """Equal up to the rounding of sums in another order, which other sizes of chunks bring."""
    assert list(got) == list(wanted)
    for path, y in wanted.items():
        np.testing.assert_allclose(got[path], y, rtol=0, atol=2e-5 * float(np.abs(y).max(initial=1e-3)))


# ---- what can be shared ---------------------------------------------------------------------------------------------


@ALL
def test_branches_need_the_trunk_and_none_of_the_others(spec: Spec) -> None:
    program = program_of(fresh(spec))
    branches = program.branches
    assert len(set(branches)) == len(branches) >= 1
    for name, node in program.graph:
        if isinstance(node, Input):
            assert program.branch(name) is None
            continue
        own, parents = program.branch(name), program.branch(node.x)
        if name in branches:
            assert isinstance(node, Fold)
            assert (own, parents) == (name, None)
        else:
            assert own == parents
    assert len({program.graph[name].x for name in branches}) == 1  # one spectrum, which all of them read


@ALL
def test_the_source_has_one_function_a_branch(spec: Spec) -> None:
    plan = fresh(spec)
    program, graph = program_of(plan), program_of(plan).graph
    written = {function.__name__: (count, chunk) for function, count, chunk in plan._module.BRANCHES}
    assert written == {
        f"branch_{name}": (len(node.indices), program.chunks[name])
        for name in program.branches
        if isinstance(node := graph[name], Fold)
    }


def test_a_transform_without_wavelets_has_no_branches(shared: Shared) -> None:
    for options in ({"order": 0}, {"order": 2}):
        plan = fresh(Spec(dim=1, shape=100, J=3, **options), select=[()], workers=4)
        assert program_of(plan).branches == ()
        assert plan._module.BRANCHES == ()
        x = noise(plan.spec, 1)
        assert_agrees(plan, x)
        assert_agrees(retimed(plan, 1.0), x)


@ALL
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 40])
def test_parts_cover_every_filter_once(spec: Spec, workers: int) -> None:
    plan = fresh(spec, workers=workers)
    limits = {function: (count, chunk) for function, count, chunk in plan._module.BRANCHES}
    seen: dict[Any, list[int]] = {function: [] for function in limits}
    for function, filters in plan._code._parts():
        count, chunk = limits[function]
        assert 0 <= filters.start < filters.stop <= count
        assert filters.stop - filters.start <= min(chunk, -(-count // workers))
        seen[function] += range(filters.start, filters.stop)
    assert seen == {function: list(range(count)) for function, (count, _) in limits.items()}


# ---- results --------------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_small_batch_gives_what_one_worker_gives(spec: Spec, count: int, shared: Shared) -> None:
    alone, together = fresh(spec, workers=1), fresh(spec, workers=4)
    x = noise(spec, count)
    wanted = by_path(alone, alone(x))
    shared.calls.clear()
    first = together(x)
    assert [workers for _, workers in shared.calls] == [4] * len(shared.calls)
    assert all(isinstance(piece, tuple) for pieces, _ in shared.calls for piece in pieces)  # by branches
    assert_close(by_path(together, first), wanted)
    for _ in range(25):
        assert_same(together(x), first)


@ALL
@pytest.mark.usefixtures("shares_all")
def test_many_callers_of_shared_calls(spec: Spec) -> None:
    """Their workers stand in one queue, and must not stand in one another's memory."""
    plan = fresh(spec, workers=4)
    inputs = [noise(spec, 1 + k % 6) + np.float32(k) for k in range(6)]
    wanted = [plan(x) for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for got, y in zip(pool.map(plan, inputs * 8), wanted * 8, strict=True):
            assert_same(got, y)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Plan], set[int]]]:
    """Check, whenever emitted code runs, that no other thread has its arena; gives the arenas seen."""
    lock, busy, clashes = threading.Lock(), {}, []

    def watch(plan: Plan) -> set[int]:
        seen: set[int] = set()

        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any) -> Any:
                (arena,) = (a for a in arguments if isinstance(a, np.ndarray) and a.dtype == np.uint8)
                address, me = arena.ctypes.data, threading.get_ident()
                with lock:
                    seen.add(address)
                    if address in busy:
                        clashes.append((address, busy[address], me))
                    busy[address] = me
                try:
                    return function(*arguments)
                finally:
                    with lock:
                        busy.pop(address, None)

            return run

        module = plan._module
        branches = tuple((wrap(branch), count, chunk) for branch, count, chunk in module.BRANCHES)
        # `run` calls the trunk and the branches as it finds them in its module: wrapping these covers it
        monkeypatch.setattr(module, "trunk", wrap(module.trunk))
        monkeypatch.setattr(module, "BRANCHES", branches)
        return seen

    yield watch
    assert not clashes


@ALL
@pytest.mark.usefixtures("shares_all")
def test_no_two_threads_have_one_arena(spec: Spec, watched: Callable[[Plan], set[int]]) -> None:
    plan = fresh(spec, workers=4)
    seen = watched(plan)
    inputs = [noise(spec, count) for count in (1, 2, 3, 9)]
    for x in inputs * 5:
        plan(x)
    assert 1 <= len(seen) <= 4  # kept from call to call
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(plan, inputs * 10))
    assert len(plan._code._arenas) <= 4


@ALL
@pytest.mark.usefixtures("shares_all")
def test_what_a_branch_raises_reaches_the_caller(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = fresh(spec, workers=4)
    x = noise(spec, 1)
    wanted = plan(x)
    for which in range(len(plan._module.BRANCHES)):

        def fail(*arguments: Any) -> None:
            raise ZeroDivisionError("in a branch")

        branches = list(plan._module.BRANCHES)
        branches[which] = (fail, *branches[which][1:])
        with monkeypatch.context() as patch:
            patch.setattr(plan._module, "BRANCHES", tuple(branches))
            for batch in (x, noise(spec, 9)):  # by branches, by chunks
                with pytest.raises(ZeroDivisionError, match="in a branch"):
                    plan(batch)
        assert_same(plan(x), wanted)
    assert 1 <= len(plan._code._arenas) <= 4


@pytest.mark.usefixtures("shares_all")
def test_what_the_trunk_raises_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = fresh(SPECS[0], workers=4)

    def fail(*arguments: Any) -> None:
        raise MemoryError("in the trunk")

    monkeypatch.setattr(plan._module, "trunk", fail)
    for count in (1, 9):
        with pytest.raises(MemoryError, match="in the trunk"):
            plan(noise(SPECS[0], count))


# ---- who shares -----------------------------------------------------------------------------------------------------


def test_short_calls_are_left_to_one_worker(shared: Shared) -> None:
    """Threads would wait for the interpreter's lock more than they compute."""
    plan = fresh(SPECS[0], workers=4)
    assert program_of(plan).seconds_a_call < plan_module.SHORTEST_CALL
    plan(noise(SPECS[0], 2))
    assert shared.calls == [([slice(0, 2)], 1)]


@pytest.mark.parametrize("count", [1, 3, 4, 9, 200])
@pytest.mark.parametrize("ratio", [0.2, 0.4, 0.99, 1.01, 5.0])
def test_who_shares_follows_from_the_length_of_calls(count: int, ratio: float, shared: Shared) -> None:
    """Of a call for all signals that one worker has at a time."""
    plan = retimed(fresh(SPECS[0], workers=4), ratio * plan_module.SHORTEST_CALL)
    batch = program_of(plan).batch
    plan(noise(SPECS[0], count))
    size = min(batch, -(-count // 4))
    for pieces, workers in shared.calls:
        assert workers == (4 if size * ratio >= 1 else 1)
        if workers == 1:
            assert pieces == [slice(a, min(a + batch, count)) for a in range(0, count, batch)]
        elif isinstance(pieces[0], slice):
            assert pieces == [slice(a, min(a + size, count)) for a in range(0, count, size)]
            assert len(pieces) >= 4
        else:
            assert -(-count // size) < 4
    assert shared.calls
