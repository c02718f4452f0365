"""Averages whose terms several programs share: each adds up a part of them, and at the end parts are added up.

Where phi is long, few outputs are left of a signal, and programs that read all that leads to some of them would be too
few for a GPU. Parts of all averages of a call lie in one array, so that a single launch adds up all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scatc.codegen.triton.cost import FULL, USUAL, lowpass_work
from scatc.codegen.triton.tables import Array
from scatc.codegen.triton.tuned import Product

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
    first, count : list of int
        Of each path, where its parts begin, and how many there are.
    row : list of int
        Its row of the output.
    gain : list of float
        How much of the mean is added.
    """

    kept: int
    first: list[int] = field(default_factory=list)
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
        self.first += map(int, begin)
        self.count += [parts] * len(rows)
        self.row += rows
        self.gain += [gain] * len(rows)
        return begin

    def tables(self) -> dict[str, Array]:
        """What the kernel that adds them up reads, by the names of its arguments."""
        found = {name: np.array(getattr(self, name), np.int32) for name in ("first", "count", "row")}
        return found | {"gain": np.array(self.gain, np.float32)}


def divided(tiles: Product, paths: int, length: int, signals: int) -> Product:
    """The tiles of an average, with as many parts as are quickest; one if more would save less than a launch takes."""

    def seconds(one: Product) -> float:
        warps = one.warps * one.programs * one.parts * paths * -(-signals // one.rows)
        work = replace(lowpass_work(paths, one, length, packed=True), warps=lambda n: warps)
        return work.seconds(USUAL, signals, float("inf"))

    enough = [tiles]
    while enough[-1].window >= 2 * enough[-1].parts * LEAST_TERMS and enough[-1].parts <= FULL * USUAL.processors:
        enough.append(replace(tiles, parts=2 * enough[-1].parts))
    best = min(enough, key=seconds)
    return best if seconds(tiles) - seconds(best) > USUAL.launch else tiles
