"""Writes the transposed kernels that transform volumes axis by axis: the way back of those in `axes.py`.

    turn     along x, in place: the transforms once more, their norm and its slopes, the transforms of products forward
    gather   along z: transforms forward, products with conjugate filters, their sum, added to what is there
    finish   along x: back to the two volumes of a pair

and ``along`` between them. What is not kept of a spectrum has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.triton.fft import radices, register_fft
from scatc.codegen.triton.volumes.axes import TILE, First, Kept, factors, loaded, polynomials, tile, wave_tables
from scatc.codegen.triton.volumes.harmonic import slices
from scatc.codegen.triton.volumes.solid import AXES, indented
from scatc.codegen.triton.volumes.solid_t import derivatives, inverse, quotient, read_cotangents
from scatc.codegen.triton.volumes.transform import axis_fft

TURN = {
    "Z": "*i64",
    "twiddles": "*i64",
    "ratio": "*fp32",
    "cotangent": "*fp32",
    "row_of": "*i32",
    "G": "*i64",
    "n": "i32",
    "pairs": "i32",
    "rows": "i32",
    "paths": "i32",
    "indices": "i32",
    "index": "i32",
    "filters": "i32",
}
"""Arguments of `turn`, and their types."""

GATHER = {
    "Y": "*i64",
    **{f"{axis}_waves": "*fp32" for axis in AXES},
    "twiddles": "*i64",
    "G": "*i64",
    "rows": "i32",
}
"""Those of `gather`."""

FINISH = {"G": "*i64", "twiddles": "*i64", "size": "*fp32", "gradient": "*fp32", "n": "i32"}
"""Those of `finish`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What `turn` is specialised to: lines, bins of the products along x, powers, and bins of the norm's gradient.

    A filter that is `alone` is transformed once, for its transform is still there when its slope is known.
    """

    lines: int
    kept: Kept
    powers: tuple[float, ...]
    below: Kept | None
    alone: bool = False

    @property
    def blocks(self) -> int:
        """Programs of a row."""
        return self.lines // TILE


@dataclass(frozen=True, slots=True)
class Gather:
    """What `gather` is specialised to: what the kernel of the way there is."""

    first: First


@dataclass(frozen=True, slots=True)
class Finish:
    """What `finish` is specialised to: lines, and bins of the gradient along x."""

    lines: int
    kept: Kept


def turn(shape: Turn) -> str:
    """The statements of `turn`."""
    code, size = Code(), shape.kept.size
    stages = radices(size)
    plane, end = size // stages[0], size // stages[-1]
    samples = range(stages[-1])
    code.write(
        f"row = (tl.program_id(0) // {shape.blocks}).to(tl.int64)",
        "pair = row % pairs",
        "child = row // pairs * indices + index",
        f"line = (tl.program_id(0) % {shape.blocks}) * {TILE} + tl.arange(0, {TILE})[:, None]",
        f"p = tl.arange(0, {plane})[None, :]",
        f"start = Z + (row * {shape.lines} + line) * {shape.kept.count} + p",
        "source = start",
    )
    if shape.alone:
        found = _transforms(code, shape)
        for k, (re, im) in enumerate(found):
            code.write(f"a{k} = {re} * {re}", f"b{k} = {im} * {im}")
        _slopes(code, shape, samples)
        _back(code, shape, found)
        return str(code)
    code.write(
        f"following = rows.to(tl.int64) * {shape.lines * shape.kept.count}",
        *(f"{side}{k} = tl.zeros(({TILE}, {end}), tl.float32)" for side in "ab" for k in samples),
        "for f in range(filters):",
    )
    with indented(code):
        for k, (re, im) in enumerate(_transforms(code, shape)):
            code.write(f"a{k} += {re} * {re}", f"b{k} += {im} * {im}")
        code.write("source += following")
    _slopes(code, shape, samples)
    code.write("source = start", "for f in range(filters):")
    with indented(code):
        _back(code, shape, _transforms(code, shape))
        code.write("source += following")
    return str(code)


def _places(shape: Turn) -> list[str | None]:
    """Where the planes of the products along x are."""
    return [None if place is None else f"source + {place}" for place in shape.kept.planes()]


def _transforms(code: Code, shape: Turn) -> list[Complex]:
    """Of one filter's product; twiddles before the exchange take more instructions, but fewer registers."""
    found = axis_fft(code, loaded(code, _places(shape)), TILE, radices(shape.kept.size), 1, "twiddles")
    return [z for z in found if z is not None]


def _back(code: Code, shape: Turn, found: Sequence[Complex]) -> None:
    """Transforms times slopes, forward along x, in the place of what they are of."""
    products = [code.pair(f"{re} * a{k}", f"{im} * b{k}") for k, (re, im) in enumerate(found)]
    spectrum = axis_fft(code, products, TILE, radices(shape.kept.size)[::-1], -1, "twiddles", held=True)
    for line, z in zip(_places(shape), spectrum, strict=True):
        if line is not None and z is not None:
            code.write(f"tl.store({line}, both({z[0]}, {z[1]}))")


def _slopes(code: Code, shape: Turn, samples: range) -> None:
    """From sums of squares to slopes by the norm, of both volumes."""
    count, size = len(shape.powers), shape.kept.size
    code.write("# slopes by the norm")
    read_cotangents(code, count)
    below: list[Plane] = [None] * len(samples)
    if shape.below is not None:
        code.write(
            f"under = G + ((child * pairs + pair) * {shape.lines} + line) * {shape.below.count} + p",
        )
        places = [None if place is None else f"under + {place}" for place in shape.below.planes()]
        below = register_fft(code, loaded(code, places), TILE, radices(size), 1, "twiddles")
    for k in samples:
        for part, side in enumerate("ab"):
            found = below[k]
            code.write(
                f"inverse = {inverse(f'{side}{k}')}",
                f"slope = {'tl.zeros_like(inverse)' if found is None else found[part]}",
            )
            if count:
                code.write(f"u = {side}{k} * inverse * {side}_ratio")
                for q, value in enumerate(derivatives(code, "u", shape.powers)):
                    code.write(f"slope += {side}_weight{q}{value}")
            code.write(f"{side}{k} = {quotient('slope', f'{side}{k}', 'inverse')}")


def gather(shape: Gather) -> str:
    """The statements of `gather`."""
    code, first = Code(), shape.first
    harmonic, (pz, py, px), (cz, cy, cx) = first.harmonic, first.spectrum, first.product
    stages = radices(cz.size)
    plane, behind, lines = cz.size // stages[0], py.count * px.count, cy.count * cx.count
    mask = tile(code, lines, first.tiles)
    code.write(
        f"y_place, x_place = b // {cx.count}, b % {cx.count}",
        f"y_bin, x_bin = {cy.bin('y_place')}, {cx.bin('x_place')}",
        f"target = G + row * {pz.count * behind} + ({py.place('y_bin')}) * {px.count} + {px.place('x_bin')}",
        f"p = tl.arange(0, {plane})[None, :]",
    )
    wave_tables(code, first, plane)
    here = ["y", "x", "gauss"]
    found = slices(code, harmonic, here, [f"{name}_opposite" for name in here])
    kept = [j for j, place in enumerate(cz.planes()) if place is not None]
    code.write(
        *(f"{part}_sum{j} = tl.zeros(({TILE}, {plane}), tl.float32)" for j in kept for part in ("re", "im")),
        f"end = tl.arange(0, {cz.size // stages[-1]})[None, :]",
        f"source = Y + row * {cz.size * lines} + b",
        f"for f in range({harmonic.filters}):",
    )
    with indented(code):
        polynomials(code, harmonic, found)
        step = cz.size // stages[-1]
        samples = [f"source + ({k} + end) * {lines}" for k in range(0, cz.size, step)]
        fft = axis_fft if first.filters == 1 else register_fft  # what is laid out anew behind may be so before
        spectrum = fft(code, loaded(code, samples), TILE, stages[::-1], -1, "twiddles")
        for j in kept:
            z = spectrum[j]
            assert z is not None
            re, im = z
            h = factors(code, harmonic, j)
            if not harmonic.symmetric:  # filters are real and imaginary by turns; conjugates of these are turned back
                re, im = code.pair(f"tl.where(f % 2 == 0, {re}, {im})", f"tl.where(f % 2 == 0, {im}, -{re})")
            code.write(f"re_sum{j} += {re} * {h}", f"im_sum{j} += {im} * {h}")
        code.write(f"source += rows.to(tl.int64) * {cz.size * lines}")
    for j in kept:
        at = f"target + ({pz.planes()[j]} + p) * {behind}"
        # the conjugate of -i of an odd degree is i
        re, im = (f"-im_sum{j}", f"re_sum{j}") if harmonic.swaps else (f"re_sum{j}", f"im_sum{j}")
        code.write(f"known = tl.load({at})", f"tl.store({at}, both(low(known) + {re}, high(known) + {im}){mask})")
    return str(code)


def finish(shape: Finish) -> str:
    """The statements of `finish`."""
    code, size, voxels = Code(), shape.kept.size, shape.lines * shape.kept.size
    stages = radices(size)
    blocks = shape.lines // TILE
    code.write(
        f"row = (tl.program_id(0) // {blocks}).to(tl.int64)",
        f"line = (tl.program_id(0) % {blocks}) * {TILE} + tl.arange(0, {TILE})[:, None]",
        f"source = G + (row * {shape.lines} + line) * {shape.kept.count} + tl.arange(0, {size // stages[0]})[None, :]",
        "first, second = 2 * row, 2 * row + 1",
        f"there = line < tl.where(second < n, {shape.lines}, 0)",
        "a_size = tl.load(size + first)",
        "b_size = tl.load(size + second, mask=second < n, other=0.0)",
        f"at = line * {size} + tl.arange(0, {size // stages[-1]})[None, :]",
    )
    lines = [None if place is None else f"source + {place}" for place in shape.kept.planes()]
    for k, z in enumerate(axis_fft(code, loaded(code, lines), TILE, stages, 1, "twiddles")):
        assert z is not None
        start = k * (size // stages[-1])
        code.write(
            f"tl.store(gradient + first * {voxels} + {start} + at, {z[0]} * a_size)",
            f"tl.store(gradient + second * {voxels} + {start} + at, {z[1]} * b_size, mask=there)",
        )
    return str(code)
