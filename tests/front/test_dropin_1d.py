"""Scattering1D on numpy: the reference's numbers, and the arguments, attributes, layouts and errors of Kymatio."""

from __future__ import annotations

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import GoldenCase, golden_cases, relative_error

from scatc.ir.filters import banks
from scatc.numpy import Scattering1D

N = 256
X = np.random.default_rng(0).standard_normal((2, N))


def coefficients(result: Any) -> dict[tuple[int, ...], Any]:
    """The output in any layout as a dict."""
    return {item["n"]: item["coef"] for item in result} if isinstance(result, list) else dict(result)


@pytest.mark.parametrize("case", golden_cases("Scattering1D"), ids=lambda case: case.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_golden(case: GoldenCase, dtype: str, tolerance: float) -> None:
    S = Scattering1D(**case.kwargs)
    y = S(case.x.astype(dtype))
    orders = np.array([len(key) for key in S.meta()["key"]])
    if isinstance(case.expected, dict):
        assert set(y) == set(case.expected)
        assert {coef.dtype for coef in y.values()} == {np.dtype(dtype)}
        for order in np.unique(orders):
            keys = [key for key in y if len(key) == order]
            got, expected = (np.concatenate([d[key] for key in keys], axis=-1) for d in (y, case.expected))
            assert relative_error(got, expected) < tolerance
        return
    assert y.dtype == dtype
    assert y.shape == case.expected.shape == (*case.x.shape[:-1], *S.array_shape())
    for order in np.unique(orders):
        assert relative_error(y[:, orders == order], case.expected[:, orders == order]) < tolerance


@pytest.mark.parametrize("case", [c for c in golden_cases("Scattering1D") if c.meta], ids=lambda case: case.name)
def test_golden_meta(case: GoldenCase) -> None:
    meta = Scattering1D(**case.kwargs).meta()
    for key, expected in case.meta.items():
        np.testing.assert_allclose(meta[key], expected, rtol=1e-13, err_msg=key)
    assert list(meta) == ["order", "key", "n", "xi", "sigma", "j"]


@pytest.mark.parametrize("batch", [(), (1,), (2,), (2, 2), (2, 2, 2), (0,), (3, 0)])
def test_any_batch(batch: tuple[int, ...]) -> None:
    S = Scattering1D(4, N)
    x = np.random.default_rng(1).standard_normal((*batch, N))
    y = S(x)
    assert y.shape == batch + S.array_shape()
    flat = S(x.reshape(-1, N)).reshape(y.shape) if x.size else y
    np.testing.assert_allclose(y, flat, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        ("float32", "float32"), ("float64", "float64"), ("float16", "float32"), (">f8", "float64"),
        ("int16", "float32"), ("uint8", "float32"), ("bool", "float32"), ("int32", "float64"), ("int64", "float64"),
        ("longdouble", "float64"),
    ],
)  # fmt: skip
def test_precision_follows_the_input(given: str, computed: str) -> None:
    x = (4 * X).astype(given)
    y = Scattering1D(4, N)(x)
    assert y.dtype == computed
    assert relative_error(y, Scattering1D(4, N)(x.astype("float64"))) < 1e-5


def test_call_scattering_and_views() -> None:
    S = Scattering1D(4, N)
    wide = np.zeros((2, 2 * N))
    wide[:, ::2] = X
    frozen = X.copy()
    frozen.flags.writeable = False
    for y in (S(X), S.scattering(X), S(wide[:, ::2]), S(np.asfortranarray(X)), S(frozen)):
        np.testing.assert_array_equal(y, S(X))


class TestArguments:
    @pytest.mark.parametrize("Q", [8, (8,), (8, 1), (np.array(8), 1)])
    def test_Q(self, Q: Any) -> None:
        S = Scattering1D(4, N, Q)
        assert S.Q == (8, 1)
        np.testing.assert_array_equal(S(X), Scattering1D(4, N, (8, 1))(X))

    @pytest.mark.parametrize("shape", [N, np.int64(N), (N,), (np.int32(N),), np.array(N)])
    @pytest.mark.parametrize("J", [4, np.array(4), np.int64(4)])
    def test_J_and_shape(self, J: Any, shape: Any) -> None:
        S = Scattering1D(J, shape)
        assert (S.J, S.shape) == (4, (N,))
        np.testing.assert_array_equal(S(X), Scattering1D(4, N)(X))

    @pytest.mark.parametrize(
        ("T", "parsed", "average", "stride"),
        [
            (None, 16, "local", 16), ("global", 16, "global", 16), (0, 16, False, 16), (0.0, 16, False, 16),
            (2, 2, "local", 2), (np.int64(32), 32, "local", 32), (np.array(8), 8, "local", 8),
            (24, 24, "local", 16), (2.5, 2.5, "local", 2), (1, 1, "local", 1),
        ],
    )  # fmt: skip
    def test_T(self, T: Any, parsed: Any, average: Any, stride: int) -> None:
        S = Scattering1D(4, N, T=T, out_type="list")
        assert (S.T, S.average, S.stride) == (parsed, average, stride)
        assert S.log2_T == np.floor(np.log2(parsed))
        assert S.log2_stride == np.log2(stride)
        lengths = {item["coef"].shape[-1] for item in S(X)}
        assert lengths == {"local": {N // stride}, "global": {1}, False: {256, 128, 64}}[average]

    def test_T_may_exceed_the_signal_by_default_alone(self) -> None:
        assert Scattering1D(7, 100)(X[..., :100]).shape[-1] == 1
        with pytest.raises(ValueError, match="cannot exceed input length"):
            Scattering1D(7, 100, T=128)

    def test_stride(self) -> None:
        S = Scattering1D(4, N, T=8, stride=2)
        assert (S.stride, S.log2_stride) == (2, 1)
        assert S(X).shape[-1] == N // 2
        # not the same to the last digit: the stride also limits how far inner signals are subsampled
        assert relative_error(S(X)[..., ::4], Scattering1D(4, N, T=8)(X)) < 0.01
        assert Scattering1D(4, N, T=4, stride=np.int64(16))(X).shape[-1] == N // 16

    @pytest.mark.parametrize(
        ("T", "average", "as_T"),
        [(None, False, 0), (0, False, 0), (None, True, None), (8, True, 8), ("global", 1, "global")],
    )
    def test_average_is_a_deprecated_T(self, T: Any, average: Any, as_T: Any) -> None:
        with pytest.warns(DeprecationWarning, match="average") as caught:
            S = Scattering1D(4, N, T=T, out_type="dict", average=average)
        assert caught[0].filename == __file__
        wanted = Scattering1D(4, N, T=as_T, out_type="dict")
        assert (S.spec, S.average) == (wanted.spec, wanted.average)
        for path, coef in wanted(X).items():
            np.testing.assert_array_equal(S(X)[path], coef)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize(("T", "average"), [(0, True), (np.int64(0), True), (8, False), ("global", False)])
    def test_average_and_T_that_contradict_each_other(self, T: Any, average: bool) -> None:
        with pytest.raises(ValueError, match=f"average={average} and T={T} are incompatible"):
            Scattering1D(4, N, T=T, average=average)

    def test_oversampling_is_a_deprecated_stride(self) -> None:
        with pytest.warns(DeprecationWarning, match="oversampling") as caught:
            S = Scattering1D(4, N, oversampling=1)
        assert caught[0].filename == __file__
        assert S.stride == 8
        np.testing.assert_array_equal(S(X), Scattering1D(4, N, stride=8)(X))
        with pytest.warns(DeprecationWarning) as caught:
            assert S.oversampling == 1
        assert caught[0].filename == __file__
        with pytest.warns(DeprecationWarning):
            assert Scattering1D(4, N, stride=4, oversampling=2).stride == 4
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            S = Scattering1D(4, N, oversampling=0)
            Scattering1D(4, N, oversampling=None)
        with pytest.warns(DeprecationWarning):
            assert S.oversampling == 0

    @pytest.mark.parametrize("backend", ["numpy", SimpleNamespace(name="numpy"), SimpleNamespace(name="numpy_mine")])
    def test_backend(self, backend: Any) -> None:
        S = Scattering1D(4, N, backend=backend)
        assert S.backend.name == getattr(backend, "name", backend)
        assert S(X).shape == (2, 13, 16)

    def test_positions(self) -> None:
        S = Scattering1D(3, (N,), (4, 2), 16, 8, 1, 0, "list", "numpy")
        assert (S.J, S.shape, S.Q, S.T, S.stride, S.max_order, S.out_type) == (3, (N,), (4, 2), 16, 8, 1, "list")

    def test_three_orders_work_when_asked_for(self) -> None:
        S = Scattering1D(4, N, Q=(4, 1, 1), max_order=3)
        assert S.Q == (4, 1, 1)
        assert S.meta()["n"].shape == (S.output_size(), 3)
        assert len(S.output_size(detail=True)) == 4
        two = Scattering1D(4, N, Q=4)(X)
        np.testing.assert_allclose(S(X)[:, : two.shape[1]], two, rtol=1e-9)
        with pytest.raises(NotImplementedError, match="beyond order 2"):
            S.max_order = 2
        assert S.max_order == 3


class TestAfterConstruction:
    @pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
    def test_max_order(self, first: int, then: int) -> None:
        S = Scattering1D(4, N, 8, max_order=first)
        S(X)
        S.max_order = then
        fresh = Scattering1D(4, N, 8, max_order=then)
        np.testing.assert_array_equal(S(X), fresh(X))
        assert S.output_size() == fresh.output_size() == S(X).shape[1]
        assert S.meta()["n"].shape[1] == then
        assert len(S.psi2_f) > 0

    def test_a_refused_max_order_changes_nothing(self) -> None:
        S = Scattering1D(4, N)
        with pytest.raises(ValueError, match="max_order must be an integer"):
            S.max_order = 1.5
        assert S.max_order == 2
        assert S(X).shape[1] == 13

    def test_out_type(self) -> None:
        S = Scattering1D(4, N, T=0, out_type="dict")
        S(X)
        with pytest.raises(ValueError, match="Please set out_type to"):
            S.out_type = "array"
            S(X)
        S.out_type = "list"
        assert isinstance(S(X), list)

    @pytest.mark.parametrize("name", ["T", "Q", "stride", "oversampling", "J", "shape", "average"])
    def test_the_rest_is_read_only(self, name: str) -> None:
        with pytest.raises(AttributeError):
            setattr(Scattering1D(4, N), name, 1)


class TestLayout:
    @pytest.mark.parametrize("T", [None, "global", 0, 32])
    def test_list_and_dict_agree(self, T: Any) -> None:
        S = Scattering1D(4, N, 2, T=T, out_type="dict")
        as_dict = S(X)
        S.out_type = "list"
        as_list = S(X)
        meta = S.meta()
        assert (
            list(as_dict)
            == [item["n"] for item in as_list]
            == meta["key"]
            == sorted(as_dict, key=lambda n: (len(n), n))
        )
        for item, order, j in zip(as_list, meta["order"], meta["j"], strict=True):
            np.testing.assert_array_equal(item["coef"], as_dict[item["n"]])
            assert item["order"] == order == len(item["j"])
            np.testing.assert_array_equal(item["j"], j[:order])
        if T != 0:
            S.out_type = "array"
            np.testing.assert_array_equal(S(X), np.stack(list(as_dict.values()), axis=-2))

    def test_which_paths(self) -> None:
        S = Scattering1D(5, N, 4, out_type="dict")
        j1, j2 = ([psi["j"] for psi in bank] for bank in (S.psi1_f, S.psi2_f))
        second = {(a, b) for a in range(len(j1)) for b in range(len(j2)) if j2[b] > j1[a]}
        assert {key for key in S(X) if len(key) == 2} == second

    def test_output_size(self) -> None:
        S = Scattering1D(4, N, 8)
        assert S.output_size() == sum(S.output_size(detail=True)) == S(X).shape[1] == len(S.meta()["key"])
        assert S.output_size(detail=True)[:2] == (1, len(S.psi1_f))

    def test_unaveraged_shape_is_no_array(self) -> None:
        with pytest.raises(ValueError, match="T=0"):
            Scattering1D(4, N, T=0).array_shape()


def test_numbers_of_kymatio_0_3_differ_by_powers_of_two() -> None:
    S, n = Scattering1D(4, N, T=4), np.arange(N)
    meta = S.meta()
    octaves = np.nansum(np.minimum(meta["j"], S.log2_T), axis=1)
    old = S(np.cos(0.3 * n) + (n % 50 == 0))[:, 3] * 2.0**-octaves
    measured = {(): -0.13414500056865963, (3,): 0.25350335311770333, (4,): 0.004738658572725485,
                (0, 4): 0.004170368808802033, (3, 4): 0.0008905364393954698}  # fmt: skip
    assert relative_error(old[[meta["key"].index(key) for key in measured]], list(measured.values())) < 1e-12


def test_geometry_attributes() -> None:
    S = Scattering1D(3, 300)
    assert S.pad_left + 300 + S.pad_right == S.phi_f["N"] == S.phi_f["levels"][0].size
    assert list(S.ind_start) == list(S.ind_end) == [0, 1, 2, 3]
    assert (S.ind_start[0], S.ind_end[0]) == (S.pad_left, S.pad_left + 300)
    for level in range(3):
        assert S.ind_start[level + 1] == -(-S.ind_start[level] // 2)
    unaveraged = Scattering1D(3, 300, T=0, out_type="list")(np.ones(300))
    assert {item["coef"].shape[-1] for item in unaveraged if item["j"][-1:] == (1,)} == {S.ind_end[1] - S.ind_start[1]}
    assert (S.sigma0, S.alpha) == (0.1, 5.0)
    assert S.r_psi == pytest.approx(np.sqrt(0.5))


def test_filters() -> None:
    S = Scattering1D(5, N, (4, 2), T=8)
    bank = banks(S.spec)["psi1"]
    make, constants = S.filterbank
    assert [(psi["xi"], psi["sigma"]) for psi in S.psi1_f] == list(make(5, 4, **constants))
    for n, psi in enumerate(S.psi1_f):
        assert set(psi) == {"j", "xi", "sigma", "levels"}
        np.testing.assert_array_equal(psi["levels"][0], bank.response(n)[0])
    for psi in [*S.psi2_f, S.phi_f]:
        for coarse, fine in zip(psi["levels"][1:], psi["levels"][:-1], strict=True):
            np.testing.assert_allclose(coarse, fine.reshape(2, -1).sum(axis=0), atol=1e-12)
    assert S.phi_f["j"] == 3
    assert S.psi1_f is S.psi1_f
    for name in ("phi_f", "psi1_f", "psi2_f"):
        with pytest.raises(AttributeError, match=f"{name} of Scattering1D cannot be set"):
            setattr(S, name, None)
    with pytest.raises(ValueError, match="read-only"):
        S.psi1_f[0]["levels"][0] *= 2


def test_levels_of_the_low_pass_reach_the_coarsest_wavelet_of_either_order() -> None:
    S = Scattering1D(5, 300, 2, T=5)
    assert (max(psi["j"] for psi in S.psi1_f), max(psi["j"] for psi in S.psi2_f)) == (4, 3)
    assert [level.size for level in S.phi_f["levels"]] == [512, 256, 128, 64]


def test_copies_work_alone_and_carry_no_plans() -> None:
    S = Scattering1D(4, N, 4, T=8, stride=4)
    S(X), S.psi1_f
    text = pickle.dumps(S)
    assert len(text) < 4000
    for other in (pickle.loads(text), copy.copy(S), copy.deepcopy(S)):
        np.testing.assert_array_equal(other(X), S(X))
        other.max_order = 1
        assert other(X).shape[1] < S(X).shape[1]


def test_threads() -> None:
    S = Scattering1D(4, N)
    xs = list(np.random.default_rng(2).standard_normal((16, N)))
    with ThreadPoolExecutor(4) as pool:
        for y, x in zip(pool.map(S, xs), xs, strict=True):
            np.testing.assert_array_equal(y, S(x))


def test_public_names() -> None:
    assert (Scattering1D.__name__, Scattering1D.__module__) == ("Scattering1D", "scatc.numpy")
    assert "J=4" in repr(Scattering1D(4, N))
    assert Scattering1D(4, N).plan("float64").source()


@pytest.mark.parametrize(
    ("arguments", "error", "fragment"),
    [
        ({"Q": 0.9}, ValueError, "Q must always be >= 1"),
        ({"Q": (0, 1)}, ValueError, "Q must always be >= 1"),
        ({"Q": [8]}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": 1.5}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": np.int64(8)}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": np.array(8)}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": "8"}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": ()}, ValueError, "Q must be an integer or a tuple"),
        ({"Q": (1.5, 1)}, ValueError, "Q must be an integer from 1"),
        ({"Q": (1, 1, 1)}, NotImplementedError, "Scattering transforms beyond order 2 are not implemented"),
        ({"shape": (5, 6)}, ValueError, "exactly one element"),
        ({"shape": ()}, ValueError, "exactly one element"),
        ({"shape": 1.5}, ValueError, "integer or a 1-tuple"),
        ({"shape": [N]}, ValueError, "integer or a 1-tuple"),
        ({"shape": 1}, ValueError, "shape must be 1 integer from 2"),
        ({"oversampling": -1}, ValueError, "nonnegative"),
        ({"oversampling": -0.5}, ValueError, "nonnegative"),
        ({"oversampling": 0.5}, ValueError, "integer"),
        (
            {"T": 2048},
            ValueError,
            r"The support T of the low-pass filter cannot exceed input length \(got 2048 > 256\)",
        ),
        ({"T": 0.5}, ValueError, r"T must be ==0 or >=1 \(got 0.5\)"),
        ({"T": -1}, ValueError, "T must be ==0 or >=1"),
        ({"T": np.complex64(16)}, ValueError, "T must be None, 'global', 0 or a number"),
        ({"T": float("nan")}, ValueError, "T must be ==0 or >=1"),
        ({"T": "gobal"}, ValueError, "the nearest that works is 'global'"),
        ({"T": [4]}, ValueError, "T must be None"),
        ({"J": 20}, ValueError, "J must be an integer from 1 to 9"),
        ({"J": 2.5}, ValueError, "J must be an integer"),
        ({"max_order": -1}, ValueError, "max_order must be an integer"),
        ({"backend": "doesnotexist"}, ImportError, "can not be called"),
        ({"backend": "numpy_doesnotexist"}, ImportError, "not found!"),
        ({"backend": SimpleNamespace(name="fake")}, ImportError, "not supported"),
        ({"backend": None}, ImportError, "backend None is not supported"),
        ({"backend": 3}, ImportError, "backend 3 is not supported"),
    ],
)
def test_errors_of_the_constructor(arguments: dict[str, Any], error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment) as caught:
        Scattering1D(**{"J": 3, "shape": N, **arguments})
    assert isinstance(caught.value.args[0], str) or not isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [({"stride": 16, "oversampling": 1}, "incompatible"), ({"oversampling": 4}, r"log2\(T\)=3")],
)
def test_errors_of_oversampling(arguments: dict[str, Any], fragment: str) -> None:
    with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match=fragment):
        Scattering1D(3, N, **arguments)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"out_type": "doesnotexist"}, "out_type must be one"),
        ({"T": 0}, "Cannot convert"),
        ({"stride": "noninteger"}, "integer"),
        ({"stride": 4.0}, "integer"),
        ({"stride": 17}, "power of two"),
        ({"stride": 0}, "power of two"),
        ({"stride": -4}, "power of two"),
        ({"T": 0, "stride": 16, "out_type": "list"}, "incompatible"),
        ({"T": "global", "stride": 16}, "incompatible"),
        ({"stride": 16}, "a power of two from 1 to 8"),
    ],
)
def test_errors_of_the_call(arguments: dict[str, Any], fragment: str) -> None:
    S = Scattering1D(3, N, **arguments)
    with pytest.raises(ValueError, match=fragment):
        S(X)
    if "stride" in arguments:
        with pytest.raises(ValueError, match=fragment):
            _ = S.stride


@pytest.mark.parametrize(
    ("x", "error", "fragment"),
    [
        (np.array(1.0), ValueError, "at least one axis"),
        (X[:, 1:], RuntimeError, "not compatible for multiplication"),
        (X + 0j, TypeError, "The input should be real."),
        (X.astype(object), TypeError, "The input should be real."),
        (X.tolist(), TypeError, "The input should be a NumPy array, got list: pass np.asarray"),
        ("x", TypeError, "The input should be a NumPy array, got str."),
        (None, TypeError, "input should be"),
    ],
    ids=str,
)
def test_errors_of_the_input(x: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=fragment):
        Scattering1D(3, N)(x)
