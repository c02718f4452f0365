"""The filters of images as C reads them: what is not negligible, in the order in which it is read.

A spectrum of a real image has the bins from 0 on along the first axis (`Half`), the others are conjugates of these. A
filter reads lines of neighbouring bins and folds them onto those of its child, so that each bin of a child is the sum
of some bins of the parent, of which some are mirrored. Along the second axis, which of them matter changes a few times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.cpu.layout import Grid, Half, padded, windows
from scatc.ir.filters import Band, banks
from scatc.ir.nodes import Fold
from scatc.ir.options import Options
from scatc.ir.spec import Spec

Array = NDArray[Any]

THRESHOLDS = 10
"""That are tried, each four times as large as the one before, for what is negligible."""


@dataclass(frozen=True)
class Runs:
    """The filters of a fold of images.

    Attributes
    ----------
    name : str
        Of the tables.
    start : array of int64, shape ``(filters, 2)``
        Where each filter's runs and weights begin.
    runs : array of int32
        Of each line of bins: rows of the child in runs, each of which says where it stops, how many lines of the parent
        it reads as they are, how many in all, and where the first row of each of these is.
    w : array, shape ``(lines, LANES)``
        Weights in the order in which they are read.
    """

    name: str
    start: Array
    runs: Array
    w: Array


def runs(spec: Spec, name: str, fold: Fold, child: Grid, bins: Half, options: Options) -> Runs:
    """The filters of a fold, scaled so that no DFT needs to be, without what is negligible beside their L1 mass."""
    bank, parent, lines = banks(spec)[fold.bank], bins.grid, _Lines(child, bins)
    found, weights = [], []
    for index, box in zip(fold.indices, windows(fold, parent), strict=True):
        response = bank.window(index, fold.level, tuple(Band(a, b) for a, b in box))[0] / np.prod(parent.shape)
        numbers, w = lines.read(_without_negligible(response, options.tolerance), box)
        found.append(numbers)
        weights.append(w.astype(options.dtype))
    sizes = np.array([[0, 0], *([len(numbers), w.size] for numbers, w in zip(found, weights, strict=True))], np.int64)
    return Runs(name, sizes.cumsum(0)[:-1], np.concatenate(found), np.concatenate(weights))


def _without_negligible(response: Array, tolerance: float) -> Array:
    """A response with zeros where all that is so small has no more than a share of the L1 mass."""
    size = np.abs(response)
    allowed = tolerance * float(size.sum())
    threshold = allowed / size.size  # all that is below has less than that
    for _ in range(THRESHOLDS):
        if float(size[size < 4 * threshold].sum()) > allowed:
            break
        threshold *= 4
    return np.where(size < threshold, 0, response)


class _Lines:
    """Where a child's bins lie in the half of its parent's spectrum."""

    def __init__(self, child: Grid, bins: Half) -> None:
        self.lanes, self.stride = child.lanes, bins.stride
        (self.high, self.wide), (self.to_high, self.to_wide) = bins.grid.shape, child.shape
        self.count = padded(self.to_high, self.lanes) // self.lanes  # lines of a child
        low, high = bins.wide
        k = np.arange(self.wide)
        # the row of each bin of the second axis, and of its opposite; what is not there is not read
        self.row = np.where(k < high, k, k - self.wide) - low
        self.opposite = self.row[-k]
        broken = (np.diff(self.row, prepend=self.row[0] - 1) != 1) | (
            np.diff(self.opposite, prepend=self.opposite[0] + 1) != -1
        )
        self.broken = broken.reshape(-1, self.to_wide).any(0)

    def read(self, response: Array, box: tuple[tuple[int, int], ...]) -> tuple[Array, Array]:
        """The runs of a filter and its weights, of which `response` has those in a box."""
        whole = np.zeros((self.wide, self.high))
        whole[np.ix_(*(np.arange(a, b) % n for (a, b), n in zip(box[::-1], whole.shape, strict=True)))] = response.T
        mirrored = np.arange(self.high) > self.high // 2
        both = np.stack([np.where(mirrored, 0, whole), np.where(mirrored, whole, 0)])
        folds = self.wide // self.to_wide, self.high // self.to_high
        lines = np.zeros((2, folds[0], self.to_wide, folds[1], self.count * self.lanes))
        lines[..., : self.to_high] = both.reshape(*lines.shape[:-1], self.to_high)
        # line, row, and of what is read for it: whether mirrored, folds of the first axis, of the second
        lines = lines.reshape(*lines.shape[:-1], self.count, self.lanes).transpose(4, 2, 0, 3, 1, 5)
        lines = lines.reshape(self.count, self.to_wide, -1, self.lanes)
        there = lines.any(-1)
        numbers = [self._runs(line, there[line]) for line in range(self.count)]
        return np.concatenate(numbers), lines[there]

    def _runs(self, line: int, there: Array) -> Array:
        """The runs of a line, of which rows by bins of the parent are there."""
        changes = (there[1:] != there[:-1]).any(1) | self.broken[1:]
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        found: list[int] = []
        folds = self.wide // self.to_wide
        for first, stop in zip(starts, [*starts[1:], self.to_wide], strict=True):
            terms = np.flatnonzero(there[first]).tolist()
            places, direct = [], 0
            for term in terms:
                mirrored, along = divmod(term, len(there[first]) // 2)
                bin0, k = self.to_high * (along // folds) + self.lanes * line, self.to_wide * (along % folds) + first
                if mirrored:
                    places.append(int(self.opposite[k]) * self.stride + self.high - bin0)
                else:
                    places.append(int(self.row[k]) * self.stride + bin0)
                    direct += 1
            found += [stop, direct, len(terms), *places]
        return np.array(found, np.int32)
