"""Gradients in JAX: right to second order, and finite wherever moduli vanish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from frameworks_support import ALL_SMALL, SINGULAR, signals_of

import scatc
from scatc.ir.lower import lower
from scatc.ir.reverse import reverse
from scatc.ir.spec import Spec

jax = pytest.importorskip("jax")
jnp = jax.numpy
check_grads = pytest.importorskip("jax.test_util").check_grads


@pytest.fixture(autouse=True)
def x64() -> Any:
    """JAX in 64 bits; XLA compiles as fast as it can."""
    for option in ("jax_enable_x64", "jax_disable_most_optimizations"):
        jax.config.update(option, True)
    yield
    for option in ("jax_enable_x64", "jax_disable_most_optimizations"):
        jax.config.update(option, False)


def function(spec: Spec, dtype: str = "float64") -> Callable[[Any], list[Any]]:
    """The transform as a function to a list of arrays."""
    plan = scatc.compile(spec, target="jax", dtype=dtype)
    return lambda x: jax.tree.leaves(plan(x))


def energy(spec: Spec, dtype: str = "float64") -> Callable[[Any], Any]:
    """A number that depends on all coefficients, and on each by more than its square."""
    f = function(spec, dtype)
    return lambda x: sum(jnp.sum(y**2) + jnp.sum(y) for y in f(x))


@ALL_SMALL
def test_first_and_second_order(spec: Spec) -> None:
    x = signals_of(spec, "noise", 1)
    check_grads(jax.jit(function(spec)), (x,), order=2, modes=("fwd", "rev"), atol=1e-4, rtol=1e-4)


@ALL_SMALL
def test_finite_where_moduli_vanish(spec: Spec) -> None:
    loss = energy(spec, "float32")
    gradient = jax.jit(jax.grad(loss))
    curvature = jax.jit(lambda x, v: jax.jvp(jax.grad(loss), (x,), (v,))[1])
    for kind in SINGULAR:
        x = signals_of(spec, kind).astype(np.float32)
        v = signals_of(spec, "noise").astype(np.float32)
        assert np.isfinite(gradient(x)).all(), kind
        assert np.isfinite(curvature(x, v)).all(), kind


@pytest.mark.parametrize("spec", [Spec(dim=1, shape=12, J=2, order=1), Spec(dim=3, shape=(3, 4, 4), J=0, L=1, order=1)])
def test_zero_where_the_signal_is(spec: Spec) -> None:
    """What order 0 leaves of a gradient at zero: in 3D nothing, in 1D that of the average."""
    x = signals_of(spec, "zeros")
    f = function(spec)
    gradient = jax.grad(lambda x: jnp.sum(f(x)[0][:, spec.dim < 3 :]))(x)
    np.testing.assert_array_equal(gradient, 0)


def test_sparse_volumes_have_the_gradient_of_their_neighbours() -> None:
    """A zero of U is no singularity of S: next to it the gradient is nearly the same."""
    spec = Spec(dim=3, shape=(4, 4, 5), J=0, L=1, integral_powers=(1.0, 2.0))
    gradient = jax.jit(jax.grad(energy(spec)))
    x = signals_of(spec, "sparse")
    near = x + 1e-9 * signals_of(spec, "noise")
    np.testing.assert_allclose(gradient(x), gradient(near), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_loud_and_faint_signals(factor: float) -> None:
    """The gradient of what is homogeneous of degree 1 does not depend on the signal's size."""
    for spec in (Spec(dim=1, shape=13, J=2), Spec(dim=3, shape=(3, 4, 4), J=0, L=1, integral_powers=(1.0,))):
        f = function(spec, "float32")
        gradient = jax.jit(jax.grad(lambda x, f=f: sum(jnp.sum(y) for y in f(x))))
        x = signals_of(spec, "noise").astype(np.float32)
        np.testing.assert_allclose(gradient(x * np.float32(factor)), gradient(x), rtol=1e-4, atol=1e-4)


def test_hessians_are_symmetric_whichever_way_they_come() -> None:
    spec = Spec(dim=1, shape=8, J=2)
    loss = jax.jit(energy(spec))
    x = signals_of(spec, "noise", 1)[0]
    hessian = jax.hessian(loss)(x)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-10)
    v = signals_of(spec, "noise", 2)[1]
    forward_over_reverse = jax.jvp(jax.grad(loss), (x,), (v,))[1]
    reverse_over_reverse = jax.grad(lambda x: jnp.vdot(jax.grad(loss)(x), v))(x)
    np.testing.assert_allclose(forward_over_reverse, hessian @ v, atol=1e-10)
    np.testing.assert_allclose(reverse_over_reverse, hessian @ v, atol=1e-10)


def test_gradients_map_over_a_batch() -> None:
    spec = Spec(dim=2, shape=(5, 6), J=1, L=2)
    gradient = jax.jit(jax.grad(energy(spec)))
    x = signals_of(spec, "noise", 3)
    each = jnp.stack([gradient(signal) for signal in x])
    np.testing.assert_allclose(jax.jit(jax.vmap(gradient))(x), each, atol=1e-12)
    np.testing.assert_allclose(gradient(x), each, atol=1e-12)


def test_the_oracle_of_gradients_says_the_same() -> None:
    spec = Spec(dim=1, shape=40, J=3)
    plan = scatc.compile(spec, target="jax", dtype="float64")
    x = signals_of(spec, "noise")
    y, pullback = jax.vjp(plan, x)
    g = np.random.default_rng(1).standard_normal(y.shape)
    wanted = reverse(lower(spec), x, {path: g[:, row] for row, path in enumerate(plan.paths)})
    np.testing.assert_allclose(pullback(g)[0], wanted, atol=1e-12)
