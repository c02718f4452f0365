"""What holds of the layers of `scatc.keras` on one framework, that which KERAS_BACKEND names.

Keras runs on one framework in a process: `test_keras_layers.py` runs this file once for each.
"""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import GoldenCase, golden_cases, relative_error

from scatc import numpy as on_numpy
from scatc.keras import HarmonicScattering3D, Scattering1D, Scattering2D

rng = np.random.default_rng(0)
SIGNALS = rng.standard_normal((2, 64)).astype(np.float32)
IMAGES = rng.standard_normal((3, 16, 17)).astype(np.float32)
VOLUMES = rng.standard_normal((2, 6, 5, 4)).astype(np.float32)
CASES: list[tuple[Any, dict[str, Any], Any]] = [
    (Scattering1D, {"J": 3, "Q": (4, 1)}, SIGNALS),
    (Scattering2D, {"J": 2, "L": 3}, IMAGES),
    (HarmonicScattering3D, {"J": 1, "L": 1}, VOLUMES),
]
ALL = pytest.mark.parametrize(("layer", "kwargs", "x"), CASES, ids=[case[0].__name__ for case in CASES])


def expected(layer: Any, kwargs: dict[str, Any], x: Any) -> Any:
    dim = layer._dim
    return getattr(on_numpy, layer.__name__)(**kwargs, shape=x.shape[x.ndim - dim :])(x)


def array(x: Any) -> Any:
    return keras.ops.convert_to_numpy(x)


@ALL
def test_the_same_as_on_numpy(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    S, wanted = layer(**kwargs), expected(layer, kwargs, x)
    for given in (x, keras.ops.convert_to_tensor(x), x.astype(np.float64)):
        y = S(given)
        assert keras.backend.standardize_dtype(y.dtype) == "float32"
        assert relative_error(array(y), wanted) < 1e-6
    assert relative_error(array(S.scattering(x)), wanted) < 1e-6
    assert array(S(x[0])).shape == wanted.shape[1:]
    assert array(S(x[None])).shape == (1, *wanted.shape)
    assert array(S(x[:0])).shape == (0, *wanted.shape[1:])


GOLDEN = [
    pytest.param(layer, case, id=case.name)
    for layer, _, _ in CASES
    for case in golden_cases(layer.__name__)
    if not isinstance(case.expected, dict)  # T=0, which is no layer's business
]


@pytest.mark.parametrize(("layer", "case"), GOLDEN)
def test_golden(layer: Any, case: GoldenCase) -> None:
    S = layer(**{name: value for name, value in case.kwargs.items() if name not in ("shape", "out_type")})
    assert relative_error(array(S(case.x)), case.expected) < 1e-5


@ALL
def test_symbolic(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    """Shapes are inferred, without and with axes between batch and signal."""
    wanted = expected(layer, kwargs, x).shape[1:]
    y = layer(**kwargs)(keras.Input(x.shape[1:]))
    assert (y.shape, y.dtype) == ((None, *wanted), "float32")
    several = keras.Input((5, *x.shape[1:]))
    model = keras.Model(several, layer(**kwargs)(several))
    assert model.output_shape == (None, 5, *wanted)
    assert model.predict(np.stack([x] * 5, 1), verbose=0).shape == (len(x), 5, *wanted)
    assert layer.__name__.lower() in model.layers[1].name.replace("_", "")
    if layer is not HarmonicScattering3D:
        assert layer.__name__.lower() in model.layers[1].name


@ALL
def test_compute_output_shape(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    """Before and after building; with one order less, too."""
    for more in ({}, {"max_order": 1}):
        S = layer(**kwargs, **more)
        wanted = expected(layer, kwargs | more, x).shape
        assert S.compute_output_shape((None, *x.shape[1:])) == (None, *wanted[1:])
        S.build((None, *x.shape[1:]))
        assert S.compute_output_shape((None, 2, *x.shape[1:])) == (None, 2, *wanted[1:])
        assert array(S(x)).shape == wanted


def test_arguments_that_were_once_ignored() -> None:
    """T, stride and the deprecated oversampling show in the data; J=6 on 512 samples leaves 8."""
    S = Scattering1D(J=6)
    S.build((None, 512))
    assert S.compute_output_shape((None, 512))[-1] == 8
    x = rng.standard_normal((2, 512)).astype(np.float32)
    for more in ({"T": 16}, {"stride": 4}, {"T": "global"}, {"max_order": 1}, {"T": np.float64(20.5)}):
        assert relative_error(array(Scattering1D(6, **more)(x)), expected(Scattering1D, {"J": 6} | more, x)) < 1e-6
    with pytest.warns(DeprecationWarning, match="stride"):
        assert array(Scattering1D(6, oversampling=1)(x)).shape[-1] == 16


def test_padded_images() -> None:
    whole = on_numpy.Scattering2D(2, (16, 17), L=3)
    padded = np.ascontiguousarray(whole.pad(IMAGES))
    S = Scattering2D(2, L=3, pre_pad=True)
    assert relative_error(array(S(padded)), whole(IMAGES)) < 1e-6
    with pytest.raises(ValueError, match=r"multiples of 4, at least 12. Got: \(31, 32\)"):
        Scattering2D(2, pre_pad=True)(keras.Input((31, 32)))


@ALL
def test_config(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    S = layer(**kwargs | {"J": np.array(kwargs["J"])}, name="mine")
    config = S.get_config()
    arguments = [name for name in inspect.signature(layer).parameters if name != "keywords"]
    assert set(arguments) <= set(config)
    assert {name: config[name] for name in kwargs} == kwargs
    assert (config["name"], type(config["J"]), S.J) == ("mine", int, kwargs["J"])
    assert all(getattr(S, name) == config[name] for name in arguments)
    for found in (config, json.loads(json.dumps(config))):
        other = layer.from_config(found)
        assert other.get_config() == config
        np.testing.assert_array_equal(array(other(x)), array(S(x)))


def test_powers_may_be_an_array() -> None:
    S = HarmonicScattering3D(1, 1, integral_powers=np.array([1.0, 2.0]))
    assert S.get_config()["integral_powers"] == (1.0, 2.0)
    assert array(S(VOLUMES)).shape == (2, 3, 2, 2)


@ALL
def test_save_and_load(layer: Any, kwargs: dict[str, Any], x: Any, tmp_path: Path) -> None:
    """Without custom objects: functional and sequential models, with weights around the layer."""
    sequential = keras.Sequential(
        [keras.Input(x.shape[1:]), layer(**kwargs), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    inputs = keras.Input(x.shape[1:])
    functional = keras.Model(inputs, layer(**kwargs, name="first")(inputs))
    for model in (sequential, functional):
        path = tmp_path / f"{model.name}.keras"
        model.save(path)
        assert path.stat().st_size < 100_000
        loaded = keras.saving.load_model(path)
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
        assert type(loaded.layers[-1 if model is functional else 0]) is layer
    cloned = keras.models.clone_model(functional)
    np.testing.assert_array_equal(array(cloned(x)), array(functional(x)))


@ALL
def test_copies(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    S = layer(**kwargs)
    y = array(S(x))
    np.testing.assert_array_equal(array(copy.deepcopy(S)(x)), y)
    inputs = keras.Input(x.shape[1:])
    model = pickle.loads(pickle.dumps(keras.Model(inputs, S(inputs))))
    np.testing.assert_array_equal(array(model(x)), y)


@ALL
def test_no_weights(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    S = layer(**kwargs)
    S(x)
    assert (S.weights, S.count_params()) == ([], 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float32"])
def test_precisions(policy: str) -> None:
    """Computed in float32 whatever the policy; half precision is that of the result alone."""
    S = Scattering1D(3, dtype=policy)
    y = S(SIGNALS)
    assert keras.backend.standardize_dtype(y.dtype) == S.compute_dtype
    wanted = expected(Scattering1D, {"J": 3}, SIGNALS)
    if policy != "bfloat16":  # which numpy has not
        assert relative_error(array(y).astype(np.float64), wanted) < (1e-6 if policy == "float32" else 1e-3)
    assert "float32" in S.plan().source()


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX has float64 only when it is set up so")
def test_double_precision() -> None:
    x = SIGNALS.astype(np.float64)
    y = Scattering1D(3, dtype="float64")(x)
    assert relative_error(array(y), expected(Scattering1D, {"J": 3}, x)) < 1e-12


def test_integers() -> None:
    pixels = (IMAGES * 100).astype(np.uint8)
    assert relative_error(array(Scattering2D(2)(pixels)), expected(Scattering2D, {"J": 2}, pixels)) < 1e-6


def test_trained_through() -> None:
    """Weights before the layer are learnt through it: the gain of which the coefficients are given."""
    model = keras.Sequential(
        [keras.Input((64, 1)), keras.layers.Dense(1, use_bias=False), keras.layers.Reshape((64,)), Scattering1D(3)]
    )
    model.layers[0].set_weights([np.ones((1, 1), np.float32)])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(SIGNALS[..., None], 2 * expected(Scattering1D, {"J": 3}, SIGNALS), epochs=200, verbose=0)
    assert abs(model.layers[0].get_weights()[0][0, 0] - 2) < 0.02


@ALL
def test_gradients_are_finite(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    """Of signals of zeros among others, through a gain in front of the layer."""
    gain = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential(
        [
            keras.Input((*x.shape[1:], 1)),
            gain,
            keras.layers.Reshape(x.shape[1:]),
            layer(**kwargs),
            keras.layers.Flatten(),
        ]
    )
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    zeros = np.concatenate([x, 0 * x])[..., None]
    before = gain.get_weights()[0]
    model.fit(zeros, np.zeros((len(zeros), model.output_shape[1]), np.float32), verbose=0)
    after = gain.get_weights()[0]
    assert np.isfinite(after).all()
    assert after != before


def test_what_a_layer_says_of_itself() -> None:
    S = Scattering1D(3, Q=4)
    with pytest.raises(ValueError, match="has met no input yet"):
        S.meta()
    S.build((None, 64))
    same = on_numpy.Scattering1D(3, 64, 4)
    assert S.output_size() == same.output_size()
    assert S.output_size(detail=True) == same.output_size(detail=True)
    np.testing.assert_array_equal(S.meta()["xi"], same.meta()["xi"])
    assert S.spec == same.spec
    assert S.as_numpy().T == 8
    assert keras.config.backend() in S.plan().report()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Scattering1D(3, Q=0.9)(keras.Input((64,))), ValueError, "Q must always be >= 1"),  # type: ignore[arg-type]
        (lambda: Scattering1D(3, Q=[8])(keras.Input((64,))), ValueError, "Q must be an integer or a tuple"),  # type: ignore[arg-type]
        (lambda: Scattering1D(3, Q=(1, 1, 1))(keras.Input((64,))), NotImplementedError, "beyond order 2"),
        (lambda: Scattering1D(3, T=0)(keras.Input((64,))), ValueError, "Cannot convert to one tensor with T=0"),
        (lambda: Scattering1D(3, T=100)(keras.Input((64,))), ValueError, "cannot exceed input length"),
        (lambda: Scattering1D(3)(keras.Input((None,))), ValueError, "keras.Input.shape=.64,"),
        (lambda: Scattering2D(2)(keras.Input((None, 64))), ValueError, "the last 2 axes of its input"),
        (lambda: Scattering2D(5)(keras.Input((16, 64))), RuntimeError, "smallest dimension"),
        (lambda: HarmonicScattering3D(1, method="foo")(keras.Input((4, 4, 4))), ValueError, "method must be in"),
        (lambda: HarmonicScattering3D(1)(np.zeros((4, 4), np.float32)), ValueError, "the last 3 axes"),
        (lambda: Scattering1D(3, foo=1), ValueError, "foo"),
    ],
)
def test_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@ALL
def test_other_inputs_than_those_it_was_built_for(layer: Any, kwargs: dict[str, Any], x: Any) -> None:
    S = layer(**kwargs)
    S(x)
    with pytest.raises(ValueError, match="incompatible with the layer"):
        S(x[..., :-1])
    with pytest.raises(ValueError, match="incompatible with the layer"):
        S(x[(0,) * x.ndim])
