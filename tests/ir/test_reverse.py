"""The oracle of gradients: against differences of the definition, and for what must hold of any gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from frameworks_support import ALL_SMALL, SINGULAR, SMALL, signals_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import signal, specs, without_roots

from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.paths import Path
from scatc.ir.reverse import reverse
from scatc.ir.spec import Spec

Array = NDArray[Any]


def cotangents(spec: Spec, x: Array, seed: int = 0, lowest: float = -1.0) -> dict[Path, Array]:
    """Random cotangents of all coefficients, from `lowest` to 1."""
    rng = np.random.default_rng(seed)
    return {path: rng.uniform(lowest, 1, y.shape) for path, y in interpret(lower(spec), x).items()}


def weighed(spec: Spec, x: Array, g: dict[Path, Array]) -> float:
    """The function whose gradient is asked for."""
    return float(sum(np.sum(g[path] * y) for path, y in interpret(lower(spec), x).items()))


@ALL_SMALL
def test_each_sample_against_a_difference(spec: Spec) -> None:
    x = signal("noise", spec.input_shape, 1)
    g = cotangents(spec, x)
    got, step = reverse(lower(spec), x, g), 1e-5
    for index in np.ndindex(*x.shape):
        v = np.zeros(x.shape)
        v[index] = step
        slope = (weighed(spec, x + v, g) - weighed(spec, x - v, g)) / (2 * step)
        assert got[index] == pytest.approx(slope, abs=1e-6 * float(np.abs(got).max()))


@given(st.data())
@settings(max_examples=15)
def test_any_spec_in_some_direction(data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs(max_side=40, max_paths=40)))
    x = signal("noise", spec.input_shape, data.draw(st.integers(0, 99)))
    g = cotangents(spec, x)
    v, step = signal("noise", x.shape, 100), 1e-6
    slope = (weighed(spec, x + step * v, g) - weighed(spec, x - step * v, g)) / (2 * step)
    got = reverse(lower(spec), x, g)
    # a difference loses half of the digits, and more where a U is not far from 0
    assert np.sum(got * v) == pytest.approx(slope, abs=1e-4 * float(np.linalg.norm(got) * np.linalg.norm(v)) + 1e-8)


@given(st.data())
@settings(max_examples=25)
def test_along_the_signal_itself_coefficients_grow_by_their_power(data: st.DataObject) -> None:
    """Coefficients are homogeneous: `<x, gradient> = <g, S x>`, each integral of a power times that power (Euler)."""
    spec = without_roots(data.draw(specs()))
    x = signal("noise", spec.input_shape, data.draw(st.integers(0, 99)))
    g, power = cotangents(spec, x), np.array(spec.integral_powers or (1.0,))
    terms = [g[path] * y * power for path, y in interpret(lower(spec), x).items()]
    size = sum(float(np.abs(term).sum()) for term in terms)
    got = float(np.sum(x * reverse(lower(spec), x, g)))
    assert got == pytest.approx(sum(float(term.sum()) for term in terms), abs=1e-12 * (1 + size))


@ALL_SMALL
def test_it_is_linear_in_the_cotangents(spec: Spec) -> None:
    x = signal("noise", spec.input_shape, 2)
    a, b = cotangents(spec, x, 1), cotangents(spec, x, 2)
    both = reverse(lower(spec), x, {path: 2 * a[path] - 3 * b[path] for path in a})
    wanted = 2 * reverse(lower(spec), x, a) - 3 * reverse(lower(spec), x, b)
    np.testing.assert_allclose(both, wanted, atol=1e-13 * float(np.abs(wanted).max()) + 1e-14)


@ALL_SMALL
def test_leading_axes_are_batch(spec: Spec) -> None:
    x = signal("noise", (2, 3, *spec.input_shape), 3)
    g = cotangents(spec, x)
    got = reverse(lower(spec), x, g)
    assert got.shape == x.shape
    for index in np.ndindex(2, 3):
        alone = reverse(lower(spec), x[index], {path: array[index] for path, array in g.items()})
        np.testing.assert_allclose(got[index], alone, atol=1e-13 * float(np.abs(alone).max()))
    nothing = reverse(lower(spec), x[:0], {path: array[:0] for path, array in g.items()})
    assert nothing.shape == (0, 3, *spec.input_shape)


@ALL_SMALL
def test_where_all_is_zero_order_zero_alone_has_a_slope(spec: Spec) -> None:
    """The derivative of a modulus, and of a power of one, counts as 0 where it is 0."""
    zeros = np.zeros(spec.input_shape)
    g = cotangents(spec, zeros)
    linear = {path: array * (path == ()) for path, array in g.items()}
    noise = signal("noise", spec.input_shape)
    np.testing.assert_allclose(reverse(lower(spec), zeros, g), reverse(lower(spec), noise, linear), atol=1e-14)


@pytest.mark.parametrize("kind", ["noise", *SINGULAR])
@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=20, J=2, Q=2, order=1, T=0),
        Spec(dim=1, shape=20, J=2, order=1, T="global", padding="zero"),
        Spec(dim=2, shape=(6, 7), J=1, L=2, order=1, T=0),
        Spec(dim=3, shape=(3, 4, 5), J=0, L=1, order=1, integral_powers=(1.0, 1.5, 2.0)),
    ],
    ids=lambda spec: f"{spec.dim}D-{spec.average}",
)
def test_of_convex_functions_it_is_a_subgradient(spec: Spec, kind: str) -> None:
    """`f(y) >= f(x) + <gradient, y - x>`, also where moduli are 0: sums of first-order moduli are convex."""
    x = signals_of(spec, kind)[0]
    g = cotangents(spec, x, lowest=0.0)
    gradient, value = reverse(lower(spec), x, g), weighed(spec, x, g)
    for seed in range(20):
        step = signal("noise", spec.input_shape, 50 + seed) * 10.0 ** -(seed % 5)
        bound = value + float(np.sum(gradient * step))
        assert weighed(spec, x + step, g) >= bound - 1e-12 * (1 + abs(value))


@pytest.mark.parametrize("name", ["1d", "1d_none", "1d_global", "2d", "2d_none", "2d_global"])
@pytest.mark.parametrize("scale", [-1.0, 2.0**-500, 2.0**500])
def test_it_depends_on_the_sign_of_the_signal_alone(name: str, scale: float) -> None:
    spec = SMALL[name]
    x = signal("noise", spec.input_shape, 4)
    g = cotangents(spec, x)
    even = {path: array * (path != ()) for path, array in g.items()}
    odd = {path: array * (path == ()) for path, array in g.items()}
    for part, sign in ((even, np.sign(scale)), (odd, 1.0)):
        wanted = sign * reverse(lower(spec), x, part)
        np.testing.assert_allclose(reverse(lower(spec), scale * x, part), wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["1d", "1d_global", "2d_none"])
def test_of_the_smallest_numbers_there_are_phases(name: str) -> None:
    spec = SMALL[name]
    x = signal("noise", spec.input_shape, 5)
    g = cotangents(spec, x)
    largest = max(float(np.abs(reverse(lower(spec), scale * x, g)).max()) for scale in (1e-3, 1.0))
    for scale in (1e-300, 1e-310, 1e-320, 5e-324):
        got = reverse(lower(spec), scale * x, g)
        assert np.isfinite(got).all()
        assert float(np.abs(got).max()) <= 3 * largest
