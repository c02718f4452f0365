"""What launches of the kernels of gradients of images cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scatc.codegen.triton import cost
from scatc.codegen.triton.cost import COMPLEX, REAL, Work
from scatc.codegen.triton.images.choices import LEAST_BLOCK, product
from scatc.codegen.triton.images.columns import Columns
from scatc.codegen.triton.images.cost import odd_factors
from scatc.codegen.triton.images.tables import Array
from scatc.codegen.triton.kernels import MOST_UNROLLED
from scatc.codegen.triton.launch import Launch, Transform

PAIR = 2
"""Images that a complex number stands for."""


def static_work(launch: Launch, held: Share | None) -> Work:
    """What a kernel of `templates/kernels/` does for one image; a gather's windows hold a share of a spectrum."""
    c = launch.constants
    if held is not None:
        sizes = (c["PARENT_ROWS"], c["PARENT_COLUMNS"]), (c["ROWS"], c["COLUMNS"])
        return gather_work(launch.paths, c["FILTERS"], *sizes, held)
    return _STATIC[launch.kernel](launch, c)


# Instructions were counted in machine code for sm_90: of columns of 20 to 132 samples, of others at 256 x 256.


def columns_work(paths: int, columns: Columns) -> Work:
    """What the kernel for columns there and back does for one image."""
    samples, split = columns.split.length * columns.width, columns.split
    instructions = (44 + 2.5 * odd_factors(split.first) if split.second > 1 else 43) * samples
    moved, matrix = 2.0 * COMPLEX * samples, 0.0
    if columns.weights:
        instructions += columns.width * sum(weight != 0 for row in columns.weights for weight in row)
    elif "local" in columns.sinks:
        instructions += 2 * samples
        matrix = 6.0 * samples * columns.padded
    if "pack" in columns.sinks:
        moved += REAL * samples
    if {"local", "total"} & set(columns.sinks):
        moved += REAL * columns.width * max(columns.outputs, 1)
    return Work(f"slopes {columns.split.length}", paths * moved, paths * instructions, paths * matrix)


def lines_work(paths: int, shape: tuple[int, ...]) -> Work:
    """What the library's transform along rows does."""
    return cost.static_work(Transform(shape[1], paths * shape[0], packed=False))


NARROW = {16: 2.9, 32: 2.2, 64: 1.0}
"""How many times the instructions of a product with 64 outputs, for each, those of one with fewer are."""


def spread_work(paths: int, shape: tuple[int, ...], outputs: int, padded: int, *, add: bool) -> Work:
    """What spreads averages along columns."""
    rows, columns = shape
    tiles = product("spread_columns", outputs, rows)
    computed = paths * columns * tiles.columns
    straight = padded <= MOST_UNROLLED * LEAST_BLOCK
    each = 0.124 * padded + (7.5 if add else 6.8) if straight else 0.2 * padded + (10 if add else 7)
    each *= NARROW[tiles.outputs]
    moved = paths * columns * (rows * COMPLEX / PAIR * (2 if add else 1) + outputs * REAL)
    return Work("spread columns", moved, each * computed, 6.0 * padded * computed)


def _spread_rows(launch: Launch, c: dict[str, int]) -> Work:
    computed = launch.paths * c["HEIGHT"] * -(-c["COLUMNS"] // c["OUTPUTS"]) * c["OUTPUTS"]
    moved = launch.paths * c["HEIGHT"] * REAL * (c["COLUMNS"] + c["KEPT"])
    return Work("spread rows", moved, (0.125 * c["PADDED"] + 6.5) * computed, 6.0 * c["PADDED"] * computed)


def _spread_columns(launch: Launch, c: dict[str, int]) -> Work:
    return spread_work(launch.paths, (c["ROWS"], c["COLUMNS"]), c["HEIGHT"], c["PADDED"], add=bool(c["ADD"]))


def _spread_raw(launch: Launch, c: dict[str, int]) -> Work:
    numbers, kept = launch.paths * c["ROWS"] * c["COLUMNS"], launch.paths * c["KEPT_ROWS"] * c["KEPT_COLUMNS"]
    return Work("spread raw", REAL * float(kept + numbers * (2 if c["ADD"] else 1)), 12.0 * numbers)


@dataclass(frozen=True, slots=True)
class Share:
    """What of a spectrum the windows of some filters hold, as shares of all its bins.

    Attributes
    ----------
    weighty : float
        Bins of a window that have a weight.
    touched : float
        Bins that have one in any window, or whose opposites have.
    """

    weighty: float = 1.0
    touched: float = 1.0


def share(start: Array, w: Array, parent: tuple[int, ...]) -> Share:
    """The shares of windows that begin at `start`, of a spectrum of such a size."""
    touched = np.zeros(parent, bool)
    for (top, left), weights in zip(start, w, strict=True):
        rows, columns = np.nonzero(weights)
        touched[(top + rows) % parent[0], (left + columns) % parent[1]] = True
        touched[-(top + rows) % parent[0], -(left + columns) % parent[1]] = True
    return Share(float(np.count_nonzero(w) / len(w) / touched.size), float(touched.mean()))


def gather_work(paths: int, filters: int, parent: tuple[int, ...], child: tuple[int, ...], held: Share) -> Work:
    """What `gather_image` does.

    The spectra of children are read once for each of their aliases, from the cache but for the first time.
    """
    bins, samples = float(parent[0] * parent[1]), float(child[0] * child[1])
    reads = COMPLEX * paths * held.weighty * bins
    first = min(reads, COMPLEX * paths * samples)
    moved = first + 2 * COMPLEX / PAIR * held.touched * bins * paths / filters
    return Work("gather", moved, paths * bins * (7.0 + 13 * held.weighty + 17 / filters), again=reads - first)


def _unpad(launch: Launch, c: dict[str, int]) -> Work:
    padded, samples = c["ROWS"] * c["COLUMNS"], c["HEIGHT"] * c["WIDTH"]
    times = c["ROW_TIMES"] * c["COLUMN_TIMES"]
    return Work("unpad", REAL * float(padded + samples), (8.0 + 4 * times) * samples)


_STATIC = {
    "spread_rows": _spread_rows,
    "spread_columns": _spread_columns,
    "spread_raw": _spread_raw,
    "slope": lambda launch, c: cost.slope_work(launch.paths, c["SAMPLES"]),
    "unpad_image": _unpad,
}
