"""The kernel that multiplies a spectrum by filters, folds it and transforms its rows in registers.

One program has a tile of rows of the result, of all pairs of images one after the other, for a few filters, so that a
bin of the spectrum is read once for all of them. It visits the chunks of bins that have a weight (`chunks.py`) and adds
up what folds onto its rows. It yields the sums of the images of a pair, ``P = w Z``, or the conjugates of their
differences, ``Q = w conj(Z[-k])``, each a product for each bin: `columns.py` makes the images of them, when it reads.
Programs of different filters go side by side, so that they find the spectrum in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from scatc.codegen.code import Code, Plane
from scatc.codegen.triton.images.mixed import (
    MOST_LISTED,
    THREADS,
    Group,
    Stages,
    fits,
    mixed_fft,
    numbers_each,
    stages,
)
from scatc.codegen.triton.planes import MOST, At, runs, stacked, unstacked
from scatc.codegen.triton.tuned import MOST_WARPS, WARP, around, space

NUMBERS = ("pairs",)
"""The last arguments of a kernel."""

SECOND = 4
"""Least length of the second stage, of which neighbouring bins are read together, 32 bytes; 2 if it must be."""

TOGETHER = (1, 2, 4, 8)
"""Filters of a program."""

MOST_TOGETHER = 66
"""Complex numbers of a thread that has lists of several filters, which it transforms one after the other."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a kernel is specialised to.

    Attributes
    ----------
    split : Stages
        Of the transform along a row.
    height : int
        Rows of the result.
    filters : int
        To a parent.
    parent : tuple of int
        Bins of the parent's spectrum, on each axis.
    together : int
        Filters of a program.
    masked : bool
        Whether bins of a chunk that have no weight are not read.
    tile, warps : int
        Rows of a program for each of its filters; its warps.
    """

    split: Stages
    height: int
    filters: int
    parent: tuple[int, int]
    together: int = 1
    masked: bool = True
    tile: int = 32
    warps: int = 4

    @property
    def groups(self) -> int:
        """Of the filters of a parent and, behind them, the mirrored ones."""
        return 2 * self.filters // self.together

    @property
    def folded(self) -> bool:
        """Whether rows may have more than one chunk."""
        return self.parent != (self.height, self.split.length)

    def candidates(self) -> list[Rows]:
        """Half, as many and twice the rows, the warps and the filters, if a thread's lists are whole and fit."""

        def legal(other: Rows) -> bool:
            most = max(MOST_LISTED // other.together, self.split.first)  # a list of each filter, at least
            return together_fits(other) and fits(self.split, other.tile, other.warps, most)

        return space(
            self,
            legal,
            tile=around(self.tile),
            warps=around(self.warps, most=MOST_WARPS),
            together=around(self.together, most=TOGETHER[-1]),
        )


def stages_of(length: int) -> Stages | None:
    """The stages of a transform along rows, None if there are none."""
    return stages(length, SECOND) or stages(length, SECOND // 2)


def together_fits(rows: Rows) -> bool:
    """Whether so many filters divide those of a parent, and the lists of all of them fit a thread."""
    first, together = rows.split.first, rows.together
    return rows.filters % together == 0 and (together == 1 or first * together <= MOST_TOGETHER)


def default(
    split: Stages, height: int, filters: int, parent: tuple[int, int], together: int = 1, *, masked: bool = True
) -> Rows:
    """The kernel to begin with: some forty numbers a thread, in four warps."""
    # padding takes registers, too
    each = numbers_each(split.first * together) if split.padded == split.first else 1
    tile = max(THREADS * each // split.second, 1)
    return Rows(split, height, filters, parent, together, masked, tile, THREADS // 32)


def possible(split: Stages, height: int, filters: int, parent: tuple[int, int]) -> list[Rows]:
    """The kernels to choose from."""
    choices = product(TOGETHER, (True, False))
    found = [default(split, height, filters, parent, together, masked=masked) for together, masked in choices]
    return [rows for rows in found if together_fits(rows)]


def parameters(rows: Rows) -> dict[str, str]:
    """Names and types of a kernel's arguments."""
    found = {"X": "*i64", "first": "*i32", "places": "*i32", "w": "*fp32" if rows.together == 1 else "*i64"}
    return found | {"twiddles": "*i64", "Y": "*i64", **dict.fromkeys(NUMBERS, "i32")}


def body(rows: Rows) -> str:
    """The statements of the kernel."""
    code, split = Code(), rows.split
    length, height, bins = split.length, rows.height, rows.parent[0] * rows.parent[1]
    code.write(
        f"group = tl.program_id(0) % {rows.groups}",
        "parent = tl.program_id(1).to(tl.int64)",
        f"mirrored = group // {rows.groups // 2}",
        f"tile = tl.program_id(0) // {rows.groups}",
        f"last = tl.cdiv(pairs * {height}, {rows.tile}) - 1",
        "tile = tl.where(mirrored > 0, last - tile, tile)  # at about the same time, the same bins",
        f"row = tile * {rows.tile} // pairs",
        f"lane = tile * {rows.tile} - row * pairs + tl.arange(0, {rows.tile})[:, None]",
        "# the rows beyond it, in float32: threads divide again where they store, and integers take many instructions",
        "more = ((lane.to(tl.float32) + 0.5) * (1.0 / pairs)).to(tl.int32)",
        "row += more",
        "pair = (lane - more * pairs).to(tl.int64)",
        f"there = row < {height}",
        f"row = tl.minimum(row, {height - 1})  # those behind the last store nothing",
        f"spectrum = X + (parent * pairs + pair) * {bins}",
        f"p = tl.arange(0, {split.second})[None, :]",
    )
    folded = _fold(code, rows)
    code.write(
        f"filter = parent * {rows.filters} + (group - mirrored * {rows.groups // 2}) * {rows.together}",
        f"image = Y + (filter * pairs * 2 + mirrored) * {height * length}",
        f"line = image + pair * {2 * height * length} + row * {length}",
    )
    for f, planes in enumerate(folded):
        if f:
            code.write(f"line += pairs.to(tl.int64) * {2 * height * length}  # the next filter")
        for group in mixed_fft(code, planes, split, rows.tile, 1, "twiddles", columns=False):
            _store(code, group, rows)
    return str(code)


def _store(code: Code, group: Group, rows: Rows) -> None:
    """What a transform yields, several planes at a time if they have numbers for all threads."""
    e = code.let("e", f"{group.start} + tl.arange(0, {group.size})[None, :]")
    inside = "" if group.count == group.size else f" & ({e} < {group.start + group.count})"
    to, shape = code.let("to", f"line + {e}"), (rows.tile, group.size)
    places = range(0, rows.split.length, group.stride)
    few = rows.tile * group.size < WARP * rows.warps
    for run in runs(places, 1 if few else MOST, listed=not few):
        some = group.planes[run.first : run.first + run.size]
        re, im = (stacked(code, [plane[part] for plane in some], shape) for part in (0, 1))
        at = run.let(code)
        here = code.let("here", at.pointers(f"{to} + {at}"))
        code.write(f"tl.store({here}, both({re}, {im}), mask=there{inside})")


def _fold(code: Code, rows: Rows) -> list[list[Plane]]:
    """The products with each filter, folded on both axes, as planes of the first stage."""
    split = rows.split
    together = list(runs(range(0, split.length, split.second)))
    sums = [[(f"a{f}_{r}", f"b{f}_{r}") for r in range(len(together))] for f in range(rows.together)]
    chunk = Code()
    chunk.write(
        "line = spectrum + tl.load(places + chunk) + p",
        f"weights = w + chunk * {split.length * max(rows.together // 2, 1)} + p",
    )
    for r, run in enumerate(together):
        at = run.let(chunk)
        weights, mask = _weights(chunk, rows, at)
        mask = f", mask={chunk.let('some', mask)}, other=0" if rows.masked else ""
        z = chunk.let("z", f"tl.load({at.pointers(f'line + {at}')}{mask})")
        for weight, of_filter in zip(weights, sums, strict=True):
            (re, im), add = of_filter[r], "+=" if rows.folded else "="
            chunk.write(f"{re} {add} low({z}) * {weight}", f"{im} {add} high({z}) * {weight}")
    code.write(f"at = group * {rows.height} + row")
    shape = (rows.tile, split.second)
    if rows.folded:
        for r, run in enumerate(together):
            zero = code.let("zero", f"tl.zeros({(run.size, *shape)}, tl.float32)")
            code.write(*(f"{name} = {zero}" for of_filter in sums for name in of_filter[r]))
        code.write(
            "begin = tl.load(first + at)",
            "count = tl.load(first + at + 1) - begin",
            "for c in range(0, tl.max(count)):",
            "    chunk = tl.where(c < count, begin + c, 0)",
            *(f"    {line}" for line in chunk.lines),
        )
    else:
        code.write("chunk = at + 1", *chunk.lines)
    found = []
    for of_filter in sums:
        planes: list[Plane] = []
        for run, parts in zip(together, of_filter, strict=True):
            lists = (unstacked(code, part, run.size, shape) for part in parts)
            planes += zip(*lists, strict=True)
        found.append(planes)
    return found


def _weights(code: Code, rows: Rows, at: At) -> tuple[list[str], str]:
    """The weights of some bins in each filter, and where there are any."""
    if rows.together == 1:
        weight = code.let("weight", f"tl.load({at.pointers(f'weights + {at}')})")
        return [weight], f"{weight} != 0"
    tables = ["weights", *(f"weights + {i * rows.split.length}" for i in range(1, rows.together // 2))]
    pairs = [code.let("pair", f"tl.load({at.pointers(f'{table} + {at}')})") for table in tables]
    # bits of both, of which those of zeros are zero
    bits = " | ".join(f"{pair}.to(tl.int32) | ({pair} >> 32).to(tl.int32)" for pair in pairs)
    return [f"{part}({pair})" for pair in pairs for part in ("low", "high")], f"({bits}) != 0"
