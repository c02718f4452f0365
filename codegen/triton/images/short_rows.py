"""The kernel that multiplies a spectrum along columns by filters where rows are short: a thread has those that fold.

What `pair_columns.py` writes is transformed along columns alone. A thread reads the rows of a pair of images that fold
onto one row of the result, transforms them, and for one filter after the other multiplies, folds and transforms back,
as sums and differences like `rows.py`: what it reads and transforms once serves several filters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scatc.codegen.code import Code, Plane
from scatc.codegen.dft import dft
from scatc.codegen.triton import planes
from scatc.codegen.triton.images.mixed import MOST_LISTED
from scatc.codegen.triton.planes import At
from scatc.codegen.triton.tuned import WARP, around, space

TYPES = {"X": "*i64", "w": "*fp32", "Y": "*i64", "pairs": "i32"}
"""Arguments, and their types."""

MOST_HELD = 100
"""Complex numbers of a thread: the rows that fold onto one, and that."""

EXCHANGED = 8
"""Numbers of a row that threads exchange at a time."""

TOGETHER = 4
"""Filters of a program, to begin with."""


@dataclass(frozen=True, slots=True)
class ShortRows:
    """What a kernel is specialised to.

    Attributes
    ----------
    parent : tuple of int
        Bins of the parent's spectrum, on each axis.
    shape : tuple of int
        Of the result.
    filters : int
        To a parent.
    together : int
        Filters of a program.
    tile, warps : int
        Rows of a program, its warps.
    """

    parent: tuple[int, int]
    shape: tuple[int, int]
    filters: int
    together: int = TOGETHER
    tile: int = 128
    warps: int = 4

    @property
    def groups(self) -> int:
        """Of the filters of a parent and, behind them, the mirrored ones."""
        return 2 * self.filters // self.together

    @property
    def aliases(self) -> int:
        """Bins that fold onto one."""
        return self.folds * self.parent[1] // self.shape[1]

    @property
    def folds(self) -> int:
        """Rows that fold onto one."""
        return self.parent[0] // self.shape[0]

    def candidates(self) -> list[ShortRows]:
        """Half, as many and twice the rows with their warps, one for each thread, and the filters."""

        def legal(other: ShortRows) -> bool:
            return other.tile == WARP * other.warps and other.filters % other.together == 0

        return space(
            self,
            legal,
            tile=around(self.tile),
            warps=around(self.warps, most=8),
            together=around(self.together, most=self.filters),
        )


def default(parent: tuple[int, int], shape: tuple[int, int], filters: int) -> ShortRows | None:
    """The kernel to begin with; None if a thread cannot hold what it has to."""
    short = ShortRows(parent, shape, filters)
    if max(*parent, *shape) > MOST_LISTED or short.folds * parent[1] + shape[1] > MOST_HELD:
        return None
    together = TOGETHER
    while filters % together:
        together //= 2
    return replace(short, together=together)


def body(short: ShortRows) -> str:
    """The statements of the kernel."""
    code = Code()
    (height, width), (rows, columns), tile = short.shape, short.parent, short.tile
    code.write(
        f"group = tl.program_id(0) % {short.groups}",
        "parent = tl.program_id(1).to(tl.int64)",
        f"line = tl.program_id(0) // {short.groups} * {tile} + tl.arange(0, {tile})[:, None]",
        f"there = line < pairs * {height}",
        f"line = tl.minimum(line, pairs * {height} - 1)  # those behind the last store nothing",
        f"pair = line // {height}",
        f"row = line - pair * {height}",
        "# threads read and write together, laid out otherwise: what a line is is found once, for few registers",
        f"spectrum = X + parent * pairs * {rows * columns} + settled(pair * {rows * columns} + row * {columns})",
        f"mirrored = group // {short.groups // 2}",
        f"back = tl.where(row > 0, {height} - row, 0)  # differences, as conjugates",
        f"place = settled((2 * pair + mirrored) * {height * width} + tl.where(mirrored > 0, back, row) * {width})",
    )
    held = []
    for fold in range(short.folds):
        code.write(f"# {columns} points, forward")
        held.append(dft(code, _read(code, f"spectrum + {fold * height * columns}", columns, tile), -1))
    first = f"group * {short.together}"
    code.write(f"for f in range({first}, {first} + {short.together}):")
    before = len(code.lines)
    code.write(
        f"weights = w + f * {rows * columns} + tl.trans(row)",
        f"to = Y + (parent * {short.filters} + f - mirrored * {short.filters}) * pairs * {2 * height * width} + place",
    )
    _filter(code, short, held)
    code.lines[before:] = [f"    {line}" for line in code.lines[before:]]
    return str(code)


def _read(code: Code, line: str, count: int, tile: int) -> list[Plane]:
    """A row of each thread, whose numbers lie side by side: read by all threads, then each has its own."""
    found: list[Plane] = []
    for run in planes.runs(range(count), EXCHANGED, listed=False):
        bits = code.let("bits", f"tl.load({line} + {run.start} + tl.arange(0, {run.size})[None, :])")
        parts = []
        for part in ("low", "high"):
            twos = ", 2" * (run.size.bit_length() - 1)
            whole = code.let("t", f"tl.reshape({part}({bits}), [1, {tile}{twos}])")
            parts.append(code.unstack(whole, run.size))
        found += zip(*parts, strict=True)
    return found


def _filter(code: Code, short: ShortRows, held: list[list[Plane]]) -> None:
    """Products with one filter, folded, transformed back, and stored."""
    (height, width), (rows, columns), tile = short.shape, short.parent, short.tile

    def weight(at: At) -> tuple[str]:
        return (code.let("w", f"tl.load({at.pointers(f'weights + {at}')})"),)

    read = planes.read(code, range(0, rows * columns, height), (1, tile), weight)
    bins = [plane for line in held for plane in line]
    sums: list[Plane] = []
    for k in range(width):
        terms = [
            (w[0], z) for w, z in zip(read[k::width], bins[k::width], strict=True) if w is not None and z is not None
        ]
        parts = (" + ".join(f"{w} * {z[part]}" for w, z in terms) for part in (0, 1))
        sums.append(code.pair(*parts))
    code.write(f"# {width} points")
    waves = dft(code, sums, 1)
    for run in planes.runs(range(width), EXCHANGED, listed=False):
        some = [wave for wave in waves[run.first : run.first + run.size] if wave is not None]
        stacks = [code.stack([wave[part] for wave in some]) for part in (0, 1)]
        re, im = (code.let("t", f"tl.reshape({stack}, [{tile}, {run.size}])") for stack in stacks)
        at = f"to + {run.start} + tl.arange(0, {run.size})[None, :]"
        code.write(f"tl.store({at}, both({re}, {im}), mask=there)")
