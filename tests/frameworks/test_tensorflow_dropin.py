"""The classes of `scatc.tensorflow`: Kymatio's arguments and errors on tensors, and what holds of a `tf.Module`."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golden_cases, python, relative_error

from scatc import numpy as on_numpy

tf = pytest.importorskip("tensorflow")

from scatc.tensorflow import HarmonicScattering3D, Scattering1D, Scattering2D  # noqa: E402

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
ALL = pytest.mark.parametrize(("name", "kwargs", "x"), CASES, ids=[case[0] for case in CASES])


@ALL
def test_the_same_as_on_numpy(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S, wanted = CLASSES[name](**kwargs), getattr(on_numpy, name)(**kwargs)(x)
    for given in (x, x.astype(np.float64), tf.constant(x), tf.Variable(x), tf.constant(x, tf.float64)):
        for y in (S(given), S.scattering(given)):
            assert (isinstance(y, tf.Tensor), y.dtype, tuple(y.shape)) == (True, tf.float32, wanted.shape)
            assert relative_error(y, wanted) < 1e-6
    assert tuple(S(x[0]).shape) == wanted.shape[1:]
    assert tuple(S(x[None, :, None]).shape) == (1, len(x), 1, *wanted.shape[1:])
    assert tuple(S(x[:0]).shape) == (0, *wanted.shape[1:])
    x = x.copy()
    x[0].flat[1] = np.nan
    assert np.isnan(S(x)[0, 1:]).all()
    assert relative_error(S(x)[1:], wanted[1:]) < 1e-6


@pytest.mark.parametrize("name", CLASSES)
def test_golden(name: str) -> None:
    case = golden_cases(name)[0]
    assert relative_error(CLASSES[name](**case.kwargs)(case.x), case.expected) < 1e-5


def test_cpu_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(Scattering1D(3, N)(torch.from_numpy(X)), Scattering1D(3, N)(X))


@ALL
def test_signatures(name: str, kwargs: dict[str, Any], x: Any) -> None:
    ours, theirs = (inspect.signature(cls).parameters for cls in (CLASSES[name], getattr(on_numpy, name)))
    order = [*theirs, "name"]
    if name != "HarmonicScattering3D":  # Kymatio's order in 2D; `average` is taken by keyword alone
        order[-2:] = ["name", order[-2]]
    assert list(ours) == order
    for argument in ours.values():
        more = {"backend": "tensorflow", "name": name}
        assert argument.default == more.get(argument.name, theirs.get(argument.name, argument).default)
    assert (CLASSES[name].__name__, CLASSES[name].__module__) == (name, "scatc.tensorflow")


def test_positions() -> None:
    S = Scattering2D(2, (16, 20), 4, 1, True, "tensorflow", "mine", "list")
    assert (S.L, S.max_order, S.pre_pad, S.name, S.out_type) == (4, 1, True, "mine", "list")
    T = Scattering1D(2, 32, 1, None, None, 2, 0, "dict", "tensorflow", "yours")
    assert (T.name, T.out_type, T.backend.name) == ("yours", "dict", "tensorflow")


def test_layouts() -> None:
    S = Scattering1D(3, N, out_type="dict")
    array = Scattering1D(3, N)(X)
    for row, coefficients in enumerate(S(X).values()):
        np.testing.assert_array_equal(coefficients, array[:, row])
    S.out_type = "list"
    assert [set(item) for item in S(X)] == [{"coef", "j", "n", "order"}] * array.shape[1]
    assert tuple(Scattering1D(3, N, T=0, out_type="list")(X)[0]["coef"].shape) == (2, N)
    assert {"coef", "theta"} < set(Scattering2D(2, (16, 17), L=2, out_type="list")(IMAGE)[0])


def test_padding() -> None:
    S, numpy_S = Scattering2D(2, (16, 17), 2), on_numpy.Scattering2D(2, (16, 17), 2)
    padded = S.pad(tf.constant(IMAGE))
    np.testing.assert_array_equal(padded, numpy_S.pad(IMAGE))
    P = Scattering2D(2, (16, 17), 2, pre_pad=True)
    assert P.pad(IMAGE) is IMAGE
    np.testing.assert_allclose(P(padded), S(IMAGE), rtol=1e-4, atol=1e-6)
    assert tuple(S.unpad(tf.ones((2, 4, 5))).shape) == (2, 2, 3)


def test_backend() -> None:
    class Backend:
        name = "tensorflow"

    assert Scattering1D(3, N, backend=Backend).backend is Backend
    with pytest.raises(ImportError, match="can not be called"):
        Scattering2D(2, (16, 16), backend="numpy")
    with pytest.raises(ImportError, match="not found"):
        Scattering2D(2, (16, 16), backend="tensorflow_skcuda")
    Backend.name = "fake"
    with pytest.raises(ImportError, match="not supported"):
        Scattering2D(2, (16, 16), backend=Backend())


class TestErrors:
    @pytest.mark.parametrize("x", [None, [1.0] * N, "signal", 3.0])
    def test_no_tensor(self, x: Any) -> None:
        for S in (Scattering1D(3, N), Scattering2D(2, (16, 16)), HarmonicScattering3D(1, (4, 4, 4))):
            with pytest.raises(TypeError, match="input should be a tensor, a variable or an array"):
                S(x)

    @pytest.mark.parametrize("x", [X.astype(complex), tf.cast(X, tf.complex64), X.astype(object), X.astype(np.int32)])
    def test_not_real(self, x: Any) -> None:
        with pytest.raises(TypeError, match=r"The input should be real\."):
            Scattering1D(3, N)(x)

    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match="at least one axis"):
            Scattering1D(3, N)(np.float32(1)[...])
        with pytest.raises(RuntimeError, match="not compatible for multiplication"):
            Scattering1D(3, N)(X[:, 1:])
        with pytest.raises(RuntimeError, match="have at least two dimensions"):
            Scattering2D(2, (16, 16))(X[0])
        with pytest.raises(RuntimeError, match=r"^Tensor must be of spatial size"):
            Scattering2D(2, (16, 16))(IMAGE)
        with pytest.raises(RuntimeError, match=r"^Padded tensor must be of spatial size"):
            Scattering2D(2, (16, 16), pre_pad=True)(IMAGE)
        with pytest.raises(RuntimeError, match="at least three"):
            HarmonicScattering3D(1, (4, 4, 4))(X)
        with pytest.raises(RuntimeError, match="Tensor must be of spatial size"):
            HarmonicScattering3D(1, (4, 4, 4))(VOLUME)

    def test_of_the_constructor(self) -> None:
        with pytest.raises(RuntimeError, match="smallest dimension"):
            Scattering2D(5, (16, 16))
        with pytest.raises(ValueError, match="Q must always be >= 1"):
            Scattering1D(3, N, Q=0.9)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="Q must be an integer or a tuple"):
            Scattering1D(3, N, Q=[8])  # type: ignore[arg-type]

    def test_what_was_set_is_checked_when_called(self) -> None:
        S = Scattering1D(3, N)
        S.out_type = "doesnotexist"
        with pytest.raises(ValueError, match="out_type must be one"):
            S(X)
        with pytest.raises(ValueError, match="Cannot convert"):
            Scattering1D(3, N, T=0)(X)
        with pytest.raises(ValueError, match="power of two"):
            Scattering1D(3, N, stride=17)(X)
        with pytest.raises(ValueError, match="method must be in"):
            HarmonicScattering3D(1, (6, 5, 4), 1, method="foo")(VOLUME)


@ALL
def test_what_can_be_set_later(name: str, kwargs: dict[str, Any], x: Any) -> None:
    S = CLASSES[name](**kwargs)
    both = S(x)
    S.max_order = 1
    assert S(x).shape[1] < both.shape[1]
    S.max_order = 2
    np.testing.assert_array_equal(S(x), both)
    if name == "HarmonicScattering3D":
        S.integral_powers = [1.0]
        assert type(S.integral_powers) is list
        assert S(x).shape[-1] == 1


@ALL
def test_modules(name: str, kwargs: dict[str, Any], x: Any) -> None:
    """An object without variables, which may be part of another one, be copied, and be pickled."""
    S = CLASSES[name](**kwargs)
    y = S(x)

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scattering, self.scale = S, tf.Variable(2.0)

        def __call__(self, x: Any) -> Any:
            return self.scale * self.scattering(x)

    model = Model()
    assert (S.variables, S.submodules) == ((), ())
    assert ([v.shape for v in model.variables], model.submodules) == ([()], (S,))
    np.testing.assert_allclose(copy.deepcopy(model)(x), 2 * y, rtol=1e-6)
    for other in (copy.copy(S), copy.deepcopy(S), pickle.loads(pickle.dumps(S))):
        assert (other.name, other.spec) == (name, S.spec)
        np.testing.assert_array_equal(other(x), y)
    assert len(pickle.dumps(S)) < 4000
    tf.train.Checkpoint(model=model)


def test_name_scopes() -> None:
    S = Scattering1D(3, N, name="ears")
    graph = tf.function(S).get_concrete_function(tf.TensorSpec((None, N))).graph
    assert any(op.name.startswith("ears/") for op in graph.get_operations())


@ALL
def test_in_functions(name: str, kwargs: dict[str, Any], x: Any) -> None:
    """Of any batch, in XLA, and with unknown sizes."""
    S = CLASSES[name](**kwargs)
    y = S(x)
    traced = tf.function(S, input_signature=[tf.TensorSpec((None, None, *x.shape[1:]))])
    np.testing.assert_array_equal(traced(x[None])[0], y)
    assert list(traced.get_concrete_function().structured_outputs.shape) == [None, None, *y.shape[1:]]
    for shape in ([None] * x.ndim, None):
        np.testing.assert_array_equal(tf.function(S, input_signature=[tf.TensorSpec(shape)])(x), y)
    np.testing.assert_allclose(tf.function(S, jit_compile=True)(x), y, rtol=1e-4, atol=1e-5)


def test_gradients_of_variables() -> None:
    S = Scattering1D(6, 4096, 8)
    x = tf.Variable(tf.random.stateless_normal((2, 4096), seed=(0, 1)))
    with tf.GradientTape(persistent=True) as tape:
        y = tf.reduce_sum(tf.abs(S(x)))
    gradient = tape.gradient(y, x)
    assert tf.reduce_max(tf.abs(gradient)) > 0


RELOAD = """
import json, sys, numpy as np, tensorflow as tf
model = tf.saved_model.load({folder!r})
with np.load({data!r}) as stored:
    x, y, gradient = (stored[name] for name in ("x", "y", "gradient"))
np.testing.assert_array_equal(model(x), y)
np.testing.assert_allclose(model(x[:1])[0], y[0], rtol=1e-5, atol=1e-6)
x = tf.constant(x)
with tf.GradientTape() as tape:
    tape.watch(x)
    loss = tf.reduce_sum(model(x) ** 2)
np.testing.assert_allclose(tape.gradient(loss, x), gradient, rtol=1e-5, atol=1e-5)
assert not [name for name in sys.modules if name.startswith("scatc")]
"""


@pytest.mark.parametrize("size", [8192, 65536])
def test_saved_models(size: int, tmp_path: Path) -> None:
    """Saved in less than 5 MB, loaded where there is no scatc, with a gradient."""
    S = Scattering1D(8, size, 8)

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scattering = S

        @tf.function(input_signature=[tf.TensorSpec((None, size), tf.float32)])
        def __call__(self, x: Any) -> Any:
            return self.scattering(x)

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "model"))
    bytes_ = sum(path.stat().st_size for path in (tmp_path / "model").rglob("*") if path.is_file())
    assert bytes_ < 5e6
    if size > 10000:
        return
    x = tf.constant(np.random.default_rng(0).standard_normal((2, size)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x) ** 2)
    np.savez(tmp_path / "data.npz", x=x, y=model(x), gradient=tape.gradient(loss, x))
    python("-c", RELOAD.format(folder=str(tmp_path / "model"), data=str(tmp_path / "data.npz")), cwd=tmp_path)
