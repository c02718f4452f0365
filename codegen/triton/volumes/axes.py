"""Writes the kernels that transform volumes axis by axis in registers, each doing what else there is to do on its way.

A program has a *tile* of neighbouring lines along one axis. From spectrum to norm there are three kernels,

    first   along z: reads a spectrum, multiplies by each filter, transforms
    along   along y: transforms
    last    along x: transforms each filter's product, adds up squares, takes the root and sums of its powers; and, if
            the norm has a spectrum, transforms it forward along x before it is written

and forward there are ``begin`` along x, which reads two volumes as one, and ``along`` along y and z. Of spectra only
*kept* bins are in memory, those of the windows that are read later: whole planes of a transform's first stage, so that
the others are zeros that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from scatc.codegen.code import Code, Plane
from scatc.codegen.triton.fft import radices, register_fft
from scatc.codegen.triton.tuned import MOST_WARPS, WARP, around, space
from scatc.codegen.triton.volumes.harmonic import Harmonic, slices
from scatc.codegen.triton.volumes.solid import AXES, indented, raised
from scatc.codegen.triton.volumes.transform import axis_fft

LEAST, MOST = 16, 512
"""Lengths of an axis."""

TILE = 16
"""Lines of a program: 128 bytes of neighbouring numbers, as memory wants them."""

TILES = (8, 16, 32)
"""The same, as there are to choose from."""

NUMBERS, MOST_NUMBERS = 16, 32
"""Complex numbers of a thread."""

MOST_DEGREE = 4
"""The largest degree whose wavelets are written as polynomials in z, without losing digits."""

FIRST = {
    "X": "*i64",
    **{f"{axis}_waves": "*fp32" for axis in AXES},
    "twiddles": "*i64",
    "Y": "*i64",
    "rows": "i32",
}
"""Arguments of `first`, and their types."""

ALONG = {"Y": "*i64", "twiddles": "*i64", "Z": "*i64"}
"""Those of `along`."""

LAST = {
    "Z": "*i64",
    "twiddles": "*i64",
    "ratio": "*fp32",
    "U": "*i64",
    "partial": "*fp32",
    "n": "i32",
    "pairs": "i32",
    "rows": "i32",
    "indices": "i32",
    "index": "i32",
    "filters": "i32",
}
"""Those of `last`."""

EDGED = {"z_edge": "*i64", "y_edge": "*i64", "x_edge": "*i64", **LAST}
"""Those of `last` with planes of edges."""

BEGIN = {"x": "*fp32", "twiddles": "*i64", "peak": "*fp32", "ratio": "*fp32", "X": "*i64", "n": "i32"}
"""Those of `begin`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Which bins of an axis are in memory: the first `low` and the last `high` of `size`."""

    size: int
    low: int
    high: int

    @classmethod
    def of(cls, size: int, start: int, width: int) -> Kept:
        """Whole planes around the bins ``start <= k < start + width``, of which bin 0 is one."""
        plane = size // radices(size)[0]
        low, high = (-(-max(count, 0) // plane) * plane for count in (start + width, -start))
        return cls(size, low, high) if width < size and low + high < size else cls(size, size, 0)

    def with_(self, other: Kept) -> Kept:
        """Both."""
        low, high = max(self.low, other.low), max(self.high, other.high)
        return Kept(self.size, low, high) if low + high < self.size else Kept(self.size, self.size, 0)

    @property
    def count(self) -> int:
        """How many bins."""
        return self.low + self.high

    @property
    def gap(self) -> int:
        """How many there are not."""
        return self.size - self.count

    def bin(self, place: str) -> str:
        """The bin at a place in memory."""
        return f"{place} + tl.where({place} < {self.low}, 0, {self.gap})" if self.gap else place

    def place(self, bin_: str) -> str:
        """Where a bin is."""
        return f"{bin_} - tl.where({bin_} < {self.low}, 0, {self.gap})" if self.gap else bin_

    def planes(self) -> list[int | None]:
        """Where each plane of a transform's first stage is."""
        plane = self.size // radices(self.size)[0]
        starts = range(0, self.size, plane)
        return [k if k < self.low else k - self.gap if k >= self.size - self.high else None for k in starts]


Box = tuple[Kept, Kept, Kept]
"""Along z, y and x."""

Slices = tuple[dict[int, str], dict[int, str]]
"""Of one filter: what `slices` gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiled:
    """What kernels along any axis are specialised to: the lines of a program, and complex numbers of a thread."""

    tile: int = TILE
    numbers: int = NUMBERS

    def warps(self, size: int) -> int:
        """Of a program, for lines of so many numbers."""
        return warps(size, self.numbers, self.tile)

    def candidates(self) -> list[Self]:
        """Half, as many and twice the lines, or the numbers, where a thread then holds a sensible share."""
        return space(self, lambda other: other.numbers <= MOST_NUMBERS, tile=TILES, numbers=around(self.numbers))


@dataclass(frozen=True, slots=True)
class First(Tiled):
    """What `first` is specialised to: the filters, what is kept of the spectrum, and of the products.

    With `edges`, every other filter is left out, for it is zero but on the planes of `edges.py`.
    """

    harmonic: Harmonic
    spectrum: Box
    product: Box
    edges: bool = False

    @property
    def filters(self) -> int:
        """How many filters."""
        return self.harmonic.filters // 2 if self.edges else self.harmonic.filters

    @property
    def alternates(self) -> bool:
        """Whether filters are real and imaginary by turns."""
        return not (self.harmonic.symmetric or self.edges)

    @property
    def tiles(self) -> int:
        """Programs of a row."""
        return -(-self.product[1].count * self.product[2].count // self.tile)


@dataclass(frozen=True, slots=True)
class Along(Tiled):
    """What `along` is specialised to: one axis in and out, and how many numbers lie behind each of its bins."""

    before: Kept
    after: Kept
    behind: int
    forward: bool

    @property
    def tiles(self) -> int:
        """Programs of a plane."""
        return -(-self.behind // self.tile)


@dataclass(frozen=True, slots=True)
class Last(Tiled):
    """What `last` is specialised to: lines, bins of the product, powers, and bins of the norm's spectrum.

    With `edges`, the sides of volumes along z and y, what the planes of `edges.py` add is added.
    """

    lines: int
    before: Kept
    powers: tuple[float, ...]
    after: Kept | None
    edges: tuple[int, int] | None = None

    @property
    def blocks(self) -> int:
        """Programs of a row, each of which leaves a partial sum."""
        return self.lines // self.tile

    def candidates(self) -> list[Last]:
        """As of the others, but that sums over lines depend on how many a program has."""
        return space(self, lambda other: other.numbers <= MOST_NUMBERS, numbers=around(self.numbers))


@dataclass(frozen=True, slots=True)
class Begin(Tiled):
    """What `begin` is specialised to: lines, and bins of the spectrum along x."""

    lines: int
    after: Kept

    @property
    def tiles(self) -> int:
        """Programs of a row."""
        return self.lines // self.tile


def warps(size: int, numbers: int = NUMBERS, tile: int = TILE) -> int:
    """Warps of a program: so many complex numbers a thread, but of each list of a transform at least one."""
    return min(max(1, tile * size // (WARP * max(numbers, *radices(size)))), MOST_WARPS)


def first(shape: First) -> str:
    """The statements of `first`."""
    code, harmonic = Code(), shape.harmonic
    (pz, py, px), (cz, cy, cx) = shape.spectrum, shape.product
    stages = radices(cz.size)
    plane, behind = cz.size // stages[0], py.count * px.count
    mask = tile(code, cy.count * cx.count, shape.tiles, shape.tile)
    code.write(
        f"y_place, x_place = b // {cx.count}, b % {cx.count}",
        f"y_bin, x_bin = {cy.bin('y_place')}, {cx.bin('x_place')}",
        f"source = X + row * {pz.count * behind} + ({py.place('y_bin')}) * {px.count} + {px.place('x_bin')}",
        f"p = tl.arange(0, {plane})[None, :]",
    )
    spectrum: list[Plane] = []
    for j, place in enumerate(cz.planes()):
        if place is None:
            spectrum.append(None)
            continue
        at = pz.planes()[j]
        assert at is not None, "what is multiplied is kept"
        bins = code.let("bins", f"tl.load(source + ({at} + p) * {behind})")
        re, im = code.pair(f"low({bins})", f"high({bins})")
        spectrum.append((im, code.let("im", f"-{re}")) if harmonic.swaps else (re, im))
    wave_tables(code, shape, plane)
    here = ["y", "x", "gauss"]
    found = slices(code, harmonic, here, [f"{name}_opposite" for name in here])[:: 2 if shape.edges else 1]
    volume = cz.size * cy.count * cx.count
    code.write(f"target = Y + row * {volume} + b", f"for f in range({shape.filters}):")
    with indented(code):
        products = _products(code, shape, spectrum, found)
        last = cz.size // stages[-1]
        code.write(f"q = tl.arange(0, {last})[None, :]")
        for k, z in enumerate(axis_fft(code, products, shape.tile, stages, 1, "twiddles")):
            assert z is not None
            code.write(f"tl.store(target + ({k * last} + q) * {cy.count * cx.count}, both({z[0]}, {z[1]}){mask})")
        code.write(f"target += rows.to(tl.int64) * {volume}")
    return str(code)


def tile(code: Code, lines: int, tiles: int, each: int = TILE) -> str:
    """The lines of a program; returns what keeps those that are not there from being written.

    They must not be: what was written in place may already have been read as one of them.
    """
    code.write(
        f"row = (tl.program_id(0) // {tiles}).to(tl.int64)",
        f"b = (tl.program_id(0) % {tiles}) * {each} + tl.arange(0, {each})[:, None]",
    )
    if lines % each == 0:
        return ""
    code.write(f"there = b < {lines}", f"b = tl.minimum(b, {lines - 1})")
    return ", mask=there"


def _products(code: Code, shape: First, spectrum: Sequence[Plane], filters: Sequence[Slices]) -> list[Plane]:
    """The planes of the spectrum times filter f."""
    harmonic = shape.harmonic
    polynomials(code, harmonic, filters)
    products: list[Plane] = []
    for j, plane in enumerate(spectrum):
        if plane is None:
            products.append(None)
            continue
        re, im = plane
        h = factors(code, harmonic, j)
        if shape.alternates:
            re, im = code.pair(f"tl.where(f % 2 == 0, {re}, -{im})", f"tl.where(f % 2 == 0, {im}, {re})")
        products.append(code.pair(f"{re} * {h}", f"{im} * {h}"))
    return products


def polynomials(code: Code, harmonic: Harmonic, filters: Sequence[Slices]) -> None:
    """The coefficients of filter f, of each line."""
    for letter, which in (("c", 0),) if harmonic.symmetric else (("c", 0), ("d", 1)):
        for a in range(harmonic.degree + 1):
            code.write(f"{letter}_{a} = tl.zeros_like(gauss)")
            for f, both in enumerate(filters):
                if a in both[which]:
                    code.write(f"{letter}_{a} = tl.where(f == {f}, {both[which][a]}, {letter}_{a})")


def factors(code: Code, harmonic: Harmonic, j: int) -> str:
    """Filter f on plane j of bins."""
    h = code.let("h", _polynomial(harmonic.degree, "c", f"z{j}", f"z_gauss{j}"))
    if harmonic.symmetric:
        return h
    return code.let("h", f"{h} + {_polynomial(harmonic.degree, 'd', f'z_opposite{j}', f'z_opposite_gauss{j}')}")


def _polynomial(degree: int, letter: str, z: str, gauss: str) -> str:
    """By Horner's rule."""
    text = f"{letter}_{degree}"
    for a in range(degree - 1, -1, -1):
        text = f"({letter}_{a} + {z} * {text})"
    return f"{gauss} * {text}"


def wave_tables(code: Code, shape: First, plane: int) -> None:
    """Read sigma k and Gaussians: of y and x for each line, of z for each plane; and those of opposite bins."""
    sides = [("", "{}")] if shape.harmonic.symmetric else [("", "{}"), ("_opposite", "({n} - ({0})) % {n}")]
    for side, text in sides:
        gauss = []
        for axis, kept in zip("yx", shape.product[1:], strict=True):
            at = text.format(f"{axis}_bin", n=kept.size)
            code.write(f"{axis}{side} = tl.load({axis}_waves + {at})")
            gauss.append(f"tl.load({axis}_waves + {kept.size} + {at})")
        code.write(f"gauss{side} = {' * '.join(gauss)}")
        kept = shape.product[0]
        for j, place in enumerate(kept.planes()):
            if place is not None:
                at = text.format(f"{j * plane} + p", n=kept.size)
                code.write(f"z{side}{j} = tl.load(z_waves + {at})")
                code.write(f"z{side}_gauss{j} = tl.load(z_waves + {kept.size} + {at})")


def along(shape: Along) -> str:
    """The statements of `along`."""
    code, size = Code(), shape.before.size
    stages = radices(size)[::-1] if shape.forward else radices(size)
    plane, last = size // stages[0], size // stages[-1]
    mask = tile(code, shape.behind, shape.tiles, shape.tile)
    code.write(
        f"source = Y + row * {shape.before.count * shape.behind} + b",
        f"p = tl.arange(0, {plane})[None, :]",
    )
    places = range(0, size, plane) if shape.forward else shape.before.planes()
    lines = [None if place is None else f"source + ({place} + p) * {shape.behind}" for place in places]
    found = axis_fft(code, loaded(code, lines), shape.tile, stages, -1 if shape.forward else 1, "twiddles")
    code.write(f"target = Z + row * {shape.after.count * shape.behind} + b", f"q = tl.arange(0, {last})[None, :]")
    places = shape.after.planes() if shape.forward else range(0, size, last)
    for place, z in zip(places, found, strict=True):
        if place is not None and z is not None:
            code.write(f"tl.store(target + ({place} + q) * {shape.behind}, both({z[0]}, {z[1]}){mask})")
    return str(code)


def loaded(code: Code, lines: Sequence[str | None]) -> list[Plane]:
    """Planes in memory; None where there are only zeros."""
    planes: list[Plane] = []
    for line in lines:
        if line is None:
            planes.append(None)
            continue
        bins = code.let("bins", f"tl.load({line})")
        planes.append(code.pair(f"low({bins})", f"high({bins})"))
    return planes


def last(shape: Last) -> str:
    """The statements of `last`."""
    code, size = Code(), shape.before.size
    stages = radices(size)
    plane, end = size // stages[0], size // stages[-1]
    samples = range(stages[-1])
    code.write(
        f"row = (tl.program_id(0) // {shape.blocks}).to(tl.int64)",
        f"block = tl.program_id(0) % {shape.blocks}",
        "pair = row % pairs",
        "child = (row // pairs * indices + index) * pairs + pair",
        f"line = block * {shape.tile} + tl.arange(0, {shape.tile})[:, None]",
        f"source = Z + (row * {shape.lines} + line) * {shape.before.count} + tl.arange(0, {plane})[None, :]",
        *(f"{side}{k} = tl.zeros(({shape.tile}, {end}), tl.float32)" for side in "ab" for k in samples),
        "for f in range(filters):",
    )
    with indented(code):
        lines = [None if place is None else f"source + {place}" for place in shape.before.planes()]
        found = register_fft(code, loaded(code, lines), shape.tile, stages, 1, "twiddles")
        for k, z in enumerate(found):  # the sums take registers, too
            assert z is not None
            code.write(f"a{k} += {z[0]} * {z[0]}", f"b{k} += {z[1]} * {z[1]}")
        code.write(f"source += rows.to(tl.int64) * {shape.lines * shape.before.count}")
    if shape.edges is not None:
        _edges(code, shape.edges, size, samples)
    code.write(*(f"{side}{k} = tl.sqrt({side}{k})" for side in "ab" for k in samples))
    _sums(code, shape, samples)
    if shape.after is not None:
        code.write("# the spectrum of the norm, along x")
        norm = [(f"a{k}", f"b{k}") for k in samples]
        spectrum = axis_fft(code, norm, shape.tile, stages[::-1], -1, "twiddles", held=True)
        code.write(
            f"target = U + (child * {shape.lines} + line) * {shape.after.count} + tl.arange(0, {plane})[None, :]"
        )
        for place, z in zip(shape.after.planes(), spectrum, strict=True):
            if place is not None and z is not None:
                code.write(f"tl.store(target + {place}, both({z[0]}, {z[1]}))")
    return str(code)


def _edges(code: Code, sides: tuple[int, int], size: int, samples: range) -> None:
    """Add the squares of what planes of edges make, each repeated along its axis with alternating signs."""
    (nz, ny), end = sides, size // len(samples)
    code.write(
        "# what has no opposite",
        f"z, y, q = line // {ny}, line % {ny}, tl.arange(0, {end})[None, :]",
        "z_sign, y_sign = 1.0 - 2 * (z & 1), 1.0 - 2 * (y & 1)",
        "for f in range(filters):",
    )
    with indented(code):
        code.write(
            "plane = f * rows.to(tl.int64) + row",
            f"of_z = z_edge + (plane * {ny} + y) * {size} + q",
            f"of_y = y_edge + (plane * {nz} + z) * {size} + q",
            f"of_x = tl.load(x_edge + (plane * {nz} + z) * {ny} + y)",
        )
        for k in samples:
            code.write(
                f"on_z, on_y = tl.load(of_z + {k * end}), tl.load(of_y + {k * end})",
                f"x_sign = 1.0 - 2 * (({k * end} + q) & 1)",
                "re = z_sign * low(on_z) + y_sign * low(on_y) + x_sign * low(of_x)",
                "im = z_sign * high(on_z) + y_sign * high(on_y) + x_sign * high(of_x)",
                f"a{k} += re * re",
                f"b{k} += im * im",
            )


def _sums(code: Code, shape: Last, samples: range) -> None:
    """Sums of the powers of both volumes' norms."""
    powers = range(len(shape.powers))
    if not powers:
        return
    code.write(
        "# of the volumes of a pair: what brings U to the size of the largest sample, whose powers are safe",
        "a_ratio = tl.load(ratio + 2 * pair)",
        "b_ratio = tl.load(ratio + 2 * pair + 1, mask=2 * pair + 1 < n, other=0.0)",
        f"sums = partial + (child * {2 * shape.blocks} + block) * {len(shape.powers)}",
    )
    for s, side in enumerate("ab"):
        for k in samples:
            u = code.let("u", f"{side}{k} * {side}_ratio")
            for q, value in enumerate(raised(code, u, shape.powers)):
                code.write(f"{side}_sum{q} {'+' if k else ''}= {value}")
        for q in powers:
            at = s * shape.blocks * len(shape.powers) + q
            code.write(f"tl.store(sums + {at}, tl.sum(tl.sum({side}_sum{q}, 1), 0))")


def begin(shape: Begin) -> str:
    """The statements of `begin`."""
    code, size, voxels = Code(), shape.after.size, shape.lines * shape.after.size
    stages = radices(size)[::-1]
    plane, end = size // stages[0], size // stages[-1]
    code.write(
        f"row = (tl.program_id(0) // {shape.tiles}).to(tl.int64)",
        f"line = (tl.program_id(0) % {shape.tiles}) * {shape.tile} + tl.arange(0, {shape.tile})[:, None]",
        "# where their number is odd, the last volume goes with one of zeros",
        "first, second = 2 * row, 2 * row + 1",
        "there = tl.where(second < n, 1.0, 0.0)",
        "second = tl.minimum(second, n - 1)",
        "# ratios are powers of two",
        "a_peak, a_inverse = tl.load(peak + first), 1 / tl.load(ratio + first)",
        "b_peak, b_inverse = tl.load(peak + second), there / tl.load(ratio + second)",
        f"at = line * {size} + tl.arange(0, {plane})[None, :]",
    )
    planes: list[Plane] = []
    for j in range(0, size, plane):
        a = code.let("a", f"sized(tl.load(x + first * {voxels} + {j} + at), a_peak) * a_inverse")
        b = code.let("b", f"sized(tl.load(x + second * {voxels} + {j} + at), b_peak) * b_inverse")
        planes.append((a, b))
    found = axis_fft(code, planes, shape.tile, stages, -1, "twiddles")
    code.write(f"target = X + (row * {shape.lines} + line) * {shape.after.count} + tl.arange(0, {end})[None, :]")
    for place, z in zip(shape.after.planes(), found, strict=True):
        if place is not None and z is not None:
            code.write(f"tl.store(target + {place}, both({z[0]}, {z[1]}))")
    return str(code)
