"""Three-dimensional solid harmonic wavelets.

Source: M. Eickenberg, G. Exarchakis, M. Hirn and S. Mallat, "Solid harmonic wavelet scattering: predicting quantum
molecular energy from invariant descriptors of 3D electronic densities", NIPS 2017, section 3; and "Solid harmonic
wavelet scattering for predictions of molecule properties", J. Chem. Phys. 148 (2018). In space
`psi_lm(u) = |u|^l exp(-|u|^2 / 2) Y_lm(u / |u|)` up to a factor; its Fourier transform has the same form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters.bank import Bank, FilterInfo
from scatc.ir.filters.support import Band, arc

_SEPARABLE = 8
"""The largest l - m for which powers of z and rho are summed: their signs alternate, so that rounding grows with it."""

_BLOCK = 1 << 14
"""How many values are computed at a time."""


def legendre(l: int, m: int, z: NDArray[np.float64], r2: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polynomial `r^(l - m) P_lm(z / r) / sin^m`, with `P_lm` carrying the Condon-Shortley sign; `0 <= m <= l`.

    Upward recurrence in the degree: `(l - m) A_l = (2l - 1) z A_(l-1) - (l + m - 1) r^2 A_(l-2)`.
    """
    below: NDArray[np.float64] = np.zeros(np.broadcast_shapes(z.shape, r2.shape))
    here: NDArray[np.float64] = below + (-1) ** m * math.prod(range(2 * m - 1, 0, -2))
    for n in range(m + 1, l + 1):
        below, here = here, ((2 * n - 1) * z * here - (n + m - 1) * r2 * below) / (n - m)
    return here


def coefficients(l: int, m: int) -> NDArray[np.float64]:
    """The `c_k` of `A_lm = sum_k c_k z^(l - m - 2k) rho^(2k)`, with `rho^2 = r^2 - z^2`: `legendre`'s recurrence."""
    below, here = np.zeros(0), np.array([(-1.0) ** m * math.prod(range(2 * m - 1, 0, -2))])
    for n in range(m + 1, l + 1):
        new = np.zeros((n - m) // 2 + 1)
        new[: here.size] += (2 * n - 1) * here
        new[: below.size] -= (n + m - 1) * below
        new[1 : 1 + below.size] -= (n + m - 1) * below
        below, here = here, new / (n - m)
    return here


def harmonic_norm(l: int, m: int) -> float:
    """The factor of `P_lm exp(i m phi)` in the orthonormal spherical harmonic; `0 <= m <= l`."""
    return math.sqrt((2 * l + 1) / (4 * math.pi) * math.factorial(l - m) / math.factorial(l + m))


def wavelet_norm(l: int) -> complex:
    """The factor of degree l in frequency: `(2 pi)^(3/2) (-i)^l` over the norm of the wavelet in space."""
    if l == 0:
        return 1.0
    if l % 2 == 0:
        norm = 2 * math.pi * math.sqrt(l + 0.5) * math.prod(range(l + 1, 0, -2))
    else:
        norm = math.pow(2, 0.5 * (l + 3)) * math.sqrt(math.pi * (2 * l + 1)) * math.factorial((l + 1) // 2)
    phase: complex = (1, -1j, -1, 1j)[l % 4]
    return phase * math.pow(2 * math.pi, 1.5) / norm


def blocks(
    l: int, m: int, z: NDArray[np.float64], rho2: NDArray[np.float64], plane: NDArray[Any]
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """`A_lm exp(-z^2 / 2) plane` on the grid of `z` and a plane, a few values of `z` at a time.

    It is a sum of few products of a function of `z` and one of the plane, of a single one where `l - m < 2`. What is
    yielded fits a cache and is written over by the next.
    """
    decay = np.exp(-0.5 * z**2)
    rows = max(1, _BLOCK // max(plane.size, 1))
    buffer = np.empty((min(rows, z.size), *plane.shape), plane.dtype)
    separable = l - m <= _SEPARABLE
    if separable:
        terms = [
            ((c * z ** (l - m - 2 * k) * decay)[:, np.newaxis, np.newaxis], (rho2**k * plane).view(np.float64))
            for k, c in enumerate(coefficients(l, m))
        ]
    for a in range(0, z.size, rows):
        part = slice(a, min(a + rows, z.size))
        block = buffer[: part.stop - a]
        if separable:
            values = block.view(np.float64)  # of complex numbers both parts, by a real factor
            for k, (along, across) in enumerate(terms):
                if k == 0:
                    np.multiply(along[part], across, out=values)
                else:
                    values += along[part] * across
        else:
            heights = z[part, np.newaxis, np.newaxis]
            polynomial = legendre(l, m, heights, heights**2 + rho2)
            np.multiply(polynomial * decay[part, np.newaxis, np.newaxis], plane, out=block)
        yield part, block


def wave_numbers(size: int) -> NDArray[np.float64]:
    """The wave number, in radians a sample, of each bin of one axis in FFT order.

    At even sizes the Nyquist bin counts as `-pi`. At odd sizes every bin stands one step lower than in the DFT: the
    transform is defined with that shift, and its published coefficients carry it.
    """
    first = -size // 2
    k = np.arange(first, first + size, dtype=float)
    return np.fft.ifftshift(k * (2 * math.pi / size))


class SolidHarmonicBank(Bank):
    """Solid harmonic wavelets; filter `l * (J + 1) + j` has degree l and scale `2**j`.

    Responses are polynomials times Gaussians and are evaluated where they are asked for, so nothing large is kept.

    Parameters
    ----------
    shape : tuple of int
        The grid, in voxels; its axes are z, y and x.
    J : int
        Log2 of the largest scale.
    L : int
        Largest degree.
    sigma_0 : float
        Width of the Gaussian at scale 1, in voxels.
    rotation_covariant : bool
        Whether a filter has the components `m = -l, ..., l`, or only `m = -l`.
    """

    quick = True

    def __init__(
        self, shape: tuple[int, ...], J: int, L: int, sigma_0: float = 1.0, rotation_covariant: bool = True
    ) -> None:
        self.name, self.shape = "psi", tuple(shape)
        self.rotation_covariant = rotation_covariant
        self._atoms = tuple((l, sigma_0 * 2**j) for l in range(L + 1) for j in range(J + 1))  # degree and width
        self.info = tuple(FilterInfo(j=i % (J + 1), sigma=sigma, l=l) for i, (l, sigma) in enumerate(self._atoms))
        self._marginals = lru_cache(maxsize=None)(self._compute_marginals)

    def components(self, index: int) -> int:
        """See `Bank.components`."""
        return 2 * self._atoms[index][0] + 1 if self.rotation_covariant else 1

    def grid(self, level: int) -> tuple[int, ...]:
        """See `Bank.grid`."""
        if level:
            raise ValueError(f"level {level} is not possible: solid harmonic wavelets are not subsampled")
        return self.shape

    def window(self, index: int, level: int, box: tuple[Band, ...]) -> NDArray[np.complex128]:
        """See `Bank.window`."""
        out = np.empty((self.components(index), *(band.size for band in box)), np.complex128)
        self.fill(out, index, level, box, dict.fromkeys(range(len(out)), 1.0))
        return out

    def _orders(self, index: int) -> range:
        l, _ = self._atoms[index]
        return range(-l, l + 1 if self.rotation_covariant else -l + 1)

    def fill(
        self, out: NDArray[Any], index: int, level: int, box: tuple[Band, ...], factors: Mapping[int, float]
    ) -> None:
        """See `Bank.fill`."""
        self._check_box(box)
        bins = [band.bins(size) for band, size in zip(box, self.grid(level), strict=True)]
        self._evaluate(out, index, bins, {self._orders(index)[c]: factor for c, factor in factors.items()})

    def _evaluate(
        self, out: NDArray[Any], index: int, bins: Sequence[NDArray[np.int64]], orders: Mapping[int, float]
    ) -> None:
        """Write components, given by their orders m and what they are multiplied by, at bins in FFT positions."""
        l, sigma = self._atoms[index]
        z, y, x = (sigma * wave_numbers(size)[k] for size, k in zip(self.shape, bins, strict=True))
        rho2 = np.add.outer(y**2, x**2)
        envelope = np.exp(-0.5 * rho2)
        for part, (m, factor) in zip(out, orders.items(), strict=True):
            # The polar angle counts from the negative z axis. A negative m is (-1)^m times the conjugate of m.
            turn = np.add.outer(1j * y, x if m >= 0 else -x) ** abs(m)
            plane = factor * harmonic_norm(l, abs(m)) * wavelet_norm(l) * turn * envelope if l else factor * envelope
            for rows, block in blocks(l, abs(m), -z, rho2, plane):
                part[rows] = block

    def _plane(self, index: int, bins: Sequence[NDArray[np.int64]], orders: range) -> NDArray[np.complex128]:
        """The components of some orders at bins in FFT positions."""
        out = np.empty((len(orders), *(k.size for k in bins)), np.complex128)
        self._evaluate(out, index, bins, dict.fromkeys(orders, 1.0))
        return out

    def support(self, index: int, level: int, tol: float) -> tuple[Band, ...]:
        """See `Bank.support`."""
        self.grid(level)
        return tuple(arc(mass, tol / 3) for mass in self._marginals(index)[0])

    def _compute_marginals(self, index: int) -> tuple[list[NDArray[np.float64]], float]:
        """The marginal L1 mass along each axis (FFT order), and the largest modulus of a response.

        The modulus does not change with the sign of any coordinate: one octant is enough.
        """
        l, sigma = self._atoms[index]
        axes = [
            np.unique(np.abs(wave_numbers(n)).round(12), return_inverse=True, return_counts=True) for n in self.shape
        ]
        z, y, x = (sigma * values for values, _, _ in axes)
        counts = [count for _, _, count in axes]
        rho2 = np.add.outer(y**2, x**2)
        envelope = np.abs(wavelet_norm(l)) * np.exp(-0.5 * rho2)
        along, across, peak = np.zeros(z.size), np.zeros_like(rho2), 0.0
        for m in sorted({abs(m) for m in self._orders(index)}):
            plane = (harmonic_norm(l, m) if l else 1.0) * envelope * rho2 ** (m / 2)
            times = 2 if m and self.rotation_covariant else 1
            for rows, block in blocks(l, m, z, rho2, plane):
                modulus = np.abs(block, out=block)
                peak = max(peak, float(modulus.max()))
                along[rows] += times * (modulus @ counts[2] @ counts[1])
                across += times * np.tensordot(counts[0][rows], modulus, 1)
        sums = (along, across @ counts[2], counts[1] @ across)
        return [total[inverse] for total, (_, inverse, _) in zip(sums, axes, strict=True)], peak

    def parity(self, index: int, tol: float) -> bool:
        """Whether the components of orders -m and m have equal modulus on real signals, so that `m >= 0` are enough.

        In the continuum `psi_(-m)(k) = (-1)^m conj(psi_m(-k))`, which makes `x * psi_(-m)` the conjugate of
        `x * psi_m` up to sign, and `x * psi_0` real. On a grid this fails at bins whose opposite bin has not the
        opposite wave number: the Nyquist planes of even sizes, and everywhere at odd sizes.

        Parameters
        ----------
        index : int
            Which filter.
        tol : float
            Largest deviation that passes, relative to the largest modulus of the response.
        """
        l, _ = self._atoms[index]
        _, peak = self._marginals(index)
        everything = [np.arange(size) for size in self.shape]
        for axis, size in enumerate(self.shape):
            q = wave_numbers(size)
            for bin_ in np.flatnonzero(np.abs(q + q[-np.arange(size)]) > 1e-9):
                plane = [np.array([bin_]) if a == axis else k for a, k in enumerate(everything)]
                psi = self._plane(index, plane, range(-l, l + 1))
                opposite = self._plane(index, [-k for k in plane], range(l + 1))
                signs = (-1.0) ** np.arange(l + 1)
                mirrored = signs[:, None, None, None] * opposite.conj()
                if np.abs(psi[l::-1] - mirrored).max() > tol * peak:
                    return False
        return True
