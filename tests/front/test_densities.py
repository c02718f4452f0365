"""Densities: sums of Gaussians with the right mass, in the right place; molecules as they are measured."""

from __future__ import annotations

import numpy as np
import pytest

from scatc.densities import MOLECULES, gaussian_density

SHAPE = (20, 24, 22)


def test_equals_the_formula_written_out() -> None:
    """The incumbent's formula in units of the grid: sum of w exp(-|r - r_i|^2 / 2 s^2) / ((2 pi)^(3/2) s^3)."""
    rng = np.random.default_rng(0)
    positions, charges, sigma = rng.uniform(-3, 3, (2, 5, 3)), rng.uniform(1, 8, (2, 5)), 1.3
    grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij"), axis=-1)
    expected = np.zeros((2, *SHAPE))
    for b in range(2):
        for centre, weight in zip(positions[b], charges[b], strict=True):
            expected[b] += weight * np.exp(-((grid - centre) ** 2).sum(-1) / (2 * sigma**2))
    expected /= (2 * np.pi) ** 1.5 * sigma**3
    np.testing.assert_allclose(gaussian_density(positions, charges, SHAPE, sigma), expected, rtol=1e-12, atol=1e-15)


def test_sums_to_the_charge_whatever_the_spacing() -> None:
    water = MOLECULES["water"]
    for spacing in (0.25, 0.4):
        density = gaussian_density(water.positions, water.charges, (40, 40, 40), sigma=0.5, spacing=spacing)
        assert density.sum() == pytest.approx(10, rel=1e-5)


def test_units_of_length_cancel() -> None:
    water = MOLECULES["water"]
    angstrom = gaussian_density(water.positions, water.charges, SHAPE, sigma=0.5, spacing=0.3)
    grid = gaussian_density(water.positions / 0.3, water.charges, SHAPE, sigma=0.5 / 0.3)
    np.testing.assert_allclose(angstrom, grid, rtol=1e-12, atol=1e-15)


def test_a_charge_at_the_origin_peaks_in_the_middle() -> None:
    density = gaussian_density([[0, 0, 0]], [2.0], SHAPE, sigma=1.5)
    assert np.unravel_index(density.argmax(), SHAPE) == tuple(n // 2 for n in SHAPE)


def test_points_of_charge_zero_and_empty_batches_are_fine() -> None:
    some = gaussian_density([[1.0, 0, 0], [0, 2, 0]], [3.0, 0.0], SHAPE, sigma=1.0)
    np.testing.assert_allclose(some, gaussian_density([[1.0, 0, 0]], [3.0], SHAPE, sigma=1.0), atol=1e-15)
    assert gaussian_density(np.zeros((0, 4, 3)), np.zeros((0, 4)), SHAPE, sigma=1.0).shape == (0, *SHAPE)
    assert not gaussian_density(np.zeros((0, 3)), np.zeros(0), SHAPE, sigma=1.0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": [[0.0, 0.0]]}, "do not fit"),
        ({"charges": [1.0, 2.0]}, "do not fit"),
        ({"shape": (8, 8)}, "three lengths"),
        ({"shape": (8, 0, 8)}, "three lengths"),
        ({"sigma": 0.0}, "above 0"),
        ({"sigma": float("nan")}, "finite"),
        ({"spacing": -1.0}, "above 0"),
        ({"spacing": "1"}, "above 0"),
        ({"shape": 8}, "three lengths"),
        ({"shape": (8, 8, 8.0)}, "three lengths"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {"positions": [[0.0, 0.0, 0.0]], "charges": [1.0], "shape": (8, 8, 8), "sigma": 1.0} | change
    with pytest.raises(ValueError, match=message):
        gaussian_density(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "atom", "other", "bond"),
    [
        ("water", 0, 1, 0.958),
        ("ammonia", 0, 2, 1.012),
        ("methane", 0, 4, 1.087),
        ("carbon dioxide", 0, 2, 1.162),
        ("benzene", 0, 1, 1.397),
        ("benzene", 0, 6, 1.084),
    ],
)
def test_bonds_have_their_measured_length(name: str, atom: int, other: int, bond: float) -> None:
    positions = MOLECULES[name].positions
    assert np.linalg.norm(positions[atom] - positions[other]) == pytest.approx(bond, abs=1e-3)


def test_molecules_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        MOLECULES["water"].positions[0, 0] = 1.0
