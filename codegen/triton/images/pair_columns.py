"""The kernel that has columns of both images of a pair in a thread: from waves, or the input, to the next spectrum.

A thread transforms its part of a column of the first image and takes its moduli, then that of the second, and both
together, as real and imaginary part, forward, through the stages the other way round, so that nothing is put in order
between. What is written is the spectrum along columns, which `short_rows.py` reads, or the library transforms along
rows; moduli only reach memory for averages that are no sums of a thread's samples (`pack`). Where a thread has whole
columns, the kernel also begins with the input: pads it, and brings both images of a pair to the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton import planes
from scatc.codegen.triton.images.columns import inside, outputs, places
from scatc.codegen.triton.images.mixed import (
    MOST_LISTED,
    THREADS,
    Group,
    Stages,
    fits,
    mixed_fft,
    mixed_fft_back,
)
from scatc.codegen.triton.planes import At, loaded
from scatc.codegen.triton.tuned import MOST_WARPS, around, space

NUMBERS = ("n", "pairs")
"""The last arguments of a kernel."""

MOST_FIRST = 33
"""Longest list of a transform of two stages: a thread has it of both images."""

MOST_STORED = 8
"""Planes that are stored at a time: of more, threads would compute all addresses first, which takes registers."""


@dataclass(frozen=True, slots=True)
class PairColumns:
    """What a kernel is specialised to.

    Attributes
    ----------
    split : Stages
        Of the transform along a column.
    width : int
        Columns of an image.
    weights : tuple of tuple of float
        What each average of a column is a sum of, where a thread has all of it; none if it has no averages.
    pack : bool
        Whether moduli are written, in pairs, as well.
    rows : tuple of int
        Of the input, which row each padded one repeats, -1 none; empty if waves are read.
    input : tuple of int
        Rows and columns of the input.
    tile, warps : int
        Columns of a program; its warps.
    """

    split: Stages
    width: int
    weights: tuple[tuple[float, ...], ...] = ()
    pack: bool = False
    rows: tuple[int, ...] = ()
    input: tuple[int, ...] = (0, 0)
    tile: int = 128
    warps: int = 4

    @property
    def samples(self) -> int:
        """Of an image."""
        return self.split.length * self.width

    def candidates(self) -> list[PairColumns]:
        """Half, as many and twice the columns and the warps, where a thread has whole lists of some thirty numbers."""
        tiles, warps = around(self.tile), around(self.warps, most=MOST_WARPS)
        most = max(MOST_FIRST, self.split.first)
        return space(self, lambda other: fits(other.split, other.tile, other.warps, most), tile=tiles, warps=warps)


def possible(split: Stages) -> bool:
    """Whether a thread can hold its part of a column of both images."""
    return split.first <= (MOST_LISTED if split.second == 1 else MOST_FIRST)


def tile_of(split: Stages) -> int:
    """Columns of a program, to begin with: some thirty numbers of each image for a thread."""
    each = 1 << (max(MOST_FIRST // split.first, 1).bit_length() - 1)
    return THREADS if split.second == 1 else max(THREADS * each // split.second, 1)


def parameters(pair: PairColumns) -> dict[str, str]:
    """Names and types of a kernel's arguments."""
    image = {"x": "*fp32", "column_index": "*i32", "mean": "*fp32", "scale": "*fp32"}
    found = (image if pair.rows else {"Y": "*i64"}) | ({"twiddles": "*i64"} if pair.split.turned else {})
    found |= ({"T": "*fp32"} if pair.weights else {}) | ({"U": "*i64"} if pair.pack else {})
    return found | {"X": "*i64"} | dict.fromkeys(NUMBERS, "i32")


def body(pair: PairColumns) -> str:
    """The statements of the kernel."""
    code, width, split = Code(), pair.width, pair.split
    code.write(
        f"column = tl.program_id(0) * {pair.tile} + tl.arange(0, {pair.tile})[None, :]",
        "child = tl.program_id(1).to(tl.int64)",
        f"there = column < pairs * {width}",
        f"column = tl.minimum(column, pairs * {width} - 1)  # those behind the last store nothing",
        f"pair = column // {width}",
        f"c = column - pair * {width}",
        f"p = tl.arange(0, {split.second})[:, None]",
        "live = 2 * pair + 1 < n  # where their number is odd, the last image goes with one that has no samples",
    )
    found = _input(code, pair) if pair.rows else _moduli(code, pair)
    if pair.weights:
        _averages(code, pair, found)
    if pair.pack:
        _pack(code, pair, found)
    spectrum = mixed_fft_back(code, found, split, pair.tile, -1, "twiddles", columns=True)
    _store(code, pair, spectrum)
    return str(code)


def _moduli(code: Code, pair: PairColumns) -> list[Group]:
    """The moduli of both images, from their sums and the conjugates of their differences, transformed along rows."""
    split, size, tile = pair.split, pair.samples, pair.tile
    lines, shape = range(0, size, split.second * pair.width), (split.second, tile)
    code.write(f"line = Y + (child * pairs + pair) * {2 * size} + c + p * {pair.width}", f"other = line + {size}")

    def numbers(line: str) -> list[Complex]:
        found = planes.read(code, lines, shape, lambda at: loaded(code, at.pointers(f"{line} + {at}")))
        return [plane for plane in found if plane is not None]

    read = list(zip(numbers("line"), numbers("other"), strict=True))
    moduli = []
    for sign, other in (("+", "-"), ("-", "+")):
        image = [code.pair(f"{p[0]} {sign} {q[0]}", f"{p[1]} {other} {q[1]}") for p, q in read]
        waves = mixed_fft(code, image, split, tile, 1, "twiddles", columns=True)
        code.write("# modulus")
        roots = [[code.let("u", f"tl.sqrt({re} * {re} + {im} * {im})") for re, im in group.planes] for group in waves]
        moduli.append(roots)
    both = [tuple(zip(first, second, strict=True)) for first, second in zip(*moduli, strict=True)]
    return [
        Group(group.start, group.stride, group.size, group.count, one) for group, one in zip(waves, both, strict=True)
    ]


def _input(code: Code, pair: PairColumns) -> list[Group]:
    """Both images of a pair, padded, of like size, without their means."""
    height, width = pair.input
    code.write(
        "at = tl.load(column_index + c)",
        "inside = at >= 0  # what is not there is zero",
        f"line = x + pair.to(tl.int64) * {2 * height * width} + at",
    )
    images = []
    for which, mask in enumerate(("inside & known", "inside & known & live")):
        here = "there" if which == 0 else "live"
        code.write(
            f"size = tl.load(scale + 2 * pair + {which}, mask={here}, other=1.0)",
            "known = size > 0  # not 0, nor NaN",
            "factor = sized(1.0, size)",
            f"level = tl.load(mean + 2 * pair + {which}, mask={here} & known, other=0.0)",
        )
        used = sorted({row for row in pair.rows if row >= 0})

        def number(at: At, which: int = which, mask: str = mask) -> tuple[str]:
            more = f" + {which * height * width}" if which else ""
            return (code.let("a", f"tl.load({at.pointers(f'line{more} + {at}')}, mask={mask}, other=0.0)"),)

        found = planes.read(code, [row * width for row in used], (1, pair.tile), number)
        read = {-1: code.let("none", "-level * factor")}
        for row, plane in zip(used, found, strict=True):
            assert plane is not None
            read[row] = code.let("a", f"({plane[0]} - level) * factor")
        images.append([read[row] for row in pair.rows])
    return [Group(0, 1, 1, 1, tuple(zip(*images, strict=True)))]


def _averages(code: Code, pair: PairColumns, found: list[Group]) -> None:
    """Sums of samples of a column, with the weights in the text."""
    code.write("# averages")
    rows, width = len(pair.weights), pair.width
    (group,) = found
    for which, mask in enumerate(("there", "there & live")):
        samples = [plane[which] for plane in group.planes]
        sums = []
        for weights in pair.weights:
            terms = [(weight, u) for weight, u in zip(weights, samples, strict=True) if weight]
            sums.append((code.combine(terms) or code.let("sum", f"tl.zeros_like({samples[0]})"),))
        code.write(f"place = T + (child * n + 2 * pair + {which}) * {rows * width} + c")
        for at, (total,) in planes.stacks(code, sums, range(0, rows * width, width), (1, pair.tile)):
            code.write(f"tl.store({at.pointers(f'place + {at}')}, {total}, mask={mask})")


def _pack(code: Code, pair: PairColumns, found: list[Group]) -> None:
    """Moduli, as they lie in an image."""
    code.write(f"packed = U + (child * pairs + pair) * {pair.samples} + c")
    for group in found:
        e = places(code, group)
        for some, y in outputs(code, pair, group, e):
            a, b = (planes.stacked(code, [u[i] for u in group.planes[some]], (group.size, pair.tile)) for i in (0, 1))
            to = code.let("to", y.pointers(f"packed + {y} * {pair.width}"))
            code.write(f"tl.store({to}, both({a}, {b}), mask=there{inside(group, e)})")


def _store(code: Code, pair: PairColumns, spectrum: Sequence[Plane]) -> None:
    """The spectrum along columns; from here on rows are in their own order."""
    split, width = pair.split, pair.width
    code.write(f"line = X + (child * pairs + pair) * {pair.samples} + c")
    shape = (split.second, pair.tile)
    for at, (re, im) in planes.stacks(code, spectrum, range(0, split.length, split.second), shape, MOST_STORED):
        row = f"(p + {at})"
        if split.coprime:
            row = code.let("row", f"p * {split.first} + {at}")
            row = code.let("row", f"{row} - tl.where({row} < {split.length}, 0, {split.length})")
        here = code.let("here", at.pointers(f"line + {row} * {width}"))
        code.write(f"tl.store({here}, both({re}, {im}), mask=there)")
