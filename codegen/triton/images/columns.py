"""The kernel that transforms columns of images in registers, takes the modulus, and averages or packs it.

One program has a tile of neighbouring columns, of both images of a pair: lanes go from one image to the other first,
so that what is packed in pairs is written as it lies in memory. Its *sinks*: the average along columns (`local`, a
product with a matrix; `total`, a sum), whose rows `lowpass_rows` averages; moduli packed in pairs for the next
transform (`pack`); moduli as they are (`raw`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton import planes
from scatc.codegen.triton.emitter import power
from scatc.codegen.triton.images.averaged import averages
from scatc.codegen.triton.images.mixed import MOST_LISTED, THREADS, Group, Stages, fits, mixed_fft, numbers_each
from scatc.codegen.triton.planes import MOST, At, runs, stacked
from scatc.codegen.triton.tuned import LEAST_DOT, MOST_WARPS, WARP, around, space

NUMBERS = ("paths", "n", "pairs")
"""The last arguments of a kernel: rows of the output, the batch."""

MOST_AVERAGES = 64
"""Averages of a column that a program takes from its registers."""

USUAL_DOT = 64
"""Columns of a product, if they fit: as many as Hopper's tensor cores multiply with one matrix."""

MOST_MULTIPLIED = 72
"""Complex numbers of a thread that has products: it transforms one column after the other, before it multiplies."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What a kernel is specialised to; any number of paths share a kernel.

    Attributes
    ----------
    split : Stages
        Of the transform along a column.
    width : int
        Columns of an image.
    paired : bool
        Whether rows of the input are sums of the images of a pair and conjugates of their differences, not these.
    sinks : tuple of str
        Of 'local', 'total', 'pack' and 'raw'.
    outputs : int
        Averages of a column that are kept ('local').
    weights : tuple of tuple of float
        What each of these is a sum of, if it is small; else empty, and a matrix is read.
    first, kept : tuple of int
        Samples that are kept ('raw'), on both axes.
    tile, warps : int
        Columns of a program, an even number; its warps.
    back : bool
        Whether it is the kernel of `columns_t.py`, whose sinks are sources.
    """

    split: Stages
    width: int
    paired: bool
    sinks: tuple[str, ...]
    outputs: int = 0
    weights: tuple[tuple[float, ...], ...] = ()
    first: tuple[int, int] = (0, 0)
    kept: tuple[int, int] = (0, 0)
    tile: int = 32
    warps: int = 4
    back: bool = False

    def candidates(self) -> list[Columns]:
        """As of rows; a product on tensor cores wants four warps or more, and the more columns, the less each costs."""
        least = 4 if self.multiplied else 1
        most = MOST_MULTIPLIED if self.multiplied and not self.back else MOST_LISTED

        def legal(other: Columns) -> bool:
            enough = other.tile >= LEAST_DOT and other.warps >= least
            return enough and fits(self.split, other.tile, other.warps, most)

        return space(self, legal, tile=around(self.tile), warps=around(self.warps, most=MOST_WARPS))

    @property
    def multiplied(self) -> bool:
        """Whether averages are products with a matrix, not sums in the text."""
        return "local" in self.sinks and not self.weights

    @property
    def padded(self) -> int:
        """Averages, with padding."""
        return max(LEAST_DOT, power(self.outputs))


def default(split: Stages, width: int, paired: bool, sinks: tuple[str, ...], **more: Any) -> Columns:
    """The kernel to begin with: some forty numbers a thread, in four warps; more of what a product averages."""
    each = numbers_each(split.first) if split.second > 1 else 1
    tile = max(THREADS * each // split.second, LEAST_DOT)
    found = Columns(split, width, paired, sinks, tile=tile, warps=THREADS // WARP, **more)
    if not found.multiplied or found.back:
        return found
    fitting = [wide for wide in (USUAL_DOT, USUAL_DOT // 2) if split.length * wide <= MOST_MULTIPLIED * THREADS]
    return replace(found, tile=max(tile, *fitting, LEAST_DOT))


def parameters(columns: Columns) -> dict[str, str]:
    """Names and types of a kernel's arguments."""
    found = {"Y": "*i64"} | ({"twiddles": "*i64"} if columns.split.turned else {})
    if columns.multiplied:
        found |= {"phi_high": "*fp32", "phi_low": "*fp32"}
    if {"local", "total"} & set(columns.sinks):
        found |= {"T": "*fp32"}
    if "pack" in columns.sinks:
        found |= {"U": "*fp32"}
    if "raw" in columns.sinks:
        found |= {"scale": "*fp32", "row": "*i32", "out": "*fp32"}
    return found | dict.fromkeys(NUMBERS, "i32")


def body(columns: Columns) -> str:
    """The statements of the kernel."""
    code, multiplied = Code(), columns.multiplied
    planes = read(code, columns)
    found = mixed_fft(code, planes, columns.split, columns.tile, 1, "twiddles", columns=True, settled=multiplied)
    code.write("# modulus" if not multiplied else "# modulus, squared")
    moduli = []
    for group in found:
        squares = [f"{re} * {re} + {im} * {im}" for re, im in group.planes]
        us = [code.let("u", square if multiplied else f"tl.sqrt({square})") for square in squares]
        moduli.append((group, us))
    for sink in columns.sinks:
        code.write(f"# {sink}")
        _SINKS[sink](code, columns, moduli)
    return str(code)


def read(code: Code, columns: Columns) -> list[Plane]:
    """The columns of a tile, as planes of the first stage."""
    split, width = columns.split, columns.width
    size = split.length * width
    code.write(
        f"lane = tl.program_id(0) * {columns.tile} + tl.arange(0, {columns.tile})",
        "child = tl.program_id(1).to(tl.int64)",
        "second = lane & 1",
        "column = lane >> 1",
        f"there = column < pairs * {width}",
        f"column = tl.minimum(column, pairs * {width} - 1)  # those behind the last store nothing",
        f"pair = column // {width}",
        f"x = column - pair * {width}",
        "signal = 2 * pair + second",
        "live = there & (signal < n)",
        f"p = tl.arange(0, {split.second})[:, None]",
    )
    row = "2 * (child * pairs + pair)"
    if columns.paired:
        code.write("sign = (1 - 2 * second).to(tl.float32)[None, :]")
        code.write(f"top = Y + (({row}) * {size} + x)[None, :]")
    else:
        code.write(f"top = Y + (({row} + second) * {size} + x)[None, :]")
    code.write(f"line = top + p * {width}")
    if columns.paired:
        code.write(f"other = line + {size}")

    def numbers(at: At) -> Complex:
        z = code.let("z", f"tl.load({at.pointers(f'line + {at}')})")
        if not columns.paired:
            return code.pair(f"low({z})", f"high({z})")
        q = code.let("z", f"tl.load({at.pointers(f'other + {at}')})")
        return code.pair(f"low({z}) + sign * low({q})", f"high({z}) - sign * high({q})")

    places = range(0, size, split.second * width)
    return planes.read(code, places, (split.second, columns.tile), numbers)


Moduli = list[tuple[Group, list[str]]]


def places(code: Code, group: Group) -> str:
    """The places of a group's first plane, as a name of ``[size, 1]``."""
    return code.let("e", f"{group.start} + tl.arange(0, {group.size})[:, None]")


class Tile(Protocol):
    """What some columns are, of whatever kernel."""

    @property
    def split(self) -> Stages:
        """Of the transform."""

    @property
    def tile(self) -> int:
        """Columns of a program."""

    @property
    def warps(self) -> int:
        """Its warps."""


def outputs(code: Code, columns: Tile, group: Group, e: str) -> Iterator[tuple[slice, At]]:
    """Where a group's planes lie along the column, several of them at a time if they have numbers for all threads."""
    split, n = columns.split, columns.split.length
    few = group.size * columns.tile < WARP * columns.warps
    unit, step = split.units if split.coprime else (1, group.stride)
    first = code.let("y", f"{e} * {unit} % {n}") if split.coprime else e
    for run in runs(range(0, len(group.planes) * step, step), 1 if few else MOST, listed=not few):
        y = f"({first} + {run.at})"
        if split.coprime:
            y = code.let("y", f"{first} + {run.at} % {n}")
            y = code.let("y", f"{y} - tl.where({y} < {n}, 0, {n})")
        yield slice(run.first, run.first + run.size), At(y, run.listed)


def inside(group: Group, e: str) -> str:
    """A mask of what is no padding, to be appended."""
    return "" if group.count == group.size else f" & ({e} < {group.start + group.count})"


def _local(code: Code, columns: Columns, moduli: Moduli) -> None:
    """A product with the matrix of averages, of moduli whose squares are given; or sums."""
    if columns.weights:
        _listed(code, columns, moduli)
        return
    acc = averages(code, columns.split, columns.tile, moduli, columns.padded)
    place = f"((child * n + signal) * {columns.outputs * columns.width} + x)[None, :] + o * {columns.width}"
    to = code.let("to", f"tl.max_contiguous(T + {place}, (1, 2))")
    code.write(f"tl.store({to}, {acc}, mask=live[None, :] & (o < {columns.outputs}))")


def _listed(code: Code, columns: Columns, moduli: Moduli) -> None:
    """The same where a thread holds all of a column, and averages are few: sums, with the weights in the text."""
    ((_, us),) = moduli
    totals = []
    for weights in columns.weights:
        total = code.combine([(weight, u) for weight, u in zip(weights, us, strict=True) if weight])
        totals.append((total or code.let("sum", f"tl.zeros_like({us[0]})"),))
    code.write(f"place = T + ((child * n + signal) * {columns.outputs * columns.width} + x)[None, :]")
    to = range(0, len(totals) * columns.width, columns.width)
    for at, (total,) in planes.stacks(code, totals, to, (1, columns.tile)):
        code.write(f"tl.store({at.pointers(f'place + {at}')}, {total}, mask=live[None, :])")


def _total(code: Code, columns: Columns, moduli: Moduli) -> None:
    sums = []
    for group, us in moduli:
        total = code.let("total", code.add_up(us))
        if group.count < group.size:
            e = places(code, group)
            total = code.let("total", f"tl.where({e} < {group.start + group.count}, {total}, 0.0)")
        sums.append(code.let("total", f"tl.sum({total}, 0)"))
    place = f"(child * n + signal) * {columns.width} + x"
    code.write(f"tl.store(T + {place}, {code.add_up(sums)}, mask=live)")


def _pack(code: Code, columns: Columns, moduli: Moduli) -> None:
    """Real parts are of first images, imaginary ones of second; if their number is odd, the last is zero."""
    width = columns.width
    size = columns.split.length * width
    code.write(f"packed = U + (2 * ((child * pairs + pair) * {size} + x) + second)[None, :]")
    for group, us in moduli:
        e = places(code, group)
        for some, y in outputs(code, columns, group, e):
            u = stacked(code, us[some], (group.size, columns.tile))
            value = f"tl.where(live[None, :], {u}, 0.0)"
            to = code.let("to", y.pointers(f"packed + {y} * {2 * width}"))
            code.write(f"tl.store({to}, {value}, mask=there[None, :]{inside(group, e)})")


def _raw(code: Code, columns: Columns, moduli: Moduli) -> None:
    (first, left), (height, width) = columns.first, columns.kept
    code.write(
        f"inside = live & (x >= {left}) & (x < {left + width})",
        "size = tl.load(scale + signal, mask=inside, other=0.0)[None, :]",
        f"place = (signal.to(tl.int64) * paths + tl.load(row + child)) * {height * width}",
        f"image = out + (place + x - {left})[None, :]",
    )
    for group, us in moduli:
        e = places(code, group)
        for some, at in outputs(code, columns, group, e):
            u = stacked(code, us[some], (group.size, columns.tile))
            y = code.let("y", f"{at} - {first}")
            mask = f"inside[None, :] & ({y} >= 0) & ({y} < {height}){inside(group, e)}"
            to = code.let("to", at.pointers(f"image + {y} * {width}"))
            code.write(f"tl.store({to}, {u} * size, mask={mask})")


_SINKS = {"local": _local, "total": _total, "pack": _pack, "raw": _raw}
