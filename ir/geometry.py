"""Where the signal lies: padded lengths, padding left and right, and the samples kept after subsampling.

Plain integers in, plain integers out; `Spec` gathers these per axis. A signal of length `N` becomes a padded signal
that repeats it beyond its ends, so that the circular convolutions of the transform do not mix the two ends.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Padding = Literal["reflect", "zero", "periodic"]

SIGMA0 = 0.1
"""Frequency width of the 1D low-pass phi for T = 1; for any T it is SIGMA0 / T (in cycles per sample)."""

RESIDUAL = 1e-3
"""L1 mass of phi that may fall outside its support on one side (ScatNet's criterion)."""


def _log2_floor(n: int) -> int:
    return n.bit_length() - 1


def _log2_ceil(n: int) -> int:
    return (n - 1).bit_length()


def max_log2_padded(N: int) -> int:
    """Exponent of the longest padded length of a 1D signal: reflection adds at most N - 1 samples on either side."""
    return _log2_floor(3 * N - 2)


@lru_cache(maxsize=1024)
def padded_length(N: int, T_support: float) -> int:
    """Padded length of a 1D signal, a power of two.

    It is ``2**min(ceil(log2(N + 2 p)), floor(log2(3 N - 2)))`` with ``p`` three times the half support of the
    low-pass filter of support `T_support` (the rule of ScatNet and of Kymatio's 1D frontend).

    Parameters
    ----------
    N : int
        Length of the signal, at least 1.
    T_support : float
        Support of the low-pass filter in samples, at least 1.

    Returns
    -------
    int
    """
    longest = max_log2_padded(N)
    if 8 * T_support >= N:  # phi is then wider than a third of the signal, which asks for more than the longest
        return 1 << longest
    p = 3 * _half_support(N, T_support)
    return 1 << min(_log2_ceil(N + 2 * p), longest)


def _half_support(N: int, T_support: float) -> int:
    """Half support of phi on `N` samples for ``8 T_support < N``: one more than the first n whose residual is small.

    The residual at n is the sum of ``|phi[k]|`` over n <= k < N // 2. In time phi is a Gaussian, repeated every N
    samples, whose samples add up to 1 (to 1e-21, by Poisson's formula), so that no Fourier transform is needed.
    """
    sigma = T_support / (2 * math.pi * SIGMA0)
    half = N // 2
    images = (-N, 0, N)  # sigma < N / 5: those further away hold less than 1e-12
    if sigma < 256:
        k = np.arange(min(half, math.ceil(10 * sigma)), dtype=float)
        phi = np.sum([np.exp(-((k + image) ** 2) / (2 * sigma**2)) for image in images], axis=0)
        phi /= sigma * math.sqrt(2 * math.pi)
        residual = np.cumsum(phi[::-1])[::-1]
        small = np.flatnonzero(residual <= RESIDUAL)
        return int(small[0]) + 1 if small.size else half

    def excess(n: int) -> float:
        # the midpoint rule turns the sum into erfc: off by 1e-4 samples at most here, and no array of length N
        width = sigma * math.sqrt(2)
        tails = (math.erfc((n - 0.5 + i) / width) - math.erfc((half - 0.5 + i) / width) for i in images)
        return RESIDUAL - sum(tails) / 2

    return min(bisect_left(range(half), 0.0, key=excess) + 1, half)


def padding_1d(N: int, padded: int) -> tuple[int, int]:
    """Samples added left and right of a 1D signal of length `N` to reach length `padded`; the right has the odd one."""
    left = (padded - N) // 2
    return left, padded - N - left


def padded_side(side: int, K: int) -> int:
    """Padded side of an image: the multiple of 2**K that leaves room on both sides (ScatNet's rule).

    Parameters
    ----------
    side : int
        Side of the image, in samples.
    K : int
        Log2 of the coarsest subsampling, ``max(J, log2_T)``.

    Returns
    -------
    int
        ``((side + 2**K) // 2**K + 1) * 2**K``
    """
    return ((side >> K) + 2) << K


def kept_1d(N: int, left: int, level: int) -> tuple[int, int]:
    """Samples ``start:stop`` of a padded 1D signal, subsampled by ``2**level``, that lie in the signal itself.

    Both ends of ``left:left + N`` are halved upwards, `level` times. The result may be empty when 2**level exceeds N.
    """
    start, stop = left, left + N
    for _ in range(level):
        start, stop = -(-start // 2), -(-stop // 2)
    return start, stop


def kept_2d(side: int, left: int, level: int) -> tuple[int, int]:
    """Samples ``start:stop`` of a padded image side, subsampled by ``2**level``, that lie in the image itself.

    There are ``side // 2**level`` of them, from the first one that lies in the image. At the coarsest level this
    drops one sample at either end, as Kymatio and ScatNet do.
    """
    start = -(-left // 2**level)
    return start, start + side // 2**level


def extension_index(n: int, left: int, right: int, mode: Padding) -> NDArray[np.intp]:
    """For each sample of a padded axis, which sample of the axis it repeats; -1 is a zero.

    Parameters
    ----------
    n : int
        Length of the axis.
    left, right : int
        Samples added on either side; they may exceed `n`.
    mode : {'reflect', 'zero', 'periodic'}
        Mirror about the end samples (which are not doubled), zeros, or periods.

    Returns
    -------
    ndarray of intp, shape (left + n + right,)
    """
    axis, widths = np.arange(n, dtype=np.intp), (left, right)
    if mode == "zero":
        return np.pad(axis, widths, mode="constant", constant_values=-1)
    return np.pad(axis, widths, mode="reflect" if mode == "reflect" else "wrap")
