"""What launches cost on a GPU: bytes, arithmetic and launches for each, and the time that follows for a device.

Times are predictions: the longer of moving bytes and issuing instructions, and the time of a launch. Instructions of
kernels in registers were counted in machine code; what share of the issue rate is reached, how many warps that takes,
and what the library's transforms reach, is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log2

from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines.blocks import Cut
from scatc.codegen.triton.lines.matrix import Matrix
from scatc.codegen.triton.lines.wavelet import Shape
from scatc.codegen.triton.tuned import Product

COMPLEX, REAL = 8, 4
"""Bytes of a number."""

SHARED_TRANSFORM = 1 << 14
"""Longest transform that the library does in one kernel; longer ones pass twice over memory."""

# Of kernels in registers, instructions were counted in machine code for sm_90, where windows and blocks lie within.

INSTRUCTIONS = {16: 20, 32: 32, 64: 33, 128: 32, 256: 34, 512: 38, 1024: 40, 2048: 41, 4096: 56, 8192: 54}
"""Of a thread for each complex number of a wavelet in registers: gather, transform and modulus.

Where windows are half as wide as signals are long, as most are.
"""

PACKED = {16: 10, 32: 18, 64: 19, 128: 22, 256: 25, 512: 26, 1024: 29, 2048: 37, 4096: 40, 8192: 41}
"""The same where rows are pairs, whose two signals share what is read and stored; with storing, but for the window."""

WINDOW = 12
"""More instructions for each bin of a window that such a kernel reads: most filters leave most bins alone."""

STORED = 3
"""More instructions for each number that is stored packed besides something else."""

CUT = {16: 16, 32: 30, 64: 26, 128: 29, 256: 29, 512: 33, 1024: 34, 2048: 36, 4096: 47, 8192: 46}
"""Of a block that is cut: read, transformed, half of its bins stored; 2048 in two stages where others have three."""

THINNED = 2
"""More instructions for each complex number of a block that is thinned."""

AVERAGED = {16: 17, 32: 16, 64: 18, 128: 10, 256: 12, 512: 13, 1024: 9}
"""More instructions for each number that is averaged where it lies."""

PRODUCT = {
    "lowpass": (6.0, 0.38),
    "average": (26.0, 0.33),
}
"""Of kernels that multiply what they read by a matrix: for each number, and besides for each output of a program."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, as the cost model sees it.

    Attributes
    ----------
    name : str
    arch : str
    bandwidth, cache_bandwidth : float
        Bytes per second of memory, and of the L2 cache.
    cache_bytes : int
        Of the L2 cache that one kernel's data can use.
    processors : int
    issue : float
        Instructions of threads per second, times the share that is assumed to be reached.
    flops, matrix_flops : float
        Peak of float32, and of products of TF32.
    launch : float
        Seconds between two dependent kernels in a CUDA graph.
    """

    name: str
    arch: str
    bandwidth: float
    cache_bandwidth: float
    cache_bytes: int
    processors: int
    issue: float
    flops: float
    matrix_flops: float
    launch: float = 2e-6


REACHED = 0.6
"""Share of the issue rate: assumed, until it is measured."""

FULL = 8
"""Warps of a processor that reach it, and all bandwidth: assumed, too. Fewer reach less, in proportion."""

DEVICES = {
    "H200": Device("H200", "sm_90", 4.3e12, 7e12, 30 << 20, 132, 132 * 128 * 1.755e9 * REACHED, 67e12, 495e12),
    "H100": Device("H100", "sm_90", 3.0e12, 7e12, 30 << 20, 132, 132 * 128 * 1.755e9 * REACHED, 67e12, 495e12),
    "A100": Device("A100", "sm_80", 1.8e12, 5e12, 20 << 20, 108, 108 * 128 * 1.41e9 * REACHED, 19.5e12, 156e12),
}
"""Bandwidths are what large copies reach, not what data sheets say."""

USUAL = DEVICES["H100"]
"""The GPU that choices are made for where none is named."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one launch does for one signal of the batch.

    Attributes
    ----------
    title : str
    bytes : float
        Read and written, whatever lies in a cache.
    instructions : float
        Of threads.
    matrix : float
        Flops of products on tensor cores.
    launches : int
    again : float
        Bytes that other programs read at about the same time: they come from the cache.
    warps : callable or None
        Warps of all programs for so many signals; None if they fill the device.
    """

    title: str
    bytes: float
    instructions: float = 0.0
    matrix: float = 0.0
    launches: int = 1
    again: float = 0.0
    warps: Callable[[int], int] | None = None

    def seconds(self, device: Device, signals: int, live: float) -> float:
        """The predicted time for so many signals, `live` bytes of which are in use at a time."""
        bandwidth = device.cache_bandwidth if live <= device.cache_bytes else device.bandwidth
        busy = self.instructions / device.issue + self.matrix / (REACHED * device.matrix_flops)
        moving = max(self.bytes / bandwidth, (self.bytes + self.again) / device.cache_bandwidth)
        share = min(self.warps(signals) / (FULL * device.processors), 1.0) if self.warps else 1.0
        return signals * max(moving, busy) / share + self.launches * device.launch


def static_work(step: Launch | Transform) -> Work:
    """What a step does for one signal: a kernel of `templates/kernels/`, or a transform of the library."""
    if isinstance(step, Transform):
        passes = step.axes if step.axes > 1 or step.length <= SHARED_TRANSFORM else 2
        rows = step.paths * (0.5 if step.packed else 1.0)
        moved = 2 * passes * COMPLEX * step.length * rows
        return Work(f"fft {step.length}", moved, 2.5 * log2(max(step.length, 2)) * step.length * rows, launches=passes)
    return _STATIC[step.kernel](step, step.constants)


def slope_work(paths: int, samples: int) -> Work:
    """What `slope` of gradients does: waves are read, with cotangents of moduli, and written over."""
    numbers = float(paths * samples)
    return Work(f"slopes {samples}", (2 * COMPLEX + REAL) * numbers, 16 * numbers)


def wavelet_work(launch: Launch, shape: Shape) -> Work:
    """What a kernel in registers does for one signal."""
    numbers = launch.paths * shape.length
    instructions = numbers * (PACKED if shape.paired else INSTRUCTIONS)[shape.length]
    instructions += WINDOW * launch.paths * shape.width if shape.paired else 0
    moved, matrix = float(COMPLEX * launch.paths * shape.width), 0.0
    for sink in shape.sinks:
        if sink == "local":
            instructions += numbers * AVERAGED[shape.length]
            matrix += 3 * 2.0 * numbers * shape.columns
            moved += launch.paths * REAL * shape.outputs
        elif sink == "total":
            instructions += numbers
        else:
            moved += REAL * (numbers if sink == "pack" else launch.paths * shape.kept)
            instructions += numbers * (0 if shape.paired else STORED if sink == "pack" else 2)
    return Work(launch.kernel, moved, instructions, matrix)


def cut_work(rows: int, shape: Cut) -> Work:
    """What cutting so many blocks of a signal and transforming them takes; rows are of pairs, each of two signals."""
    numbers = 0.5 * rows * shape.length
    moved = 0.5 * COMPLEX * rows * (shape.length + shape.bins)
    return Work(f"cut {shape.length}", moved, numbers * CUT[shape.length])


def thin_work(rows: int, length: int) -> Work:
    """What thinning so many blocks of a signal takes, each to so many samples."""
    numbers = 0.5 * rows * length
    return Work(f"thin {length}", 3 * COMPLEX * numbers, numbers * (INSTRUCTIONS[length] + THINNED))


def matrix_work(launch: Launch, matrix: Matrix, *, along_columns: bool) -> Work:
    """The turn between the transforms takes a dozen instructions, the window is read once for each signal of a pair."""
    numbers = launch.paths * matrix.length
    if along_columns:
        moved = COMPLEX * (launch.paths * matrix.width + numbers)
        return Work(f"columns {matrix.length}", moved, numbers * (INSTRUCTIONS[matrix.columns] + 12))
    return Work(f"rows {matrix.length}", (COMPLEX + REAL) * numbers, numbers * INSTRUCTIONS[matrix.rows])


def product_instructions(kernel: str, outputs: int) -> float:
    """For each number that is multiplied, by a program with so many outputs; counted in machine code."""
    number, output = PRODUCT[kernel]
    return number + output * outputs


def lowpass_work(paths: int, tiles: Product, length: int, *, packed: bool) -> Work:
    """What averages of so many samples, of one number for two signals if packed, do for one signal."""
    numbers = float(paths * tiles.programs * tiles.padded)
    read = min(tiles.programs * tiles.padded, length) * (REAL if packed else COMPLEX)
    instructions = numbers * product_instructions("lowpass", tiles.outputs)
    moved = paths * (read + REAL * tiles.kept * tiles.parts)
    return Work(f"lowpass {length}", moved, instructions, 6.0 * numbers * tiles.outputs)


def average_work(paths: int, tiles: Product) -> Work:
    """What averages from the bins of spectra do for one signal."""
    numbers = float(paths * tiles.programs * tiles.padded)
    moved = paths * (COMPLEX * tiles.padded + REAL * tiles.kept)
    instructions = numbers * product_instructions("average", tiles.outputs)
    return Work("average", float(moved), instructions, 12.0 * numbers * tiles.outputs)


def _levels(launch: Launch, c: dict[str, int]) -> Work:
    return Work("levels", REAL * c["SAMPLES"], 15.0 * c["SAMPLES"])


def _pad(launch: Launch, c: dict[str, int]) -> Work:
    return Work("pad", REAL * (c["SAMPLES"] + c["LENGTH"]), 8.0 * c["LENGTH"])


def _fold(launch: Launch, c: dict[str, int]) -> Work:
    moved = COMPLEX * (c["WIDTH"] + c["LENGTH"])
    return Work(f"fold {c['LENGTH']}", launch.paths * moved, launch.paths * (20.0 * c["WIDTH"] + 4 * c["LENGTH"]))


def _pack(launch: Launch, c: dict[str, int]) -> Work:
    return Work(f"pack {c['LENGTH']}", launch.paths * (COMPLEX + REAL) * c["LENGTH"], launch.paths * 8.0 * c["LENGTH"])


def _lowpass(launch: Launch, c: dict[str, int]) -> Work:
    assert isinstance(launch.shape, Product)
    return lowpass_work(launch.paths, launch.shape, c["LENGTH"], packed=bool(c["PACKED"]))


def _average(launch: Launch, c: dict[str, int]) -> Work:
    assert isinstance(launch.shape, Product)
    return average_work(launch.paths, launch.shape)


def _add_parts(launch: Launch, c: dict[str, int]) -> Work:
    """Each output has two parts at least."""
    return Work("add parts", 1.5 * REAL * launch.paths * c["KEPT"], 8.0 * launch.paths * c["KEPT"])


def _total(launch: Launch, c: dict[str, int]) -> Work:
    return Work(f"total {c['LENGTH']}", launch.paths * COMPLEX * c["LENGTH"], launch.paths * 6.0 * c["LENGTH"])


def _moduli(launch: Launch, c: dict[str, int]) -> Work:
    return Work(f"moduli {c['LENGTH']}", launch.paths * (COMPLEX + REAL) * c["KEPT"], launch.paths * 8.0 * c["KEPT"])


_STATIC = {
    "levels": _levels,
    "pad": _pad,
    "fold": _fold,
    "pack": _pack,
    "lowpass": _lowpass,
    "average": _average,
    "add_parts": _add_parts,
    "total": _total,
    "moduli": _moduli,
}
