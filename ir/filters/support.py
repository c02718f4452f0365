"""Where a filter's frequency response lives: arcs of DFT bins, found by the mass that they leave out.

The criterion is always the L1 mass (the sum of moduli over bins) outside the arc, never the maximum there: the
dropped mass bounds the error of any output sample, whereas a low maximum over a long tail does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Band(NamedTuple):
    """A circular arc of DFT bins `start, start + 1, ..., stop - 1`, each taken modulo the grid's size.

    `start` may be negative. A band holds at least one bin and at most the whole circle.
    """

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of bins."""
        return self.stop - self.start

    def bins(self, size: int) -> NDArray[np.int64]:
        """The positions of the bins in an FFT-order array of length `size`, int64 of shape `(self.size,)`."""
        return np.arange(self.start, self.stop) % size


@dataclass(frozen=True, eq=False)
class Arc:
    """A real response on a circle of `size` bins, of which only `values`, from bin `start` on, are not zero."""

    start: int
    values: NDArray[np.float64]
    size: int

    def __post_init__(self) -> None:
        self.values.setflags(write=False)

    def fold(self, size: int) -> Arc:
        """The response after subsampling to `size` bins: the sum of the `self.size / size` periods."""
        if self.values.size <= size:
            return Arc(self.start, self.values, size)
        lead = self.start % size
        periods = -(-(lead + self.values.size) // size)
        line = np.zeros(periods * size)
        line[lead : lead + self.values.size] = self.values
        return Arc(0, line.reshape(periods, size).sum(axis=0), size)

    def read(self, band: Band) -> NDArray[np.float64]:
        """The response on the bins of `band`, float64 of shape `(band.size,)`."""
        out = np.zeros(band.size)
        end = self.start + self.values.size
        shift = (band.start - end) // self.size * self.size + self.size  # the first copy that ends after band.start
        while self.start + shift < band.stop:
            lo, hi = max(self.start + shift, band.start), min(end + shift, band.stop)
            if lo < hi:
                out[lo - band.start : hi - band.start] = self.values[lo - self.start - shift : hi - self.start - shift]
            shift += self.size
        return out

    def support(self, tol: float) -> Band:
        """The shortest band that leaves out at most `tol` of the L1 mass."""
        kept = _shortest_arc(np.abs(self.values), self.size, tol)
        return _natural(kept.start + self.start, kept.size, self.size)


def arc(mass: NDArray[np.float64], tol: float) -> Band:
    """The shortest circular arc that leaves out at most `tol` of the total mass.

    Parameters
    ----------
    mass : ndarray, shape (size,)
        Non-negative mass of each bin, in FFT order (bin 0 first).
    tol : float
        Fraction of the total that may be left out.

    Returns
    -------
    Band
        With `-(size // 2) <= start`. The whole circle is `Band(0, size)`; no mass at all gives `Band(0, 1)`.
        Of several shortest arcs, the one that leaves out least.
    """
    size = mass.size
    filled = np.flatnonzero(mass)
    if filled.size == 0:
        return Band(0, 1)
    # Only what lies outside the longest run of zeros needs a closer look.
    gaps = np.diff(filled, append=filled[0] + size)
    widest = int(np.argmax(gaps))
    start = int(filled[(widest + 1) % filled.size])
    length = size - int(gaps[widest]) + 1
    kept = _shortest_arc(np.roll(mass, -start)[:length], size, tol)
    return _natural(start + kept.start, kept.size, size)


def _shortest_arc(mass: NDArray[np.float64], size: int, tol: float) -> Band:
    """`arc` for mass that is zero but for its first `mass.size` of `size` bins; counted from that first bin."""
    total = float(mass.sum())
    if total == 0 or tol >= 1:
        at = int(np.argmax(mass))
        return Band(at, at + 1)
    budget = tol * total
    # A bin above the budget cannot be left out, whatever its mass. Capping those keeps the running sums as small as
    # the budget, so that their differences are accurate even for a tolerance near the rounding error of the total.
    heavy = mass > budget
    light = np.where(heavy, 2 * budget or 1.0, mass)
    length = mass.size
    running = np.concatenate(([0.0], np.cumsum(np.concatenate((light, light)))))
    # An arc starts right after a bin that may be left out (or at the first bin, after the zeros).
    starts = np.flatnonzero(np.concatenate(([False], ~heavy[:-1])))
    starts = np.concatenate(([0], starts))
    wrapped = running[starts + length]
    stops = np.searchsorted(running, wrapped - budget * (1 - 1e-9), side="left")  # one past the last bin kept
    last = stops - 1
    lengths = last + np.where(last >= length, size - length, 0) - starts + 1
    shortest = np.flatnonzero(lengths == lengths.min())
    best = shortest[np.argmin((wrapped - running[stops])[shortest])]
    return Band(int(starts[best]), int(starts[best] + lengths[best]))


def _natural(start: int, length: int, size: int) -> Band:
    """The arc with its start moved to the natural range `[-(size // 2), size - size // 2)`."""
    if length >= size:
        return Band(0, size)
    half = size // 2
    start = (start + half) % size - half
    return Band(start, start + length)
