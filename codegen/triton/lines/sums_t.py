"""Sums over filters: what some children of a signal add to the cotangent of its spectrum, or of its blocks' spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scatc.codegen.signals import Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, Work
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.spans import Thinning
from scatc.codegen.triton.tuned import Gathered
from scatc.ir.spec import Spec

Array = np.ndarray[Any, Any]

BINS = 256
"""Of a program that adds up over filters."""

PAIRS = 4
"""Rows of it."""


@dataclass(frozen=True, slots=True)
class Sum:
    """One launch of `gather`.

    Attributes
    ----------
    children : tuple of Signal
        Whose filters these are: children of one signal, read from the same of its spectra.
    length : int
        Bins of that spectrum.
    cut : Blocks or None
        If it is that of blocks.
    fresh : bool
        Whether nothing has been added to it before.
    apart : tuple of int
        Of leaves that are grouped, where their spectra begin among those of all.
    """

    children: tuple[Signal, ...]
    length: int
    cut: Blocks | None
    fresh: bool
    apart: tuple[int, ...] = ()

    @property
    def parent(self) -> Signal:
        """What they are children of."""
        (parent,) = {id(child.parent): child.parent for child in self.children}.values()
        assert parent is not None
        return parent

    @property
    def rows(self) -> int:
        """Spectra of each row of the parent."""
        return self.cut.count if self.cut else 1

    def samples(self, child: Signal) -> int:
        """Those that each spectrum leads to."""
        return self.cut.length >> (child.level - self.parent.level) if self.cut else child.length

    def numbers(self, child: Signal) -> int:
        """Numbers that a child writes for each pair: two rows for each of its spectra."""
        return 2 * child.paths * self.rows * self.samples(child)

    def window(self, child: Signal) -> tuple[list[int], int]:
        """Where the windows of a child's filters begin, and how wide they are."""
        assert child.fold is not None
        if self.cut:
            return tables.block_window(child.fold, self.parent.length, self.cut.length)
        return tables.windows(child.fold, self.parent.length)

    def places(self) -> dict[str, int]:
        """Where the numbers of each child begin, for each spectrum of a pair."""
        if self.apart:
            return {child.name: place for child, place in zip(self.children, self.apart, strict=True)}
        found, place = {}, 0
        for child in self.children:
            found[child.name] = place
            place += self.numbers(child) // self.rows
        return found

    def _reach(self) -> tuple[int, int]:
        """The highest bin, in either direction, that is in a window, and how many filters there are."""
        highest = filters = 0
        for child in self.children:
            starts, width = self.window(child)
            highest = max([highest, *(max(abs(start), abs(start + width - 1)) for start in starts)])
            filters += len(starts)
        return highest, filters

    def tiles(self) -> Gathered:
        """The tiles of the launch, to begin with."""
        highest, filters = self._reach()
        bins = self.length if self.fresh else min(2 * highest + 1, self.length)
        return Gathered("gather", bins, filters, min(BINS, power(bins)), PAIRS)

    def constants(self, tiles: Gathered) -> dict[str, Any]:
        """The constants of the launch."""
        return {
            "PARENT": self.length,
            "FILTERS": tiles.filters,
            "FIRST": 0 if tiles.bins >= self.length else -self._reach()[0],
            "BINS": tiles.bins,
            "BLOCK": tiles.block,
            "PAIRS": tiles.pairs,
            "FRESH": self.fresh,
        }

    def windows(self) -> Array:
        """Of each filter, what the kernel asks; each child has for each parent, filter and pair two rows."""
        places: Mapping[str, int] = self.places()
        found: list[tuple[int, ...]] = []
        weights = 0
        for child in self.children:
            starts, width = self.window(child)
            length = self.samples(child)
            for f, start in enumerate(starts):
                place = places[child.name] + 2 * f * length
                found.append((start, width, weights, length, place, 2 * len(starts) * length))
                weights += width
        return np.array(found, np.int32)

    def weights(self, spec: Spec, thinning: Thinning | None) -> Array:
        """The filters, one after the other."""
        found = []
        for child in self.children:
            fold, parent = child.fold, self.parent.length
            assert fold is not None
            if self.cut:
                w = tables.block_filters(spec, fold, parent, self.cut.length, self.window(child)[1])[1]
            else:
                by, smooth = (thinning.by, thinning.response) if thinning else (0, None)
                w = tables.filters(spec, fold, parent, thinned=by, smooth=smooth)[1]
            found.append(w.ravel())
        return np.concatenate(found)

    def work(self) -> Work:
        """What it does for one signal, two of which share a row.

        Each bin of a window is read for bin k and again for bin -k, and so is the cotangent.
        """
        windows = fresh = 0
        for child in self.children:
            width = self.window(child)[1]
            windows += child.paths * self.rows * width
            fresh += child.paths * self.rows * min(width, self.samples(child))
        bins = self.tiles().bins * self.parent.paths * self.rows
        moved = float(COMPLEX * (fresh + (0.5 if self.fresh else 1) * bins))
        lengths = str(self.samples(self.children[0])) if len(self.children) == 1 else "of several"
        again = float(COMPLEX * (2 * windows - fresh))
        return Work(f"gather {lengths}", moved, 22.0 * windows + 6.0 * bins, again=again)
