"""Plans for JAX: their numbers, what JAX may do with them, and what they refuse."""

from __future__ import annotations

import gc
import json
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_agrees, expected, fresh, golden_spec
from frameworks_support import (
    ALL_TRANSFORMS,
    BATCHES,
    GOLDEN,
    KINDS,
    as_arrays,
    assert_golden,
    assert_nan_stays,
    signals_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import signals, specs, without_roots
from support import GoldenCase, python

import scatc
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec

jax = pytest.importorskip("jax")
export = pytest.importorskip("jax.export")
jnp = jax.numpy

SPEC = Spec(dim=1, shape=40, J=3)
X = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)


@pytest.fixture
def x64() -> Iterator[None]:
    """JAX in 64 bits, for one test; XLA compiles as fast as it can: what it could do better is seen in 32 bits."""
    for option in ("jax_enable_x64", "jax_disable_most_optimizations"):
        jax.config.update(option, True)
    yield
    for option in ("jax_enable_x64", "jax_disable_most_optimizations"):
        jax.config.update(option, False)


def plan_of(spec: Spec, **options: Any) -> Any:
    """A plan, out of the cache where a test before had it: what JAX compiled for it is used again."""
    return scatc.compile(spec, target="jax", **options)


@GOLDEN
def test_golden_float32(case: GoldenCase) -> None:
    plan = plan_of(golden_spec(case))
    assert_golden(plan, case, plan(case.x))


@GOLDEN
def test_golden_float64(case: GoldenCase, x64: None) -> None:
    plan = plan_of(golden_spec(case), dtype="float64")
    assert_golden(plan, case, plan(case.x))


@ALL_TRANSFORMS
def test_the_interpreter_and_numpy_say_the_same(spec: Spec) -> None:
    plan, on_numpy = plan_of(spec), fresh(spec)
    for kind in KINDS:
        x = signals_of(spec, kind).astype(np.float32)
        y = as_arrays(plan(x))
        assert_agrees(plan, x, y)
        if kind == "noise":
            for one, other in zip(jax.tree.leaves(on_numpy(x)), jax.tree.leaves(y), strict=True):
                assert np.linalg.norm(one - other) <= 1e-6 * np.linalg.norm(one)


@ALL_TRANSFORMS
def test_the_interpreter_says_the_same_in_float64(spec: Spec, x64: None) -> None:
    plan = plan_of(spec, dtype="float64")
    for kind in KINDS:
        x = signals_of(spec, kind)
        assert_agrees(plan, x, as_arrays(plan(x)))


@given(st.data())
@settings(max_examples=12)
def test_any_spec(data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs(max_side=48).filter(lambda spec: bool(all_paths(spec)))))
    plan = fresh(spec, target="jax")
    x = data.draw(signals((2, *spec.input_shape)))
    assert_agrees(plan, x, as_arrays(plan(x)))


@pytest.mark.parametrize("factor", [1e36, 1e-25])
@pytest.mark.parametrize(
    "spec",
    [SPEC, Spec(dim=2, shape=(9, 8), J=2, L=2), Spec(dim=3, shape=(6, 5, 4), J=1, L=1, integral_powers=(0.5, 1))],
)
def test_loud_and_faint_signals(spec: Spec, factor: float) -> None:
    """Squares of such numbers are out of the range of float32."""
    plan = plan_of(spec)
    x = signals_of(spec, "noise").astype(np.float32) * np.float32(factor)
    got, wanted = as_arrays(plan(x)), expected(plan, x)
    for row, path in enumerate(plan.paths):
        powers = wanted[path].shape[-1] if spec.dim == 3 else 1  # each on its own, for they differ by many decades
        for one, other in zip(got[:, row].reshape(-1, powers).T, wanted[path].reshape(-1, powers).T, strict=True):
            assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def test_a_volume_with_nan_has_no_coefficients() -> None:
    assert_nan_stays(plan_of)


def test_loud_volumes_do_not_change_others() -> None:
    spec = Spec(dim=3, shape=(6, 5, 4), J=1, L=1, integral_powers=(0.5, 1))
    plan = plan_of(spec)
    x = signals_of(spec, "noise", 3).astype(np.float32)
    mixed = np.stack([x[0], x[1] * np.float32(1e25), x[2]])
    np.testing.assert_allclose(plan(mixed)[::2], plan(x)[::2], rtol=1e-6)


@BATCHES
@pytest.mark.parametrize("spec", [SPEC, Spec(dim=1, shape=64, J=3, T=0), Spec(dim=3, shape=(4, 4, 4), J=1, L=1)])
def test_any_batch(spec: Spec, batch: tuple[int, ...]) -> None:
    plan = plan_of(spec)
    x = np.random.default_rng(0).standard_normal((*batch, *spec.input_shape))
    y = plan(x)
    if spec.average != "none":
        assert y.shape[: len(batch)] == batch
        assert y.shape[len(batch)] == len(plan.paths)
    else:
        assert list(y) == list(plan.paths)
        assert all(array.shape[:-1] == batch for array in y.values())
    if x.size:
        assert_agrees(plan, x, as_arrays(y))


def test_input_types() -> None:
    plan = plan_of(SPEC)
    wanted = plan(X)
    assert isinstance(wanted, jax.Array)
    for x in (jnp.asarray(X), X.astype(np.float64), np.asfortranarray(X), X.tolist()):
        y = plan(x)
        assert (y.dtype, isinstance(y, jax.Array)) == (np.float32, True)
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plan(np.ones(40, np.int16)), plan(np.ones(40)))
    assert plan(jnp.asarray(X, jnp.bfloat16)).dtype == np.float32


def test_refusals() -> None:
    plan = plan_of(SPEC)
    with pytest.raises(TypeError, match=r"x is complex \(complex64\)"):
        plan(X.astype(np.complex64))
    with pytest.raises(TypeError, match="it must be an array of real numbers"):
        plan(np.array(["a"] * 40))
    with pytest.raises(ValueError, match=r"x has shape \(3, 39\): it must end with \(40,\)"):
        plan(X[:, 1:])
    with pytest.raises(TargetError, match=r"jax.config.update\('jax_enable_x64', True\)"):
        plan_of(SPEC, dtype="float64")(X)
    with pytest.raises(CompileError, match="memory_limit=1000 is not possible with target='jax'"):
        plan_of(SPEC, memory_limit=1000)
    with pytest.raises(CompileError, match="workers=2 is not possible with target='jax'"):
        plan_of(SPEC, workers=2)


def test_float64_needs_x64_only_while_it_is_called(x64: None) -> None:
    plan = plan_of(SPEC, dtype="float64")
    y = plan(X)
    assert y.dtype == np.float64
    assert plan_of(SPEC)(X.astype(np.float64)).dtype == np.float32


def test_transformations() -> None:
    plan = plan_of(SPEC)
    y = plan(X)
    np.testing.assert_allclose(jax.jit(plan)(X), y, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(plan)(X), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.vmap(plan))(X[None, :, None])[0, :, 0], y, rtol=1e-5, atol=1e-6)
    with jax.disable_jit():
        np.testing.assert_allclose(plan(X[0]), y[0], rtol=1e-5, atol=1e-6)
    dict_plan = plan_of(Spec(dim=1, shape=40, J=2, T=0))
    mapped = jax.jit(jax.vmap(dict_plan))(X)
    for path, array in dict_plan(X).items():
        np.testing.assert_allclose(mapped[path], array, rtol=1e-5, atol=1e-6)


def test_selected_paths() -> None:
    chosen = [all_paths(SPEC)[-1], all_paths(SPEC)[3]]
    plan = plan_of(SPEC, select=chosen)
    assert plan.paths == tuple(sorted(chosen, key=lambda path: (len(path), path)))
    assert_agrees(plan, X, as_arrays(plan(X)))


@pytest.mark.parametrize("spec", [SPEC, Spec(dim=3, shape=(4, 5, 4), J=0, L=1)])
def test_export_with_any_batch(spec: Spec) -> None:
    """Exported once, a transform runs on any number of signals, where there is no scatc; gradients go along."""
    plan = plan_of(spec)
    (n,) = export.symbolic_shape("n")
    x = jax.ShapeDtypeStruct((n, *spec.input_shape), np.float32)
    back = export.deserialize(export.export(jax.jit(plan))(x).serialize(vjp_order=1))
    for count in (1, 5):
        signals = signals_of(spec, "noise", count).astype(np.float32)
        np.testing.assert_allclose(back.call(signals), plan(signals), rtol=1e-5, atol=1e-6)
    total = lambda f: jax.grad(lambda x: jnp.sum(f(x) ** 2))  # noqa: E731
    np.testing.assert_allclose(total(back.call)(signals), total(plan)(signals), rtol=1e-4, atol=1e-5)


def test_export_of_unaveraged_paths_and_two_batch_axes() -> None:
    plan = plan_of(Spec(dim=1, shape=40, J=3, T=0))
    shape = export.symbolic_shape("a, b, 40")
    exported = export.export(jax.jit(plan))(jax.ShapeDtypeStruct(shape, np.float32))
    x = X[None, :2]
    got, wanted = exported.call(x), plan(x)
    for path in plan.paths:
        np.testing.assert_allclose(got[path], wanted[path], rtol=1e-5, atol=1e-6)


def test_filters_are_small_in_the_program() -> None:
    """A number takes 8 characters of the text; filters that were complex, or matrices of phi, would double it."""
    plan = plan_of(Spec(dim=1, shape=8192, J=8, Q=8))
    assert len(jax.jit(plan).lower(np.zeros((2, 8192), np.float32)).as_text()) < 1.25e6


def test_matrix_products_keep_single_precision() -> None:
    """By default an accelerator may round factors to ten bits."""
    plan = plan_of(SPEC)
    for f in (plan, jax.grad(lambda x: jnp.sum(plan(x)))):
        products = [line for line in jax.jit(f).lower(X).as_text().splitlines() if "dot_general" in line]
        assert products
        assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


def test_a_backward_pass_keeps_nothing_of_a_branch() -> None:
    plan = plan_of(SPEC)
    _, pullback = jax.vjp(plan, X)
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(pullback))
    tables = sum(table.nbytes for table in plan._compiled.tables.values())
    padded = 3 * SPEC.padded_shape[0] * 8  # the spectrum of three signals
    assert kept <= tables + 3 * padded


def test_copies_and_files(tmp_path: Path) -> None:
    plan = plan_of(SPEC)
    plan.save(tmp_path / "plan")
    for back in (pickle.loads(pickle.dumps(plan)), scatc.load(tmp_path / "plan")):
        assert (type(back), back.target, back.source(), back.paths) == (type(plan), "jax", plan.source(), plan.paths)
        np.testing.assert_array_equal(back(X), plan(X))
    assert scatc.compile(SPEC, "jax") is scatc.compile(SPEC, "jax")
    assert "memory    the framework's" in plan.report()
    assert "worker(s)" not in plan.report()


def test_forgotten_plans_leave_nothing_behind() -> None:
    plan = fresh(SPEC, target="jax")
    jax.vjp(plan, X)
    module = weakref.ref(plan._module)
    del plan
    gc.collect()
    assert module() is None


def test_no_other_framework_is_imported(tmp_path: Path) -> None:
    code = """
import json, sys, numpy as np, scatc.jax
scatc.jax.Scattering1D(2, 32)(np.zeros(32))
print(json.dumps([m for m in ("torch", "tensorflow", "keras", "sklearn", "matplotlib") if m in sys.modules]))
"""
    assert json.loads(python("-c", code, cwd=tmp_path)) == []


def test_without_jax(tmp_path: Path) -> None:
    code = """
import sys; sys.modules["jax"] = None
import scatc
try: scatc.compile(scatc.Spec(dim=1, shape=32, J=2), target="jax", cache=False)
except scatc.TargetError as error: print(error)
try: scatc.Scattering1D(2, 32, frontend="jax")
except ImportError as error: print(error)
"""
    lines = python("-c", code, cwd=tmp_path).splitlines()
    assert lines[0] == "target='jax' needs jax, which is not installed: pip install 'scatc[jax]'"
    assert lines[1].startswith("frontend='jax' needs jax, which is not installed")
