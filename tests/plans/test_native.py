"""How plans run C code, by a text that is written by hand: workers, memory, threads, processes, copies."""

from __future__ import annotations

import concurrent.futures
import ctypes
import multiprocessing
import os
import pickle
import re
import threading
from collections.abc import Callable
from typing import Any

import dense
import numpy as np
import pytest
from compiled import Array, assert_agrees, by_path
from native import needs_compiler
from strategies import signal

from scatc.ir.errors import CompileError, TargetError
from scatc.runtime import native, toolchain
from scatc.runtime.cpu import CpuPlan
from scatc.runtime.native import Layout, Memory, NativeCode

pytestmark = needs_compiler

SIGNAL = dense.N * 8
"""Bytes of a signal, hence of its "spectrum", and of an arena."""


@pytest.fixture
def shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share whatever is small, too."""
    monkeypatch.setattr(native, "SHORTEST_CALL", 0.0)


def plan_of(**options: Any) -> CpuPlan:
    return CpuPlan(dense.compiled(**options))


def noise(count: int) -> Array:
    return signal("noise", (count, dense.N))


# ---- results --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 9, 23, 80])
def test_any_batch_on_any_number_of_workers(count: int, workers: int) -> None:
    plan = plan_of(workers=workers)
    x = noise(count)
    y = plan(x)
    assert_agrees(plan, x, y)
    np.testing.assert_array_equal(plan(x), y)
    np.testing.assert_array_equal(plan_of()(x), y)  # to the last bit, whoever did what


def test_one_signal_has_no_axis_of_batch() -> None:
    plan = plan_of()
    assert_agrees(plan, noise(1)[0])
    assert_agrees(plan, noise(6).reshape(2, 1, 3, dense.N))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_signal(value: float) -> None:
    plan, x = plan_of(), noise(3)
    wanted = plan(x)
    x[1, 5] = value
    y = plan(x)
    np.testing.assert_array_equal(y[::2], wanted[::2])
    assert not np.isfinite(y[1]).any()


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-8, 1e8, 1e160, 1e300])
def test_squares_stay_within_the_range_of_numbers(scale: float) -> None:
    plan, x = plan_of(), noise(3)
    wanted = plan(x)
    mixed = x * np.array([[1.0], [scale], [0.0]])
    y = plan(mixed)
    np.testing.assert_allclose(y[0], wanted[0], rtol=1e-13)
    np.testing.assert_allclose(y[1], scale * wanted[1], rtol=1e-13)
    assert not y[2].any()


def test_input_that_is_not_aligned_or_not_contiguous() -> None:
    plan, x = plan_of(), noise(3)
    y = plan(x)
    shifted = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    assert not shifted.flags.aligned
    for given in (shifted, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x.astype(">f8"), x.tolist()):
        np.testing.assert_array_equal(plan(given), y)


# ---- who does what --------------------------------------------------------------------------------------------------


class Seen:
    """What reached the C code, and with which memory: no two threads may have the same arena at a time."""

    def __init__(self, plan: CpuPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.code = plan._native
        self.calls: list[tuple[str, int, int]] = []
        self.clashes: list[int] = []
        self.busy: set[int] = set()
        self.lock = threading.Lock()
        monkeypatch.setattr(self.code, "_trunk", self.wrap("trunk", self.code._trunk))
        monkeypatch.setattr(self.code, "_branch", self.wrap("branch", self.code._branch))

    def wrap(self, name: str, function: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            arena, n = arguments[5], arguments[name == "branch"]
            assert arena % 64 == arguments[4 if name == "trunk" else 2] % 64 == 0
            with self.lock:
                self.calls.append((name, n, arena))
                if arena in self.busy:
                    self.clashes.append(arena)
                self.busy.add(arena)
            function(*arguments)
            with self.lock:
                self.busy.discard(arena)

        return run


@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_chunks_and_then_branches(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(workers=workers)
    for count in (1, 2, 3, 4, 5, 9, 11, 30, 31, 32, 33):
        seen = Seen(plan, monkeypatch)
        plan(noise(count))
        sizes = [n for name, n, _ in seen.calls if name == "trunk"]
        assert sum(sizes) == count
        assert max(sizes) <= dense.BATCH
        assert not seen.clashes
        if count < native.MOST_UNEVEN * workers:
            assert len(sizes) % workers == 0 or sizes[-1] == count % workers
        monkeypatch.undo()
        monkeypatch.setattr(native, "SHORTEST_CALL", 0.0)


@pytest.mark.parametrize("workers", [1, 2, 3, 40])
def test_parts_cover_every_filter_once(workers: int) -> None:
    code = plan_of()._native
    seen: dict[int, list[int]] = {branch: [] for branch in range(len(code.layout.branches))}
    for chunk, branch, first, stop in code._parts(slice(0, 1), workers):
        filters, most = code.layout.branches[branch]
        assert chunk == slice(0, 1)
        assert 0 < stop - first <= min(most, -(-filters // workers))
        seen[branch] += range(first, stop)
    assert seen == {branch: list(range(filters)) for branch, (filters, _) in enumerate(code.layout.branches)}


def test_short_calls_are_left_to_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(workers=4)
    assert plan._native.seconds < native.SHORTEST_CALL
    seen = Seen(plan, monkeypatch)
    plan(noise(2))
    assert len({arena for _, _, arena in seen.calls}) == 1
    assert [n for name, n, _ in seen.calls if name == "trunk"] == [2]


@pytest.mark.usefixtures("shares_all")
def test_many_threads_call_one_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(workers=3)
    inputs = [noise(count) + count for count in range(1, 9)]
    wanted = [plan(x) for x in inputs]
    seen = Seen(plan, monkeypatch)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for got, y in zip(pool.map(plan, inputs * 20), wanted * 20, strict=True):
            np.testing.assert_array_equal(got, y)
    assert not seen.clashes
    assert len(plan._native._arenas) <= 3
    assert len(plan._native._spectra) <= 3


def test_tables_are_aligned_copies_in_the_order_of_their_names() -> None:
    code = plan_of()._native
    for pointer, name in zip(code._tables, sorted(dense.tables()), strict=True):
        table = dense.tables()[name]
        assert pointer % 64 == 0
        got = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_double)), (table.size,))
        np.testing.assert_array_equal(got, table.ravel())


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_working_bytes() -> None:
    assert plan_of(workers=3).working_bytes() == 3 * (SIGNAL + dense.BATCH * SIGNAL)


@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize(
    ("limit", "workers", "batch"),
    [(2, 1, 1), (3, 1, 2), (4, 2, 1), (5, 2, 1), (6, 3, 1), (8, 3, 1), (9, 3, 2), (15, 3, 4), (100, 3, 4)],
)
def test_a_limit_is_kept(limit: int, workers: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers before signals, each with as many as fit."""
    plan = plan_of(workers=3, memory_limit=limit * SIGNAL)
    assert (plan.workers, plan._native.memory.batch) == (workers, batch)
    assert plan.working_bytes() <= limit * SIGNAL
    seen = Seen(plan, monkeypatch)
    x = noise(40)
    assert_agrees(plan, x)
    assert max(n for _, n, _ in seen.calls) <= batch
    assert len({arena for _, _, arena in seen.calls}) <= workers


def test_a_limit_that_is_too_small_says_what_is_needed() -> None:
    text = (
        f"memory_limit={2 * SIGNAL - 1} bytes is too small: one signal and one path at a time on one worker need "
        f"{2 * SIGNAL} bytes; raise memory_limit, or select fewer paths"
    )
    with pytest.raises(CompileError, match=f"^{re.escape(text)}$"):
        plan_of(memory_limit=2 * SIGNAL - 1)


def test_memory_of_a_transform_that_needs_none() -> None:
    layout = Layout(itemsize=4, batch=7, spectrum_bytes=0, arena_bytes=0, branches=())
    memory = Memory.within(layout, 3, 1)
    assert (memory.workers, memory.batch, memory.bytes) == (3, 7, 0)


def test_a_library_of_another_interface_is_refused() -> None:
    with pytest.raises(AssertionError, match="version 2 of the interface, not 1"):
        plan_of(source=dense.text().replace("scatc_layout[] = {1,", "scatc_layout[] = {2,"))


# ---- copies, processes ----------------------------------------------------------------------------------------------


def test_pickled() -> None:
    plan = plan_of(workers=2)
    back = pickle.loads(pickle.dumps(plan))
    assert isinstance(back, CpuPlan)
    assert (back.workers, back.source()) == (2, plan.source())
    np.testing.assert_array_equal(back(noise(5)), plan(noise(5)))


def test_another_number_of_workers_runs_the_same_library() -> None:
    plan = plan_of(workers=2)
    other = plan.with_workers(5)
    assert (plan.workers, other.workers) == (2, 5)
    assert other._native._trunk is not None
    np.testing.assert_array_equal(other(noise(9)), plan(noise(9)))


@pytest.mark.usefixtures("shares_all")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_processes() -> None:
    plan, x = plan_of(workers=2), noise(9)
    wanted = plan(x)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=lambda: answers.put(plan(x)))
    process.start()
    np.testing.assert_array_equal(answers.get(timeout=60), wanted)
    process.join(60)
    assert process.exitcode == 0
    np.testing.assert_array_equal(plan(x), wanted)


def test_spawned_processes() -> None:
    plan, x = plan_of(workers=2), noise(9)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        np.testing.assert_array_equal(pool.submit(plan, x).result(timeout=60), plan(x))


def test_a_plan_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    made = dense.compiled(source=dense.text().replace("u[t] =", "u[t]  ="))  # not loaded yet
    monkeypatch.setenv("SCATC_CC", "nonesuch")
    with pytest.raises(TargetError, match=r"^target='cpu' needs a C compiler, and none works .SCATC_CC='nonesuch'"):
        CpuPlan(made)
    monkeypatch.delenv("SCATC_CC")
    assert_agrees(CpuPlan(made), noise(2))


# ---- what it tells, and its gradient --------------------------------------------------------------------------------


def test_assembler() -> None:
    plan = plan_of()
    assert "scatc_branch:" in plan.asm()
    assert plan.source() == dense.text()
    assert plan.source().startswith("#include")
    assert str(toolchain.find()).startswith(toolchain.find().command[0])


def test_gradients_are_emitted_whatever_the_text_of_the_transform() -> None:
    plan, x = plan_of(), noise(3)
    y, saved = plan.forward(x)
    assert_agrees(plan, x, y)
    g = signal("noise", y.shape, 1)
    gradient = plan.vjp(x, g, saved)
    assert gradient.shape == x.shape
    direction, step = signal("noise", x.shape, 2), 1e-6
    change = np.sum(g * (plan(x + step * direction) - plan(x - step * direction))) / (2 * step)
    assert np.sum(gradient * direction) == pytest.approx(change, rel=1e-6)
    np.testing.assert_allclose(plan.vjp(x, g), gradient, rtol=1e-9, atol=1e-12)
    assert plan.source("vjp").startswith("/* The gradient of")
    assert plan.working_bytes("vjp") > 0
    assert isinstance(plan._native, NativeCode)
    assert set(by_path(plan, y)) == set(plan.paths)
