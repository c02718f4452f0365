"""The arrays that C code reads: filters on windows, matrices of averages, indices, twiddles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.cpu.layout import Grid, Spectrum, padded, turned, windows
from scatc.ir.filters import Band, banks
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import taps
from scatc.ir.nodes import Fold, Pad
from scatc.ir.spec import Spec

Array = NDArray[Any]

LARGEST_GROUP = 14
"""Averages along columns that are computed together: their sums are in registers."""


@dataclass(frozen=True)
class Filters:
    """The filters of a fold of lines or images, as C reads them.

    Attributes
    ----------
    start : array of int64
        Where each filter's window begins in the parent's spectrum, in numbers.
    w : array, shape ``(filters, *rows, row)``
    widths : tuple of int
        Of the windows, in the order in which spectra lie, with the bins before that align them.
    """

    start: Array
    w: Array
    widths: tuple[int, ...]


def filters(spec: Spec, fold: Fold, parent: Spectrum, dtype: str, known: Array | None) -> Filters:
    """The filters of a fold, scaled so that no DFT needs to be; `known` may have the array already."""
    bank, lanes = banks(spec)[fold.bank], parent.grid.lanes
    boxes = windows(fold, parent.grid)
    places = [parent.at(turned(tuple(a for a, _ in box))) for box in boxes]
    before = max(shift for _, shift in places)
    *rows, row = turned(tuple(b - a for a, b in boxes[0]))
    start, widths = np.array([at for at, _ in places], np.int64), (*rows, before + row)
    if known is not None:
        return Filters(start, known, widths)
    w = np.zeros((len(boxes), *rows, padded(before + row, lanes) + lanes), dtype)
    for f, (index, box, (_, shift)) in enumerate(zip(fold.indices, boxes, places, strict=True)):
        response = bank.window(index, fold.level, tuple(Band(a, b) for a, b in box))[0] / np.prod(parent.grid.shape)
        w[f, ..., shift : shift + row] = response.swapaxes(-1, -2) if rows else response
    return Filters(start, w, widths)


def pad_index(n: int, widths: tuple[int, int], node: Pad) -> Array:
    """Of each padded sample, the sample of the signal that it repeats; -1 is a zero."""
    return extension_index(n, *widths, cast(Padding, node.mode)).astype(np.int32)


def turns(rows: int, columns: int, dtype: str) -> Array:
    """The twiddles between the rows and the columns of a line, shape ``(2, rows, columns)``."""
    n = rows * columns
    angles = -2 * np.pi * (np.outer(np.arange(rows), np.arange(columns)) % n) / n
    return np.stack([np.cos(angles), np.sin(angles)]).astype(dtype)


@dataclass(frozen=True)
class Average:
    """Averages along an axis of n samples, `together` at a time, from `first` on; one has `reach` samples.

    They are a matrix of `length` samples by `together`; the next ones are those of a window `step` samples further.
    Windows go round the signal's end.
    """

    n: int
    by: int
    first: int
    together: int
    reach: int

    @property
    def whole(self) -> bool:
        """Whether a window holds all samples."""
        return ((self.together - 1) << self.by) + self.reach >= self.n

    @property
    def length(self) -> int:
        """Samples of a window."""
        return min(((self.together - 1) << self.by) + self.reach, self.n)

    @property
    def start(self) -> int:
        """The first window's first sample."""
        return 0 if self.whole else (self.first << self.by) - self.reach // 2

    @property
    def step(self) -> int:
        """Samples from one window to the next."""
        return self.together << self.by

    def matrix(self, h: Array) -> Array:
        """The averages, h being phi's impulse response; each is the one before, `2**by` samples further."""
        a = np.zeros((self.length, self.together), h.dtype)
        if self.whole:
            backwards = np.roll(h[::-1], 1)
            for t in range(self.together):
                a[:, t] = np.roll(backwards, (self.first + t) << self.by)
        else:
            window = h[(self.reach // 2 - np.arange(self.reach)) % self.n]
            for t in range(self.together):
                a[t << self.by : (t << self.by) + self.reach, t] = window
        return a


def group(grid: Grid, level: int, axis: int, by: int, kept: int, spec: Spec, tolerance: float) -> tuple[int, float]:
    """How many averages along columns are best computed together, and what all of a column cost, in operations."""
    n, reach = grid.shape[axis], taps(spec, level, axis, tolerance)

    def price(g: int) -> float:
        return -(-kept // g) * min(((g - 1) << by) + reach, n) * (g + 1)

    best = min(range(1, min(LARGEST_GROUP, kept) + 1), key=lambda g: (price(g), -g))
    return best, price(best)
