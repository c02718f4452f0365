"""Molecules as three-dimensional densities: sums of Gaussians on a grid, the usual input of 3D scattering."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MOLECULES", "Molecule", "gaussian_density"]


class Molecule(NamedTuple):
    """The atoms of one molecule.

    Attributes
    ----------
    charges : ndarray, shape (atoms,)
        Charges of the nuclei, in units of the elementary charge.
    positions : ndarray, shape (atoms, 3)
        Where they are, in angstroms, about the origin.
    """

    charges: NDArray[np.float64]
    positions: NDArray[np.float64]


def _molecule(*atoms: tuple[int, float, float, float]) -> Molecule:
    table = np.array(atoms, dtype=np.float64)
    table.setflags(write=False)
    return Molecule(table[:, 0], table[:, 1:])


def _ring(charge: int, radius: float) -> list[tuple[int, float, float, float]]:
    """Six atoms in a regular hexagon about the x axis."""
    angles = [math.pi * k / 3 for k in range(6)]
    return [(charge, 0.0, radius * math.cos(a), radius * math.sin(a)) for a in angles]


MOLECULES: Mapping[str, Molecule] = MappingProxyType(
    {
        "water": _molecule((8, 0, 0, 0.1173), (1, 0, 0.7572, -0.4692), (1, 0, -0.7572, -0.4692)),
        "ammonia": _molecule(
            (7, 0, 0, 0), (1, 0, -0.9377, -0.3816), (1, 0.8121, 0.4689, -0.3816), (1, -0.8121, 0.4689, -0.3816)
        ),
        "methane": _molecule(
            (6, 0, 0, 0),
            (1, 0.6276, 0.6276, 0.6276),
            (1, 0.6276, -0.6276, -0.6276),
            (1, -0.6276, 0.6276, -0.6276),
            (1, -0.6276, -0.6276, 0.6276),
        ),
        "carbon dioxide": _molecule((6, 0, 0, 0), (8, 0, 0, 1.162), (8, 0, 0, -1.162)),
        "benzene": _molecule(*_ring(6, 1.397), *_ring(1, 2.481)),
    }
)
"""Small molecules in their equilibrium geometry, measured in the gas phase."""


def gaussian_density(
    positions: ArrayLike,
    charges: ArrayLike,
    shape: Sequence[int],
    sigma: float,
    spacing: float = 1.0,
) -> NDArray[np.float64]:
    """The sum of one Gaussian per point, each with the weight of its charge, sampled on a grid.

    The origin is the grid's middle, index ``shape // 2``. A Gaussian that reaches beyond the grid is cut off there.
    In the unit of the grid (``spacing=1``) and about the same origin this is Kymatio's
    ``generate_weighted_sum_of_gaussians``.

    Parameters
    ----------
    positions : array_like, shape (..., points, 3)
        The points' coordinates, in any unit of length.
    charges : array_like, shape (..., points)
        Their weights. Molecules of different sizes go into one batch if the smaller are filled up with charge 0.
    shape : sequence of three int
        Lengths of the grid.
    sigma : float
        Standard deviation of the Gaussians, in the unit of the positions. Below one `spacing` the grid is too coarse
        for them, and sums depend on where between its points they lie.
    spacing : float, optional
        Distance of neighbouring grid points, in the unit of the positions.

    Returns
    -------
    ndarray, shape (..., *shape)
        float64, charge per grid cell: away from the borders it sums to the sum of the charges.

    Raises
    ------
    TypeError
        If positions or charges are not real numbers.
    ValueError
        If shapes do not fit each other, or lengths are not positive.
    """
    at, weights = _numbers("positions", positions), _numbers("charges", charges)
    if at.ndim < 2 or at.shape[-1] != 3 or weights.shape != at.shape[:-1]:
        raise ValueError(
            f"positions of shape {at.shape} and charges of shape {weights.shape} do not fit: "
            "they must be of shapes (..., points, 3) and (..., points)"
        )
    shape = _lengths(shape)
    if not (_is_length(sigma) and _is_length(spacing)):
        raise ValueError(f"sigma={sigma!r} and spacing={spacing!r} must both be finite and above 0")
    # A Gaussian is the product of one along each axis, so the whole sum is one matrix product over the points.
    x, y, z = (_along(at[..., axis], length, float(sigma), float(spacing)) for axis, length in enumerate(shape))
    xy = (weights[..., None] * x)[..., :, None] * y[..., None, :]
    flat = np.swapaxes(xy.reshape(*weights.shape, shape[0] * shape[1]), -1, -2)
    density: NDArray[np.float64] = np.matmul(flat, z).reshape(*weights.shape[:-1], *shape)
    return density


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, got {array.dtype} from {type(values).__name__}")
    return array.astype(np.float64)


def _lengths(shape: Any) -> tuple[int, ...]:
    """Three lengths, as integers of Python."""
    try:
        lengths = tuple(operator.index(length) for length in shape)
    except TypeError:
        lengths = ()
    if len(lengths) != 3 or min(lengths) < 1:
        raise ValueError(f"shape={shape!r} is not possible: it must be three lengths of at least 1")
    return lengths


def _is_length(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < math.inf


def _along(centres: NDArray[np.float64], length: int, sigma: float, spacing: float) -> NDArray[Any]:
    """One axis of the Gaussians about `centres`: shape (..., points, length), sum 1 over an endless grid."""
    grid = spacing * (np.arange(length) - length // 2)
    return np.exp(-((grid - centres[..., None]) ** 2) / (2 * sigma**2)) * (spacing / (math.sqrt(2 * math.pi) * sigma))
