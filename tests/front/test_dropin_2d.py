"""Scattering2D on numpy: the reference's numbers, and the arguments, attributes, layouts and errors of Kymatio."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import GoldenCase, golden_cases, relative_error

from scatc.numpy import Scattering2D

SHAPE = (16, 20)
X = np.random.default_rng(0).standard_normal((2, *SHAPE))


@pytest.mark.parametrize("case", golden_cases("Scattering2D"), ids=lambda case: case.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-6), ("float32", 1e-5)])
def test_golden(case: GoldenCase, dtype: str, tolerance: float) -> None:
    S = Scattering2D(**case.kwargs)
    y = S(case.x.astype(dtype))
    assert y.dtype == dtype
    assert y.shape == case.expected.shape == (*case.x.shape[:-2], *S.array_shape())
    J, L = S.J, S.L
    ends = [0, 1, 1 + J * L, 1 + J * L + L * L * J * (J - 1) // 2][: S.max_order + 2]
    assert ends[-1] == y.shape[1]
    for start, stop in pairwise(ends):
        assert relative_error(y[:, start:stop], case.expected[:, start:stop]) < tolerance


@pytest.mark.parametrize("batch", [(), (1,), (2,), (2, 2), (2, 2, 2), (0,), (3, 0)])
def test_any_batch(batch: tuple[int, ...]) -> None:
    S = Scattering2D(2, SHAPE, 2)
    x = np.random.default_rng(1).standard_normal((*batch, *SHAPE))
    y = S(x)
    assert y.shape == (*batch, 9, 4, 5)
    flat = S(x.reshape(-1, *SHAPE)).reshape(y.shape) if x.size else y
    np.testing.assert_allclose(y, flat, rtol=1e-12)


@pytest.mark.parametrize("side", [31, 32, 33])
@pytest.mark.parametrize("J", [1, 2, 4, np.array(2)])
def test_sides_padded_or_not(side: int, J: Any) -> None:
    x = np.random.default_rng(2).standard_normal((2, side, side))
    S = Scattering2D(J, (side, side), 2)
    padded = ((side + 2**J) // 2**J + 1) * 2**J
    assert (S._M_padded, S._N_padded) == (padded, padded)
    y = S(x)
    assert y.shape[-2:] == (side // 2**J,) * 2
    P = Scattering2D(J, (side, side), 2, pre_pad=np.array(True))
    assert S.pad(x).shape == (2, padded, padded)
    assert P.pad(x) is x
    np.testing.assert_allclose(P(S.pad(x)), y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(32, 32), (37, 32)])
def test_the_largest_scale_may_fill_the_image(shape: tuple[int, int]) -> None:
    assert Scattering2D(5, shape, 2)(np.ones(shape)).shape == (51, 1, 1)


@pytest.mark.parametrize(
    ("given", "computed"), [("float32", "float32"), ("float64", "float64"), ("uint8", "float32"), ("int64", "float64")]
)
def test_precision_follows_the_input(given: str, computed: str) -> None:
    assert Scattering2D(2, SHAPE, 2)(abs(4 * X).astype(given)).dtype == computed


def test_layout_and_order() -> None:
    S = Scattering2D(2, SHAPE, 3, out_type="list")
    items = S(X)
    array = Scattering2D(2, SHAPE, 3)(X)
    assert len(items) == array.shape[1] == 1 + 6 + 9
    for item, coef in zip(items, np.moveaxis(array, 1, 0), strict=True):
        assert set(item) == {"coef", "j", "n", "theta"}
        np.testing.assert_array_equal(item["coef"], coef)
        assert item["n"] == tuple(j * 3 + theta for j, theta in zip(item["j"], item["theta"], strict=True))
    first = [(j, theta) for j in range(2) for theta in range(3)]
    assert [(*item["j"], *item["theta"]) for item in items[1:7]] == first
    assert [item["theta"] for item in items[7:]] == [(a, b) for a in range(3) for b in range(3)]
    S.out_type = "array"
    np.testing.assert_array_equal(S(X), array)


def test_max_order_can_be_set() -> None:
    S = Scattering2D(2, SHAPE, 3, max_order=1)
    assert S(X).shape[1] == 7
    S.max_order = 2
    y = S(X)
    assert y.shape[1] == 16
    S.max_order = 1
    np.testing.assert_allclose(S(X), y[:, :7], rtol=1e-12)


def test_attributes() -> None:
    S = Scattering2D(3, list(SHAPE), 4)
    assert (S.J, S.L, S.shape, S.M, S.N, S.pre_pad, S.backend.name) == (3, 4, SHAPE, 16, 20, False, "numpy")
    assert [(psi["j"], psi["theta"]) for psi in S.psi] == [(j, theta) for j in range(3) for theta in range(4)]
    assert [len(psi["levels"]) for psi in S.psi] == [1] * 4 + [2] * 8
    assert (S.phi["j"], len(S.phi["levels"])) == (3, 3)
    for level, response in enumerate(S.phi["levels"]):
        assert response.shape == (S._M_padded >> level, S._N_padded >> level)
    assert S.unpad(np.ones((2, 4, 5))).shape == (2, 2, 3)
    for name in ("J", "L", "shape", "pre_pad", "phi", "psi"):
        with pytest.raises(AttributeError):
            setattr(S, name, 1)
    for response in (S.psi[0]["levels"][0], S.phi["levels"][1]):
        with pytest.raises(ValueError, match="read-only"):
            response[0, 0] = 1


def test_copies() -> None:
    S = Scattering2D(2, SHAPE, 2)
    S(X), S.psi
    for other in (pickle.loads(pickle.dumps(S)), copy.deepcopy(S)):
        np.testing.assert_array_equal(other(X), S(X))
    assert len(pickle.dumps(S)) < 4000


def test_positions() -> None:
    S = Scattering2D(2, SHAPE, 4, 1, True, "numpy", "list")
    assert (S.L, S.max_order, S.pre_pad, S.out_type) == (4, 1, True, "list")
    assert Scattering2D.__module__ == "scatc.numpy"


@pytest.mark.parametrize(
    ("arguments", "error", "fragment"),
    [
        ({"backend": "doesnotexist"}, ImportError, "can not be called"),
        ({"backend": SimpleNamespace(name="fake")}, ImportError, "not supported"),
        ({"J": 5}, RuntimeError, "smallest dimension"),
        ({"J": 10**6}, RuntimeError, "smallest dimension"),
        ({"J": 0}, ValueError, "J must be an integer from 1"),
        ({"J": "2"}, ValueError, "J must be an integer"),
        ({"shape": (16,)}, ValueError, "shape must be 2 integers"),
        ({"L": 0}, ValueError, "L must be an integer"),
        ({"max_order": "2"}, ValueError, "max_order must be an integer"),
        ({"pre_pad": "False"}, ValueError, "pre_pad='False' is not possible: pre_pad must be True or False"),
    ],
)
def test_errors_of_the_constructor(arguments: dict[str, Any], error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        Scattering2D(**{"J": 2, "shape": SHAPE, **arguments})


@pytest.mark.parametrize(
    ("arguments", "x", "error", "fragment"),
    [
        ({}, None, TypeError, "input should be"),
        ({}, X.tolist(), TypeError, "The input should be"),
        ({}, "x", TypeError, "The input should be"),
        ({}, X + 0j, TypeError, "The input should be real."),
        ({}, X[0, 0], RuntimeError, "have at least two dimensions"),
        ({}, np.array(1.0), RuntimeError, "at least two"),
        ({}, X[:, 1:], RuntimeError, r"NumPy array must be of spatial size \(16,20\)"),
        ({"pre_pad": True}, X, RuntimeError, r"Padded array must be of spatial size \(24,28\)"),
        ({"out_type": np.array(["array", "list"])}, X, RuntimeError, "The out_type must be one of 'array' or 'list'."),
        ({"out_type": "dict"}, X, RuntimeError, "The out_type must be one of 'array' or 'list'."),
    ],
    ids=str,
)
def test_errors_of_the_call(arguments: dict[str, Any], x: Any, error: type[Exception], fragment: str) -> None:
    S = Scattering2D(2, SHAPE, **arguments)
    with pytest.raises(error, match=fragment):
        S(x)
