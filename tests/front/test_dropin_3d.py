"""HarmonicScattering3D on numpy: the reference's numbers, and the arguments, attributes and errors of Kymatio."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support import GoldenCase, golden_cases, relative_error

from scatc.numpy import HarmonicScattering3D

SHAPE = (6, 8, 10)
X = np.random.default_rng(0).standard_normal((2, *SHAPE))


@pytest.mark.parametrize("case", golden_cases("HarmonicScattering3D"), ids=lambda case: case.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-6), ("float32", 1e-5)])
def test_golden(case: GoldenCase, dtype: str, tolerance: float) -> None:
    S = HarmonicScattering3D(**case.kwargs)
    y = S(case.x.astype(dtype))
    assert y.dtype == dtype
    assert y.shape == case.expected.shape == (*case.x.shape[:-3], *S.array_shape())
    for part in (slice(0, S.J + 1), slice(S.J + 1, None)):
        assert relative_error(y[:, part], case.expected[:, part]) < tolerance


@pytest.mark.parametrize("batch", [(), (1,), (2,), (2, 2), (2, 2, 2), (0,), (3, 0)])
def test_any_batch(batch: tuple[int, ...]) -> None:
    S = HarmonicScattering3D(1, SHAPE, 2)
    x = np.random.default_rng(1).standard_normal((*batch, *SHAPE))
    y = S(x)
    assert y.shape == (*batch, 3, 3, 3)
    flat = S(x.reshape(-1, *SHAPE)).reshape(y.shape) if x.size else y
    np.testing.assert_allclose(y, flat, rtol=1e-10)


def test_axes_are_scales_degrees_and_powers() -> None:
    y = HarmonicScattering3D(2, SHAPE, 2, integral_powers=[1, 2.0])(X)
    assert y.shape == (2, 6, 3, 2)
    np.testing.assert_allclose(HarmonicScattering3D(2, SHAPE, 1, integral_powers=np.array([2.0]))(X), y[:, :, :2, 1:])
    np.testing.assert_allclose(HarmonicScattering3D(2, SHAPE, 2, max_order=1, integral_powers=range(1, 3))(X), y[:, :3])


def test_attributes_that_can_be_set() -> None:
    S = HarmonicScattering3D(1, SHAPE, 1)
    before = S(X)
    S.max_order = 1
    np.testing.assert_allclose(S(X), before[:, :2])
    S.integral_powers = [2.0]
    assert S.integral_powers == [2.0]
    np.testing.assert_allclose(S(X), before[:, :2, :, 2:])
    S.max_order = 2
    np.testing.assert_allclose(S(X), before[..., 2:])
    with pytest.raises(ValueError, match="integral_powers must be"):
        S.integral_powers = []
    assert S.integral_powers == [2.0]
    S.method = "foo"
    with pytest.raises(ValueError, match=r"method must be in \['integral'\]"):
        S(X)
    S.method = "integral"
    S(X)


def test_other_attributes() -> None:
    S = HarmonicScattering3D(np.array(1), SHAPE, np.array(2), sigma_0=1.5)
    assert (S.J, S.L, S.M, S.N, S.O, S.shape, S.sigma_0) == (1, 2, 6, 8, 10, SHAPE, 1.5)
    assert (S.rotation_covariant, S.points, S.method, S.integral_powers) == (True, None, "integral", (0.5, 1.0, 2.0))
    assert [f.shape for f in S.filters] == [(2, 2 * l + 1, *SHAPE) for l in range(3)]
    assert S.gaussian_filters.shape == (3, *SHAPE)
    np.testing.assert_allclose(S.gaussian_filters[:2], S.filters[0][:, 0])
    np.testing.assert_allclose(S.gaussian_filters[1, 0, 1, 0], np.exp(-0.5 * (3.0 * 2 * np.pi / 8) ** 2), rtol=1e-6)
    assert not HarmonicScattering3D(1, SHAPE, rotation_covariant=False).rotation_covariant
    for name in ("J", "L", "shape", "sigma_0", "rotation_covariant", "filters", "gaussian_filters"):
        with pytest.raises(AttributeError):
            setattr(S, name, 1)


def test_precision_follows_the_input() -> None:
    S = HarmonicScattering3D(1, SHAPE, 1)
    assert [S(X.astype(t)).dtype for t in ("float32", "float64", "int8")] == ["float32", "float64", "float32"]


def test_copies_and_positions() -> None:
    S = HarmonicScattering3D(1, SHAPE, 1, 2.0, 1, False, "integral", None, (1.0,), "numpy")
    assert (S.sigma_0, S.max_order, S.rotation_covariant, S.integral_powers) == (2.0, 1, False, (1.0,))
    S(X), S.filters
    assert len(pickle.dumps(S)) < 4000
    for other in (pickle.loads(pickle.dumps(S)), copy.deepcopy(S)):
        np.testing.assert_array_equal(other(X), S(X))
    assert HarmonicScattering3D.__module__ == "scatc.numpy"


@pytest.mark.parametrize(
    ("arguments", "error", "fragment"),
    [
        ({"backend": "torch"}, ImportError, "can not be called"),
        ({"shape": (8, 8)}, ValueError, "shape must be 3 integers"),
        ({"J": -1}, ValueError, "J must be an integer"),
        ({"L": 1.5}, ValueError, "L must be an integer"),
        ({"sigma_0": 0}, ValueError, "sigma_0 must be"),
        ({"integral_powers": 1.0}, ValueError, "integral_powers must be"),
        ({"rotation_covariant": "no"}, ValueError, "rotation_covariant must be True or False"),
    ],
)
def test_errors_of_the_constructor(arguments: dict[str, Any], error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        HarmonicScattering3D(**{"J": 1, "shape": SHAPE, **arguments})


@pytest.mark.parametrize(
    ("x", "error", "fragment"),
    [
        (None, TypeError, "input should be"),
        (X.tolist(), TypeError, "The input should be"),
        (X + 0j, TypeError, "The input should be real."),
        (np.array(1.0), RuntimeError, "at least three"),
        (X[0, 0, 0], RuntimeError, "at least three"),
        (X[0, 0], RuntimeError, "at least three"),
        (X[:, 1:], RuntimeError, r"Tensor must be of spatial size \(6, 8, 10\)"),
    ],
    ids=str,
)
def test_errors_of_the_call(x: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        HarmonicScattering3D(1, SHAPE)(x)
