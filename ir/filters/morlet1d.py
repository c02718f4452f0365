"""One-dimensional Morlet wavelets, constant-Q above an elbow frequency and of constant bandwidth below it.

Sources: J. Anden and S. Mallat, "Deep scattering spectrum", IEEE Trans. Signal Processing 62 (2014), section II;
V. Lostanlen, "Convolutional operators in the time-frequency domain", PhD thesis (2017), for the width that makes
neighbours meet at `r_psi`; the constants are those of the ScatNet toolbox.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scatc.ir.filters.bank import Bank, FilterInfo
from scatc.ir.filters.support import Arc, Band

ALPHA = 5.0  # a filter ends alpha widths from its centre, as far as subsampling is concerned
SIGMA0 = 0.1  # width in frequency of a low-pass whose time support is one sample
R_PSI = math.sqrt(0.5)  # height at which neighbouring wavelets meet

_REACH = 9.1  # widths from its centre at which a Gaussian has fallen to 1e-18
_WRAP_EPS = 1e-7  # height at which the periodisation in frequency stops looking for further periods
_MAX_PERIODS = 5
_FEWEST = 1024  # samples of a period whose mean modulus is the first guess at that of all
_CONVERGED = 1e-14


def width(xi: float, Q: int, r: float = R_PSI) -> float:
    """The width sigma, in cycles a sample, of the wavelet at `xi` whose neighbour at `xi * 2**(-1/Q)` it meets at `r`.

    Lostanlen (2017): `sigma = xi (1 - 2^(-1/Q)) / (1 + 2^(-1/Q)) / sqrt(2 log(1/r))`.
    """
    ratio = 1.0 / math.pow(2, 1.0 / Q)
    return xi * ((1 - ratio) / (1 + ratio)) * (1.0 / math.sqrt(2 * math.log(1.0 / r)))


def max_subsampling(xi: float, sigma: float) -> int:
    """The largest j such that a filter that ends at `|xi| + alpha sigma` is not aliased by a subsampling of `2**j`."""
    return math.floor(-math.log2(min(abs(xi) + ALPHA * sigma, 0.5))) - 1


def frequencies(J: int, Q: int) -> tuple[tuple[float, float], ...]:
    """Centre frequencies and widths `(xi, sigma)` of the wavelets, in cycles a sample, from high to low.

    Geometric with ratio `2**(-1/Q)` while the width exceeds `SIGMA0 / 2**J`, then `Q - 1` wavelets of that width at
    equal steps down to frequency zero (Anden & Mallat 2014, section II-B).

    Parameters
    ----------
    J : int
        Log2 of the largest scale, in samples.
    Q : int
        Wavelets an octave, at least 1.
    """
    step = math.pow(2, 1.0 / Q)
    xi = max(1.0 / (1.0 + math.pow(2.0, 3.0 / Q)), 0.35)
    sigma = width(xi, Q)
    sigma_min = SIGMA0 / 2**J
    out = []
    if sigma <= sigma_min:
        xi = sigma
    else:
        out.append((xi, sigma))
        while sigma > sigma_min * step:
            xi, sigma = xi / step, sigma / step
            out.append((xi, sigma))
    elbow = xi
    for _ in range(Q - 1):
        xi -= 1 / Q * elbow
        out.append((xi, sigma_min))
    return tuple(out)


def gabor(N: int, xi: float, sigma: float) -> Arc:
    """The response of a Morlet wavelet (or, at `xi = 0`, of a Gaussian) on `N` bins.

    In time, `psi(t) = g(t) (exp(2 i pi xi t) - kappa)` with `g` a Gaussian and `kappa` such that psi has mean zero;
    sampling makes the response periodic. It is divided by the L1 norm of psi over the `N` samples.

    Parameters
    ----------
    N : int
        Length of the periodic signal.
    xi, sigma : float
        Centre frequency and width, in cycles a sample.

    Returns
    -------
    Arc
        All zero where the filter vanishes on the grid (a Morlet wavelet on one sample).
    """
    periods = min(math.ceil(math.sqrt(-2 * sigma**2 * math.log(_WRAP_EPS)) + 1), _MAX_PERIODS)
    # Two bins more than the reach: of a filter narrower than a bin, the grid sees only the tail.
    reach = _REACH * sigma * N + 2
    start, stop = math.floor(xi * N - reach), math.ceil(xi * N + reach) + 1
    if start <= 0 <= stop:  # the Gabor filter does not vanish at 0, so that the correction counts
        start, stop = min(start, math.floor(-reach)), max(stop, math.ceil(reach) + 1)
    whole = stop - start >= N
    if whole:
        start, stop = (1 - periods) * N, periods * N
    omega = np.arange(start, stop, dtype=float) / N

    def gaussian(centre: float) -> NDArray[np.float64]:
        values = np.exp(-((omega - centre) ** 2) / (2 * sigma**2))
        return values.reshape(-1, N).sum(axis=0) if whole else values

    values = gaussian(xi)
    zero = 0 if whole else -start
    kappa = 0.0
    if xi and 0 <= zero < values.size:
        low = gaussian(0.0)
        kappa = float(values[zero] / low[zero])
        values = values - kappa * low
        values[zero] = 0.0  # exact in theory; rounding must not leave a wavelet of noise on a grid of one bin
    norm = _l1_norm(Arc(0 if whole else start, values, N), xi, sigma, kappa)
    return Arc(0 if whole else start, values / norm if norm else np.zeros_like(values), N)


def _l1_norm(psi: Arc, xi: float, sigma: float, kappa: float) -> float:
    """The L1 norm in time, over the grid, of the filter with response `psi`."""
    N = psi.size
    sigma_t = 1 / (2 * math.pi * sigma)
    # the filter overlaps itself in time, or its periods are not cut off alike on both sides: go there
    if N < 18 * sigma_t or xi < 0:  # |psi| is even because psi is real
        return _mean_modulus(psi)
    if kappa < 1e-18:  # |psi(t)| = g(t), whose sum is the periodised Gaussian at frequency 0
        return 1 + 2 * math.exp(-1 / (2 * sigma**2))
    t = np.arange(math.ceil(9 * sigma_t) + 1)
    g = math.sqrt(2 * math.pi) * sigma * np.exp(-2 * (math.pi * sigma * t) ** 2)
    modulus = g * np.sqrt((1 - kappa) ** 2 + 4 * kappa * np.sin(math.pi * xi * t) ** 2)
    return float(modulus[0] + 2 * modulus[1:].sum())


def _mean_modulus(psi: Arc) -> float:
    """The mean of `|psi(t)|` over the samples of the grid.

    It is the trapezoidal rule for a smooth periodic function, which converges faster than any power of the number of
    samples: far fewer than those of a long grid are enough. They are doubled until that changes nothing.
    """
    size, mean = _FEWEST, math.nan
    while size < psi.size:
        before, mean = mean, _mean_of_samples(psi.fold(size))
        if abs(mean - before) <= _CONVERGED * mean:
            return mean
        size *= 2
    return _mean_of_samples(psi)


def _mean_of_samples(psi: Arc) -> float:
    """The mean modulus of as many samples as there are bins; it is even in time, for psi's response is real."""
    N = psi.size
    modulus = np.abs(np.fft.rfft(psi.read(Band(0, N))))
    return float(modulus[0] + 2 * modulus[1:].sum() - (modulus[-1] if N % 2 == 0 else 0)) / N


class Bank1D(Bank):
    """Filters in one dimension: Gabor atoms, periodised by sum when the signal is subsampled."""

    def __init__(self, name: str, N: int, info: tuple[FilterInfo, ...], atoms: tuple[tuple[float, float], ...]) -> None:
        self.name, self.shape, self.info = name, (N,), info
        self._atoms = atoms  # centre frequency and width
        self._arcs: dict[tuple[int, int], Arc] = {}  # by index and level; two threads may build the same, harmlessly

    def _arc(self, index: int, level: int) -> Arc:
        key = (index, level)
        if key not in self._arcs:
            (size,) = self.grid(level)
            self._arcs[key] = self._arc(index, 0).fold(size) if level else gabor(size, *self._atoms[index])
        return self._arcs[key]

    def window(self, index: int, level: int, box: tuple[Band, ...]) -> NDArray[np.float64]:
        """See `Bank.window`."""
        self._check_box(box)
        return np.expand_dims(self._arc(index, level).read(box[0]), 0)

    def support(self, index: int, level: int, tol: float) -> tuple[Band, ...]:
        """See `Bank.support`."""
        return (self._arc(index, level).support(tol),)

    def axis_response(self, axis: int, level: int) -> NDArray[np.float64]:
        """The response of the only (or first) filter, float64 in FFT order: a bank in 1D is trivially separable."""
        return self._arc(0, level).read(Band(0, self.grid(level)[axis]))


class Morlet1DBank(Bank1D):
    """The Morlet wavelets of one order.

    Parameters
    ----------
    N : int
        Padded length, in samples.
    J : int
        Log2 of the largest scale.
    Q : int
        Wavelets an octave.
    name : str
        `psi1` for the first order, and so on.
    """

    def __init__(self, N: int, J: int, Q: int, name: str = "psi1") -> None:
        atoms = frequencies(J, Q)
        info = tuple(FilterInfo(j=max_subsampling(xi, sigma), xi=xi, sigma=sigma) for xi, sigma in atoms)
        super().__init__(name, N, info, atoms)


class SpinnedBank(Bank1D):
    """The filters along the log-frequency axis of joint time-frequency scattering.

    First the low-pass of support ``2**J``, then the wavelets of positive centre frequency, then those of negative: a
    complex signal tells them apart, as waves that rise from those that fall (Anden, Lostanlen & Mallat, "Joint
    time-frequency scattering", IEEE Trans. Signal Processing 67, 2019, section III).

    Parameters
    ----------
    N : int
        Length of the axis with its padding.
    J : int
        Log2 of the largest scale, in first-order wavelets.
    Q : int
        Wavelets an octave.
    """

    def __init__(self, N: int, J: int, Q: int) -> None:
        waves = frequencies(J, Q)
        low = (0.0, SIGMA0 / 2**J)
        atoms = (low, *waves, *((-xi, sigma) for xi, sigma in waves))
        scales = [J, *(max_subsampling(*atom) for atom in atoms[1:])]
        info = tuple(FilterInfo(j=j, xi=xi, sigma=sigma) for j, (xi, sigma) in zip(scales, atoms, strict=True))
        super().__init__("psi_fr", N, info, atoms)
