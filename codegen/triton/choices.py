"""Which kernels a signal gets, and in which shapes, before anything is tuned on a device."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import matrix, tables, wavelet
from scatc.codegen.triton.cost import COMPLEX
from scatc.ir.options import Options
from scatc.ir.spec import Spec

MOST_FUSED = 32
"""Averages that a kernel in registers takes by itself: beyond, its matrix is read more often than the signals."""

LEAST_BLOCK = 16
"""Of a tensor core's product, along each axis."""


Tuned = Mapping[wavelet.Shape, wavelet.Shape]
"""What was found to be quicker on a device, by what would be chosen without one."""


class Way(enum.Enum):
    """How moduli come about."""

    REGISTERS = "one kernel, which transforms in registers and averages there, or packs moduli for their spectrum"
    PACKED = "a kernel that transforms in registers and packs moduli, and kernels that read these"
    MATRIX = "two kernels, along the columns and the rows of a long signal, which pack moduli; then as PACKED"
    STAGED = "a fold, a library's transform, and kernels that read its result"


@dataclass(frozen=True, slots=True)
class Product:
    """The tiles of a matrix product.

    Attributes
    ----------
    padded : int
        Length of the sums, with zeros.
    columns, outputs : int
        All outputs with padding, and those of one program.
    rows, block : int
        Signals of a program, and how many terms it adds at a time.
    window : int
        Terms that are not padding.
    """

    padded: int
    columns: int
    outputs: int
    rows: int = 16
    block: int = 32
    window: int = 0


class Choices:
    """Choices for the signals of one program; `tuned` has shapes to take in place of others."""

    def __init__(self, spec: Spec, options: Options, tuned: Tuned | None = None) -> None:
        self.spec, self.options, self.tuned = spec, options, tuned or {}

    def way(self, signal: Signal) -> Way:
        """In registers where the transform fits; averaged there, too, if averages are few and programs have rows."""
        m = signal.length
        kinds = {result.kind for result in signal.results if result.kind == "raw" or not signal.spectrum}
        if m & (m - 1) == 0 and matrix.LEAST <= m <= matrix.MOST and kinds <= {"local"} and signal.parent is not None:
            return Way.MATRIX
        if not (wavelet.LEAST <= m <= wavelet.MOST and m & (m - 1) == 0):
            return Way.STAGED
        averages = [r.kept[0] for r in signal.results if r.kind == "local" and not signal.spectrum]
        fused = m <= wavelet.MOST_AVERAGED and max(averages, default=0) <= MOST_FUSED
        return Way.REGISTERS if fused or not averages else Way.PACKED

    def shape(self, signal: Signal) -> wavelet.Shape:
        """The kernel in registers of a signal."""
        assert signal.fold is not None and signal.parent is not None
        packs = bool(signal.spectrum) or self.way(signal) is Way.PACKED
        sinks, more = [], {"outputs": 0, "first": 0, "kept": 0}
        for result in signal.results:
            if result.kind == "local" and not packs:
                sinks.append("local")
                more["outputs"] = result.kept[0]
            elif result.kind == "total" and not signal.spectrum:
                sinks.append("total")
            elif result.kind == "raw":
                sinks.append("raw")
                more |= {"first": result.first[0], "kept": result.kept[0]}
        if packs:
            sinks.append("pack")
        width = signal.fold.widths[0] if signal.fold.widths else signal.parent.length
        shape = wavelet.default(signal.parent.length, signal.length, width, tuple(sinks), **more)
        return self.tuned.get(shape, shape)

    def window(self, signal: Signal, result: Result) -> Product:
        """The tiles of an average of samples."""
        outputs = LEAST_BLOCK
        _, length = tables.window(self.spec, signal.level, result.by, outputs, self.options.tolerance)
        block = 32
        columns = -(-result.kept[0] // outputs) * outputs
        return Product(-(-length // block) * block, columns, outputs, block=block, window=length)

    def bins(self, count: int, kept: int) -> Product:
        """The tiles of an average of bins."""
        block = LEAST_BLOCK if count <= LEAST_BLOCK else 32
        outputs = min(64, max(LEAST_BLOCK, 1 << (kept - 1).bit_length()))
        return Product(-(-count // block) * block, -(-kept // outputs) * outputs, outputs, block=block, window=count)

    def averages_bins(self, signal: Signal, result: Result) -> bool:
        """Whether an average of a signal that has a spectrum is taken from its bins, not from its samples."""
        if result.kind == "total":
            return True
        outputs = (result.first[0], result.first[0] + 1)
        even, _ = tables.bins(self.spec, signal.level, result.by, outputs, self.options.tolerance)
        return 2 * len(even) <= self.window(signal, result).padded


def live_bytes(choices: Choices, signal: Signal) -> int:
    """Bytes that are in use at a time, at most, for one signal of the batch: what a branch holds, the deepest last."""
    numbers = signal.length * signal.paths
    packed = COMPLEX // 2 * numbers
    if signal.parent is not None and choices.way(signal) is Way.STAGED:
        during = 2 * COMPLEX * numbers
    elif choices.way(signal) is Way.MATRIX:
        during = COMPLEX * numbers + packed
    else:
        during = packed * (2 if signal.spectrum else 1 if choices.way(signal) is Way.PACKED else 0)
    held = COMPLEX // 2 * numbers if signal.spectrum else 0
    return max([during, *(held + live_bytes(choices, child) for child in signal.children)])
