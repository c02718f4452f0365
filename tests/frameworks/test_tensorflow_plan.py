"""Plans for TensorFlow: their numbers, what TensorFlow may do with them, and what they refuse."""

from __future__ import annotations

import json
import pickle
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import signals, specs, without_roots
from support import GoldenCase, python

import scatc
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec

tf = pytest.importorskip("tensorflow")

SPEC = Spec(dim=1, shape=40, J=3)
X = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
THREE = [
    SPEC,
    Spec(dim=2, shape=(9, 8), J=2, L=2),
    Spec(dim=3, shape=(6, 5, 4), J=1, L=1, integral_powers=(0.5, 1)),
]


def plan_of(spec: Spec, **options: Any) -> Any:
    """A plan, out of the cache where a test before had it: its graph is used again."""
    return scatc.compile(spec, target="tensorflow", **options)


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Functions run line by line: of code that runs once, that is quicker than to trace it."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """In single precision as a graph, in double precision eagerly: what is emitted runs both ways."""
    if request.param == "float64":
        request.getfixturevalue("eagerly")
    return str(request.param)


@GOLDEN
def test_golden(case: GoldenCase, dtype: str) -> None:
    plan = plan_of(golden_spec(case), dtype=dtype)
    assert_golden(plan, case, plan(case.x))


@ALL_TRANSFORMS
def test_the_interpreter_says_the_same(spec: Spec, dtype: str) -> None:
    plan = plan_of(spec, dtype=dtype)
    for kind in KINDS:
        x = signals_of(spec, kind)
        assert_agrees(plan, x, as_arrays(plan(x)))


@ALL_TRANSFORMS
def test_float32_plans_agree_with_those_for_numpy(spec: Spec) -> None:
    x = signals_of(spec, "noise").astype(np.float32)
    on_numpy, on_tensorflow = (plan(x) for plan in (fresh(spec), plan_of(spec)))
    for one, other in zip(tf.nest.flatten(list_of(on_numpy)), list_of(on_tensorflow), strict=True):
        assert np.linalg.norm(one - other) <= 1e-6 * np.linalg.norm(one)


def list_of(y: Any) -> list[Any]:
    """The coefficients as a list of arrays."""
    return list(y.values()) if isinstance(y, dict) else [y]


@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_spec(data: st.DataObject, eagerly: None) -> None:
    spec = without_roots(data.draw(specs(max_side=48).filter(lambda spec: bool(all_paths(spec)))))
    plan = fresh(spec, target="tensorflow")
    x = data.draw(signals((2, *spec.input_shape)))
    assert_agrees(plan, x, as_arrays(plan(x)))


@pytest.mark.parametrize("factor", [1e25, 1e-25])
@pytest.mark.parametrize("spec", THREE, ids=["1d", "2d", "3d"])
def test_loud_and_faint_signals(spec: Spec, factor: float) -> None:
    """Squares of such numbers are out of the range of float32."""
    plan = plan_of(spec)
    x = signals_of(spec, "noise").astype(np.float32)
    mixed = np.stack([x[0], x[1] * np.float32(factor)])
    got, wanted = as_arrays(plan(mixed)), expected(plan, mixed)
    np.testing.assert_allclose(got[0], plan(x)[0], rtol=1e-5, atol=1e-6)
    for row, path in enumerate(plan.paths):
        powers = wanted[path].shape[-1] if spec.dim == 3 else 1  # each on its own, for they differ by many decades
        one, other = (y.reshape(-1, powers).T for y in (got[1, row], wanted[path][1]))
        assert (np.abs(one - other).max(1) <= 1e-5 * np.abs(other).max(1)).all()


def test_a_volume_with_nan_has_no_coefficients() -> None:
    assert_nan_stays(plan_of)


@BATCHES
@pytest.mark.parametrize("spec", [SPEC, Spec(dim=1, shape=64, J=3, T=0), Spec(dim=3, shape=(4, 4, 4), J=1, L=1)])
def test_any_batch(spec: Spec, batch: tuple[int, ...]) -> None:
    plan = plan_of(spec)
    x = np.random.default_rng(0).standard_normal((*batch, *spec.input_shape))
    y = plan(x)
    if spec.average != "none":
        assert tuple(y.shape[: len(batch) + 1]) == (*batch, len(plan.paths))
    else:
        assert list(y) == list(plan.paths)
        assert all(tuple(tensor.shape[:-1]) == batch for tensor in y.values())
    if x.size:
        assert_agrees(plan, x, as_arrays(y))


def test_the_graph_is_traced_once() -> None:
    plan = fresh(SPEC, target="tensorflow")
    for shape in ((40,), (1, 40), (7, 40), (0, 40), (2, 3, 40)):
        for dtype in (np.float32, np.float64, np.int16):
            plan(np.ones(shape, dtype))
    assert plan._run.experimental_get_tracing_count() == 1
    outer = tf.function(plan, reduce_retracing=True)
    for n in range(1, 9):
        outer(tf.ones((n, 40)))
    assert outer.experimental_get_tracing_count() == 2
    assert plan._run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("spec", [*THREE, Spec(dim=1, shape=64, J=3, T=0)], ids=["1d", "2d", "3d", "1d_none"])
def test_xla(spec: Spec) -> None:
    plan = plan_of(spec)
    x = signals_of(spec, "noise").astype(np.float32)
    for one, other in zip(list_of(plan(x)), list_of(tf.function(plan, jit_compile=True)(x)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_sizes_that_are_not_known_yet() -> None:
    plan = plan_of(SPEC)
    y = plan(X)
    for shape in ((None, 40), (None, None, 40), (None, None), None):
        traced = tf.function(plan, input_signature=[tf.TensorSpec(shape)])
        x = X[None] if shape == (None, None, 40) else X
        np.testing.assert_array_equal(traced(x), y[None] if x.ndim == 3 else y)
        static = traced.get_concrete_function().structured_outputs.shape
        assert static.rank is None if shape is None else list(static)[-2:] == list(y.shape[-2:])
        if shape is None or shape[-1] is None:
            with pytest.raises(tf.errors.InvalidArgumentError):
                traced(X[:, 1:])


def test_input_types() -> None:
    plan = plan_of(SPEC)
    wanted = plan(X)
    assert isinstance(wanted, tf.Tensor)
    torch = pytest.importorskip("torch")
    for x in (tf.constant(X), tf.Variable(X), X.astype(np.float64), np.asfortranarray(X), X.tolist(), torch.tensor(X)):
        y = plan(x)
        assert (y.dtype, isinstance(y, tf.Tensor)) == (tf.float32, True)
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plan(np.ones(40, np.int16)), plan(np.ones(40, bool)))
    assert plan(tf.cast(X, tf.bfloat16)).dtype == tf.float32
    assert plan_of(SPEC, dtype="float64")(X).dtype == tf.float64


def test_refusals() -> None:
    plan = plan_of(SPEC)
    with pytest.raises(TypeError, match=r"x is complex \(complex64\)"):
        plan(X.astype(np.complex64))
    for x in (np.array(["a"] * 40), np.array([None] * 40), tf.constant(["a"] * 40)):
        with pytest.raises(TypeError, match="it must be a tensor of real numbers"):
            plan(x)
    with pytest.raises(ValueError, match=r"x has shape \(3, 39\): it must end with \(40,\)"):
        plan(X[:, 1:])
    with pytest.raises(ValueError, match=r"x has shape \(\): it must end with \(40,\)"):
        plan(1.0)
    with pytest.raises(CompileError, match="memory_limit=1000 is not possible with target='tensorflow'"):
        plan_of(SPEC, memory_limit=1000)
    with pytest.raises(CompileError, match="workers=2 is not possible with target='tensorflow'"):
        plan_of(SPEC, workers=2)


def test_selected_paths() -> None:
    chosen = [all_paths(SPEC)[-1], all_paths(SPEC)[3]]
    plan = plan_of(SPEC, select=chosen)
    assert plan.paths == tuple(sorted(chosen, key=lambda path: (len(path), path)))
    assert_agrees(plan, X, as_arrays(plan(X)))


def test_products_on_gpus_that_would_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were such a GPU: matrices are then multiplied in double precision, and the result is the same."""
    plain = plan_of(SPEC)(X)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["one"])
    plan = fresh(SPEC, target="tensorflow")
    y = plan(X)
    np.testing.assert_allclose(y, plain, rtol=1e-5, atol=1e-6)
    ops = plan._run.get_concrete_function().graph.get_operations()
    assert {op.outputs[0].dtype for op in ops if op.type == "MatMul"} == {tf.float64}


def test_plans_are_saved_loaded_and_printed(tmp_path: Path) -> None:
    plan = fresh(SPEC, target="tensorflow")
    plan.save(tmp_path / "plan")
    for other in (scatc.load(tmp_path / "plan"), pickle.loads(pickle.dumps(plan))):
        assert other.source() == plan.source()
        np.testing.assert_array_equal(other(X), plan(X))
    for text in (plan.report(), plan.draw(), repr(plan)):
        assert text
    assert plan.schedule().startswith("program  # the whole batch at once")
    for read in (plan.ir, plan.schedule, plan.source):
        with pytest.raises(TargetError, match="of='vjp' is not possible with target='tensorflow'"):
            read("vjp")
        with pytest.raises(ValueError, match="of='both' is not possible"):
            read("both")
    assert "import tensorflow as tf" in plan.source()


def test_a_plan_may_be_made_while_a_graph_is_traced() -> None:
    made: list[Any] = []

    @tf.function(autograph=False)
    def traced(x: Any) -> Any:
        made.append(fresh(SPEC, target="tensorflow"))
        return made[0](x)

    np.testing.assert_allclose(traced(tf.constant(X)), made[0](X), rtol=1e-6)


def test_nothing_is_imported_that_tensorflow_does_not_import(tmp_path: Path) -> None:
    """TensorFlow imports keras, and keras and TensorFlow Lite import what they find; we add nothing to that."""
    code = """
import json, sys
frameworks = ("torch", "jax", "keras", "sklearn", "matplotlib")
loaded = lambda: [m for m in frameworks if m in sys.modules]
import numpy as np, tensorflow
before = loaded()
import scatc.tensorflow
scatc.tensorflow.Scattering1D(2, 32)(np.zeros(32, "float32"))
print(json.dumps([before, loaded()]))
"""
    before, after = json.loads(python("-c", code, cwd=tmp_path))
    assert before == after


def test_without_tensorflow(tmp_path: Path) -> None:
    code = """
import sys; sys.modules["tensorflow"] = None
import scatc
try: scatc.compile(scatc.Spec(dim=1, shape=32, J=2), target="tensorflow", cache=False)
except scatc.TargetError as error: print(error)
try: scatc.Scattering1D(2, 32, frontend="tensorflow")
except ImportError as error: print(error)
"""
    lines = python("-c", code, cwd=tmp_path).splitlines()
    assert lines[0] == "target='tensorflow' needs tensorflow, which is not installed: pip install 'scatc[tensorflow]'"
    assert lines[1].startswith("frontend='tensorflow' needs tensorflow, which is not installed")
