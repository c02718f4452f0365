"""The kernel that multiplies a spectrum by filters, folds it and transforms its rows in registers.

One program has a tile of rows of the result, of all pairs of images one after the other, for one filter. It yields
the sums or, with SIGN = -1, the differences of the images of a pair, ``P = w Z`` or ``Q = w conj(Z[-k])``, each a
product for each bin of the window: `columns.py` makes the images of them, when it reads. Bins whose weight is zero are
not read. Programs of different filters go side by side, so that they find the spectrum in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from scatc.codegen.code import Code, Plane
from scatc.codegen.triton.images.mixed import THREADS, Stages, fits, mixed_fft, numbers_each, stages
from scatc.codegen.triton.tuned import MOST_WARPS, around, space

NUMBERS = ("pairs",)
"""The last arguments of a kernel."""

LOOKED_UP = 2
"""How many bins that follow each other take no longer than one whose place is read from a table."""

SECOND = 4
"""Least length of the second stage, of which neighbouring bins are read together, 32 bytes; 2 if it must be."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a kernel is specialised to.

    Attributes
    ----------
    split : Stages
        Of the transform along a row.
    filters : int
        To a parent.
    parent : tuple of int
        Bins of the parent's spectrum, on each axis.
    window : tuple of int
        Bins of a window, those of a row padded with zeros to whole planes of the first stage.
    across : Stages
        Of the transform along columns that follows, in whose order rows are written.
    whole : bool
        Whether windows hold all bins of a row, from 0 on.
    tile, warps : int
        Rows of a program; its warps.
    """

    split: Stages
    filters: int
    parent: tuple[int, int]
    window: tuple[int, int]
    across: Stages
    whole: bool
    tile: int = 32
    warps: int = 4

    @property
    def height(self) -> int:
        """Rows of the result."""
        return self.across.length

    def candidates(self) -> list[Rows]:
        """Half, as many and twice the rows and the warps, where each thread holds whole transforms' lists that fit."""

        def legal(other: Rows) -> bool:
            return fits(self.split, other.tile, other.warps)

        return space(self, legal, tile=around(self.tile), warps=around(self.warps, most=MOST_WARPS))


def stages_of(length: int) -> Stages | None:
    """The stages of a transform along rows, None if there are none."""
    return stages(length, SECOND) or stages(length, SECOND // 2)


def default(
    split: Stages, across: Stages, filters: int, parent: tuple[int, int], window: tuple[int, int], *, whole: bool
) -> Rows:
    """The kernel to begin with: some forty numbers a thread, in four warps."""
    # bins whose places are looked up, and padding, take registers, too
    each = numbers_each(split.first) if whole and split.padded == split.first else 1
    height = across.length
    padded = (-(-window[0] // height) * height, -(-window[1] // split.second) * split.second)
    tile = max(THREADS * each // split.second, 1)
    return Rows(split, filters, parent, padded, across, whole, tile, THREADS // 32)


def parameters(rows: Rows) -> dict[str, str]:
    """Names and types of a kernel's arguments."""
    found = {"X": "*i64", "start": "*i32", "w": "*fp32"} | ({} if rows.whole else {"bins": "*i32"})
    return found | {"twiddles": "*i64", "Y": "*i64", **dict.fromkeys(NUMBERS, "i32")}


def body(rows: Rows) -> str:
    """The statements of the kernel."""
    code, split = Code(), rows.split
    length, height = split.length, rows.height
    code.write(
        f"filter = tl.program_id(0) % {rows.filters}",
        "parent = tl.program_id(1).to(tl.int64)",
        f"child = parent * {rows.filters} + filter",
        f"lane = tl.program_id(0) // {rows.filters} * {rows.tile}",
        "row = lane // pairs",
        f"lane = lane - row * pairs + tl.arange(0, {rows.tile})",
        "# the rows beyond it, in float32: threads divide again where they store, and integers take many instructions",
        "more = ((lane.to(tl.float32) + 0.5) * (1.0 / pairs)).to(tl.int32)",
        "row += more",
        "pair = (lane - more * pairs).to(tl.int64)",
        f"there = row < {height}",
        f"row = tl.minimum(row, {height - 1})  # those behind the last store nothing",
        f"spectrum = X + parent * pairs * {rows.parent[0] * rows.parent[1]} + pair * {rows.parent[0] * rows.parent[1]}",
        f"p = tl.arange(0, {split.second})[None, :]",
    )
    planes = _fold(code, rows)
    found = mixed_fft(code, planes, split, rows.tile, 1, "twiddles", columns=False)
    code.write(
        f"image = Y + (child * pairs * 2 + (1 - SIGN) // 2) * {height * length}",
        f"line = (image + pair * {2 * height * length} + row * {length})[:, None]",
    )
    for group in found:
        e = code.let("e", f"{group.start} + tl.arange(0, {group.size})[None, :]")
        inside = "" if group.count == group.size else f" & ({e} < {group.start + group.count})"
        for q, (re, im) in enumerate(group.planes):
            code.write(f"tl.store(line + {e} + {group.stride * q}, both({re}, {im}), mask=there[:, None]{inside})")
    return str(code)


def _fold(code: Code, rows: Rows) -> list[Plane]:
    """The products with the filter on its window, folded on both axes, as planes of the first stage."""
    split, (height, width) = rows.split, rows.window
    bins_y, bins_x = rows.parent
    names = [(f"a{j}", f"b{j}") for j in range(split.first)]
    live = [j for j in range(split.first) if j * split.second < width]
    code.write(f"zero = tl.zeros(({rows.tile}, {split.second}), tl.float32)")
    code.write(*(f"{name} = zero" for j in live for name in names[j]))
    natural = "row"
    if rows.across.coprime:
        second, more = rows.across.second, rows.across.first - 1
        natural = code.let("natural", f"(row + row % {second} * {more}) % {rows.height}")
    code.write("first_row = tl.load(start + 2 * filter)")
    if not rows.whole:
        code.write(f"bins += ((1 - SIGN) // 2 * {rows.filters} + filter) * {width} + p")
    inner = Code()
    inner.write(
        f"r = {natural} + a",
        f"y = (first_row + r) % {bins_y}",
        "if SIGN < 0:",
        f"    y = tl.where(y > 0, {bins_y} - y, 0)",
        f"line = (spectrum + y * {bins_x})[:, None]",
        f"weights = w + ((filter * {height} + r) * {width})[:, None] + p",
    )
    if rows.whole:
        inner.write(f"across = line + ({bins_x} * (1 - SIGN) // 2 + SIGN * p)")
    for j in live:
        re, im = names[j]
        for at in range(j * split.second, width, split.length):
            weight = inner.let("weight", f"tl.load(weights + {at})")
            z = _bin(inner, rows, at, f"mask={weight} != 0, other=0")
            inner.write(f"{re} += low({z}) * {weight}", f"{im} += high({z}) * (SIGN * {weight})")
    code.write(f"for a in range(0, {height}, {rows.height}):", *(f"    {line}" for line in inner.lines))
    return [names[j] if j in live else None for j in range(split.first)]


def _bin(code: Code, rows: Rows, at: int, mask: str) -> str:
    """Bins of the spectrum, those of negative frequency for differences."""
    if rows.whole and at:
        return code.let("z", f"tl.load(across + SIGN * {at}, {mask})")
    first = f"p if SIGN > 0 else tl.where(p > 0, {rows.parent[1]} - p, 0)"
    place = code.let("at", first if rows.whole else f"tl.load(bins + {at})")
    return code.let("z", f"tl.load(line + {place}, {mask})")
