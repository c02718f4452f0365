"""The kernels that a signal may get, and in which shapes, before anything is tuned on a device."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.lines import matrix, wavelet
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.parts import in_parts, in_tiles
from scatc.codegen.triton.lines.spans import Thinning
from scatc.codegen.triton.tuned import Product
from scatc.ir.filters import banks
from scatc.ir.options import Options
from scatc.ir.spec import Spec

MOST_FUSED = 32
"""Averages that a kernel in registers takes by itself: beyond, its matrix is read more often than the signals."""

MOST_BOTH = 1024
"""Longest signal of which one kernel packs moduli and averages them."""

LEAST_BLOCK = 16
"""Of a tensor core's product, along each axis."""


class Way(enum.Enum):
    """How moduli come about."""

    REGISTERS = "one kernel, which transforms in registers and averages there, or packs moduli for their spectrum"
    PACKED = "a kernel that transforms in registers and packs moduli, and kernels that read these"
    BLOCKS = "a kernel that transforms overlapping blocks in registers, and packs what is needed of the moduli"
    MATRIX = "two kernels, along the columns and the rows of a long signal, which pack moduli; then as PACKED"
    STAGED = "a fold, a library's transform, and kernels that read its result"


@dataclass(frozen=True, slots=True)
class Line:
    """Which samples of a signal lie in memory, packed in pairs.

    Attributes
    ----------
    first, length : int
        The number of the first, and how many.
    whole : bool
        Whether these are all, the circle.
    """

    first: int
    length: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A spectrum of a signal.

    Attributes
    ----------
    length : int
        Samples that are transformed.
    bins : int
        Those that are kept, around 0.
    own : bool
        Whether a kernel in registers transforms, which leaves out the others; else a library.
    """

    length: int
    bins: int
    own: bool


@dataclass(slots=True)
class Follow:
    """What is made of a signal whose samples are there, and all that follows.

    Attributes
    ----------
    seconds : float
        As predicted.
    spectrum : Spectrum or None
        What is made of all samples, thinned if they are.
    thinning : Thinning or None
    cut : Blocks or None
        The blocks that are thinned.
    averages : float
        Seconds of these that averages of the signal itself take.
    children : dict of str to Choice
    """

    seconds: float
    spectrum: Spectrum | None = None
    thinning: Thinning | None = None
    cut: Blocks | None = None
    averages: float = 0.0
    children: dict[str, Choice] = field(default_factory=dict)


@dataclass(slots=True)
class Choice:
    """How a signal comes about, and what follows.

    Attributes
    ----------
    way : Way
    line : Line
        Where its samples lie, if they are packed.
    follow : Follow
    seconds : float
        From its parent's spectrum to its samples, and to its coefficients if nothing is below it.
    others : dict of Way to float
        What the other ways would take.
    cut : Blocks or None
        Those of the parent, of which it is made.
    averaged : bool
        Whether what makes it takes its averages, too, though it goes on.
    """

    way: Way
    line: Line
    follow: Follow
    seconds: float
    others: dict[Way, float] = field(default_factory=dict)
    cut: Blocks | None = None
    averaged: bool = False

    @property
    def total(self) -> float:
        """Seconds, with all that follows."""
        return self.seconds + self.follow.seconds - (self.follow.averages if self.averaged else 0.0)


class Tiles:
    """Shapes and tiles for the signals of one program, as they are before anything is tuned."""

    def __init__(self, spec: Spec, options: Options) -> None:
        self.spec, self.options = spec, options

    def legal(self, signal: Signal) -> list[Way]:
        """The ways in which a signal can be made of the whole spectrum of its parent."""
        m, found = signal.length, []
        local = [r.kept[0] for r in signal.results if r.kind == "local" and not signal.spectrum]
        kinds = {result.kind for result in signal.results if result.kind == "raw" or not signal.spectrum}
        power = m & (m - 1) == 0
        if power and wavelet.LEAST <= m <= wavelet.MOST:
            if not local or (m <= wavelet.MOST_AVERAGED and max(local) <= MOST_FUSED):
                found.append(Way.REGISTERS)
            if local:
                found.append(Way.PACKED)
        if power and matrix.LEAST <= m <= matrix.MOST and kinds <= {"local"}:
            found.append(Way.MATRIX)
        return [*found, Way.STAGED]

    def averages_besides(self, signal: Signal) -> bool:
        """Whether a kernel that packs moduli in registers can take their averages, too."""
        m, kinds = signal.length, {result.kind for result in signal.results}
        few = all(result.kept[0] <= MOST_FUSED for result in signal.results)
        fits = m & (m - 1) == 0 and wavelet.LEAST <= m <= MOST_BOTH
        return bool(signal.spectrum) and bool(kinds) and kinds <= {"local", "total"} and few and fits

    def shape(self, signal: Signal, way: Way, bins: int, *, averaged: bool = False) -> wavelet.Shape:
        """The kernel in registers of a signal, whose parent's spectrum has so many bins."""
        assert signal.fold is not None and signal.parent is not None
        packs = bool(signal.spectrum) or way is Way.PACKED
        sinks, more = [], {"outputs": 0, "first": 0, "kept": 0}
        for result in signal.results:
            if result.kind == "local" and (averaged or not packs):
                sinks.append("local")
                more["outputs"] = result.kept[0]
            elif result.kind == "total" and (averaged or not signal.spectrum):
                sinks.append("total")
            elif result.kind == "raw":
                sinks.append("raw")
                more |= {"first": result.first[0], "kept": result.kept[0]}
        if packs:
            sinks.append("pack")
        _, width = tables.windows(signal.fold, signal.parent.length)
        return wavelet.default(bins, signal.length, width, tuple(sinks), **more)

    def shape_of_blocks(self, signal: Signal, cut: Blocks, line: Line) -> wavelet.Shape:
        """The kernel that makes a signal of the blocks of its parent."""
        assert signal.fold is not None and signal.parent is not None
        by = signal.level - signal.parent.level
        _, width = tables.block_window(signal.fold, signal.parent.length, cut.length)
        more = {"crop": cut.halo >> by, "hop": cut.hop >> by, "tail": line.length < cut.count * cut.hop >> by}
        return wavelet.default(cut.bins, cut.length >> by, width, ("pack",), **more)

    def window(self, signal: Signal, result: Result, *, whole: bool = True) -> Product:
        """The tiles of an average of samples, of which all may be read if the whole circle is there."""
        _, terms = tables.window(self.spec, signal.level, result.by, 1, self.options.tolerance)
        step, most = 1 << result.by, signal.length
        tiles = Product("lowpass", terms, result.kept[0], LEAST_BLOCK, 32, 32, step, most, whole, warps=2)
        return in_parts(tiles, signal.paths, signal.length)

    def lowpass(self, signal: Signal, result: Result, line: Line, choice: Product, *, packed: bool) -> dict[str, Any]:
        """The constants of an average of samples, less those that say where it is output."""
        before, _ = tables.window(self.spec, signal.level, result.by, choice.outputs, self.options.tolerance)
        whole = choice.window >= signal.length
        assert line.whole or not whole, "an average of the whole circle needs it"
        return {
            "LENGTH": line.length,
            "STEP": 1 << result.by,
            "FIRST": 0 if whole else (result.first[0] << result.by) - before - line.first,
            "WINDOW": choice.padded,
            "PARTS": choice.parts,
            "KEPT": result.kept[0],
            "OUTPUTS": choice.outputs,
            "ROWS": choice.rows,
            "BLOCK": choice.block,
            "PACKED": packed,
            "GAIN": 1.0 if signal.parent is None else 0.0,
        }

    def bins(self, signal: Signal, result: Result) -> Product:
        """The tiles of an average of bins."""
        count, kept = 1, 1
        if result.kind == "local":
            count, kept = held_bins(self.spec, signal.level, self.options.tolerance), result.kept[0]
        block = LEAST_BLOCK if count <= LEAST_BLOCK else 32
        outputs = min(64, max(LEAST_BLOCK, 1 << (kept - 1).bit_length()))
        return in_tiles(Product("average", count, kept, outputs, 32, block), signal.paths)

    def average(self, signal: Signal, result: Result, choice: Product) -> dict[str, Any]:
        """The constants of an average of bins, less those that say where it is output."""
        gain = 1.0 if result.kind == "local" else float(signal.length)
        return {
            "BINS": choice.padded,
            "KEPT": choice.kept,
            "OUTPUTS": choice.outputs,
            "ROWS": choice.rows,
            "BLOCK": choice.block,
            "GAIN": gain if signal.parent is None else 0.0,
        }

    def averages_bins(self, signal: Signal, result: Result, bins: int) -> bool:
        """Whether an average of a signal that has a spectrum is taken from its bins, not from its samples."""
        if result.kind == "total":
            return True
        count = held_bins(self.spec, signal.level, self.options.tolerance)
        return 2 * count <= min(self.window(signal, result).padded, bins)


@lru_cache(maxsize=256)
def held_bins(spec: Spec, level: int, tolerance: float) -> int:
    """How many bins from 0 on phi leaves of a spectrum."""
    return tables.held_bins(banks(spec)["phi"].axis_response(0, level), tolerance)


def thin_weights(thinning: Thinning, length: int, count: int) -> NDArray[np.float64]:
    """What the first bins of a spectrum were multiplied by when the signal was thinned."""
    return thinning.response(np.arange(count) / length) / (1 << thinning.by)
