"""Blocks of long signals: overlapping pieces that fit the registers, each transformed by itself (overlap-save).

A filter that reaches R samples needs no more than R on both sides of what is kept of it. So a long signal is cut into
blocks of F samples that overlap by 2 R; of each filtered block the middle, F - 2 R samples, is right, and blocks side
by side make the filtered signal, of as many samples as are needed and no more. Three kernels do it:

- `cut` reads blocks and writes their spectra, of which all filters of the signal read;
- the kernel of `wavelet.py` goes from there to moduli, and stores the middles;
- `thin` smooths and subsamples signals for filters that are too long for blocks: a Gaussian, whose readers undo it.

Signals go in pairs all the way: a block is one of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton.fft import radices, register_fft, wide_radices
from scatc.codegen.triton.lines.wavelet import PACKED_ROWS, WARPS, sensible
from scatc.codegen.triton.planes import At, read, runs, stacks, unstacked, within
from scatc.codegen.triton.tuned import MOST_WARPS, around, space

LENGTHS = (1 << 10, 1 << 11, 1 << 12, 1 << 13)
"""Samples of a block, as there are to choose from."""

WIDE_WARPS = {2048: 4}
"""Warps of a program that cuts where lists are long: as many as leave no thread without a number of its own."""

FEW_WARPS = 4
"""Of others, where blocks can be shared among more programs: a processor should hold several."""

OVERLAP = 4
"""A block is at least so many times as long as its filters reach to either side."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a line of samples is cut.

    Attributes
    ----------
    length : int
        Samples of a block.
    halo : int
        Of these, at either end, how many are another block's.
    first : int
        The sample with which the middle of the first block begins.
    count : int
    bins : int
        Of a block's spectrum, how many are kept: those around 0.
    """

    length: int
    halo: int
    first: int
    count: int
    bins: int

    @property
    def hop(self) -> int:
        """Samples of the middle."""
        return self.length - 2 * self.halo


@dataclass(frozen=True, slots=True)
class OfBlocks:
    """What a kernel of blocks is specialised to, there or back.

    Attributes
    ----------
    length, bins : int
        Samples of a block that are transformed, and bins of its spectrum.
    rows, warps : int
        Blocks of a program, its warps.
    """

    length: int
    bins: int
    rows: int
    warps: int

    def candidates(self) -> list[Self]:
        """As of the kernels in registers (`wavelet.py`)."""

        def legal(other: Self) -> bool:
            return sensible(other.rows * other.length, other.warps)

        return space(self, legal, rows=around(self.rows), warps=around(self.warps, most=MOST_WARPS))


@dataclass(frozen=True, slots=True)
class Cut(OfBlocks):
    """What the kernel that cuts is specialised to; of a block's spectrum it keeps `bins`.

    Attributes
    ----------
    around : bool
        Whether the line is a circle of 2^k samples; else there are zeros beyond its ends.
    """

    around: bool


@dataclass(frozen=True, slots=True)
class Thin(OfBlocks):
    """What the kernel that thins is specialised to: `length` is that of a block when it is thin.

    Attributes
    ----------
    crop : int
        Samples at either end that are another block's.
    """

    crop: int


CUT = {
    "U": "*i64",
    "twiddles": "*i64",
    "X": "*i64",
    **dict.fromkeys(("line", "first", "hop", "blocks", "pairs"), "i32"),
}
"""Arguments of the kernel that cuts, and their types."""

THIN = {
    "X": "*i64",
    "smooth": "*fp32",
    "twiddles": "*i64",
    "U": "*i64",
    **dict.fromkeys(("line", "first", "hop", "blocks", "pairs"), "i32"),
}
"""Those of the kernel that thins."""


def default_cut(length: int, bins: int, *, around: bool) -> Cut:
    """The kernel to begin with."""
    return Cut(length, bins, *_rows_and_warps(length, WIDE_WARPS.get(length, WARPS[length])), around)


def default_thin(length: int, bins: int, crop: int) -> Thin:
    """The kernel to begin with."""
    return Thin(length, bins, *_rows_and_warps(length, WARPS[length]), crop)


def _rows_and_warps(length: int, warps: int) -> tuple[int, int]:
    rows = PACKED_ROWS[length]
    fewer = max(min(rows, warps // FEW_WARPS), 1)
    return rows // fewer, warps // fewer


def cut(shape: Cut) -> str:
    """The statements of the kernel that cuts."""
    code, stages = Code(), wide_radices(shape.length)
    rest, last = shape.length // stages[0], shape.length // stages[-1]
    code.write(
        f"row = tl.program_id(0) * {shape.rows} + tl.arange(0, {shape.rows})",
        "path = tl.program_id(1).to(tl.int64)",
        "pair = tl.minimum(row // blocks, pairs - 1)  # rows behind the last compute it again, and store nothing",
        "samples = U + ((path * pairs + pair) * line)[:, None]",
        f"place = (first + (row % blocks) * hop)[:, None] + tl.arange(0, {rest})[None, :]",
        "here = samples + place",
    )
    (run,) = runs(range(0, shape.length, rest))
    at = run.let(code)
    code.write(f"here = {at.pointers(f'here + {at}')}", *if_inside(shape), "    z = tl.load(here)", "else:")
    if shape.around:
        code.write(f"    around = {at.pointers(f'samples + ((place + {at}) & (line - 1))')}", "    z = tl.load(around)")
    else:
        code.write(f"    z = tl.load(here, mask=(place >= -{at}) & (place < line - {at}), other=0)")
    parts = (unstacked(code, code.let("t", f"{part}(z)"), run.size, (shape.rows, rest)) for part in ("low", "high"))
    planes: list[Plane] = list(zip(*parts, strict=True))
    planes = register_fft(code, planes, shape.rows, stages, -1, "twiddles")
    code.write(
        "# store",
        f"spectrum = X + ((path * pairs * blocks + row) * {shape.bins})[:, None] + tl.arange(0, {last})[None, :]",
        "live = (row < pairs * blocks)[:, None]",
    )
    live = ", mask=live" if shape.rows > 1 else ""
    for at, (re, im) in stacks(code, planes, kept(shape, stages[-1]), (shape.rows, last)):
        code.write(f"tl.store({at.pointers(f'spectrum + {at}')}, both({re}, {im}){live})")
    return str(code)


def kept(shape: OfBlocks, planes: int) -> list[int | None]:
    """Where each of the planes of a block's spectrum is, of which the bins around 0 are in memory."""
    half, dropped, size = shape.bins // 2, shape.length - shape.bins, shape.length // planes
    starts = range(0, shape.length, size)
    assert half % size == 0, "planes are kept or dropped as a whole"
    return [k if k < half else k - dropped if k >= shape.length - half else None for k in starts]


def if_inside(
    shape: OfBlocks, count: str = "blocks", block: str = "{}", length: str = "", also: str = ""
) -> tuple[str, ...]:
    """Begins a statement that asks whether all blocks of a program lie within the line, as most do.

    Each pair has `count` of them, and the k-th is block ``block.format(k)``; of each, `length` samples are looked at.
    What must be true, `also`, can be appended.
    """
    return (
        f"of_pair = tl.program_id(0) * {shape.rows} % {count}",
        f"least = tl.where(of_pair + {shape.rows} > {count}, 0, of_pair)",
        f"most = tl.minimum(of_pair + {shape.rows}, {count}) - 1",
        f"end = first + {block.format('most')} * hop + {length or shape.length}",
        f"if (first + {block.format('least')} * hop >= 0) & (end <= line){also}:",
    )


def least_bins(length: int) -> int:
    """The fewest bins that can be kept of a block: a plane on either side of bin 0."""
    return 2 * (length // wide_radices(length)[-1])


def thin(shape: Thin) -> str:
    """The statements of the kernel that thins: the low bins, smoothed and folded, transformed back."""
    code, stages = Code(), radices(shape.length)
    rest, last = shape.length // stages[0], shape.length // stages[-1]
    count = shape.rows
    code.write(
        f"row = tl.program_id(0) * {count} + tl.arange(0, {count})",
        "path = tl.program_id(1).to(tl.int64)",
        "block = row % blocks",
        "pair = tl.minimum(row // blocks, pairs - 1)  # rows behind the last compute it again, and store nothing",
        f"spectrum = X + (((path * pairs + pair) * blocks + block) * {shape.bins})[:, None]",
        f"p = tl.arange(0, {rest})[None, :]",
        f"weights = tl.broadcast_to(smooth + p, [{count}, {rest}])",
    )

    def product(at: At, behind: str, weight: str) -> Complex:
        z = code.let("z", f"tl.load({at.pointers(f'spectrum + {at} + p{behind}')})")
        g = code.let("g", f"tl.load({at.pointers(f'weights + {at}{weight}')})")
        return code.pair(f"low({z}) * {g}", f"high({z}) * {g}")

    def smoothed(at: At) -> Complex:
        one, other = product(at, "", ""), product(at, f" + {shape.bins - shape.length}", f" + {shape.length}")
        return code.pair(f"{one[0]} + {other[0]}", f"{one[1]} + {other[1]}")

    planes: list[Plane] = read(code, range(0, shape.length, rest), (count, rest), smoothed)
    planes = register_fft(code, planes, count, stages, 1, "twiddles")
    code.write("# store")
    places, edges = middle(shape, last)
    parted = stacks(code, planes, places, (count, last))
    code.write(
        "samples = U + ((path * pairs + pair) * line)[:, None]",
        "begin = first + block * hop",
        f"i = tl.arange(0, {last})[None, :]",
        f"place = (begin - {shape.crop})[:, None] + i",
        "here = samples + place",
        "live = (row < pairs * blocks)[:, None]",
        *if_inside(shape, length="hop", also=f" & ((tl.program_id(0) + 1) * {shape.rows} <= pairs * blocks)"),
    )
    masked = f", mask={edges.removeprefix(' & ')}" if edges else ""
    for at, (re, im) in parted:
        to = code.name("to")
        code.write(f"    {to} = {at.pointers(f'here + {at}')}")
        code.write(f"    tl.store({to}, both({re}, {im}){masked.format(at=at)})")
    code.write("else:", f"    stop = tl.minimum(hop, line + first - begin)[:, None] + {shape.crop}")
    for at, (re, im) in parted:
        to = code.name("to")
        code.write(f"    {to} = {at.pointers(f'samples + ((place + {at}) & (line - 1))')}")
        code.write(f"    tl.store({to}, both({re}, {im}), mask=live{edges.format(at=at)} & (i < stop - {at}))")
    return str(code)


def middle(shape: Thin, plane: int) -> tuple[list[int | None], str]:
    """Where the planes are that have samples of the middle of a block, and a mask of these samples (`within`)."""
    return within(shape.length, plane, shape.crop, shape.length - shape.crop)
