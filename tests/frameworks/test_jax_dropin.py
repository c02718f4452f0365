"""The classes of `scatc.jax`: Kymatio's arguments and errors on JAX arrays, inside what JAX traces."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from support import golden_cases, relative_error

from scatc import numpy as on_numpy

jax = pytest.importorskip("jax")
jnp = jax.numpy

from scatc.jax import HarmonicScattering3D, Scattering1D, Scattering2D  # noqa: E402

N = 64
X = np.random.default_rng(0).standard_normal((2, N)).astype(np.float32)
IMAGE = np.random.default_rng(0).standard_normal((3, 16, 17)).astype(np.float32)
VOLUME = np.random.default_rng(0).standard_normal((2, 6, 5, 4)).astype(np.float32)
CASES = [
    ("Scattering1D", {"J": 3, "shape": N, "Q": (4, 1)}, X),
    ("Scattering2D", {"J": 2, "shape": (16, 17), "L": 3}, IMAGE),
    ("HarmonicScattering3D", {"J": 1, "shape": (6, 5, 4), "L": 1}, VOLUME),
]
CLASSES = {"Scattering1D": Scattering1D, "Scattering2D": Scattering2D, "HarmonicScattering3D": HarmonicScattering3D}


@pytest.fixture(autouse=True)
def quickly() -> Any:
    """XLA compiles as fast as it can: what is computed, plans are tested for."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


ALL = pytest.mark.parametrize(("name", "kwargs", "x"), CASES, ids=[case[0] for case in CASES])


@ALL
def test_the_same_as_on_numpy(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S, wanted = CLASSES[name](**kwargs), getattr(on_numpy, name)(**kwargs)(x)
    for y in (S(x), S.scattering(x), S(jnp.asarray(x)), S(x.astype(np.float64))):
        assert (isinstance(y, jax.Array), y.dtype, y.shape) == (True, np.float32, wanted.shape)
        assert relative_error(y, wanted) < 1e-6
    assert S(x[0]).shape == wanted.shape[1:]
    assert S(x[None]).shape == (1, *wanted.shape)
    x = x.copy()
    x[0].flat[1] = np.nan
    assert np.isnan(S(x)[0, 1:]).all()
    assert relative_error(S(x)[1:], wanted[1:]) < 1e-6


@pytest.mark.parametrize("name", CLASSES)
def test_golden(name: str) -> None:
    case = golden_cases(name)[0]
    y = CLASSES[name](**case.kwargs)(case.x)
    assert relative_error(y, case.expected) < 1e-5


@ALL
def test_signatures(name: str, kwargs: dict[str, Any], x: Any) -> None:
    ours, theirs = (inspect.signature(cls).parameters for cls in (CLASSES[name], getattr(on_numpy, name)))
    assert list(ours) == list(theirs)
    for argument in ours.values():
        assert argument.default == ("jax" if argument.name == "backend" else theirs[argument.name].default)
    assert (CLASSES[name].__name__, CLASSES[name].__module__) == (name, "scatc.jax")


@ALL
def test_precision_follows_the_input_where_jax_has_it(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S = CLASSES[name](**kwargs)
    assert S(x.astype(np.float64)).dtype == np.float32
    jax.config.update("jax_enable_x64", True)
    try:
        y = S(x.astype(np.float64))
        assert (y.dtype, S(x).dtype, S(x.astype(np.int64)).dtype) == (np.float64, np.float32, np.float32)
        assert relative_error(y, getattr(on_numpy, name)(**kwargs)(x.astype(np.float64))) < 1e-12
    finally:
        jax.config.update("jax_enable_x64", False)
    assert S(jnp.asarray(x, jnp.bfloat16)).dtype == np.float32


def test_layouts() -> None:
    S = Scattering1D(3, N, out_type="dict")
    array = Scattering1D(3, N)(X)
    for row, coefficients in enumerate(S(X).values()):
        np.testing.assert_array_equal(coefficients, array[:, row])
    S.out_type = "list"
    assert [set(item) for item in S(X)] == [{"coef", "j", "n", "order"}] * array.shape[1]
    assert Scattering1D(3, N, T=0, out_type="list")(X)[0]["coef"].shape == (2, N)
    assert {"coef", "theta"} < set(Scattering2D(2, (16, 17), L=2, out_type="list")(IMAGE)[0])


def test_backend() -> None:
    S = Scattering1D(3, N)
    assert S.backend.name == "jax"

    class Backend:
        name = "jax"

    assert Scattering1D(3, N, backend=Backend).backend is Backend
    with pytest.raises(ImportError, match="can not be called"):
        Scattering2D(2, (16, 16), backend="numpy")
    with pytest.raises(ImportError, match="not found"):
        Scattering2D(2, (16, 16), backend="jax_skcuda")
    Backend.name = "fake"
    with pytest.raises(ImportError, match="not supported"):
        Scattering2D(2, (16, 16), backend=Backend())


class TestErrors:
    @pytest.mark.parametrize("x", [None, [1.0] * N, "signal", 3.0])
    def test_not_an_array(self, x: Any) -> None:
        for S in (Scattering1D(3, N), Scattering2D(2, (16, 16)), HarmonicScattering3D(1, (4, 4, 4))):
            with pytest.raises(TypeError, match="input should be a JAX or NumPy array"):
                S(x)

    @pytest.mark.parametrize("x", [X.astype(complex), jnp.asarray(X, complex), X.astype(object)])
    def test_not_real(self, x: Any) -> None:
        with pytest.raises(TypeError, match=r"The input should be real\."):
            Scattering1D(3, N)(x)

    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match="at least one axis"):
            Scattering1D(3, N)(np.float32(1)[...])
        with pytest.raises(RuntimeError, match="not compatible for multiplication"):
            Scattering1D(3, N)(X[:, 1:])
        with pytest.raises(RuntimeError, match="at least two"):
            Scattering2D(2, (16, 16))(X[0])
        with pytest.raises(RuntimeError, match=r"^Tensor must be of spatial size"):
            Scattering2D(2, (16, 16))(IMAGE)
        with pytest.raises(RuntimeError, match=r"^Padded tensor must be of spatial size"):
            Scattering2D(2, (16, 16), pre_pad=True)(IMAGE)
        with pytest.raises(RuntimeError, match="at least three"):
            HarmonicScattering3D(1, (4, 4, 4))(X)
        with pytest.raises(RuntimeError, match="Tensor must be of spatial size"):
            HarmonicScattering3D(1, (4, 4, 4))(VOLUME)

    def test_what_was_set_is_checked_when_called(self) -> None:
        S = Scattering1D(3, N)
        S.out_type = "doesnotexist"
        with pytest.raises(ValueError, match="out_type must be one"):
            S(X)
        with pytest.raises(ValueError, match="Cannot convert"):
            Scattering1D(3, N, T=0)(X)
        with pytest.raises(ValueError, match="power of two"):
            Scattering1D(3, N, stride=17)(X)
        H = HarmonicScattering3D(1, (6, 5, 4), 1, method="foo")
        with pytest.raises(ValueError, match="method must be in"):
            H(VOLUME)


@ALL
def test_inside_what_jax_traces(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S = CLASSES[name](**kwargs)
    y = S(x)

    @jax.jit
    def loss(S: Any, x: Any) -> Any:
        return jnp.sum(S(x) ** 2)

    assert np.isclose(loss(S, x), jnp.sum(y**2), rtol=1e-5)
    gradients = jax.jit(jax.vmap(jax.grad(loss, argnums=1), in_axes=(None, 0)))(S, x)
    np.testing.assert_allclose(gradients, jax.grad(loss, argnums=1)(S, x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(S)(x), y, rtol=1e-5, atol=1e-5)


@ALL
def test_what_is_set_later_reaches_traced_functions(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S = CLASSES[name](**kwargs)
    traced = jax.jit(lambda S, x: S(x))
    both = traced(S, x)
    S.max_order = 1
    first = traced(S, x)
    assert first.shape == S(x).shape
    assert first.size < both.size
    S.max_order = 2
    assert traced(S, x).shape == both.shape
    assert jax.tree.leaves(S) == []


@ALL
def test_equality_and_copies(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S = CLASSES[name](**kwargs)
    for other in (CLASSES[name](**kwargs), copy.copy(S), copy.deepcopy(S), pickle.loads(pickle.dumps(S))):
        assert (other, hash(other)) == (S, hash(S))
        np.testing.assert_array_equal(other(x), S(x))
    other = copy.copy(S)
    other.max_order = 1
    assert other != S
    assert S != name
    assert repr(S).startswith(f"{name}(")


def test_the_layout_is_part_of_what_is_equal() -> None:
    assert Scattering1D(3, N) != Scattering1D(3, N, out_type="list")
    assert Scattering1D(3, N) != Scattering1D(3, N, stride=2)
    assert Scattering1D(3, N) == Scattering1D(3, (N,), (1, 1))
