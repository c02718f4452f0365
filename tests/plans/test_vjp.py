"""`plan.vjp` against the oracle of gradients: whatever is kept, however the work is cut up, wherever moduli are 0."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import Array, by_path, fresh
from frameworks_support import ALL_TRANSFORMS, KINDS, TRANSFORMS, signals_of
from gradients import arrays_of, assert_gradient, cotangents_like, expected_gradient, mapped, spread
from hypothesis import given, settings
from hypothesis import strategies as st
from native import ARRAY_TARGETS
from strategies import selections, signal, specs, without_roots

from scatc.codegen import find_target
from scatc.compiler import compile as compile_plan
from scatc.compiler import load
from scatc.ir.adjoint import MOST_KEPT, SAVES, storing
from scatc.ir.errors import CompileError
from scatc.ir.interpret import evaluate
from scatc.ir.options import Options
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.ir.values import infer
from scatc.runtime import code as code_module
from scatc.runtime import native
from scatc.runtime.driver import build
from scatc.runtime.numpy import NumpyPlan
from scatc.runtime.plan import Plan

DTYPES = st.sampled_from(["float64", "float32"])
EVERY_SAVE = pytest.mark.parametrize("save", SAVES)
EVERY_DTYPE = pytest.mark.parametrize("dtype", ["float64", "float32"])
EVERY_TARGET = pytest.mark.parametrize("target", ARRAY_TARGETS)
FEW = pytest.mark.parametrize("name", ["1d", "1d_none", "2d", "3d"])


@pytest.fixture
def shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share whatever is small, too."""
    for module in (code_module, native):
        monkeypatch.setattr(module, "SHORTEST_CALL", 0.0)


def noise(plan: Plan, *batch: int) -> Array:
    return signal("noise", (*batch, *plan.spec.input_shape), 1).astype(plan.dtype)


def assemble(spec: Spec, cache_bytes: int, **options: Any) -> NumpyPlan:
    """A plan for a machine of our choice."""
    target = find_target("numpy")
    machine = dataclasses.replace(target.machine("scipy"), cache_bytes=cache_bytes)
    return NumpyPlan(build(spec, target, Options(machine=machine, **options)))


# ---- compiled is what the oracle says -------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=20)
def test_any_small_spec(dim: int, data: st.DataObject) -> None:
    """Any selection, in chunks of any size, among any number of workers, whatever is kept."""
    spec = without_roots(data.draw(specs(dims=(dim,)).filter(lambda spec: bool(all_paths(spec)))))
    plan = assemble(
        spec,
        cache_bytes=data.draw(st.sampled_from([1, 1 << 10, 1 << 13, 1 << 20])),
        dtype=data.draw(DTYPES),
        select=data.draw(st.one_of(st.none(), selections(spec))),
        workers=data.draw(st.integers(1, 3)),
        save=data.draw(st.sampled_from([None, *SAVES])),
    )
    x = noise(plan, 3)
    y, saved = plan.forward(x)
    g = cotangents_like(y)
    assert_gradient(plan, x, g, plan.vjp(x, g), plan.vjp(x, g, saved))


@ALL_TRANSFORMS
@EVERY_DTYPE
@EVERY_TARGET
def test_every_kind_of_signal(spec: Spec, dtype: str, target: str) -> None:
    plan = fresh(spec, dtype=dtype, save="first_order", target=target)
    for kind in KINDS if spec.shape[0] < 500 else ("noise", "sparse"):
        x = signals_of(spec, kind).astype(dtype)
        y, saved = plan.forward(x)
        g = cotangents_like(y)
        assert_gradient(plan, x, g, plan.vjp(x, g), plan.vjp(x, g, saved))


@pytest.mark.parametrize("side", [2, 3, 5, 8, 17, 31, 33, 47, 64])
@pytest.mark.parametrize("padding", ["reflect", "zero", "periodic"])
@EVERY_TARGET
def test_every_side(side: int, padding: str, target: str) -> None:
    for spec in (
        Spec(dim=1, shape=side, J=1, padding=padding),
        Spec(dim=2, shape=(side // 2 + 1, 3), J=1, L=1, padding=padding),
    ):
        plan = fresh(spec, target=target)
        x = noise(plan, 2)
        g = cotangents_like(plan(x))
        assert_gradient(plan, x, g, plan.vjp(x, g))


@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=2, shape=(32, 40), J=4, L=2),
        Spec(dim=2, shape=(33, 31), J=4, L=1, padding="zero"),
        Spec(dim=2, shape=(32, 32), J=4, L=2, T="global", order=3),
    ],
    ids=str,
)
@EVERY_DTYPE
@EVERY_TARGET
def test_windows_of_many_aliases(spec: Spec, dtype: str, target: str) -> None:
    """Spectra far shorter than the window of their filters are repeated along it."""
    plan = fresh(spec, dtype=dtype, target=target)
    assert target == "cpu" or 'mode="wrap"' in plan.source("vjp")
    x = noise(plan, 2)
    g = cotangents_like(plan(x))
    assert_gradient(plan, x, g, plan.vjp(x, g))


@pytest.mark.parametrize("kind", ["impulse", "sparse", "chirp"])
@pytest.mark.parametrize("spec", [Spec(dim=1, shape=50, J=3, Q=2, order=1, T=0), Spec(dim=2, shape=(9, 8), J=2, T=0)])
@EVERY_DTYPE
@EVERY_TARGET
def test_where_moduli_are_not_zero_digits_are_kept(spec: Spec, kind: str, dtype: str, target: str) -> None:
    """Cotangents only of what lies far above rounding: there the phases of impulses, too, are known."""
    plan = fresh(spec, dtype=dtype, target=target)
    x = signals_of(spec, kind).astype(dtype)
    y = plan(x)
    high = {path: array > 1e-3 * float(np.abs(array).max()) for path, array in y.items()}
    g = {path: np.where(high[path] & (len(path) < 2), array, 0) for path, array in cotangents_like(y).items()}
    wanted = expected_gradient(plan, x, g)
    assert spread(plan, x, g, wanted) < 1e4 * np.finfo(dtype).eps * float(np.linalg.norm(wanted))
    assert_gradient(plan, x, g, plan.vjp(x, g))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=40, J=3, Q=2, order=1, T=0),
        Spec(dim=2, shape=(6, 7), J=1, L=2, order=1, T="global"),
        Spec(dim=3, shape=(3, 4, 5), J=0, L=1, order=1, integral_powers=(1.0, 1.5, 2.0)),
    ],
    ids=lambda spec: f"{spec.dim}D-{spec.average}",
)
@EVERY_TARGET
def test_of_convex_functions_it_is_a_subgradient(spec: Spec, kind: str, target: str) -> None:
    """`f(y) >= f(x) + <gradient, y - x>`, also where moduli are 0: sums of first-order moduli are convex."""
    plan = fresh(spec, dtype="float64", target=target)
    x = signals_of(spec, kind)[0]
    g = mapped(np.abs, cotangents_like(plan(x)))

    def value(z: Array) -> float:
        return sum(float(np.sum(a * b)) for a, b in zip(arrays_of(g), arrays_of(plan(z)), strict=True))

    gradient, at_x = plan.vjp(x, g), value(x)
    for seed in range(20):
        step = signal("noise", x.shape, 50 + seed) * 10.0 ** -(seed % 5)
        assert value(x + step) >= at_x + float(np.sum(gradient * step)) - 1e-12 * (1 + abs(at_x))


@given(data=st.data())
@settings(max_examples=15)
def test_it_is_the_transpose_of_the_derivative(data: st.DataObject) -> None:
    """`<g, J v> = <J^T g, v>`, with J v a difference of what the plan itself computes."""
    spec = without_roots(data.draw(specs(max_side=40).filter(lambda spec: bool(all_paths(spec)))))
    plan = fresh(spec, dtype="float64")
    x, v, step = noise(plan, 2), signal("noise", (2, *spec.input_shape), 2), 1e-6
    g = cotangents_like(plan(x))
    ahead, behind = (arrays_of(plan(x + sign * step * v)) for sign in (1, -1))
    slope = sum(float(np.sum(c * (a - b))) for c, a, b in zip(arrays_of(g), ahead, behind, strict=True)) / (2 * step)
    got = plan.vjp(x, g)
    assert np.sum(got * v) == pytest.approx(slope, abs=1e-4 * float(np.linalg.norm(got) * np.linalg.norm(v)) + 1e-8)


@pytest.mark.parametrize("kind", KINDS)
@EVERY_SAVE
@EVERY_TARGET
def test_roots_of_zero_have_no_slope(kind: str, save: str, target: str) -> None:
    """The derivative of a root is infinite next to 0, and counts as 0 there."""
    spec = Spec(dim=3, shape=(5, 4, 6), J=1, L=1, integral_powers=(0.5, 0.25, 1.5))
    plan = fresh(spec, save=save, target=target)
    x = signals_of(spec, kind).astype(np.float32)
    y, saved = plan.forward(x)
    gradient = plan.vjp(x, cotangents_like(y), saved)
    assert np.isfinite(gradient).all()
    assert gradient.any() == (kind != "zeros")


# ---- what is kept ---------------------------------------------------------------------------------------------------


@ALL_TRANSFORMS
@EVERY_SAVE
@EVERY_TARGET
def test_forward_gives_what_a_call_gives_and_what_vjp_wants(spec: Spec, save: str, target: str) -> None:
    plan = fresh(spec, dtype="float64", save=save, target=target)
    assert plan.save_mode == save
    x = noise(plan, 3)
    y, saved = plan.forward(x)
    for got, wanted in zip(arrays_of(y), arrays_of(plan(x)), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)
    assert [kept.shape for kept in saved] == [(3, *slot) for slot in plan.slots]
    assert all(kept.dtype == np.complex128 for kept in saved)
    assert (saved == []) == (save == "inputs" or spec.order == 0)
    g = cotangents_like(y)
    with_it, without = plan.vjp(x, g, saved), plan.vjp(x, g)
    np.testing.assert_allclose(with_it, without, atol=1e-12 * float(np.abs(without).max(initial=0)))


@pytest.mark.parametrize("name", ["1d", "1d_none", "1d_third_order", "2d", "2d_global"])
@pytest.mark.parametrize("save", ["first_order", "all"])
def test_kept_are_the_wavelet_coefficients(name: str, save: str) -> None:
    plan = fresh(TRANSFORMS[name], dtype="float64", save=save)
    x = noise(plan, 2)
    graph = storing(plan._program.graph, save)
    values = evaluate(graph, x)
    saved = plan.forward(x)[1]
    assert len(saved) == sum(name.startswith("K") for name in graph.nodes)
    for slot, kept in enumerate(saved):
        wanted = values[f"K{slot}"]
        np.testing.assert_allclose(kept.reshape(wanted.shape), wanted, atol=1e-13 * float(np.abs(wanted).max()))


@ALL_TRANSFORMS
def test_more_is_kept_by_name_and_by_default_within_bounds(spec: Spec) -> None:
    def kept(save: str | None) -> int:
        return sum(array.nbytes for array in fresh(spec, save=save).forward(x)[1])

    plan = fresh(spec)
    x = noise(plan, 2)
    assert 0 == kept("inputs") <= kept("first_order") <= kept("all")
    assert (kept("first_order") < kept("all")) == any(len(path) > 1 for path in plan.paths)
    assert plan.save_mode in SAVES
    assert kept(None) == kept(plan.save_mode)
    padded = max(math.prod(value.grid) for value in infer(plan._program.graph).values())
    assert kept(None) <= MOST_KEPT * len(x) * padded * 2 * plan.dtype.itemsize


@pytest.mark.parametrize("save", ["none", "x", "", 0, True, ("inputs",)])
def test_what_cannot_be_kept_is_refused(save: Any) -> None:
    text = f"save={save!r} is not possible with target='numpy': save must be 'inputs', 'first_order', 'all' or None"
    with pytest.raises(CompileError, match=f"^{re.escape(text)}$"):
        fresh(TRANSFORMS["1d"], save=save)


# ---- nothing is written to ------------------------------------------------------------------------------------------


@ALL_TRANSFORMS
@EVERY_SAVE
def test_arguments_are_only_read(spec: Spec, save: str) -> None:
    plan = fresh(spec, save=save)
    x = noise(plan, 3)
    y, saved = plan.forward(x)
    g = cotangents_like(y)
    arrays = [x, *arrays_of(g), *saved]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    first = plan.vjp(x, g, saved)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not np.shares_memory(array, first)
    np.testing.assert_array_equal(plan.vjp(x, g, saved), first)
    again = plan.vjp(x, g)
    np.testing.assert_array_equal(plan.vjp(x, g), again)
    np.testing.assert_array_equal(plan.forward(x)[1][-1] if saved else x, saved[-1] if saved else x)


# ---- however the work is cut up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1d", "1d_none", "2d", "2d_order_0", "3d"])
@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize(("workers", "cache_bytes"), [(1, 1), (2, 1 << 20), (3, 1 << 12), (4, 1)])
def test_workers_and_chunks_agree(name: str, workers: int, cache_bytes: int) -> None:
    spec, save = TRANSFORMS[name], list(SAVES)[workers % 3]
    whole = fresh(spec, dtype="float64", workers=1, save=save)
    cut = assemble(spec, cache_bytes, dtype="float64", workers=workers, save=save)
    for count in (1, 2, 7):  # by branches, by branches, by chunks
        x = noise(whole, count)
        y, kept = whole.forward(x)
        g = cotangents_like(y)
        saved = cut.forward(x)[1]
        for ours, theirs in zip(saved, kept, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-13 * float(np.abs(theirs).max()))
        wanted = whole.vjp(x, g, kept)
        for got in (cut.vjp(x, g, saved), cut.vjp(x, g)):
            np.testing.assert_allclose(got, wanted, atol=1e-13 * float(np.abs(wanted).max()))


@FEW
@pytest.mark.usefixtures("shares_all")
@EVERY_TARGET
def test_many_callers(name: str, target: str) -> None:
    """Their workers stand in one queue, and must not stand in one another's memory."""
    plan = fresh(TRANSFORMS[name], workers=4, save="first_order", target=target)
    calls = []
    for k in range(5):
        x = noise(plan, 1 + k) + np.float32(k)
        y, saved = plan.forward(x)
        calls.append((x, cotangents_like(y, k), saved))

    def both(call: Any) -> tuple[Array, Array]:
        return plan.vjp(*call), plan.vjp(*call[:2])

    wanted = [both(call) for call in calls]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for got, alone in zip(pool.map(both, calls * 6), wanted * 6, strict=True):
            # which worker adds up which branches is left to chance
            for a, b in zip(got, alone, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5 * float(np.abs(b).max()))


@FEW
@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("workers", [1, 4])
def test_what_a_branch_raises_reaches_the_caller(name: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = fresh(TRANSFORMS[name], workers=workers)
    x = noise(plan, 1)
    g = cotangents_like(plan(x))
    wanted = plan.vjp(x, g)
    module = plan._gradient.module

    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError("in a branch")

    for which in range(len(module.BRANCHES)):
        branches = list(module.BRANCHES)
        branches[which] = (fail, *branches[which][1:])
        with monkeypatch.context() as patch:
            patch.setattr(module, "BRANCHES", tuple(branches))
            with pytest.raises(ZeroDivisionError, match="in a branch"):
                plan.vjp(x, g)
        np.testing.assert_allclose(plan.vjp(x, g), wanted, atol=1e-5 * float(np.abs(wanted).max()))


# ---- where plans may be taken ---------------------------------------------------------------------------------------


@FEW
@pytest.mark.parametrize("save", [None, "all"])
@EVERY_TARGET
def test_other_ways_to_the_same_plan(name: str, save: str | None, tmp_path: Path, target: str) -> None:
    plan = fresh(TRANSFORMS[name], workers=2, save=save, target=target)
    x = noise(plan, 3)
    y, saved = plan.forward(x)
    g = cotangents_like(y)
    wanted = plan.vjp(x, g, saved)
    plan.save(tmp_path / "plan.scatc")
    for other in (pickle.loads(pickle.dumps(plan)), load(tmp_path / "plan.scatc"), plan.with_workers(1)):
        assert other.save_mode == plan.save_mode
        np.testing.assert_allclose(other.vjp(x, g, saved), wanted, atol=1e-5 * float(np.abs(wanted).max()))
        for part in ("forward", "vjp"):
            assert other.source(part) == plan.source(part) or other.workers != plan.workers


def test_plans_that_keep_something_else_are_other_plans() -> None:
    found = {save: compile_plan(TRANSFORMS["1d"], save=save) for save in SAVES}
    for save, plan in found.items():
        assert plan.save_mode == save
        assert compile_plan(TRANSFORMS["1d"], save=save) is plan
    assert len({id(plan) for plan in found.values()}) == len(SAVES)


# ---- what it tells --------------------------------------------------------------------------------------------------


@FEW
@EVERY_SAVE
def test_the_gradient_can_be_read_like_the_transform(name: str, save: str) -> None:
    plan = fresh(TRANSFORMS[name], save=save)
    assert plan.ir() == plan.ir("forward") != plan.ir("vjp")
    assert plan.ir("vjp").splitlines()[-1].startswith("gx_out = gradient ")
    assert plan.schedule() == plan.schedule("forward") != plan.schedule("vjp")
    assert plan.schedule("vjp").startswith("program batch=")
    assert plan.source() == plan.source("forward") != plan.source("vjp")
    assert plan.source("vjp").startswith(f'"""The gradient of {plan.spec.dim}D scattering')
    assert plan.working_bytes() == plan.working_bytes("forward")
    assert plan.working_bytes("vjp") > 0
    assert (" load " in plan.ir("vjp")) == (save != "inputs")
    for part in (plan.ir, plan.schedule, plan.source, plan.working_bytes):
        for of in ("backward", "", None, 1):
            text = f"of={of!r} is not possible: of must be 'forward' or 'vjp'"
            with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
                part(of)


@EVERY_TARGET
def test_paths_that_are_not_output_have_no_gradient(target: str) -> None:
    spec = TRANSFORMS["1d"]
    whole = fresh(spec, dtype="float64", target=target)
    chosen = whole.paths[2:7]
    plan = fresh(spec, dtype="float64", select=chosen, target=target)
    x = noise(whole, 2)
    g = cotangents_like(plan(x))
    widened = np.zeros_like(whole(x))
    widened[:, [whole.paths.index(path) for path in plan.paths]] = g
    np.testing.assert_allclose(plan.vjp(x, g), whole.vjp(x, widened), atol=1e-14)
    assert len(plan.ir("vjp").splitlines()) < len(whole.ir("vjp").splitlines())
    assert set(by_path(plan, g)) == set(chosen)
