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
        numbers, w = lines.read(_without_negligible(response, options.tolerance).astype(options.dtype), box)
        found.append(numbers)
        weights.append(w)
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
        # what is folded along the first axis: whether mirrored, and from which bin on
        self.mirrored = 2 * np.arange(self.high) >= self.high
        parts = [(bin0, self.mirrored[bin0 : bin0 + self.to_high]) for bin0 in range(0, self.high, self.to_high)]
        self.sources = [(which, bin0) for which in (False, True) for bin0, part in parts if which in part]
        low, high = bins.wide
        k = np.arange(self.wide)
        # the row of each bin of the second axis, and of its opposite; what is not there is not read
        row = np.where(k < high, k, k - self.wide) - low
        steps = (np.diff(row, prepend=row[0] - 1) != 1) | (np.diff(row[-k], prepend=row[0] + 1) != -1)
        self.row, self.opposite, self.broken = row.tolist(), row[-k].tolist(), steps.reshape(-1, self.to_wide).any(0)

    def read(self, response: Array, box: tuple[tuple[int, int], ...]) -> tuple[Array, Array]:
        """The runs of a filter and its weights, of which `response` has those in a box."""
        whole = np.zeros((self.wide, self.high), response.dtype)
        whole[np.ix_(*(np.arange(a, b) % n for (a, b), n in zip(box[::-1], whole.shape, strict=True)))] = response.T
        lines = np.zeros((len(self.sources), self.wide, self.count * self.lanes), response.dtype)
        for line, (mirrored, bin0) in zip(lines, self.sources, strict=True):
            part = slice(bin0, bin0 + self.to_high)
            line[:, : self.to_high] = np.where(self.mirrored[part] == mirrored, whole[:, part], 0)
        # line, row, and of what is read for it: the source, folds of the second axis
        each = lines.reshape(len(lines), -1, self.to_wide, self.count, self.lanes).transpose(3, 2, 0, 1, 4)
        each = each.reshape(self.count, self.to_wide, -1, self.lanes)
        there = np.asarray(each.any(-1))
        numbers = [self._runs(line, there[line]) for line in range(self.count)]
        return np.concatenate(numbers), each[there]

    def _runs(self, line: int, there: Array) -> Array:
        """The runs of a line, of which rows by bins of the parent are there."""
        changes = (there[1:] != there[:-1]).any(1) | self.broken[1:]
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        found: list[int] = []
        for first, stop in zip(starts, [*starts[1:], self.to_wide], strict=True):
            places, direct = [], 0
            for term in np.flatnonzero(there[first]).tolist():
                source, along = divmod(term, self.wide // self.to_wide)
                (mirrored, bin0), k = self.sources[source], self.to_wide * along + first
                if mirrored:
                    places.append(self.opposite[k] * self.stride + self.high - bin0 - self.lanes * line)
                else:
                    places.append(self.row[k] * self.stride + bin0 + self.lanes * line)
                    direct += 1
            found += [stop, direct, len(places), *places]
        return np.array(found, np.int32)
