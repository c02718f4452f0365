"""The kernel that has whole columns of both images of a pair in a thread: from waves, or the input, to a spectrum.

Where columns are short, a thread transforms a column of the first image and takes its moduli, then that of the second,
and both together, as real and imaginary part, forward: what is written is the spectrum along columns, which
`short_rows.py` reads, or the library transforms along rows; moduli never reach memory. Averages along columns are sums,
on the way. It also begins with the input: pads it, and brings both images of a pair to the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

from scatc.codegen.code import Code, Complex
from scatc.codegen.dft import dft
from scatc.codegen.triton import planes
from scatc.codegen.triton.images.mixed import MOST_LISTED
from scatc.codegen.triton.planes import At, loaded
from scatc.codegen.triton.tuned import WARP, around, space

NUMBERS = ("n", "pairs")
"""The last arguments of a kernel."""

LONGEST = MOST_LISTED
"""Columns that a thread has of both images."""


@dataclass(frozen=True, slots=True)
class ShortColumns:
    """What a kernel is specialised to.

    Attributes
    ----------
    length, width : int
        Of an image: samples of a column, and how many columns.
    weights : tuple of tuple of float
        What each average of a column is a sum of; none if it has no averages.
    rows : tuple of int
        Of the input, which row each padded one repeats, -1 none; empty if waves are read.
    input : tuple of int
        Rows and columns of the input.
    tile, warps : int
        Columns of a program; its warps.
    """

    length: int
    width: int
    weights: tuple[tuple[float, ...], ...] = ()
    rows: tuple[int, ...] = ()
    input: tuple[int, ...] = (0, 0)
    tile: int = 128
    warps: int = 4

    def candidates(self) -> list[ShortColumns]:
        """Half, as many and twice the columns with their warps, one for each thread."""
        return space(
            self,
            lambda other: other.tile == WARP * other.warps,
            tile=around(self.tile),
            warps=around(self.warps, most=8),
        )


def parameters(short: ShortColumns) -> dict[str, str]:
    """Names and types of a kernel's arguments."""
    image = {"x": "*fp32", "column_index": "*i32", "mean": "*fp32", "scale": "*fp32"}
    found = (image if short.rows else {"Y": "*i64"}) | ({"T": "*fp32"} if short.weights else {})
    return found | {"X": "*i64"} | dict.fromkeys(NUMBERS, "i32")


def body(short: ShortColumns) -> str:
    """The statements of the kernel."""
    code, width = Code(), short.width
    size = short.length * width
    code.write(
        f"column = tl.program_id(0) * {short.tile} + tl.arange(0, {short.tile})[None, :]",
        "child = tl.program_id(1).to(tl.int64)",
        f"there = column < pairs * {width}",
        f"column = tl.minimum(column, pairs * {width} - 1)  # those behind the last store nothing",
        f"pair = column // {width}",
        f"c = column - pair * {width}",
        "live = 2 * pair + 1 < n  # where their number is odd, the last image goes with one that has no samples",
    )
    first, second = _input(code, short) if short.rows else _moduli(code, short)
    if short.weights:
        _averages(code, short, first, second)
    code.write(f"# {short.length} points, forward")
    spectrum = dft(code, list(zip(first, second, strict=True)), -1)
    code.write(f"line = X + (child * pairs + pair) * {size} + c")
    for at, (re, im) in planes.stacks(code, spectrum, range(0, size, width), (1, short.tile)):
        code.write(f"tl.store({at.pointers(f'line + {at}')}, both({re}, {im}), mask=there)")
    return str(code)


def _moduli(code: Code, short: ShortColumns) -> tuple[list[str], list[str]]:
    """The moduli of both images, from their sums and the conjugates of their differences, transformed along rows."""
    size = short.length * short.width
    places, shape = range(0, size, short.width), (1, short.tile)
    code.write(f"line = Y + (child * pairs + pair) * {2 * size} + c", f"other = line + {size}")

    def number(line: str) -> list[Complex]:
        found = planes.read(code, places, shape, lambda at: loaded(code, at.pointers(f"{line} + {at}")))
        return [plane for plane in found if plane is not None]

    read = list(zip(number("line"), number("other"), strict=True))
    moduli = []
    for sign, other in (("+", "-"), ("-", "+")):
        code.write(f"# {short.length} points")
        image = [code.pair(f"{p[0]} {sign} {q[0]}", f"{p[1]} {other} {q[1]}") for p, q in read]
        waves = [wave for wave in dft(code, image, 1) if wave is not None]
        moduli.append([code.let("u", f"tl.sqrt({re} * {re} + {im} * {im})") for re, im in waves])
    return moduli[0], moduli[1]


def _input(code: Code, short: ShortColumns) -> tuple[list[str], list[str]]:
    """Both images of a pair, padded, of like size, without their means."""
    height, width = short.input
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
        read: dict[int, str] = {}
        used = sorted({row for row in short.rows if row >= 0})

        def number(at: At, which: int = which, mask: str = mask) -> tuple[str]:
            more = f" + {which * height * width}" if which else ""
            return (code.let("a", f"tl.load({at.pointers(f'line{more} + {at}')}, mask={mask}, other=0.0)"),)

        found = planes.read(code, [row * width for row in used], (1, short.tile), number)
        for row, plane in zip(used, found, strict=True):
            assert plane is not None
            read[row] = code.let("a", f"({plane[0]} - level) * factor")
        read[-1] = code.let("none", "-level * factor")
        images.append([read[row] for row in short.rows])
    return images[0], images[1]


def _averages(code: Code, short: ShortColumns, first: list[str], second: list[str]) -> None:
    """Sums of samples of a column, with the weights in the text."""
    code.write("# averages")
    rows, width = len(short.weights), short.width
    for which, (samples, mask) in enumerate(((first, "there"), (second, "there & live"))):
        sums = []
        for weights in short.weights:
            terms = [(weight, u) for weight, u in zip(weights, samples, strict=True) if weight]
            sums.append((code.combine(terms) or code.let("sum", f"tl.zeros_like({samples[0]})"),))
        code.write(f"place = T + (child * n + 2 * pair + {which}) * {rows * width} + c")
        for at, (total,) in planes.stacks(code, sums, range(0, rows * width, width), (1, short.tile)):
            code.write(f"tl.store({at.pointers(f'place + {at}')}, {total}, mask={mask})")
