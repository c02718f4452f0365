"""The kernel that averages along columns where phi is short: sums of a few samples, whose weights are in its text.

A program has a tile of neighbouring columns, of all images one after the other, each of a pair: what it reads are both
images' samples. It computes a group of neighbouring outputs, so that a sample is read once for all that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from scatc.codegen.code import Code
from scatc.codegen.triton.tuned import WARP, around, space

TYPES = {"U": "*i64", "T": "*fp32", "n": "i32", "pairs": "i32"}
"""Arguments, and their types."""

MOST_TAPS = 80
"""Samples that an average is a sum of, at most."""

MOST_READ = 128
"""Samples of a column that a program reads."""

GROUP = 8
"""Outputs of a program, if it need not read more for them."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a kernel is specialised to.

    Attributes
    ----------
    height, width : int
        Of an image.
    weights : tuple of float
        Of the samples of an average.
    begin, step : int
        Where those of the first average begin, perhaps before the first row, which is behind the last; and how many
        rows further those of the next.
    kept : int
        Averages of a column.
    group : int
        Of a program.
    tile, warps : int
        Columns of a program; its warps.
    """

    height: int
    width: int
    weights: tuple[float, ...]
    begin: int
    step: int
    kept: int
    group: int
    tile: int = 128
    warps: int = 4

    @property
    def groups(self) -> int:
        """Programs of a column."""
        return -(-self.kept // self.group)

    @property
    def read(self) -> int:
        """Rows that a program reads."""
        return (self.group - 1) * self.step + len(self.weights)

    def candidates(self) -> list[Sums]:
        """Half, as many and twice the averages, and the columns with their warps, one for each thread."""

        def legal(other: Sums) -> bool:
            fits = other.read <= max(self.read, MOST_READ) and other.group < 2 * self.kept
            return fits and other.tile == WARP * other.warps

        return space(self, legal, group=around(self.group), tile=around(self.tile), warps=around(self.warps, most=8))


def default(shape: tuple[int, int], weights: tuple[float, ...], begin: int, step: int, kept: int) -> Sums | None:
    """The kernel to begin with, for images of such a shape; None if an average is of too many samples."""
    height, width = shape
    if len(weights) > min(MOST_TAPS, height):
        return None
    group = min(GROUP, 1 << (kept - 1).bit_length())
    while group > 1 and (group - 1) * step + len(weights) > MOST_READ:
        group //= 2
    return Sums(height, width, weights, begin, step, kept, group)


def body(sums: Sums) -> str:
    """The statements of the kernel."""
    code, width, size = Code(), sums.width, sums.height * sums.width
    code.write(
        f"column = tl.program_id(0) * {sums.tile} + tl.arange(0, {sums.tile})",
        "child = tl.program_id(1).to(tl.int64)",
        f"there = column < pairs * {width}",
        f"column = tl.minimum(column, pairs * {width} - 1)  # those behind the last store nothing",
        f"pair = column // {width}",
        f"x = column - pair * {width}",
        f"line = U + (child * pairs + pair) * {size} + x",
        f"output = tl.program_id(2) * {sums.group}",
        f"start = (output * {sums.step} + {sums.begin % sums.height}) % {sums.height}",
        f"line += start * {width}",
        f"around = line - {size}",
        "live = there & (2 * pair + 1 < n)",
        f"place = T + ((child * n + 2 * pair) * {sums.kept} + output) * {width} + x",
    )
    first, second = [], []
    for r in range(sums.read):
        behind = r % sums.height
        at = f"tl.where(start < {sums.height - behind}, line, around)" if behind else "line"
        z = code.let("z", f"tl.load({at} + {behind * width})")
        a, b = code.pair(f"low({z})", f"high({z})")
        first.append(a)
        second.append(b)
    for o in range(sums.group):
        inside = "" if sums.kept % sums.group == 0 else f" & (x < tl.where(output + {o} < {sums.kept}, {width}, 0))"
        for samples, mask, more in ((first, "there", 0), (second, "live", sums.kept * width)):
            taps = samples[o * sums.step :][: len(sums.weights)]
            average = code.combine(list(zip(sums.weights, taps, strict=True)))
            code.write(f"tl.store(place + {o * width + more}, {average}, mask={mask}{inside})")
    return str(code)
