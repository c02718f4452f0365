"""How arrays lie in memory: rows padded to whole cache lines, planes of real and of imaginary parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt, prod

from scatc.codegen.signals import Signal
from scatc.ir.nodes import Box, Fold

LINE = 64
"""Bytes to which rows are padded: a cache line, and the longest vector that there is."""


def lanes(itemsize: int) -> int:
    """Numbers in a line."""
    return LINE // itemsize


def padded(n: int, to: int) -> int:
    """The next multiple."""
    return -(-n // to) * to


def spread(n: int, to: int) -> int:
    """An odd number of whole lines: what lies so far apart does not meet in a cache."""
    lines = -(-n // to)
    return (lines + 1 - lines % 2) * to


@dataclass(frozen=True)
class Grid:
    """A signal: how its samples lie, and how it is transformed.

    A line of n samples is a matrix of A rows and B columns, ``n = A B``. Images lie row by row, volumes plane by plane.
    Spectra of images have their axes turned, bins of the first axis are neighbours.
    """

    shape: tuple[int, ...]
    lanes: int

    @property
    def kind(self) -> str:
        """What it is called."""
        return ("line", "image", "volume")[len(self.shape) - 1]

    @property
    def matrix(self) -> tuple[int, int]:
        """Of a line: rows and columns, these a whole number of vectors if that is possible."""
        return _matrix(*self.shape, self.lanes)

    @property
    def inverse(self) -> tuple[int, int]:
        """Lengths of the first and the second transform, from a spectrum to samples."""
        return self.matrix if len(self.shape) == 1 else (self.shape[-1], self.shape[-2])

    @property
    def forward(self) -> tuple[int, int]:
        """Lengths of the first and the second transform, from samples to a spectrum."""
        return self.matrix if len(self.shape) == 1 else (self.shape[-2], self.shape[-1])

    @property
    def stride(self) -> int:
        """Numbers from one row of samples to the next."""
        return padded(self.shape[-1], self.lanes)

    @property
    def size(self) -> int:
        """Numbers that the samples take."""
        return prod(self.shape[:-1]) * self.stride + (self.lanes if len(self.shape) == 1 else 0)

    @property
    def turned(self) -> int:
        """Numbers of a matrix that is turned over, with both of its parts."""
        return 2 * max(spread(a, self.lanes) * padded(b, self.lanes) for a, b in (self.inverse, self.inverse[::-1]))

    @property
    def row(self) -> int:
        """Numbers from one row of the transform to the next: its bin 0 is there once more, and room on both sides."""
        n = self.shape[0] if len(self.shape) == 1 else self.shape[-2]
        return 2 * self.lanes + padded(n + 1, self.lanes)

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the transform: the axes besides that of neighbouring bins."""
        return () if len(self.shape) == 1 else (*self.shape[:-2], self.shape[-1])

    @property
    def plane(self) -> int:
        """Numbers from one plane of the transform of a volume to the next."""
        return spread(self.shape[-1] * self.row, self.lanes)

    @property
    def transform(self) -> int:
        """Numbers of one part of the transform."""
        if len(self.shape) == 3:
            return self.shape[0] * self.plane
        return prod(self.rows) * self.row


@dataclass(frozen=True)
class Spectrum:
    """The bins of a signal that its children read, as they lie: axes are those of `Grid`'s spectra.

    Attributes
    ----------
    grid : Grid
    box : Box
        In the order of the signal's axes.
    """

    grid: Grid
    box: Box

    @property
    def axes(self) -> Box:
        """The box in the order in which it lies."""
        return self.box if len(self.box) == 1 else (*self.box[:-2], self.box[-1], self.box[-2])

    @property
    def before(self) -> int:
        """Numbers before the first bin of a row, so that a multiple of a vector's length is aligned."""
        return self.axes[-1][0] % self.grid.lanes

    @property
    def stride(self) -> int:
        """Numbers from one row to the next."""
        low, high = self.axes[-1]
        return padded(self.before + high - low + 2 * self.grid.lanes, self.grid.lanes)

    @property
    def plane(self) -> int:
        """Numbers of a plane of a volume."""
        low, high = self.axes[-2]
        return spread((high - low) * self.stride, self.grid.lanes)

    @property
    def part(self) -> int:
        """Numbers of the real parts, and of the imaginary ones."""
        low, high = self.axes[0]
        if self.grid.kind == "line":
            return self.stride
        return (high - low) * (self.stride if self.grid.kind == "image" else self.plane)

    @property
    def size(self) -> int:
        """Numbers in all."""
        return 2 * self.part

    def at(self, start: tuple[int, ...]) -> tuple[int, int]:
        """Where a window begins, aligned; how many bins before its first one that is. `start` is in order of `axes`."""
        steps = (self.plane, self.stride)[-len(start) + 1 :] if len(start) > 1 else ()
        place = sum((k - low) * step for k, (low, _), step in zip(start, self.axes, steps, strict=False))
        column = start[-1] - self.axes[-1][0] + self.before
        # what is not folded must not begin early: its window could outgrow the grid
        early = 0 if self.grid.kind == "volume" else column % self.grid.lanes
        return place + column - early, early


def spectrum(signal: Signal, grid: Grid) -> Spectrum:
    """The spectrum of a signal with children."""
    boxes = [box for child in signal.children if child.fold for box in windows(child.fold, grid)]
    return Spectrum(
        grid, tuple((min(a for a, _ in axis), max(b for _, b in axis)) for axis in zip(*boxes, strict=True))
    )


def windows(fold: Fold, grid: Grid) -> list[Box]:
    """The windows of a fold's filters on their parent's grid.

    Where one is as wide as the grid it begins at any bin, for moduli do not see phases: it has bin 0 in its middle, as
    narrow ones do, so that one box has all of them.
    """
    widths = fold.widths or grid.shape
    middle = tuple(-(n // 2 // grid.lanes * grid.lanes) for n in grid.shape)
    found = []
    for start in fold.starts or (middle,) * len(fold.indices):
        begins = (m if w == n else s for s, w, n, m in zip(start, widths, grid.shape, middle, strict=True))
        found.append(tuple((s, s + w) for s, w in zip(begins, widths, strict=True)))
    return found


@dataclass(frozen=True)
class Half:
    """Bins of a real volume as they lie: from 0 on along the middle axis, for the others are their conjugates.

    An image is a volume of one plane.

    Attributes
    ----------
    grid : Grid
    deep, wide : tuple of int
        Of the first and the last axis: from which bin to which.
    columns : int
        Of the middle axis; they are neighbours.
    """

    grid: Grid
    deep: tuple[int, int]
    wide: tuple[int, int]
    columns: int

    @property
    def stride(self) -> int:
        """Numbers from one row to the next."""
        return padded(self.columns, self.grid.lanes)

    @property
    def plane(self) -> int:
        """Numbers of a plane of rows along the last axis."""
        return spread((self.wide[1] - self.wide[0]) * self.stride, self.grid.lanes)

    @property
    def part(self) -> int:
        """Numbers of the real parts, and of the imaginary ones."""
        return (self.deep[1] - self.deep[0]) * self.plane

    @property
    def size(self) -> int:
        """Numbers in all."""
        return 2 * self.part

    @property
    def whole(self) -> int:
        """Numbers of both parts if there are all planes of the first axis."""
        return 2 * self.grid.shape[0] * self.plane

    @property
    def turned(self) -> int:
        """Numbers of what is turned over of one or two planes, both parts of it."""
        lanes, width = self.grid.lanes, padded(self.grid.shape[-1], self.grid.lanes)
        return max(4 * spread(self.stride, lanes) * width, 2 * spread(width, lanes) * self.stride)

    def at(self, other: Half) -> int:
        """Where the bins of another begin in this."""
        return (other.deep[0] - self.deep[0]) * self.plane + (other.wide[0] - self.wide[0]) * self.stride


def half(grid: Grid, folds: Iterable[Fold]) -> Half:
    """The bins that the filters of some folds read: with each, its opposite."""
    boxes = [box for fold in folds for box in windows(fold, grid)]
    spans = []
    for n, axis in zip(grid.shape, zip(*boxes, strict=True), strict=True):
        reach = max(max(-low, high - 1) for low, high in axis)
        spans.append((-reach, reach + 1) if 2 * reach + 1 < n else (-(n // 2), n - n // 2))
    *deep, (low, _), wide = spans
    return Half(grid, deep[0] if deep else (0, 1), wide, 1 - low)


def turned(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of a signal in the order in which its spectrum lies."""
    return axes if len(axes) == 1 else (*axes[:-2], axes[-1], axes[-2])


@lru_cache(maxsize=1024)
def _matrix(n: int, lanes: int) -> tuple[int, int]:
    columns = next((c for c in range(-(-isqrt(n) // lanes) * lanes, n, lanes) if n % c == 0 and c * c >= n), n)
    return n // columns, columns
