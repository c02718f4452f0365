"""Two-dimensional oriented Morlet wavelets.

Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", IEEE Trans. PAMI 35 (2013), with the
constants of the ScatNet toolbox (among them its 3.1415).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters.bank import Bank, FilterInfo, Memo
from scatc.ir.filters.support import Band

PI = 3.1415  # in the norm of a Gabor atom only: ScatNet's constant, which every published coefficient carries
Number = TypeVar("Number", np.float64, np.complex128)

_DECAY = 45.0  # the Gaussian is left out beyond exp(-45)


def samples(size: int, width: float) -> NDArray[np.float64]:
    """The positions at which a Gaussian of this width counts, out of the five periods `[-2 size, 3 size)`."""
    reach = math.ceil(math.sqrt(2 * _DECAY) * width)
    return np.arange(max(-2 * size, -reach), min(3 * size, reach + 1), dtype=float)


def fold(values: NDArray[Number], origin: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Number]:
    """Sum `values`, which lie at positions from `origin` on, into one period of the grid."""
    for axis, (first, size) in enumerate(zip(origin, shape, strict=True)):
        lead = first % size
        length = values.shape[axis]
        periods = -(-(lead + length) // size)
        before: tuple[int, ...] = values.shape[:axis]
        after: tuple[int, ...] = values.shape[axis + 1 :]
        line: NDArray[Number] = np.zeros((*before, periods * size, *after), values.dtype)
        line[(slice(None),) * axis + (slice(lead, lead + length),)] = values
        values = line.reshape((*before, periods, size, *after)).sum(axis=axis)
    return values


def morlet(shape: tuple[int, ...], sigma: float, theta: float, xi: float, slant: float) -> NDArray[np.float64]:
    """The response of a Morlet wavelet on the whole grid.

    In space, `psi(u) = g(u) (exp(i xi u_theta) - K)`, with `g` a Gaussian of width `sigma` along the direction theta
    and `sigma / slant` across it, and K such that psi has mean zero.

    Parameters
    ----------
    shape : tuple of int
        The grid; the first axis is the direction theta = 0.
    sigma : float
        Width of the envelope, in pixels.
    theta : float
        Direction of the wave, in radians.
    xi : float
        Frequency of the wave, in radians a pixel.
    slant : float
        Ratio of the envelope's widths along and across the wave.

    Returns
    -------
    ndarray, float64, shape `shape`
        In FFT order.
    """
    c, s = math.cos(theta), math.sin(theta)
    x = samples(shape[0], sigma * math.hypot(c, s / slant))
    y = samples(shape[1], sigma * math.hypot(s, c / slant))
    along = np.add.outer(x * c, y * s)
    across = np.add.outer(-x * s, y * c)
    envelope = np.exp((along**2 + (slant * across) ** 2) / (-2 * sigma**2))
    wave = envelope * np.exp(1j * xi * c * x)[:, np.newaxis] * np.exp(1j * xi * s * y)
    psi = fold(wave - wave.sum() / envelope.sum() * envelope, (int(x[0]), int(y[0])), shape)
    response: NDArray[np.float64] = np.fft.fft2(psi).real * (slant / (2 * PI * sigma**2))
    return response


class Bank2D(Bank):
    """Filters in two dimensions: subsampling keeps the lowest bins of their responses and drops the rest.

    At `m` bins an axis the bins kept are the first `floor(m / 2)` and the last `ceil(m / 2)`, so that an odd `m` keeps
    one negative frequency more. (Periodising a response after its higher frequencies were masked is this same crop.)
    """

    def __init__(self, name: str, shape: tuple[int, ...], info: tuple[FilterInfo, ...]) -> None:
        self.name, self.shape, self.info = name, tuple(shape), info
        self._memo = Memo()

    def _kept(self, axis: int, size: int) -> NDArray[np.int64]:
        """The bins of the axis at level 0 that are left at `size` bins, in FFT order."""
        if size == self.shape[axis]:
            return np.arange(size)
        k = np.arange(size)
        return np.where(k < size // 2, k, k - size) % self.shape[axis]


class Morlet2DBank(Bank2D):
    """Oriented Morlet wavelets; filter `j * L + theta` has scale `2**j` and orientation `theta`.

    Parameters
    ----------
    shape : tuple of int
        Padded shape, in pixels.
    J : int
        Number of scales.
    L : int
        Number of orientations, over half a turn.
    """

    def __init__(self, shape: tuple[int, ...], J: int, L: int) -> None:
        pairs = [(j, theta) for j in range(J) for theta in range(L)]
        info = [FilterInfo(j=j, xi=3 / 4 * math.pi / 2**j, sigma=0.8 * 2**j, theta=theta) for j, theta in pairs]
        super().__init__("psi", shape, tuple(info))
        self.L = L

    def window(self, index: int, level: int, box: tuple[Band, ...]) -> NDArray[np.float64]:
        """See `Bank.window`."""
        self._check_box(box)
        grid = self.grid(level)
        rows, columns = (self._kept(axis, grid[axis])[band.bins(grid[axis])] for axis, band in enumerate(box))
        return np.expand_dims(self._full(index)[rows[:, np.newaxis], columns], 0)

    def _full(self, index: int) -> NDArray[np.float64]:
        j, theta = divmod(range(len(self))[index], self.L)
        angle = (int(self.L - self.L / 2 - 1) - theta) * math.pi / self.L
        return self._memo.get(index, partial(morlet, self.shape, 0.8 * 2**j, angle, 3 / 4 * math.pi / 2**j, 4 / self.L))
