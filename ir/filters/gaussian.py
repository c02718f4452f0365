"""The low-pass filters phi, Gaussians in one and two dimensions."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters.bank import FilterInfo
from scatc.ir.filters.morlet1d import SIGMA0, Bank1D
from scatc.ir.filters.morlet2d import PI, Bank2D, fold, samples
from scatc.ir.filters.support import Band, arc


class Gaussian1DBank(Bank1D):
    """The one-dimensional low-pass, of width `SIGMA0 / T` in frequency and L1 norm 1 (Anden & Mallat 2014).

    Parameters
    ----------
    N : int
        Padded length, in samples.
    T : float
        Averaging support, in samples, at least 1.
    name : str
        `phi_fr` along log-frequency.
    """

    def __init__(self, N: int, T: float, name: str = "phi") -> None:
        sigma = SIGMA0 / T
        super().__init__(name, N, (FilterInfo(j=math.floor(math.log2(T)), xi=0.0, sigma=sigma),), ((0.0, sigma),))


class Gaussian2DBank(Bank2D):
    """The two-dimensional low-pass, an isotropic Gaussian of width `0.4 T`, the product of one along each axis.

    With `T = 2**J` this is ScatNet's `0.8 * 2**(J - 1)` (Bruna & Mallat 2013).

    Parameters
    ----------
    shape : tuple of int
        Padded shape, in pixels.
    J : int
        Log2 of the largest scale.
    T : float
        Averaging support, in pixels.
    """

    def __init__(self, shape: tuple[int, ...], J: int, T: float | None = None) -> None:
        self._sigma = 0.4 * (2**J if T is None else T)
        super().__init__("phi", shape, (FilterInfo(j=J, xi=0.0, sigma=self._sigma),))

    def axis_response(self, axis: int, level: int) -> NDArray[np.float64]:
        """The factor of the response along one axis, float64 in FFT order, of length `grid(level)[axis]`."""
        size = self.grid(level)[axis]
        return self._axis(axis)[self._kept(axis, size)]

    def _axis(self, axis: int) -> NDArray[np.float64]:
        return self._memo.get(("axis", axis), partial(_gaussian, self.shape[axis], self._sigma))

    def window(self, index: int, level: int, box: tuple[Band, ...]) -> NDArray[np.float64]:
        """See `Bank.window`."""
        self._check_box(box)
        x, y = (self.axis_response(axis, level)[band.bins(self.grid(level)[axis])] for axis, band in enumerate(box))
        return np.expand_dims(np.multiply.outer(x, y), 0)

    def support(self, index: int, level: int, tol: float) -> tuple[Band, ...]:
        """See `Bank.support`."""
        return tuple(arc(np.abs(self.axis_response(a, level)), tol / 2) for a in range(2))


def _gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    u = samples(size, sigma)
    g = fold(np.exp(-(u**2) / (2 * sigma**2)), (int(u[0]),), (size,))
    response: NDArray[np.float64] = np.fft.fft(g).real / (math.sqrt(2 * PI) * sigma)
    return response
