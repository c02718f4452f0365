"""What launches of kernels of images cost."""

from __future__ import annotations

from math import log2, prod

from scatc.codegen.signals import Signal
from scatc.codegen.triton import cost
from scatc.codegen.triton.cost import COMPLEX, REAL, Work
from scatc.codegen.triton.images.chunks import Held
from scatc.codegen.triton.images.columns import USUAL_DOT, Columns
from scatc.codegen.triton.images.mixed import THREADS, groups
from scatc.codegen.triton.images.pair_columns import PairColumns
from scatc.codegen.triton.images.rows import Rows
from scatc.codegen.triton.images.short_rows import ShortRows
from scatc.codegen.triton.images.sums import Sums
from scatc.codegen.triton.kernels import MOST_UNROLLED
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.tuned import WARP, Product


def static_work(step: Launch | Transform) -> Work:
    """What a step does for one image: a kernel of `templates/kernels/`, or a transform of the library."""
    if isinstance(step, Launch) and step.kernel in _STATIC:
        return _STATIC[step.kernel](step, step.constants)
    return cost.static_work(step)


# Kernels in registers: instructions were counted in machine code for sm_90, of sides from 20 to 264.


def rows_work(paths: int, rows: Rows, held: Held) -> Work:
    """What the kernel for rows does for one image: sums and differences, a row of each for two images.

    The filters of a parent find its spectrum in the cache, once one of them has read it. The instructions of 46 kernels
    were counted, lists of 5 to 33 of one to eight filters: the formula has three in four within 5 %, all within 12 %.
    """
    numbers, together = float(paths * rows.height * rows.split.length), rows.together
    split, threads = rows.split, WARP * rows.warps
    thread = rows.tile * split.length * together / threads
    # groups of the second stage that have too few numbers for the threads are transformed by several alike
    alike = (
        sum(max(rows.tile * size / threads, 1) for _, size, _ in groups(split.first)) * split.second * together / thread
    )
    each = 8 + 1.3 * odd_factors(split.first) + 200 / thread + 1.7 * alike * log2(split.second)
    each += 3 if rows.folded else 0
    # two products, a load of weights of one filter or two, and what bins are loaded with; nearly as much for a mask
    alone = 1 if together == 1 else 0.5
    each += held.visited * (2.1 + (alone + 1 / together) * (2.4 if rows.masked else 1.35) + 3 / thread)
    reads = COMPLEX * numbers * (held.weighty if rows.masked else held.visited) / together
    first = min(reads, 0.5 * COMPLEX * paths / rows.filters * held.touched * prod(rows.parent))
    return Work(f"rows {split.length}", COMPLEX * numbers + first, numbers * each, again=reads - first)


def columns_work(paths: int, columns: Columns) -> Work:
    """What the kernel for columns does for one image; of 26 that multiply, the formula has all within 12 %, most 6."""
    length, width = columns.split.length, columns.width
    samples = length * width
    moved, matrix = float(COMPLEX * samples), 0.0
    odd, second = odd_factors(columns.split.first), columns.split.second
    staged = second > 1
    if columns.multiplied:
        wide = columns.tile >= USUAL_DOT
        instructions = (24 + 0.95 * odd + 0.7 * second + (0 if wide else 12) if staged else 30 + 0.7 * odd) * samples
        matrix = 6.0 * samples * columns.padded
    else:
        instructions = (27 + 0.7 * odd if staged else 22.5) * samples
    if columns.weights:
        instructions += width * sum(weight != 0 for row in columns.weights for weight in row)
    if "pack" in columns.sinks:
        moved += REAL * samples
        instructions += (6 if staged else 1) * samples
    if "raw" in columns.sinks:
        moved += REAL * prod(columns.kept)
    moved += REAL * width * (columns.outputs if "local" in columns.sinks else "total" in columns.sinks)
    return Work(f"columns {length}", paths * moved, paths * instructions, paths * matrix)


def pair_columns_work(paths: int, pair: PairColumns) -> Work:
    """What the kernel that has columns of both images of a pair does for one image.

    Counted for 20 to 320 samples: of two stages, the formula has most within 5 %, all within 20 %.
    """
    samples, split, taps = pair.samples, pair.split, sum(weight != 0 for row in pair.weights for weight in row)
    moved = float(REAL * prod(pair.input) if pair.rows else COMPLEX * samples)
    moved += COMPLEX / 2 * samples * (2 if pair.pack else 1) + REAL * pair.width * len(pair.weights)
    each = 11.0 if pair.rows else 26.0
    if split.second > 1:
        thread = pair.tile * split.length / (WARP * pair.warps)
        each = 1.5 * odd_factors(split.first) + 2 * split.second + 520 / thread + (6 if split.turned else -2)
    each += (4 if split.second > 1 else 1) if pair.pack else 0
    return Work(f"pair columns {split.length}", paths * moved, paths * (each * samples + taps * pair.width))


def short_rows_work(paths: int, short: ShortRows) -> Work:
    """What the kernel for short rows does for one image; counted for rows of 12 to 40 of 20 to 40 bins."""
    numbers, held = float(paths * prod(short.shape)), short.folds * short.parent[1]
    each = 16 + 3 * short.aliases + 20 * held / (short.together * short.shape[1])
    first = COMPLEX / 2 * paths / short.filters * prod(short.parent)
    title = f"short rows {short.shape[1]}"
    return Work(title, COMPLEX * numbers + first, numbers * each, again=(short.groups - 1) * first)


def odd_factors(n: int) -> int:
    """The sum of the odd prime factors, by which a transform in a list costs more."""
    total, p = 0, 2
    while n > 1:
        while n % p == 0:
            n, total = n // p, total + p * (p > 2)
        p += 1
    return total


# Others.


def fold_work(paths: int, window: int, samples: int) -> Work:
    """What `fold_image` does: what it reads serves both signals of a pair."""
    moved = COMPLEX * (window + samples)
    return Work(f"fold {samples}", paths * moved, paths * (16.0 * window + 4 * samples))


def forward_work(signal: Signal, axes: int) -> Work:
    """What the library's transform of signals in pairs does, along both axes or along rows."""
    return cost.static_work(forward_transform(signal, axes))


def forward_transform(signal: Signal, axes: int) -> Transform:
    """The library's transform of signals in pairs."""
    height, width = signal.shape
    if axes == 1:
        return Transform(width, signal.paths * height, packed=True)
    return Transform(height * width, signal.paths, packed=True, axes=2)


def transform_work(samples: int, paths: int, axes: int) -> Work:
    """What the library's transform back does."""
    return cost.static_work(Transform(samples, paths, packed=False, axes=axes))


STRAIGHT = {"lowpass_columns": (6.5, 3.2, 0.03, 115.0), "lowpass_rows": (4.5, 2.4, 0.008, 213.0)}
"""Instructions of a thread of kernels that multiply by a matrix: for each number, each output that it has, each number
of the matrix, and besides; counted for sm_90 (for sm_80, with 64 outputs, three quarters more).
"""

LOOPED = {"lowpass_columns": (14.0, 0.06), "lowpass_rows": (12.0, 0.06)}
"""The same with too many terms for straight-line code: for each number, and besides for each output of a program."""


def product_work(kernel: str, programs: float, tiles: Product) -> tuple[float, float]:
    """Instructions, and flops on tensor cores, of so many programs of a kernel that multiplies by a matrix."""
    numbers, outputs = tiles.padded * tiles.rows / THREADS, tiles.outputs * tiles.rows / THREADS
    if tiles.padded <= MOST_UNROLLED * tiles.block:
        number, output, entry, more = STRAIGHT[kernel]
        thread = number * numbers + output * outputs + entry * tiles.padded * tiles.outputs + more
    else:
        number, output = LOOPED[kernel]
        thread = numbers * (number + output * tiles.outputs)
    return programs * THREADS * thread, 6.0 * programs * tiles.padded * tiles.outputs * tiles.rows


def lowpass_work(paths: int, shape: tuple[int, ...], tiles: Product, *, packed: bool) -> Work:
    """What averages along columns do that are taken from memory."""
    rows, columns = shape
    programs = -(-2 * columns // tiles.rows) / 2 if packed else -(-columns // tiles.rows)
    moved = paths * columns * (rows * (REAL if packed else COMPLEX) + tiles.kept * REAL)
    instructions, matrix = product_work("lowpass_columns", float(paths * programs * tiles.programs), tiles)
    return Work("lowpass columns", moved, instructions, matrix)


def sums_work(paths: int, sums: Sums) -> Work:
    """What averages along columns of pairs do that are sums of a few samples, some of which two programs read."""
    columns, taps = paths * sums.width, len(sums.weights)
    instructions = 36 + 4.0 * sums.read + (2 * taps + 4) * sums.group
    moved, again = sums.height + sums.kept, max(sums.groups * sums.read - sums.height, 0)
    return Work(
        "sums",
        REAL * columns * float(moved),
        columns * sums.groups * instructions / 2,
        again=REAL * columns * float(again),
    )


def _fold(launch: Launch, c: dict[str, int]) -> Work:
    return fold_work(launch.paths, c["HEIGHT"] * c["WIDTH"], c["ROWS"] * c["COLUMNS"])


def _lowpass_columns(launch: Launch, c: dict[str, int]) -> Work:
    assert isinstance(launch.shape, Product)
    return lowpass_work(launch.paths, (c["ROWS"], c["COLUMNS"]), launch.shape, packed=bool(c["PACKED"]))


def _pad(launch: Launch, c: dict[str, int]) -> Work:
    numbers = c["ROWS"] * c["COLUMNS"]
    return Work("pad", REAL * (c["HEIGHT"] * c["WIDTH"] + numbers), 12.0 * numbers)


def _lowpass_rows(launch: Launch, c: dict[str, int]) -> Work:
    assert isinstance(launch.shape, Product)
    programs = launch.paths * launch.shape.programs * c["HEIGHT"] / launch.shape.rows
    moved = launch.paths * c["HEIGHT"] * REAL * (c["COLUMNS"] + c["KEPT"])
    return Work("lowpass rows", float(moved), *product_work("lowpass_rows", programs, launch.shape))


def _moduli(launch: Launch, c: dict[str, int]) -> Work:
    kept = launch.paths * c["KEPT_ROWS"] * c["KEPT_COLUMNS"]
    return Work("moduli", kept * (COMPLEX + REAL), 10.0 * kept)


_STATIC = {
    "pad_image": _pad,
    "fold_image": _fold,
    "lowpass_columns": _lowpass_columns,
    "lowpass_rows": _lowpass_rows,
    "moduli_image": _moduli,
}
