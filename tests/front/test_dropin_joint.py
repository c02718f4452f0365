"""TimeFrequencyScattering on numpy: the reference's numbers; Kymatio's arguments, attributes, layouts and errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support import GoldenCase, golden_cases, relative_error

from scatc.ir.filters import banks
from scatc.numpy import Scattering1D, TimeFrequencyScattering

N = 256
X = np.random.default_rng(0).standard_normal((2, N))
SMALL: dict[str, Any] = {"J": 4, "J_fr": 2, "Q": 4, "shape": N}
KYMATIO: dict[str, Any] = {"J": 10, "J_fr": 3, "shape": 4096, "Q": 8}  # of its own tests
CASES = pytest.mark.parametrize("case", golden_cases("TimeFrequencyScattering"), ids=lambda case: case.kwargs["format"])


def small(**more: Any) -> TimeFrequencyScattering:
    return TimeFrequencyScattering(**SMALL | more)


@CASES
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_golden(case: GoldenCase, dtype: str, tolerance: float) -> None:
    S = TimeFrequencyScattering(**case.kwargs)
    y = S(case.x.astype(dtype))
    assert y.dtype == dtype
    assert y.shape == case.expected.shape == (*case.x.shape[:-1], *S.array_shape())
    orders = S.meta()["order"]
    for order in np.unique(orders):
        assert relative_error(y[:, orders == order], case.expected[:, orders == order]) < tolerance


@CASES
def test_golden_meta(case: GoldenCase) -> None:
    meta = TimeFrequencyScattering(**case.kwargs).meta()
    assert list(meta) == ["key", "n", "n_fr", "order", "xi", "sigma", "j", "xi_fr", "sigma_fr", "j_fr", "spin"]
    # Kymatio's rows are sorted, ours are those of its array
    order = sorted(range(len(meta["key"])), key=lambda row: (len(meta["key"][row]), meta["key"][row]))
    for key, expected in case.meta.items():
        np.testing.assert_allclose(meta[key][order], expected, rtol=1e-13, err_msg=key)


def test_rising_and_falling_sounds_have_opposite_spins() -> None:
    octaves = 3 * np.arange(2048) / 2048
    rising = np.cos(2 * np.pi * 0.03 * np.exp2(octaves) * 2048 / 3 / np.log(2))
    S = TimeFrequencyScattering(6, 2, 8, 2048)
    spin = S.meta()["spin"] * (S.meta()["order"] == 2)
    for x, sign in ((rising, 1), (rising[::-1], -1)):
        y = S(x)
        assert np.sum(y[spin == sign] ** 2) > 10 * np.sum(y[spin == -sign] ** 2)


@pytest.mark.parametrize("batch", [(), (1,), (2,), (2, 2), (0,), (3, 0)])
@pytest.mark.parametrize("format", ["time", "joint"])
def test_any_batch(batch: tuple[int, ...], format: str) -> None:
    S = small(format=format)
    x = np.random.default_rng(1).standard_normal((*batch, N))
    y = S(x)
    assert y.shape == batch + S.array_shape()
    np.testing.assert_allclose(y, S(x.reshape(-1, N)).reshape(y.shape), rtol=1e-10)
    assert {coef.shape[: len(batch)] for coef in S_dict(S, x).values()} == {batch}


def S_dict(S: TimeFrequencyScattering, x: Any) -> dict[tuple[int, ...], Any]:
    """What it gives as a dict."""
    S = copy.copy(S)
    S.out_type = "dict"
    return dict(S(x))


LAYOUTS = [
    {}, {"T": "global"}, {"T": 0}, {"F": 0}, {"F": "global"}, {"T": 0, "F": 0}, {"T": "global", "F": "global"},
    {"F": 2}, {"F": 8, "stride_fr": 4}, {"T": 32, "stride": 2, "stride_fr": 1}, {"F": 1, "Q": (4, 2), "Q_fr": 2},
]  # fmt: skip


@pytest.mark.parametrize("more", LAYOUTS, ids=str)
class TestLayout:
    def test_time(self, more: dict[str, Any]) -> None:
        S = small(**more, out_type="list")
        items, meta, by_key = S(X), S.meta(), S_dict(S, X)
        assert list(by_key) == [item["n"] for item in items] == meta["key"]
        assert S.output_size() == sum(S.output_size(detail=True)) == len(items)
        assert items[0].keys() == {"coef", "order", "j", "n"}
        for row, item in enumerate(items):
            np.testing.assert_array_equal(item["coef"], by_key[item["n"]])
            assert item["order"] == meta["order"][row] == len(item["j"]) == max(len(item["n"]) - 1, 0)
            np.testing.assert_array_equal(item["j"], meta["j"][row, : item["order"]])
            np.testing.assert_array_equal(meta["n"][row, : item["order"]].astype(float), item["n"][:-1])
            if row:
                for name in ("n_fr", "j_fr"):
                    assert item[name] == (meta[name][row],)
                assert item["spin"] == meta["spin"][row] == np.sign(meta["xi_fr"][row])
                assert item["spin"] >= 0 or item["order"] == 2
        if S.average:
            S.out_type = "array"
            np.testing.assert_array_equal(S(X), np.stack(list(by_key.values()), axis=-2))
            assert S(X).shape == (2, *S.array_shape())

    def test_joint_has_the_same_rows(self, more: dict[str, Any]) -> None:
        S = small(**more, format="joint", out_type="list")
        items, meta, by_key, rows = S(X), S.meta(), S_dict(S, X), S_dict(small(**more), X)
        assert list(by_key) == [item["n"] for item in items] == meta["key"]
        assert items[0].keys() == {"coef", "order", "j", "n"}
        np.testing.assert_allclose(items[0]["coef"], rows[()], rtol=1e-12)
        for item, n in zip(items[1:], meta["n"][1:], strict=True):
            assert item["order"] == len(item["n"]) == len(item["j"])
            assert n[0] == range(0, item["n1_max"], item["n1_stride"])
            assert item["coef"].shape[-2] == 1 + (item["n1_max"] // item["n1_stride"]) * (S.average_fr != "global")
            for i, n1 in enumerate(n[0]):
                np.testing.assert_allclose(item["coef"][..., i, :], rows[(n1, *item["n"])], rtol=1e-9, atol=1e-12)
            np.testing.assert_array_equal(item["coef"], by_key[item["n"]])
        if S.average and S.average_fr:
            S.out_type = "array"
            y = S(X)
            assert y.shape == (2, *S.array_shape())
            assert S.output_size() == len(S.meta()["key"]) == len(items) - 1 == y.shape[-3]
            assert S.meta()["key"] == meta["key"][1:]
            kept = 1 if S.average_fr == "global" else S._N_padded_fr // S.stride_fr
            assert y.shape[-2] == kept
            for item, rows_of_array in zip(items[1:], np.moveaxis(y, -3, 0), strict=True):
                np.testing.assert_array_equal(rows_of_array[..., : item["coef"].shape[-2], :], item["coef"])


def test_the_shape_of_what_is_not_averaged() -> None:
    for more in ({"T": 0}, {"F": 0, "format": "joint"}):
        with pytest.raises(ValueError, match=f"with {'T' if 'T' in more else 'F'}=0"):
            small(**more).array_shape()
    lengths = {item["coef"].shape[-1] for item in small(T=0, out_type="list")(X) if item["order"] < 2}
    assert lengths == {N, N // 2**4}  # order 1 is averaged, whatever T
    for item in small(T=0, out_type="list")(X):
        assert item["order"] < 2 or item["coef"].shape[-1] == N // 2 ** item["j"][-1]


def test_signals_of_which_no_sample_is_kept() -> None:
    y = TimeFrequencyScattering(7, 1, 8, 64, T=0, out_type="dict")(X[:, :64])
    assert {coef.shape[-1] for key, coef in y.items() if len(key) == 2} == {0}
    assert np.isfinite(np.concatenate(list(y.values()), axis=-1)).all()


class TestArguments:
    def test_what_is_not_given(self) -> None:
        S = TimeFrequencyScattering(**KYMATIO)
        assert (S.J, S.J_fr, S.Q, S.Q_fr, S.shape, S.T, S.stride) == (10, 3, (8, 1), (1,), (4096,), 1024, 1024)
        assert (S.F, S.log2_F, S.stride_fr, S.log2_stride_fr) == (8, 3, 8, 3)
        assert (S.average, S.average_fr, S.format, S.out_type, S.max_order) == ("local", "local", "time", "array", 2)
        wavelets = len(S.psi1_f)
        assert S._N_padded_fr - wavelets > 2 * S.F
        assert S._N_padded_fr % 8 == 0

    def test_positions(self) -> None:
        S = TimeFrequencyScattering(4, 2, (4, 2), (N,), 8, 4, (2,), 2, 1, "list", "joint", "numpy")
        assert (S.J, S.J_fr, S.Q, S.shape, S.T, S.stride) == (4, 2, (4, 2), (N,), 8, 4)
        assert (S.Q_fr, S.F, S.stride_fr, S.out_type, S.format, S.backend.name) == (
            (2,), 2, 1, "list", "joint", "numpy",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("F", "parsed", "average", "stride"),
        [(None, 4, "local", 4), (4, 4, "local", 4), (0, 4, False, 4), ("global", 4, "global", 4),
         (2, 2, "local", 2), (5.5, 5.5, "local", 4), (np.int64(8), 8, "local", 8)],
    )  # fmt: skip
    def test_F(self, F: Any, parsed: Any, average: Any, stride: int) -> None:
        S = small(F=F)
        assert (S.F, S.average_fr, S.stride_fr) == (parsed, average, stride)
        assert S.log2_F == np.floor(np.log2(parsed))
        assert S(X).ndim == 3

    def test_F_of_the_default_is_the_default(self) -> None:
        default, finer = small(format="joint")(X), small(format="joint", F=1)(X)
        np.testing.assert_array_equal(small(format="joint", F=2**2)(X), default)
        assert finer.shape[1] == default.shape[1]
        assert finer.shape[2] > default.shape[2]
        assert finer.shape[3] == default.shape[3]

    def test_J_as_arrays(self) -> None:
        np.testing.assert_array_equal(small(J=np.array(4), J_fr=np.int64(2))(X), small()(X))

    @pytest.mark.parametrize(
        ("given", "error", "fragment"),
        [
            ({"Q_fr": 0.9}, ValueError, "Q_fr must be >= 1"),
            ({"Q_fr": [1]}, ValueError, "Q_fr must be an integer or 1-tuple"),
            ({"Q_fr": (1, 2)}, NotImplementedError, "Q_fr must be an integer or 1-tuple"),
            ({"Q": (1, 1, 1)}, NotImplementedError, "Scattering transforms beyond order 2 are not implemented"),
            ({"Q": 0.9}, ValueError, "Q must always be >= 1"),
            ({"shape": (5, 6)}, ValueError, "exactly one element"),
            ({"J_fr": None}, ValueError, "J_fr must be an integer"),
            ({"J_fr": 9}, ValueError, "J_fr=9 is not possible: J_fr must be an integer from 1 to 5"),
            ({"F": 2048}, ValueError, r"support F of the low-pass filter cannot exceed input length \(got 2048 > 20\)"),
            ({"F": 0.5}, ValueError, r"F must be ==0 or >=1 \(got 0.5\)"),
            ({"F": "globl"}, ValueError, "F='globl' is not possible: .* the nearest that works is 'global'"),
            ({"T": 2048}, ValueError, "support T of the low-pass filter cannot exceed input length"),
            ({"backend": "torch"}, ImportError, "can not be called"),
        ],
        ids=str,
    )  # fmt: skip
    def test_refused_by_the_constructor(self, given: dict[str, Any], error: type[Exception], fragment: str) -> None:
        with pytest.raises(error, match=fragment):
            small(**given)

    @pytest.mark.parametrize(
        ("given", "fragment"),
        [
            ({"out_type": "doesnotexist"}, "out_type must be one of"),
            ({"T": 0}, "Cannot convert"),
            ({"F": 0, "format": "joint"}, "Cannot convert"),
            ({"format": "doesnotexist"}, "format must be"),
            ({"format": ["time"], "out_type": "list"}, "format must be"),
            ({"stride": 3}, "stride must be a power of two"),
            ({"stride_fr": 3}, "stride_fr must be a power of two"),
            ({"stride_fr": 2.0}, "stride_fr must be integer"),
            ({"stride_fr": 8}, "stride_fr=8 is not possible: .* from 1 to 4"),
            ({"stride_fr": 2, "F": 0}, "stride_fr=2 is incompatible with F=0"),
            ({"stride_fr": 2, "F": "global"}, "stride_fr=2 is incompatible with F=global"),
        ],
        ids=str,
    )
    def test_refused_by_the_call(self, given: dict[str, Any], fragment: str) -> None:
        S = small(**given)
        with pytest.raises(ValueError, match=fragment):
            S(X)

    def test_wrong_inputs(self) -> None:
        with pytest.raises(RuntimeError, match="not compatible for multiplication"):
            small()(X[:, 1:])
        with pytest.raises(ValueError, match="at least one axis"):
            small()(np.array(3.0))
        with pytest.raises(TypeError, match="should be real"):
            small()(X + 1j)
        with pytest.raises(TypeError, match="NumPy array"):
            small()(X.tolist())


class TestAfterConstruction:
    def test_layouts_can_be_set(self) -> None:
        S = small()
        S.format, S.out_type = "joint", "dict"
        assert list(S(X)) == list(S_dict(small(format="joint"), X))
        S.format = "doesnotexist"
        with pytest.raises(ValueError, match="format must be"):
            S(X)
        S.format, S.out_type = "time", "array"
        np.testing.assert_array_equal(S(X), small()(X))

    @pytest.mark.parametrize("name", ["J", "J_fr", "Q", "Q_fr", "T", "F", "stride", "stride_fr", "shape", "filters_fr"])
    def test_the_rest_is_read_only(self, name: str) -> None:
        with pytest.raises(AttributeError):
            setattr(small(), name, 1)
        with pytest.raises(ValueError, match="max_order must be 2"):
            small().max_order = 1

    def test_copies(self) -> None:
        S = small(stride=2, F=2, stride_fr=1, format="joint")
        for other in (copy.copy(S), copy.deepcopy(S), pickle.loads(pickle.dumps(S))):
            np.testing.assert_array_equal(other(X), S(X))
        assert "format='joint'" in repr(S)


class TestFilters:
    @pytest.mark.parametrize(("J_fr", "F"), [(3, None), (6, None), (3, 2), (3, 20)])
    def test_spins_are_mirrored(self, J_fr: int, F: int | None) -> None:
        S = TimeFrequencyScattering(J=8, J_fr=J_fr, shape=4096, Q=8, F=F)
        phi, (lowest, *wavelets) = S.filters_fr
        assert phi["N"] == lowest["N"] == S._N_padded_fr == len(phi["levels"][0])
        assert (phi["j"], len(phi["levels"]), lowest["xi"], lowest["j"]) == (S.log2_F, 1 + S.log2_F, 0, J_fr)
        assert len(wavelets) == 2 * (J_fr + 1)
        for rising, falling in zip(wavelets[: J_fr + 1], wavelets[J_fr + 1 :], strict=True):
            assert rising["xi"] == -falling["xi"] > 0
            assert (rising["j"], rising["sigma"]) == (falling["j"], falling["sigma"])
            np.testing.assert_allclose(rising["levels"][0][1:], falling["levels"][0][:0:-1], atol=1e-4)
        np.testing.assert_array_equal(lowest["levels"][0], banks(S.spec)["psi_fr"].response(0)[0])

    def test_levels_divide_the_axis(self) -> None:
        S = small(Q=8, F=32, stride_fr=4)
        assert S._N_padded_fr % S.F != 0
        assert [len(level) for level in S.filters_fr[0]["levels"]] == [S._N_padded_fr >> n for n in range(4)]

    def test_those_of_time_are_those_of_1D(self) -> None:
        S, plain = small(), Scattering1D(4, N, 4)
        for ours, theirs in zip(
            (S.phi_f, *S.psi1_f, *S.psi2_f), (plain.phi_f, *plain.psi1_f, *plain.psi2_f), strict=True
        ):
            np.testing.assert_array_equal(ours["levels"][0], theirs["levels"][0])
            assert len(ours["levels"]) == len(theirs["levels"])


def test_first_orders_and_averages_are_those_of_1D() -> None:
    """Order 0 is the same; the low-pass along frequency of order 1 averages what is order 1 in 1D."""
    y, plain = S_dict(small(F=0), X), Scattering1D(4, N, 4, out_type="dict")(X)
    np.testing.assert_allclose(y[()], plain[()], rtol=1e-12)
    S = small()
    taps = np.fft.ifft(S.filters_fr[1][0]["levels"][0]).real
    first = np.zeros((2, S._N_padded_fr, plain[(0,)].shape[-1]))
    first[:, : len(S.psi1_f)] = np.stack([plain[(n,)] for n in range(len(S.psi1_f))], axis=1)
    for n1 in (0, 4, 8):
        wanted = sum(taps[n1 - n] * first[:, n] for n in range(S._N_padded_fr))
        np.testing.assert_allclose(y[(n1, 0)], np.abs(wanted), rtol=1e-9)


def test_public_names() -> None:
    assert TimeFrequencyScattering.__name__ == "TimeFrequencyScattering"
    assert TimeFrequencyScattering.__module__ == "scatc.numpy"
