"""The oracle: against the golden arrays, against sums written out by hand, and for what must hold of any scattering."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import PADDINGS, SIGNALS, signal, signals, specs
from support import GoldenCase, golden_cases, relative_error

from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.nodes import Input, Output, Pad
from scatc.ir.paths import Path, all_paths, bank_name, infos
from scatc.ir.spec import Spec

Array = NDArray[Any]


def scatter(spec: Spec, x: Array) -> dict[Path, Array]:
    return interpret(lower(spec), x)


# ---- golden arrays --------------------------------------------------------------------------------------------------


def golden_spec(dim: int, case: GoldenCase) -> Spec:
    renamed = {"max_order": "order"}
    kwargs = {renamed.get(k, k): v for k, v in case.kwargs.items() if k != "out_type"}
    return Spec(dim=dim, **kwargs)


@pytest.mark.parametrize("case", golden_cases("Scattering1D"), ids=lambda case: case.name)
def test_golden_1d(case: GoldenCase) -> None:
    spec = golden_spec(1, case)
    got = scatter(spec, case.x)
    if isinstance(case.expected, dict):
        assert set(got) == set(case.expected)
        for path, expected in case.expected.items():
            assert relative_error(got[path], expected) < 1e-9, path
        return
    stacked = np.stack([got[path] for path in all_paths(spec)], axis=-2)
    for order in range(spec.order + 1):
        rows = case.meta["order"] == order
        assert relative_error(stacked[..., rows, :], case.expected[..., rows, :]) < 1e-9, order
    assert relative_error(stacked, case.expected) < 1e-9


@pytest.mark.parametrize("case", golden_cases("Scattering2D"), ids=lambda case: case.name)
def test_golden_2d(case: GoldenCase) -> None:
    spec = golden_spec(2, case)
    got = scatter(spec, case.x)
    assert relative_error(np.stack([got[path] for path in all_paths(spec)], axis=-3), case.expected) < 2e-6
    for path in all_paths(spec):
        assert relative_error(got[path], case.expected[..., all_paths(spec).index(path), :, :]) < 1e-5, path


@pytest.mark.parametrize("case", golden_cases("HarmonicScattering3D"), ids=lambda case: case.name)
def test_golden_3d(case: GoldenCase) -> None:
    spec = golden_spec(3, case)
    got = scatter(spec, case.x)
    assert spec.L is not None
    stacked = np.stack([got[path] for path in all_paths(spec)], axis=-2)
    stacked = stacked.reshape(len(case.x), -1, spec.L + 1, stacked.shape[-1])
    assert stacked.shape == case.expected.shape
    for power in range(stacked.shape[-1]):
        assert relative_error(stacked[..., power], case.expected[..., power]) < 2e-6


# ---- the definition, written out ------------------------------------------------------------------------------------


def circular(x: Array, h: Array) -> Array:
    """`sum_k h[k] x[n - k]` over the whole grid, by the definition, for arrays with any number of axes."""
    y = np.zeros(x.shape, np.result_type(x, h))
    for k in np.ndindex(*h.shape):
        y += h[k] * np.roll(x, k, axis=tuple(range(x.ndim)))
    return y


def in_time(spec: Spec, bank: str, index: int, level: int = 0) -> Array:
    """The impulse responses of a filter, one per component, by a sum over frequencies."""
    response = banks(spec)[bank].response(index, level)
    for axis in range(1, response.ndim):
        n = response.shape[axis]
        wave = np.exp(2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) / n
        response = np.moveaxis(np.moveaxis(response, axis, -1) @ wave, -1, axis)
    return response


def test_1d_by_circular_sums() -> None:
    spec = Spec(dim=1, shape=13, J=2, Q=(2, 1), T=3.5, stride=2)
    x = signal("noise", (13,), 3)
    (left, right), (start, stop) = spec.padding_widths[0], spec.kept(1)[0]
    u0 = np.pad(x, (left, right), mode="reflect")
    phi = [in_time(spec, "phi", 0, level)[0] for level in (0, 1)]
    expected = {(): circular(u0, phi[0])[::2][start:stop]}
    for n1, first in enumerate(banks(spec)["psi1"].info):
        level = min(first.j, 1)
        u1 = np.abs(circular(u0, in_time(spec, "psi1", n1)[0]))[:: 1 << level]
        expected[n1,] = circular(u1, phi[level])[:: 2 >> level][start:stop]
        for n2, second in enumerate(banks(spec)["psi2"].info):
            if second.j > first.j:
                u2 = np.abs(circular(u1, in_time(spec, "psi2", n2, level)[0]))[:: 2 >> level]
                expected[n1, n2] = circular(u2, phi[1])[start:stop]
    got = scatter(spec, x)
    assert got.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(got[path], value, rtol=1e-10, atol=1e-13)


def test_2d_by_circular_sums() -> None:
    spec = Spec(dim=2, shape=(4, 5), J=2, L=2)
    x = signal("noise", (4, 5), 1)
    u0 = np.pad(x, spec.padding_widths, mode="reflect")
    (a, b), (c, d) = spec.kept(2)
    phi = [in_time(spec, "phi", 0, level)[0] for level in (0, 1)]

    def average(u: Array, level: int) -> Array:
        return circular(u, phi[level])[:: 4 >> level, :: 4 >> level][a:b, c:d].real

    expected = {(): average(u0, 0)}
    for n1 in range(4):
        step = 1 if n1 < 2 else 2  # j = 0 for the first two angles
        u1 = np.abs(circular(u0, in_time(spec, "psi", n1)[0]))[::step, ::step]
        expected[n1,] = average(u1, step - 1)
        if n1 < 2:
            for n2 in (2, 3):
                u2 = np.abs(circular(u1, in_time(spec, "psi", n2)[0]))[::2, ::2]
                expected[n1, n2] = average(u2, 1)
    got = scatter(spec, x)
    assert got.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(got[path], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("covariant", [True, False])
def test_3d_by_circular_sums(covariant: bool) -> None:
    spec = Spec(dim=3, shape=(3, 4, 2), J=1, L=1, rotation_covariant=covariant, integral_powers=(0.5, 2, 3))
    x = signal("noise", spec.shape, 2)
    got = scatter(spec, x)
    u: dict[Path, Array] = {(): x}
    for path in all_paths(spec):
        parts = [circular(u[path[:-1]], h) for h in in_time(spec, "psi", path[-1])]
        assert len(parts) == (2 * (infos(spec, path)[-1].l or 0) + 1 if covariant else 1)
        u[path] = np.sqrt(sum(np.abs(part) ** 2 for part in parts))
        np.testing.assert_allclose(got[path], [np.sum(u[path] ** q) for q in (0.5, 2, 3)], rtol=1e-9, atol=1e-12)
    assert got.keys() == u.keys() - {()}


@pytest.mark.parametrize("mode", PADDINGS)
def test_padding_is_what_numpy_pads(mode: str) -> None:
    spec = Spec(dim=1, shape=9, J=3, order=1, T=0, padding=mode)
    x = signal("noise", (9,))
    padded = np.pad(x, spec.padding_widths, mode={"zero": "constant", "periodic": "wrap"}.get(mode, mode))
    whole = scatter(Spec(dim=1, shape=9, J=3, order=1, T=0, pre_pad=True), padded)
    for path, value in scatter(spec, x).items():
        np.testing.assert_array_equal(value, whole[path])
    np.testing.assert_array_equal(scatter(spec, x)[()], x)


@pytest.mark.parametrize("mode", PADDINGS)
def test_a_pad_node_pads_as_it_says(mode: str) -> None:
    """Whatever the spec says: a graph means what its nodes state."""
    spec = Spec(dim=1, shape=4, J=1)
    nodes = {"x": Input(), "U": Pad("x", ((1, 2),), mode), "out": Output("U", ((),))}
    got = interpret(Graph(spec, nodes), np.array([1.0, 2.0, 3.0, 4.0]))[()]
    expected = {"reflect": [2, 1, 2, 3, 4, 3, 2], "zero": [0, 1, 2, 3, 4, 0, 0], "periodic": [4, 1, 2, 3, 4, 1, 2]}
    assert got.tolist() == expected[mode]


def test_third_order_is_the_recursion_once_more() -> None:
    spec = Spec(dim=1, shape=32, J=4, order=3, T="global")
    x = signal("noise", (32,), 5)
    (N,) = spec.padded_shape
    got = scatter(spec, x)

    def u_of(path: Path) -> tuple[Array, int]:
        """U and its level, from the responses alone."""
        if not path:
            return np.pad(x, spec.padding_widths, mode="reflect"), 0
        u, level = u_of(path[:-1])
        bank = banks(spec)[bank_name(spec, len(path))]
        j = max(bank.info[path[-1]].j, level)
        filtered = np.abs(np.fft.ifft(np.fft.fft(u) * bank.response(path[-1], level)[0]))
        return filtered[:: 1 << (j - level)], j

    assert any(len(path) == 3 for path in got)
    for path in got:
        u, level = u_of(path)
        assert len(u) == N >> level
        np.testing.assert_allclose(got[path], [u.sum()], rtol=1e-12)


# ---- averaging modes ------------------------------------------------------------------------------------------------


def test_without_averaging_every_path_keeps_its_resolution() -> None:
    spec = Spec(dim=1, shape=32, J=3, T=0)
    got = scatter(spec, signal("noise", (32,)))
    for path, value in got.items():
        assert value.shape == (32 >> (infos(spec, path)[-1].j if path else 0),)


def test_global_averages_are_sums_over_the_padded_signal() -> None:
    x = signal("noise", (24,))
    whole = Spec(dim=1, shape=24, J=3, T="global", pre_pad=True)
    padded = np.pad(x, whole.padding_widths, mode="reflect")
    unaveraged = scatter(Spec(dim=1, shape=24, J=3, T=0, pre_pad=True), padded)
    got = scatter(whole, padded)
    np.testing.assert_allclose(got[()], [padded.sum()])
    assert {value.shape for value in got.values()} == {(1,)}
    for path in got:
        # unpadding keeps a part of U only: what it keeps of |U| cannot exceed the sum
        assert got[path][0] >= unaveraged[path].sum() - 1e-12 or not path


# ---- facts ----------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=25)
def test_leading_axes_are_batch(data: st.DataObject) -> None:
    spec = data.draw(specs(max_side=24, max_paths=20))
    batch = data.draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,), (2, 0), (1, 1, 2)]))
    x = signal("noise", batch + spec.input_shape)
    got = scatter(spec, x)
    alone = scatter(spec, np.zeros(spec.input_shape))
    assert tuple(got) == tuple(alone)
    for index in np.ndindex(*batch):
        alone = scatter(spec, x[index])
        for path in got:
            np.testing.assert_allclose(got[path][index], alone[path], rtol=1e-12, atol=1e-14)
    for path in got:
        assert got[path].shape == batch + alone[path].shape


@given(st.data())
@settings(max_examples=25)
def test_coefficients_are_real_finite_and_in_order(data: st.DataObject) -> None:
    spec = data.draw(specs())
    got = scatter(spec, data.draw(signals(spec.input_shape)))
    assert sorted(got, key=all_paths(spec).index) == list(all_paths(spec))
    for value in got.values():
        assert value.dtype == np.float64
        assert np.isfinite(value).all()


@given(st.data())
@settings(max_examples=25)
def test_scaling_and_sign(data: st.DataObject) -> None:
    """Order 0 is linear; the others are blind to the sign and grow with the scale (3D: with its powers)."""
    spec = data.draw(specs(max_side=32))
    x = data.draw(signals(spec.input_shape, SIGNALS[:4]))
    got, minus, three = (scatter(spec, factor * x) for factor in (1.0, -1.0, 3.0))
    grows = 3.0 ** np.array(spec.integral_powers or (1.0,))
    for path, value in got.items():
        atol = 1e-12 * (1 + np.abs(value).max(initial=0))
        np.testing.assert_allclose(minus[path], value if path else -value, rtol=1e-12, atol=atol)
        if spec.dim < 3:
            np.testing.assert_allclose(three[path], 3 * value, rtol=1e-12, atol=10 * atol)
        elif np.abs(x).sum() > 1e-3:  # roots of rounding errors are no small numbers
            np.testing.assert_allclose(three[path], grows * value, rtol=1e-6, atol=1e-6 * (1 + np.abs(value).max()))


@given(st.data())
@settings(max_examples=25)
def test_zero_in_zero_out(data: st.DataObject) -> None:
    spec = data.draw(specs())
    for value in scatter(spec, np.zeros(spec.input_shape)).values():
        assert not value.any()


@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=64, J=3, Q=2, T="global", pre_pad=True),
        Spec(dim=2, shape=(8, 10), J=2, L=2, T="global", pre_pad=True),
        Spec(dim=3, shape=(4, 5, 6), J=1, L=1, sigma_0=0.8),
    ],
    ids=lambda spec: f"{spec.dim}D",
)
def test_global_coefficients_do_not_move_with_the_signal(spec: Spec) -> None:
    """Shifts by a multiple of the coarsest subsampling permute the samples of every U."""
    x = signal("noise", spec.input_shape)
    step = 1 if spec.dim == 3 else 1 << spec.J
    moved = scatter(spec, np.roll(x, [step] * spec.dim, axis=tuple(range(spec.dim))))
    for path, value in scatter(spec, x).items():
        np.testing.assert_allclose(moved[path], value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("padding", ["reflect", "periodic"])
@pytest.mark.parametrize("fields", [{"shape": 32, "J": 3}, {"shape": 37, "J": 4, "Q": 3, "T": 5.5, "stride": 4}])
def test_of_a_constant_order_zero_is_the_constant(fields: dict[str, Any], padding: str) -> None:
    """The low-pass has sum 1, and of a constant every wavelet sees nothing."""
    spec = Spec(dim=1, padding=padding, **fields)
    for path, value in scatter(spec, np.full(spec.shape, -1.7)).items():
        np.testing.assert_allclose(value, np.full(value.shape, 0.0 if path else -1.7), rtol=1e-12, atol=1e-12)


def test_higher_orders_do_not_change_the_lower_ones() -> None:
    x = signal("noise", (48,))
    deep = scatter(Spec(dim=1, shape=48, J=4, Q=2, order=3), x)
    for order in (0, 1, 2):
        for path, value in scatter(Spec(dim=1, shape=48, J=4, Q=2, order=order), x).items():
            np.testing.assert_array_equal(value, deep[path])


def test_wrong_shapes_are_refused() -> None:
    spec = Spec(dim=1, shape=16, J=2)
    with pytest.raises(ValueError, match="cannot reshape"):
        scatter(spec, np.zeros((2, 15)))
