"""Filter banks against the formulas of the papers, written out at full size, and against what they must satisfy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import GoldenCase, golden_cases

from scatc.ir.filters import (
    Band,
    Bank,
    Gaussian1DBank,
    Gaussian2DBank,
    Morlet1DBank,
    Morlet2DBank,
    SolidHarmonicBank,
    arc,
    banks,
)
from scatc.ir.filters.bank import Memo
from scatc.ir.filters.morlet1d import frequencies, gabor
from scatc.ir.filters.solid_harmonic import coefficients, legendre
from scatc.ir.filters.support import Arc
from scatc.ir.spec import Spec

Real = NDArray[np.float64]

BANKS: dict[str, Callable[[], Bank]] = {
    "1D psi": lambda: Morlet1DBank(512, 5, 4),
    "1D psi, wide": lambda: Morlet1DBank(64, 4, 1),
    "1D psi, narrow": lambda: Morlet1DBank(64, 6, 12),
    "1D phi": lambda: Gaussian1DBank(512, 48.5),
    "2D psi": lambda: Morlet2DBank((48, 40), 3, 4),
    "2D phi": lambda: Gaussian2DBank((48, 40), 3),
    "3D psi": lambda: SolidHarmonicBank((8, 6, 7), 1, 2),
    "3D psi, one component": lambda: SolidHarmonicBank((8, 6, 7), 1, 2, 0.8, False),
}


@pytest.fixture(params=BANKS)
def bank(request: pytest.FixtureRequest) -> Bank:
    return BANKS[request.param]()


def close(got: NDArray[Any], expected: NDArray[Any], tol: float) -> None:
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tol * max(np.abs(expected).max(), np.finfo(float).tiny)


# ---- arcs of bins ---------------------------------------------------------------------------------------------------


def left_out(mass: Real, band: Band) -> float:
    rest = mass.copy()
    rest[band.bins(mass.size)] = 0
    return float(rest.sum())


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0)), min_size=1, max_size=24),
    st.sampled_from([0.0, 1e-13, 1e-9, 1e-3, 0.1, 0.5, 1.0]),
)
def test_arc_is_the_shortest_that_leaves_out_no_more_than_the_tolerance(values: list[float], tol: float) -> None:
    mass, size = np.array(values), len(values)
    band = arc(mass, tol)
    budget = tol * mass.sum()
    assert 1 <= band.size <= size
    assert -(size // 2) <= band.start < size
    assert left_out(mass, band) <= budget * (1 + 1e-12)
    for start in range(size):
        shorter = Band(start, start + band.size - 1)
        assert shorter.size == 0 or left_out(mass, shorter) > budget * (1 - 1e-8)


def test_arc_of_the_whole_circle_and_of_nothing() -> None:
    assert arc(np.ones(7), 0.0) == Band(0, 7)
    assert arc(np.ones(1), 1e-3) == Band(0, 1)
    assert arc(np.zeros(5), 1e-3) == Band(0, 1)


def test_arc_wraps_around_bin_zero() -> None:
    mass = np.zeros(100)
    mass[[0, 1, 98, 99]] = 1.0
    assert arc(mass, 0.0) == Band(-2, 2)
    mass[50] = 1e-9
    assert arc(mass, 1e-8) == Band(-2, 2)
    assert arc(mass, 1e-10) == Band(-50, 2)


@given(
    st.integers(-40, 40), st.integers(1, 24), st.integers(-60, 60), st.integers(1, 24), st.sampled_from([1, 2, 4, 8])
)
def test_arc_window_reads_and_folds_like_the_full_circle(
    start: int, filled: int, at: int, length: int, factor: int
) -> None:
    size = 24
    values = np.arange(1.0, filled + 1)
    full = np.zeros(size)
    full[Band(start, start + filled).bins(size)] = values
    window = Arc(start, values, size)
    box = Band(at, at + length)
    assert np.array_equal(window.read(box), full[box.bins(size)])
    small = size // factor
    folded = full.reshape(factor, small).sum(axis=0)
    assert np.allclose(window.fold(small).read(box), folded[box.bins(small)], rtol=1e-15)


# ---- every bank -----------------------------------------------------------------------------------------------------


def test_shapes_dtypes_and_infos(bank: Bank) -> None:
    dim = len(bank.shape)
    assert len(bank.info) == len(bank) > 0
    for index in range(len(bank)):
        response = bank.response(index)
        assert response.shape == (bank.components(index), *bank.shape)
        assert response.dtype == (np.complex128 if dim == 3 else np.float64)
        assert np.isfinite(response).all()
        info = bank.info[index]
        assert (info.theta is not None) == (dim == 2 and bank.name == "psi")
        assert (info.l is not None) == (dim == 3)


def test_a_window_is_the_response_on_its_bins(bank: Bank) -> None:
    levels = (0,) if len(bank.shape) == 3 else (0, 1, 3)
    for level in levels:
        grid = bank.grid(level)
        boxes = [
            tuple(Band(-(n // 3), n // 4 + 1) for n in grid),
            tuple(Band(n // 2, n // 2 + n) for n in grid),
            tuple(Band(-n // 2 - axis, -n // 2 + 1) for axis, n in enumerate(grid)),
            tuple(Band(n - 1, n + 1) if n > 1 else Band(0, 1) for n in grid),
        ]
        for index in range(len(bank)):
            full = bank.response(index, level)
            for box in boxes:
                bins = np.ix_(range(full.shape[0]), *(band.bins(n) for band, n in zip(box, grid, strict=True)))
                assert np.array_equal(bank.window(index, level, box), full[bins])


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-8, 1e-13])
def test_a_support_leaves_out_no_more_than_the_tolerance(bank: Bank, tol: float) -> None:
    for level in (0,) if len(bank.shape) == 3 else (0, 2):
        for index in range(len(bank)):
            mass = np.abs(bank.response(index, level)).sum(axis=0)
            box = bank.support(index, level, tol)
            rest = mass.copy()
            rest[np.ix_(*(band.bins(n) for band, n in zip(box, mass.shape, strict=True)))] = 0
            assert rest.sum() <= tol * mass.sum() * (1 + 1e-6)
            assert all(0 < band.size <= n for band, n in zip(box, mass.shape, strict=True))


def test_what_a_bank_hands_out_cannot_change_it(bank: Bank) -> None:
    before = bank.response(0).copy()
    given_out = bank.response(0)
    if given_out.flags.writeable:
        given_out[:] = 7
    assert np.array_equal(bank.response(0), before)


def test_impossible_levels_and_boxes_are_refused(bank: Bank) -> None:
    with pytest.raises(ValueError, match="level 11 is not possible"):
        bank.response(0, 11)
    with pytest.raises(ValueError, match="level -1 is not possible"):
        bank.support(0, -1, 1e-3)
    with pytest.raises(ValueError, match="bands"):
        bank.window(0, 0, (Band(0, 1),) * 4)


def test_memo_keeps_to_its_bytes() -> None:
    memo, built = Memo(max_bytes=100), []

    def build(key: int) -> NDArray[Any]:
        built.append(key)
        return np.full(5, key, float)

    for key in (1, 2, 1, 3, 1, 2):  # two arrays of 40 bytes fit; 3 drives out 2
        assert memo.get(key, lambda key=key: build(key))[0] == key  # type: ignore[misc]
    assert built == [1, 2, 3, 2]
    assert not memo.get(1, lambda: build(1)).flags.writeable


# ---- one dimension --------------------------------------------------------------------------------------------------


def morlet_at_full_size(N: int, xi: float, sigma: float) -> Real:
    """The Morlet wavelet (at `xi = 0` the Gaussian) from its definition, every period and bin evaluated."""
    omega = np.arange(-N, 2 * N) / N
    low = np.exp(-(omega**2) / (2 * sigma**2)).reshape(3, N).sum(axis=0)
    response: Real = low
    if xi:
        band = np.exp(-((omega - xi) ** 2) / (2 * sigma**2)).reshape(3, N).sum(axis=0)
        response = band - band[0] / low[0] * low
    return response / np.abs(np.fft.ifft(response)).sum()


@pytest.mark.parametrize(
    ("N", "J", "Q"),
    [(4096, 6, 12), (4096, 8, 1), (1000, 4, 3), (1024, 9, 16), (64, 5, 8), (15, 3, 5), (5, 2, 3), (3, 1, 2), (2, 1, 1)],
)
def test_morlet_1d_is_its_formula(N: int, J: int, Q: int) -> None:
    psi = Morlet1DBank(N, J, Q)
    for index, (xi, sigma) in enumerate(frequencies(J, Q)):
        close(psi.response(index)[0], morlet_at_full_size(N, xi, sigma), 1e-11)


@pytest.mark.parametrize(("N", "T"), [(4096, 64), (4096, 3.7), (1024, 1024), (1000, 1), (9, 4), (1, 1)])
def test_gaussian_1d_is_its_formula(N: int, T: float) -> None:
    close(Gaussian1DBank(N, T).response(0)[0], morlet_at_full_size(N, 0.0, 0.1 / T), 1e-13)


@pytest.mark.parametrize("case", golden_cases("Scattering1D"), ids=lambda case: case.name)
def test_frequencies_are_those_of_the_golden_paths(case: GoldenCase) -> None:
    if not case.meta:
        pytest.skip("no meta was stored")
    Q = case.kwargs.get("Q", 1)
    psi = Morlet1DBank(4096, case.kwargs["J"], Q[0] if isinstance(Q, tuple) else Q)
    first = case.meta["order"] == 1
    for name in ("xi", "sigma", "j"):
        ours = [getattr(info, name) for info in psi.info]
        assert ours == pytest.approx(case.meta[name][first, 0], rel=1e-14)


@pytest.mark.parametrize(("N", "J", "Q"), [(4096, 6, 12), (2048, 8, 1), (64, 6, 3)])
def test_morlet_1d_has_mean_zero_and_l1_norm_one(N: int, J: int, Q: int) -> None:
    psi = Morlet1DBank(N, J, Q)
    for index in range(len(psi)):
        response = psi.response(index)[0]
        assert response[0] == 0
        assert np.abs(np.fft.ifft(response)).sum() == pytest.approx(1, rel=1e-11)


@pytest.mark.parametrize(("J", "Q"), [(3, 1), (8, 1), (5, 2), (5, 4), (6, 8), (6, 24)])
def test_littlewood_paley_in_1d_never_exceeds_one(J: int, Q: int) -> None:
    """The bound behind non-expansiveness: 1, reached at frequency 0 alone."""
    psi, phi = Morlet1DBank(2048, J, Q), Gaussian1DBank(2048, 2**J)
    energy = np.array([psi.response(i)[0] ** 2 for i in range(len(psi))]).sum(axis=0)
    total = phi.response(0)[0] ** 2 + (energy + np.roll(energy[::-1], 1)) / 2
    assert total.max() <= 1 + 1e-12
    assert total[:900].min() > 0.02  # nothing but the neighbourhood of Nyquist is lost


@pytest.mark.parametrize(
    ("N", "xi", "sigma"), [(1 << 16, 62.5, 1.626), (1 << 14, 26.5, 0.46), (5000, 20.0, 1.0), (3000, 0.0, 2.0)]
)
def test_the_l1_norm_of_a_long_filter_on_a_long_grid(N: int, xi: float, sigma: float) -> None:
    """It is summed over as many samples as it takes: many where moduli come near 0, as those of the first two do."""
    psi = gabor(N, xi / N, sigma / N)
    modulus = np.abs(np.fft.ifft(psi.read(Band(0, N))))
    assert abs(modulus.sum() - 1) <= 1e-13


@pytest.mark.parametrize("level", [1, 2, 5])
def test_a_level_in_1d_is_the_sum_of_periods(level: int) -> None:
    for bank in (Morlet1DBank(512, 5, 4), Gaussian1DBank(512, 32)):
        for index in range(len(bank)):
            full = bank.response(index)[0]
            close(bank.response(index, level)[0], full.reshape(2**level, -1).sum(axis=0), 1e-14)


@pytest.mark.filterwarnings("error")
def test_a_wavelet_that_vanishes_on_the_grid_is_zero() -> None:
    assert not Morlet1DBank(1, 2, 3).response(1).any()
    assert not gabor(8, 0.3, 1e-4).values.any()


# ---- two dimensions -------------------------------------------------------------------------------------------------


def gabor_sum(shape: tuple[int, int], sigma: float, angle: float, xi: float, slant: float) -> NDArray[np.complex128]:
    """A Gabor atom in space, summed over five periods along each axis, every sample evaluated."""
    M, N = shape
    x, y = np.mgrid[-2 * M : 3 * M, -2 * N : 3 * N]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    atom = np.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2) + 1j * xi * along)
    folded: NDArray[np.complex128] = atom.reshape(5, M, 5, N).sum(axis=(0, 2))
    return folded * slant / (2 * 3.1415 * sigma**2)


@pytest.mark.parametrize(("shape", "J", "L"), [((24, 40), 3, 8), ((12, 20), 2, 3), ((10, 6), 1, 1), ((24, 24), 3, 16)])
def test_morlet_2d_is_its_formula(shape: tuple[int, int], J: int, L: int) -> None:
    psi = Morlet2DBank(shape, J, L)
    for index, info in enumerate(psi.info):
        assert info.theta is not None
        assert (info.j, info.theta) == divmod(index, L)
        angle = (int(L - L / 2 - 1) - info.theta) * math.pi / L
        atom, envelope = (
            gabor_sum(shape, 0.8 * 2**info.j, angle, xi, 4 / L) for xi in (3 / 4 * math.pi / 2**info.j, 0.0)
        )
        expected = np.fft.fft2(atom - atom.sum() / envelope.sum() * envelope).real
        close(psi.response(index)[0], expected, 1e-13)
        assert abs(psi.response(index)[0, 0, 0]) < 1e-14


@pytest.mark.parametrize(("shape", "J", "T"), [((24, 40), 3, None), ((12, 20), 2, 4.0), ((24, 24), 2, 13.0)])
def test_gaussian_2d_is_its_formula_and_separable(shape: tuple[int, int], J: int, T: float | None) -> None:
    phi = Gaussian2DBank(shape, J, T)
    atom = gabor_sum(shape, 0.4 * (T or 2**J), 0.0, 0.0, 1.0)
    close(phi.response(0)[0], np.fft.fft2(atom).real, 1e-13)
    for level in (0, 1, 2):
        axes = [phi.axis_response(axis, level) for axis in (0, 1)]
        close(np.multiply.outer(*axes), phi.response(0, level)[0], 1e-14)


def test_the_only_axis_of_a_1d_low_pass_is_its_response() -> None:
    phi = Gaussian1DBank(256, 16)
    assert np.array_equal(phi.axis_response(0, 2), phi.response(0, 2)[0])


def masked_periodisation(response: Real, level: int) -> Real:
    """ScatNet's way: zero the middle of each axis, then sum the periods."""
    for axis, size in enumerate(response.shape):
        small = size >> level
        mask = np.ones(size)
        start = int(size * 2.0 ** (-level - 1))
        mask[start : start + size - small] = 0
        kept = np.moveaxis(response, axis, 0) * mask[:, np.newaxis]
        response = np.moveaxis(kept.reshape(2**level, small, -1).sum(axis=0), 0, axis)
    return response


@pytest.mark.parametrize("shape", [(48, 40), (24, 56), (40, 8)])
@pytest.mark.parametrize("level", [0, 1, 2, 3])  # at level 3 the grids have both even and odd sides
def test_a_level_in_2d_is_the_masked_periodisation(shape: tuple[int, int], level: int) -> None:
    for bank in (Morlet2DBank(shape, 3, 2), Gaussian2DBank(shape, 3)):
        for index in range(len(bank)):
            full = bank.response(index)[0]
            assert np.array_equal(bank.response(index, level)[0], masked_periodisation(full, level))


@pytest.mark.parametrize(("J", "L", "bound"), [(2, 8, 1.001), (3, 8, 1.02), (3, 4, 1.001), (4, 16, 1.12)])
def test_littlewood_paley_in_2d_is_bounded(J: int, L: int, bound: float) -> None:
    """The constants are tuned for L = 8; at L = 16 the frame's upper bound grows to 1.12."""
    shape = (6 * 2**J, 8 * 2**J)
    psi, phi = Morlet2DBank(shape, J, L), Gaussian2DBank(shape, J)
    energy = np.array([psi.response(i)[0] ** 2 for i in range(len(psi))]).sum(axis=0)
    opposite = np.roll(energy[::-1, ::-1], (1, 1), (0, 1))
    total = phi.response(0)[0] ** 2 + (energy + opposite) / 2
    assert total.max() <= bound
    assert total.min() > 0.05


def test_a_quarter_turn_swaps_the_axes() -> None:
    L = 8
    psi = Morlet2DBank((40, 40), 2, L)
    for j, theta in ((0, 0), (0, 3), (1, 1)):
        turned = np.roll(psi.response(j * L + theta + L // 2)[0][:, ::-1], 1, axis=1)
        close(turned.T, psi.response(j * L + theta)[0], 1e-12)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_components_are_written_where_they_are_wanted(bank: Bank, precision: type[np.floating[Any]]) -> None:
    box = tuple(Band(-(n // 3), n // 4 + 1) for n in bank.shape)
    for index in range(len(bank)):
        window = bank.window(index, 0, box)
        chosen = range(len(window) // 2, len(window))
        out = np.empty((len(chosen), *window.shape[1:]), np.result_type(precision, np.complex64))
        bank.fill(out, index, 0, box, {component: 0.5 + component for component in chosen})
        wanted = np.array([(0.5 + component) * window[component] for component in chosen])
        close(out, wanted, 1e-6 if precision is np.float32 else 1e-15)


# ---- three dimensions -----------------------------------------------------------------------------------------------


def spherical_harmonic(l: int, m: int, polar: Real, azimuth: Real) -> NDArray[np.complex128]:
    from scipy import special

    if hasattr(special, "sph_harm_y"):
        harmonic = special.sph_harm_y(l, m, polar, azimuth)
    else:  # SciPy before 1.15
        harmonic = special.sph_harm(m, l, azimuth, polar)
    return np.asarray(harmonic)


@pytest.mark.parametrize("shape", [(8, 8, 8), (6, 4, 10), (5, 7, 4), (1, 4, 3)])
@pytest.mark.parametrize("sigma_0", [1.0, 0.6])
def test_solid_harmonics_are_their_formula(shape: tuple[int, int, int], sigma_0: float) -> None:
    J, L = 1, 11  # large enough for both ways to compute them
    psi = SolidHarmonicBank(shape, J, L, sigma_0)
    alone = SolidHarmonicBank(shape, J, L, sigma_0, rotation_covariant=False)
    first = [-size // 2 for size in shape]
    grids = [np.arange(f, f + n) * 2 * np.pi / n for f, n in zip(first, shape, strict=True)]
    z, y, x = np.fft.ifftshift(np.meshgrid(*grids, indexing="ij"), axes=(1, 2, 3))
    r, polar, azimuth = np.sqrt(x**2 + y**2 + z**2), np.arctan2(z, np.hypot(x, y)) + np.pi / 2, np.arctan2(y, x)
    for index, info in enumerate(psi.info):
        l, scale = info.l, sigma_0 * 2**info.j
        assert l is not None
        assert index == l * (J + 1) + info.j
        odd = 2 ** (0.5 * (l + 3)) * math.sqrt(math.pi * (2 * l + 1)) * math.gamma((l + 1) / 2 + 1)
        even = 2 * math.pi * math.sqrt(l + 0.5) * math.prod(range(l + 1, 0, -2))
        radial = (scale * r) ** l * np.exp(-0.5 * (scale * r) ** 2) * (2 * np.pi) ** 1.5 * (-1j) ** l
        radial = radial / (odd if l % 2 else even) if l else np.exp(-0.5 * (scale * r) ** 2)
        harmonics = [spherical_harmonic(l, m, polar, azimuth) for m in range(-l, l + 1)] if l else [np.ones(shape)]
        expected = np.array([radial * harmonic for harmonic in harmonics])
        close(psi.response(index), expected, 1e-13)
        assert np.array_equal(alone.response(index), psi.response(index)[:1])


@pytest.mark.parametrize("l", range(13))
def test_coefficients_are_those_of_the_polynomial(l: int) -> None:
    z, rho2 = np.linspace(-2, 2, 9), np.linspace(0, 3, 7)[:, np.newaxis]
    for m in range(l + 1):
        terms = [c * z ** (l - m - 2 * k) * rho2**k for k, c in enumerate(coefficients(l, m))]
        close(np.sum(terms, axis=0), legendre(l, m, z, z**2 + rho2), 1e-13)


@pytest.mark.parametrize("shape", [(8, 8, 8), (6, 8, 10), (5, 6, 8)])
def test_parity_is_what_real_signals_see(shape: tuple[int, int, int]) -> None:
    psi, x = SolidHarmonicBank(shape, 2, 2), np.random.default_rng(0).standard_normal(shape)
    spectrum, tol = np.fft.fftn(x), 1e-5
    for index, info in enumerate(psi.info):
        assert info.l is not None
        outputs = np.fft.ifftn(spectrum * psi.response(index), axes=(1, 2, 3))
        moduli = np.abs(outputs)
        agree = np.allclose(moduli, moduli[::-1], atol=10 * tol * moduli.max())
        central = outputs[info.l]
        straight = min(np.abs(central.real).max(), np.abs(central.imag).max()) < 10 * tol * moduli.max()
        assert psi.parity(index, tol) == (agree and straight)


def test_parity_fails_at_the_finest_scale_of_even_grids_alone() -> None:
    psi = SolidHarmonicBank((16, 16, 16), 2, 3)
    for index, info in enumerate(psi.info):
        assert psi.parity(index, 1e-5) == (info.j > 0 or info.l == 0)


# ---- by spec --------------------------------------------------------------------------------------------------------


def test_banks_by_dimension() -> None:
    one = banks(Spec(dim=1, shape=(1000,), J=6, Q=(8, 2)))
    assert {name: len(bank) for name, bank in one.items()} == {
        "phi": 1,
        "psi1": len(frequencies(6, 8)),
        "psi2": len(frequencies(6, 2)),
    }
    two = banks(Spec(dim=2, shape=(30, 32), J=2, L=6))
    assert {name: len(bank) for name, bank in two.items()} == {"phi": 1, "psi": 12}
    assert two["psi"].shape == Spec(dim=2, shape=(30, 32), J=2, L=6).padded_shape
    three = banks(Spec(dim=3, shape=(8, 8, 8), J=1, L=2))
    assert {name: len(bank) for name, bank in three.items()} == {"psi": 6}
    for found in (one, two, three):
        assert all(bank.name == name for name, bank in found.items())


def test_transforms_that_differ_elsewhere_share_their_wavelets() -> None:
    first, second = (banks(Spec(dim=2, shape=(32, 32), J=2, order=order)) for order in (1, 2))
    assert first["psi"] is second["psi"]
    assert first["phi"] is second["phi"]
