"""Blocks of long signals on the way back: the kernels of `blocks.py`, transposed.

What is cut overlaps, so what comes back is added up: `join` transforms the cotangent of each block's spectrum and adds
its samples to those of the line. Blocks are at least half apart, so that every other one overlaps with none: they go in
two launches, the even and the odd ones, and what reaches around the circle to the first blocks in launches of its own.
So nothing is added by two programs at a time. `unthin` brings the cotangent of a thinned signal to spectra of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton.fft import radices, register_fft, wide_radices
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.lines.blocks import (
    Blocks,
    OfBlocks,
    Thin,
    default_cut,
    default_thin,
    if_inside,
    kept,
    middle,
)
from scatc.codegen.triton.planes import At, loaded, read, runs, stacks


@dataclass(frozen=True, slots=True)
class Join(OfBlocks):
    """What the kernel that adds blocks up is specialised to; of a block's spectrum there are `bins`.

    Attributes
    ----------
    around : bool
        Whether the line is a circle of 2^k samples; else what is beyond its ends is dropped.
    fresh : bool
        Whether the line is written for the first time: nothing is added, and what no block has becomes zero.
    """

    around: bool
    fresh: bool


@dataclass(frozen=True, slots=True)
class Unthin(Thin):
    """What the kernel that undoes a thinning is specialised to.

    Attributes
    ----------
    add : bool
        Whether there are cotangents of the spectra already; else bins that were not read get zeros.
    """

    add: bool


FILL = 128
"""Zeros of a block that are written at a time."""

MOST_ADDED = 4
"""Planes that are read at a time to add others to them, which take registers, too."""

JOIN = {
    "X": "*i64",
    "twiddles": "*i64",
    "U": "*i64",
    **dict.fromkeys(("line", "first", "hop", "blocks", "begin", "step", "count", "pairs"), "i32"),
}
"""Arguments of the kernel that adds blocks up, and their types: `count` blocks, so many from each other."""

UNTHIN = {
    "U": "*i64",
    "smooth": "*fp32",
    "twiddles": "*i64",
    "X": "*i64",
    **dict.fromkeys(("line", "first", "hop", "blocks", "pairs"), "i32"),
}
"""Those of the kernel that undoes a thinning."""


def default_join(length: int, bins: int, *, around: bool, fresh: bool = False) -> Join:
    """The kernel that goes back from what `default_cut` makes."""
    there = default_cut(length, bins, around=around)
    return Join(length, bins, there.rows, there.warps, around, fresh)


def default_unthin(length: int, bins: int, crop: int, *, add: bool) -> Unthin:
    """The kernel that goes back from what `default_thin` makes."""
    there = default_thin(length, bins, crop)
    return Unthin(length, bins, there.rows, there.warps, crop, add)


def turns(cut: Blocks, line: int, *, whole: bool) -> list[tuple[int, int, int]]:
    """Which blocks go in one launch: the first, how far it is to the next, and how many. None of these overlap."""
    rest = cut.count
    alone: list[tuple[int, int, int]] = []
    # around a circle the last reaches the first ones, and the last but one perhaps the very first, an even one
    while whole and rest > 1 and (rest - 1) * cut.hop + cut.length > line and (not alone or rest % 2 == 1):
        rest -= 1
        alone.append((rest, 1, 1))
    found = [(first, 2, (rest - first + 1) // 2) for first in (0, 1) if first < rest]
    return found + alone


def written(shape: Join | Unthin, name: str) -> Written:
    """The kernel of a shape."""
    if isinstance(shape, Join):
        doc = f"Blocks of {shape.length} samples from {shape.bins} bins of their spectra, added to those of a line"
        return Written(name, doc, JOIN, join(shape))
    doc = f"Blocks of {shape.length} samples of a thinned signal, brought to {shape.bins} bins of spectra of blocks"
    return Written(name, doc, UNTHIN, unthin(shape))


def join(shape: Join) -> str:
    """The statements of the kernel that adds blocks up."""
    code, stages = Code(), wide_radices(shape.length)[::-1]
    rest, last = shape.length // stages[0], shape.length // stages[-1]
    code.write(
        f"row = tl.program_id(0) * {shape.rows} + tl.arange(0, {shape.rows})",
        "path = tl.program_id(1).to(tl.int64)",
        "live = (row < pairs * count)[:, None]",
        "pair = tl.minimum(row // count, pairs - 1)  # rows behind the last compute it again, and store nothing",
        "block = begin + (row % count) * step",
        f"k = tl.arange(0, {rest})[None, :]",
        f"spectrum = X + (((path * pairs + pair) * blocks + block) * {shape.bins})[:, None] + k",
    )
    planes: list[Plane] = read(
        code, kept(shape, stages[0]), (shape.rows, rest), lambda at: loaded(code, at.pointers(f"spectrum + {at}"))
    )
    planes = register_fft(code, planes, shape.rows, stages, 1, "twiddles")
    code.write(
        "# add",
        "samples = U + ((path * pairs + pair) * line)[:, None]",
        "start = (first + block * hop)[:, None]",
        f"place = start + tl.arange(0, {last})[None, :]",
        "here = samples + place",
    )
    parted = stacks(code, planes, range(0, shape.length, last), (shape.rows, last), MOST_ADDED)

    def add(to: str, there: str) -> None:
        for at, (re, im) in parted:
            place, mask, value = code.name("to"), there.format(at=at), f"both({re}, {im})"
            code.write(f"    {place} = {at.pointers(to.format(at=at))}")
            if not shape.fresh:
                known = code.name("z")
                code.write(f"    {known} = tl.load({place}, mask={mask}, other=0)")
                value = f"both(low({known}) + {re}, high({known}) + {im})"
            code.write(f"    tl.store({place}, {value}, mask={mask})")

    code.write(*if_inside(shape, "count", "(begin + {} * step)"))
    add("here + {at}", "live")
    code.write("else:")
    if shape.around:
        add("samples + ((place + {at}) & (line - 1))", "live")
    else:
        add("here + {at}", "live & (place >= -{at}) & (place < line - {at})")
    if shape.fresh:
        _fill(code, shape)
    return str(code)


def _fill(code: Code, shape: Join) -> None:
    """Zeros behind each block up to the next of the launch, and before the first of a line that is no circle."""
    end = "first + line" if shape.around else "line"
    inside = "live & (at < stop)" if shape.around else "live & (at < stop) & (at >= 0)"
    to = "at & (line - 1)" if shape.around else "at"
    nothing = f"tl.zeros(({shape.rows}, {FILL}), tl.int64)"
    code.write(
        "# zeros",
        "last = begin + (count - 1) * step",
        f"stop = tl.where(block == last, {end}, first + (block + step) * hop)[:, None]",
        f"reach = tl.maximum(step * hop, {end} - first - last * hop)",
        f"for a in range({shape.length}, reach, {FILL}):",
        f"    at = start + a + tl.arange(0, {FILL})[None, :]",
        f"    tl.store(samples + ({to}), {nothing}, mask={inside})",
    )
    if not shape.around:
        code.write(
            "front = (block == begin)[:, None]",
            f"for a in range(0, first + begin * hop, {FILL}):",
            f"    at = a + tl.arange(0, {FILL})[None, :] + tl.zeros_like(start)",
            f"    tl.store(samples + at, {nothing}, mask=live & front & (at < start) & (at < line))",
        )


def unthin(shape: Unthin) -> str:
    """The statements of the kernel that undoes a thinning: middles, transformed, unfolded and smoothed."""
    code, stages = Code(), radices(shape.length)
    rest, last = shape.length // stages[0], shape.length // stages[-1]
    code.write(
        f"row = tl.program_id(0) * {shape.rows} + tl.arange(0, {shape.rows})",
        "path = tl.program_id(1).to(tl.int64)",
        "block = row % blocks",
        "pair = tl.minimum(row // blocks, pairs - 1)  # rows behind the last compute it again, and store nothing",
        "live = (row < pairs * blocks)[:, None]",
        "samples = U + ((path * pairs + pair) * line)[:, None]",
        "begin = first + block * hop",
        f"i = tl.arange(0, {rest})[None, :]",
        f"place = (begin - {shape.crop})[:, None] + i",
        f"stop = tl.minimum(hop, line + first - begin)[:, None] + {shape.crop}",
    )
    places, edges = middle(shape, rest)

    def samples(at: At) -> Complex:
        mask = f"(i < stop - {at}){edges.format(at=at)}"
        around = code.let("around", at.pointers(f"samples + ((place + {at}) & (line - 1))"))
        return loaded(code, around, f", mask={mask}, other=0")

    planes: list[Plane] = read(code, places, (shape.rows, rest), samples)
    planes = register_fft(code, planes, shape.rows, stages, -1, "twiddles")
    code.write(
        "# store",
        f"spectrum = X + (((path * pairs + pair) * blocks + block) * {shape.bins})[:, None]",
        f"p = tl.arange(0, {last})[None, :]",
        f"weights = tl.broadcast_to(smooth + p, [{shape.rows}, {last}])",
    )
    for at, (re, im) in stacks(code, planes, range(0, shape.length, last), (shape.rows, last)):
        for more, weight in (("", ""), (f" + {shape.bins - shape.length}", f" + {shape.length}")):
            place = code.let("to", at.pointers(f"spectrum + {at} + p{more}"))
            g = code.let("g", f"tl.load({at.pointers(f'weights + {at}{weight}')})")
            z = f"{re} * {g}", f"{im} * {g}"
            if shape.add:
                known = code.let("z", f"tl.load({place}, mask=live, other=0)")
                z = f"low({known}) + {z[0]}", f"high({known}) + {z[1]}"
            code.write(f"tl.store({place}, both({z[0]}, {z[1]}), mask=live)")
    if not shape.add:
        for run in runs(range(shape.length, shape.bins - shape.length, last)):
            at, nothing = run.let(code), f"tl.zeros(({run.size}, {shape.rows}, {last}), tl.int64)"
            code.write(f"tl.store({at.pointers(f'spectrum + {at} + p')}, {nothing}, mask=live)")
    return str(code)
