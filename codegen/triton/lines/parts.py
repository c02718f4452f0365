"""Into how many programs averages of lines are divided, for a GPU to have enough, and who adds up what they have.

Where phi is long, few outputs are left of a signal, and programs that read all that leads to some of them would be too
few. So several share the terms, each a part of them; parts of all averages of a call lie in one array, so that a single
launch adds up all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate

import numpy as np

from scatc.codegen.triton.cost import FULL, USUAL, Work, average_work, lowpass_work
from scatc.codegen.triton.tables import Array
from scatc.codegen.triton.tuned import LEAST_DOT, Product

MANY = 64
"""Signals of a call that choices are made for."""

LEAST_TERMS = 128
"""Terms of a part, at least."""

BLOCK = 512
"""Averages of a program that adds up."""


@dataclass(slots=True)
class Parts:
    """The parts of averages that go to one output array, in the order in which they lie.

    Attributes
    ----------
    kept : int
        Averages of a signal.
    count : list of int
        Of each path, how many parts there are.
    row : list of int
        Its row of the output.
    gain : list of float
        How much of the mean is added.
    """

    kept: int
    count: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self.count)

    def enter(self, rows: Sequence[int], parts: int, gain: float) -> Array:
        """Where the parts of some more paths, with these rows of the output, begin."""
        begin = self.total + parts * np.arange(len(rows), dtype=np.int32)
        self.count += [parts] * len(rows)
        self.row += rows
        self.gain += [gain] * len(rows)
        return begin

    def tables(self) -> dict[str, Array]:
        """What the kernel that adds them up reads, by the names of its arguments."""
        first = list(accumulate(self.count, initial=0))[:-1]
        found = {"first": first, "count": self.count, "row": self.row}
        tables = {name: np.array(numbers, np.int32) for name, numbers in found.items()}
        return tables | {"gain": np.array(self.gain, np.float32)}


@lru_cache(maxsize=1024)
def in_parts(tiles: Product, paths: int, length: int) -> Product:
    """The tiles of `lowpass`, with as many parts as are quickest; one if more would save less than a launch takes."""

    def seconds(one: Product) -> float:
        return _seconds(lowpass_work(paths, one, length, packed=True), one, paths)

    enough = [tiles]
    while enough[-1].window >= 2 * enough[-1].parts * LEAST_TERMS and enough[-1].parts <= FULL * USUAL.processors:
        enough.append(replace(tiles, parts=2 * enough[-1].parts))
    best = min(enough, key=seconds)
    return best if seconds(tiles) - seconds(best) > USUAL.launch else tiles


@lru_cache(maxsize=1024)
def in_tiles(tiles: Product, paths: int) -> Product:
    """The tiles of `average`, with a half or a quarter of the outputs if programs would be too few."""
    sizes = [n for n in (tiles.outputs, tiles.outputs // 2, tiles.outputs // 4) if n >= LEAST_DOT]
    found = [replace(tiles, outputs=outputs) for outputs in sizes]
    return min(found, key=lambda one: _seconds(average_work(paths, one), one, paths))


def _seconds(work: Work, tiles: Product, paths: int) -> float:
    """What some work takes for `MANY` signals, in programs of such tiles."""
    warps = tiles.warps * tiles.programs * tiles.parts * paths * -(-MANY // tiles.rows)
    return replace(work, warps=lambda signals: warps).seconds(USUAL, MANY, float("inf"))
