"""Gradients in C: on any small transform what the oracle says, however work is shared; `test_vjp.py` has the rest."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
from compiled import Array, fresh
from frameworks_support import ALL_TRANSFORMS, TRANSFORMS
from gradients import arrays_of, assert_gradient, cotangents_like, mapped
from hypothesis import given, settings
from hypothesis import strategies as st
from native import needs_compiler
from strategies import selections, signal, specs, without_roots

from scatc.ir.errors import CompileError
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.runtime import native
from scatc.runtime.cpu import CpuPlan
from scatc.runtime.native import Memory
from scatc.runtime.native_gradient import NativeGradient

pytestmark = needs_compiler

FEW = pytest.mark.parametrize("name", ["1d", "1d_none", "2d", "3d"])


def plan_of(spec: Spec, **options: Any) -> CpuPlan:
    plan = fresh(spec, target="cpu", **options)
    assert isinstance(plan, CpuPlan)
    return plan


def noise(plan: CpuPlan, *batch: int) -> Array:
    return signal("noise", (*batch, *plan.spec.input_shape), 1).astype(plan.dtype)


def code_of(plan: CpuPlan) -> NativeGradient:
    assert isinstance(plan._gradient, NativeGradient)
    return plan._gradient


@pytest.fixture
def shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share whatever is small, too."""
    monkeypatch.setattr(native, "SHORTEST_CALL", 0.0)


# ---- what it computes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=12)  # a compiler takes its time
def test_any_small_spec(dim: int, data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs(dims=(dim,)).filter(lambda spec: bool(all_paths(spec)))))
    plan = plan_of(
        spec,
        dtype=data.draw(st.sampled_from(["float64", "float32"])),
        select=data.draw(st.one_of(st.none(), selections(spec))),
        workers=data.draw(st.integers(1, 3)),
    )
    x = noise(plan, 3)
    g = cotangents_like(plan(x))
    assert_gradient(plan, x, g, plan.vjp(x, g))


@ALL_TRANSFORMS
def test_it_is_that_of_the_plan_for_numpy(spec: Spec) -> None:
    """In float64, where two programs can only differ by rounding."""
    plan, other = plan_of(spec, dtype="float64"), fresh(spec, dtype="float64")
    for count in (1, 2, 5):
        x = noise(plan, count)
        g = cotangents_like(other(x))
        wanted = other.vjp(x, g)
        assert np.linalg.norm(plan.vjp(x, g) - wanted) <= 1e-12 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=4096, J=6, Q=8),
        Spec(dim=1, shape=3000, J=5, Q=3, order=3),
        Spec(dim=1, shape=1000, J=4, T=0),
        Spec(dim=1, shape=2048, J=5, stride=4),
        Spec(dim=2, shape=(66, 41), J=3, L=3),
        Spec(dim=2, shape=(37, 64), J=2, L=2, stride=1),
        Spec(dim=3, shape=(18, 15, 21), J=1, L=2, integral_powers=(0.75, 1.0, 3.0)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes_beyond_a_vector(spec: Spec, dtype: str) -> None:
    plan = plan_of(spec, dtype=dtype)
    x = noise(plan, 3)
    g = cotangents_like(plan(x))
    wanted = fresh(spec, dtype="float64").vjp(x, g)
    error = np.linalg.norm(plan.vjp(x, g) - wanted)
    assert error <= (1e-5 if dtype == "float32" else 1e-12) * np.linalg.norm(wanted)


# ---- who does what --------------------------------------------------------------------------------------------------


class Seen:
    """What reached the C code, and with which memory: no two threads may have the same arena, or add to one total."""

    def __init__(self, plan: CpuPlan, monkeypatch: pytest.MonkeyPatch) -> None:
        code = code_of(plan)
        self.calls: list[tuple[str, int]] = []
        self.clashes: list[int] = []
        self.busy: set[int] = set()
        self.lock = threading.Lock()
        for name, n, memory in (("_trunk", 0, (4, 5)), ("_branch_t", 1, (5, 6)), ("_rest", 0, (1, 5))):
            monkeypatch.setattr(code, name, self.wrap(name, getattr(code, name), n, memory))

    def wrap(self, name: str, function: Any, n: int, memory: tuple[int, ...]) -> Any:
        def run(*arguments: Any) -> None:
            taken = [arguments[k] for k in memory]
            assert all(address % 64 == 0 for address in taken)
            with self.lock:
                self.calls.append((name, arguments[n]))
                self.clashes += self.busy.intersection(taken)
                self.busy.update(taken)
            function(*arguments)
            with self.lock:
                self.busy.difference_update(taken)

        return run


@FEW
@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_any_batch_on_any_number_of_workers(name: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(TRANSFORMS[name], dtype="float64", workers=workers)
    whole = plan.with_workers(1)
    for count in (0, 1, 2, 3, 5, 9, 23, 70):
        x = noise(plan, count)
        g = cotangents_like(plan(x))
        wanted = whole.vjp(x, g)
        with monkeypatch.context() as patch:
            seen = Seen(plan, patch)
            np.testing.assert_allclose(plan.vjp(x, g), wanted, atol=1e-13 * float(np.abs(wanted).max(initial=1)))
        assert not seen.clashes
        for part in ("_trunk", "_rest"):
            assert sum(n for name, n in seen.calls if name == part) == count


@FEW
@pytest.mark.usefixtures("shares_all")
def test_many_threads_call_one_plan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(TRANSFORMS[name], workers=3)
    calls = [(x := noise(plan, count) + np.float32(count), cotangents_like(plan(x), count)) for count in range(1, 6)]
    wanted = [plan.vjp(*call) for call in calls]
    seen = Seen(plan, monkeypatch)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for got, gradient in zip(pool.map(lambda call: plan.vjp(*call), calls * 10), wanted * 10, strict=True):
            # which worker adds up which branches is left to chance
            np.testing.assert_allclose(got, gradient, atol=1e-5 * float(np.abs(gradient).max()))
    assert not seen.clashes
    code = code_of(plan)
    assert max(len(code._arenas), len(code._spectra), len(code._totals)) <= 3


@FEW
def test_sparse_cotangents(name: str) -> None:
    """Where few coefficients matter, what others leave behind in memory must not."""
    plan = plan_of(TRANSFORMS[name], dtype="float64")
    other = fresh(plan.spec, dtype="float64")
    x = noise(plan, 3)
    full = cotangents_like(plan(x))
    plan.vjp(1e3 * x, full)
    for place in range(len(arrays_of(full))):
        g = mapped(np.zeros_like, full)
        arrays_of(g)[place][1].flat[-1] = 1.0
        np.testing.assert_allclose(plan.vjp(x, g), other.vjp(x, g), atol=1e-13)


# ---- memory ---------------------------------------------------------------------------------------------------------


@FEW
def test_working_bytes(name: str) -> None:
    plan = plan_of(TRANSFORMS[name], workers=3)
    layout, memory = code_of(plan).layout, code_of(plan).memory
    assert plan.working_bytes("vjp") == 3 * (layout.arena_bytes + 2 * memory.batch * layout.spectrum_bytes)
    sizes = f"arena={layout.arena_bytes} spectrum={2 * layout.spectrum_bytes}"
    assert plan.schedule("vjp").startswith(f"program batch={memory.batch} workers=3 {sizes}\n")


@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("name", ["1d", "2d", "3d"])
def test_a_limit_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TRANSFORMS[name]
    plan = plan_of(spec)
    layout = code_of(plan).layout
    one = layout.arena_bytes + 2 * layout.spectrum_bytes
    least = Memory(plan._native.layout, 1, 1).bytes  # what the transform needs
    for asked, workers in ((one, 1), (2 * one, 2), (3 * one + 6 * layout.spectrum_bytes, 3)):
        limit = max(asked, least)
        plan = plan_of(spec, workers=3, memory_limit=limit)
        memory = code_of(plan).memory
        assert memory.workers >= workers
        assert plan.working_bytes("vjp") <= limit
        x = noise(plan, 7)
        g = cotangents_like(plan(x))
        with monkeypatch.context() as patch:
            seen = Seen(plan, patch)
            assert_gradient(plan, x, g, plan.vjp(x, g))
        assert max(n for _, n in seen.calls) <= memory.batch


@FEW
def test_a_limit_that_is_too_small_says_what_is_needed(name: str) -> None:
    code = code_of(plan_of(TRANSFORMS[name]))
    one = code.layout.arena_bytes + 2 * code.layout.spectrum_bytes
    code._options = dataclasses.replace(code._options, memory_limit=one)
    assert code._within().bytes == one
    code._options = dataclasses.replace(code._options, memory_limit=one - 1)
    text = (
        f"memory_limit={one - 1} bytes is too small for the gradient: one signal and one path at a time on one worker "
        f"need {one} bytes; raise memory_limit, or select fewer paths"
    )
    with pytest.raises(CompileError, match=f"^{re.escape(text)}$"):
        code._within()


@pytest.mark.parametrize(
    "spec", [Spec(dim=1, shape=2**14, J=8, Q=8), Spec(dim=2, shape=(128, 128), J=2, L=8)], ids=["1d", "2d"]
)
def test_a_first_call_allocates_what_is_said(spec: Spec) -> None:
    plan = plan_of(spec, workers=1)
    x = noise(plan, 2)
    g = cotangents_like(plan(x))
    code_of(plan)
    tracemalloc.start()
    gradient = plan.vjp(x, g)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most <= plan.working_bytes("vjp") + gradient.nbytes + 100_000
    kept = fresh(spec, workers=1, save="all").forward(x)[1]
    assert code_of(plan).layout.arena_bytes < sum(array.nbytes for array in kept)


# ---- what it tells --------------------------------------------------------------------------------------------------


@ALL_TRANSFORMS
def test_the_source_names_every_node(spec: Spec) -> None:
    plan = plan_of(spec)
    source = plan.source("vjp")
    assert source.startswith(f"/* The gradient of {spec.dim}D scattering")
    assert plan_of(spec).source("vjp") == source
    for name in ("scatc_layout", "scatc_trunk", "scatc_branch_t", "scatc_rest"):
        assert len(re.findall(rf"^\S.*\b{name}\b", source, re.MULTILINE)) == 1
    lines = [line.partition("#")[0].strip() for line in plan.ir("vjp").splitlines()[1:]]
    computed = [line for line in lines if re.search(r" = (fold|modulus|fold_t|modulus_t|lowpass_t|cotangent) ", line)]
    assert [line for line in computed if line not in source] == []


def test_what_is_kept_by_name_is_kept_by_the_plan_for_numpy() -> None:
    spec = TRANSFORMS["1d"]
    plan = plan_of(spec, save="first_order", dtype="float64")
    x = noise(plan, 3)
    y, saved = plan.forward(x)
    assert saved
    assert plan.source("vjp").startswith('"""')
    g = cotangents_like(y)
    np.testing.assert_allclose(plan.vjp(x, g, saved), plan.vjp(x, g), rtol=1e-9, atol=1e-12)
    assert isinstance(code_of(plan), NativeGradient)
    assert plan_of(spec).save_mode == "inputs"
