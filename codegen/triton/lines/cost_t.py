"""What the launches of gradients of lines cost; see `scatc.codegen.triton.cost`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from scatc.codegen.triton.cost import AVERAGED, COMPLEX, CUT, INSTRUCTIONS, REAL, Work, slope_work
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.lines.blocks_t import Join, Unthin
from scatc.codegen.triton.lines.matrix import Matrix
from scatc.codegen.triton.lines.wavelet_t import Turn


def loudest(outputs: Sequence[tuple[tuple[int, ...], Sequence[Any]]]) -> Work:
    """What finding the largest cotangents takes, by the library."""
    numbers = sum(len(paths) * prod(samples) for samples, paths in outputs)
    return Work("loudest", REAL * numbers, 3.0 * numbers, launches=2 * len(outputs) - 1)


def added(length: int) -> Work:
    """What adding one row of so many numbers of pairs to another takes, by the library."""
    return Work("added", 1.5 * COMPLEX * length, 2.0 * length)


def zeros(length: int) -> Work:
    """What filling one row of so many numbers of pairs with zeros takes."""
    return Work("zeros", 0.5 * COMPLEX * length)


def join_work(rows: int, shape: Join, line: int = 0) -> Work:
    """What adding so many blocks to their lines takes; rows are of pairs. Fresh ones write lines of so many numbers."""
    numbers = 0.5 * rows * shape.length
    samples = line if shape.fresh else 2 * rows * shape.length
    moved = 0.5 * COMPLEX * (rows * shape.bins + samples)
    return Work(f"join {shape.length}", moved, numbers * (CUT[shape.length] + JOINED))


def unthin_work(rows: int, shape: Unthin) -> Work:
    """What bringing so many blocks of a thinned signal to their spectra takes."""
    numbers = 0.5 * rows * shape.length
    bins = 0.5 * rows * (4 * shape.length if shape.add else shape.bins)
    return Work(
        f"unthin {shape.length}", COMPLEX * (numbers + bins), numbers * (INSTRUCTIONS[shape.length] + UNTHINNED)
    )


JOINED = 4
UNTHINNED = 14
"""Instructions for each complex number besides a transform, where blocks are added up, where a thinning is undone."""

ALONG = 12
"""The same of the kernels of matrices: the phase, or a turn, and what is read and written."""

TURNED = {16: 44, 32: 59, 64: 63, 128: 65, 256: 70, 512: 78, 1024: 86, 2048: 103}
"""Of a thread for each complex number that goes there and back in registers: all but where its cotangent is from.

Counted in machine code for `sm_90`, as `INSTRUCTIONS` were, where windows are as wide as signals are long; of 2048
half as wide, and of 1024 while products and sums were still apart: it takes some fewer now.
"""

WIDE = {2048: 85}
"""The same of those in two stages with long lists, if their windows were as wide: counted for a quarter."""

SPARED = 16
"""Fewer for each bin that no window holds: nothing is read there, multiplied and written, and transforms know it."""


def turn_work(paths: int, shape: Turn) -> Work:
    """What a kernel does for one signal that goes there and back in registers."""
    there = shape.there
    numbers, read = paths * there.length, min(there.width, there.length)
    counted = WIDE if there.length in WIDE and len(there.stages) == 2 else TURNED
    instructions = float(numbers * counted[there.length] - SPARED * paths * (there.length - read))
    moved, matrix = float(COMPLEX * paths * (there.width + read)), 0.0
    if shape.source == "local":
        instructions += numbers * AVERAGED[there.length]
        matrix = 3 * 2.0 * numbers * there.columns
        moved += REAL * paths * there.outputs
    elif shape.source != "total":
        moved += REAL * (numbers if shape.source == "memory" else paths * there.kept)
        instructions += 3.0 * numbers
    return Work(f"returns {there.length}", moved, instructions, matrix)


def matrix_work(paths: int, shape: Matrix, *, along_rows: bool) -> Work:
    """What a kernel does for one signal that goes back as a matrix."""
    numbers = paths * shape.length
    if along_rows:
        instructions = 2 * INSTRUCTIONS[shape.rows] + ALONG
        return Work(f"rows_t {shape.length}", (2 * COMPLEX + REAL) * numbers, numbers * instructions)
    return Work(f"columns_t {shape.length}", 2 * COMPLEX * numbers, numbers * (INSTRUCTIONS[shape.columns] + ALONG))


def _weights(launch: Launch, c: dict[str, int]) -> Work:
    return Work("weights", REAL * c["SAMPLES"], 5.0 * c["SAMPLES"])


def _spread(launch: Launch, c: dict[str, int]) -> Work:
    blocks = -(-c["LENGTH"] // c["SAMPLES"])
    frames, numbers = launch.paths * blocks * c["WINDOW"], launch.paths * c["LENGTH"]
    moved = REAL * (launch.paths * c["KEPT"] + numbers * (2 if c["ADD"] else 1))
    return Work(
        f"spread {c['LENGTH']}",
        moved,
        12.0 * frames + 8.0 * numbers,
        3 * 2.0 * frames * c["SAMPLES"],
        again=REAL * frames,
    )


def _given(launch: Launch, c: dict[str, int]) -> Work:
    numbers = launch.paths * c["LENGTH"]
    return Work(
        f"given {c['LENGTH']}",
        REAL * (launch.paths * c["KEPT"] + numbers * (2 if c["ADD"] else 1)),
        8.0 * numbers,
    )


def _average_t(launch: Launch, c: dict[str, int]) -> Work:
    """Four products for two signals."""
    numbers = launch.paths * c["COLUMNS"] * -(-c["BINS"] // c["FREQUENCIES"])
    return Work(
        "average_t",
        launch.paths * (2 * COMPLEX * c["BINS"] + REAL * c["KEPT"]),
        16.0 * numbers + 10.0 * launch.paths * c["BINS"],
        12.0 * numbers * c["FREQUENCIES"],
    )


def _unpad(launch: Launch, c: dict[str, int]) -> Work:
    return Work("unpad", REAL * (c["LENGTH"] + c["SAMPLES"]), 6.0 * c["COPIES"] * c["SAMPLES"])


STATIC = {
    "weights": _weights,
    "slope": lambda launch, c: slope_work(launch.paths, c["SAMPLES"]),
    "spread": _spread,
    "given": _given,
    "average_t": _average_t,
    "unpad": _unpad,
}
"""By the kernel of `templates/kernels/`."""
