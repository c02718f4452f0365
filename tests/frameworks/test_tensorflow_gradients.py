"""Gradients in TensorFlow: right to second order, and finite wherever moduli vanish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from frameworks_support import ALL_SMALL, SINGULAR, signals_of

import scatc
from scatc.ir.spec import Spec

tf = pytest.importorskip("tensorflow")

SPEC = Spec(dim=1, shape=13, J=2)
MODES = pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Functions run line by line: of transforms so small, that is quicker than to trace their derivatives."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def energy(plan: Any) -> Callable[[Any], Any]:
    """A number that depends on all coefficients, and on each by more than its square."""
    return lambda x: tf.add_n([tf.reduce_sum(y**2) + tf.reduce_sum(y) for y in tf.nest.flatten(list_of(plan(x)))])


def list_of(y: Any) -> list[Any]:
    """The coefficients as a list of tensors."""
    return list(y.values()) if isinstance(y, dict) else [y]


def gradient(loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The gradient as a function."""

    def of(x: Any) -> Any:
        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loss(x)
        return tape.gradient(y, x)

    return of


def curvature(loss: Callable[[Any], Any], v: Any) -> Callable[[Any], Any]:
    """The Hessian times v."""
    return gradient(lambda x: tf.reduce_sum(gradient(loss)(x) * v))


def assert_derivative(f: Callable[[Any], Any], derivative: Any, x: Any, v: Any) -> None:
    """Compare a directional derivative, or the product of a Jacobian with v, with a central difference."""
    h = 1e-6
    difference = (np.asarray(f(x + h * v)) - np.asarray(f(x - h * v))) / (2 * h)
    np.testing.assert_allclose(derivative, difference, rtol=1e-6, atol=1e-6 * np.abs(difference).max() + 1e-8)


@ALL_SMALL
def test_first_and_second_order(spec: Spec, eagerly: None) -> None:
    loss = energy(scatc.compile(spec, target="tensorflow", dtype="float64"))
    x, v = signals_of(spec, "noise", 2)[:, None]
    assert_derivative(loss, np.sum(gradient(loss)(x) * v), x, v)
    assert_derivative(gradient(loss), curvature(loss, v)(x), x, v)


@ALL_SMALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_where_moduli_vanish(spec: Spec, dtype: str, eagerly: None) -> None:
    loss = energy(scatc.compile(spec, target="tensorflow", dtype=dtype))
    for kind in SINGULAR:
        x, v = (signals_of(spec, which).astype(dtype) for which in (kind, "noise"))
        assert np.isfinite(gradient(loss)(x)).all(), kind
        assert np.isfinite(curvature(loss, v)(x)).all(), kind


@pytest.mark.parametrize("spec", [Spec(dim=1, shape=12, J=2, order=1), Spec(dim=3, shape=(3, 4, 4), J=0, L=1, order=1)])
def test_zero_where_the_signal_is(spec: Spec, eagerly: None) -> None:
    """What order 0 leaves of a gradient at zero: in 3D nothing, in 1D that of the average."""
    plan = scatc.compile(spec, target="tensorflow", dtype="float64")
    found = gradient(lambda x: tf.reduce_sum(plan(x)[:, int(spec.dim < 3) :]))(signals_of(spec, "zeros"))
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_loud_and_faint_signals(factor: float, eagerly: None) -> None:
    """The gradient of what is homogeneous of degree 1 does not depend on the signal's size."""
    for spec in (SPEC, Spec(dim=3, shape=(3, 4, 4), J=0, L=1, integral_powers=(1.0,))):
        plan = scatc.compile(spec, target="tensorflow")
        of = gradient(lambda x, plan=plan: tf.reduce_sum(plan(x)))
        x = signals_of(spec, "noise").astype(np.float32)
        np.testing.assert_allclose(of(x * np.float32(factor)), of(x), rtol=1e-4, atol=1e-4)


@MODES
@pytest.mark.parametrize("spec", [SPEC, Spec(dim=3, shape=(3, 4, 5), J=0, L=1)], ids=["1d", "3d"])
def test_traced(spec: Spec, jit: bool) -> None:
    """In graphs as eagerly: noise beside signals whose moduli vanish."""
    loss = energy(scatc.compile(spec, target="tensorflow", dtype="float64"))
    x = np.concatenate([signals_of(spec, kind, 1) for kind in ("noise", *SINGULAR)])
    v = signals_of(spec, "noise", len(x))
    tf.config.run_functions_eagerly(True)
    first, second = gradient(loss)(x).numpy(), curvature(loss, v)(x).numpy()
    tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(
        tf.function(gradient(loss), jit_compile=jit)(tf.constant(x)), first, rtol=1e-9, atol=1e-9
    )
    found = tf.function(curvature(loss, v), jit_compile=jit)(tf.constant(x))
    np.testing.assert_allclose(found[0], second[0], rtol=1e-9, atol=1e-9)  # others divide by moduli next to zero
    assert np.isfinite(found).all()


def test_eager_tapes_around_graphs() -> None:
    """A tape outside of the plan's own graph, one for many uses, and a variable."""
    plan = scatc.compile(SPEC, target="tensorflow", dtype="float64")
    x = tf.Variable(signals_of(SPEC, "noise"))
    with tf.GradientTape(persistent=True) as tape:
        y = tf.reduce_sum(plan(x) ** 2)
    first = tape.gradient(y, x)
    np.testing.assert_array_equal(first, tape.gradient(y, x))
    v = signals_of(SPEC, "noise")[::-1]
    assert_derivative(lambda x: tf.reduce_sum(plan(x) ** 2), np.sum(first * v), x.numpy(), v)


def test_no_wavelet_coefficient_is_kept() -> None:
    """What the forward graph hands to the backward one: of complex numbers, spectra of the signal alone."""
    plan = scatc.compile(Spec(dim=1, shape=128, J=4, Q=4), target="tensorflow")
    of = tf.function(gradient(lambda x: tf.reduce_sum(plan(x) ** 2)))
    graph = of.get_concrete_function(tf.TensorSpec((None, 128), tf.float32)).graph
    _, backward = (op for op in graph.get_operations() if "PartitionedCall" in op.type)
    kept = [tensor.shape for tensor in backward.inputs if tensor.dtype.is_complex]
    assert kept
    assert {shape[1] for shape in kept} == {1}
