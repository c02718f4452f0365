"""Writes the transposed kernels around the transforms of volumes: slopes of the norm, and sums over filters.

The way back of ``U = sqrt(sum over f of Z_f^2)``, ``Z_f = ifft(F_f X)``, for pairs of volumes as on the way there
(`solid.py`): everything but the norm is linear, and real for each volume of a pair,

    gZ_f = gU Z_f / U  (0 where U is 0),        gX = sum over f of conj(F_f) fft(gZ_f)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from scatc.codegen.code import Code, number
from scatc.codegen.triton.volumes.harmonic import Harmonic
from scatc.codegen.triton.volumes.solid import AXES, BLOCK, TINY, TOGETHER, filters, indented, product, raised

GATHER = {"Y": "*i64", **{f"{axis}_waves": "*fp32" for axis in AXES}, "G": "*i64", "rows": "i32"}
"""Arguments of sums over filters, and their types."""

READ = {"Y": "*i64", "filters": "*i64", "G": "*i64", "rows": "i32"}
"""Those of sums over filters that are tables."""

SLOPE = {
    "Z": "*i64",
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
}
"""Those of slopes."""


@dataclass(frozen=True, slots=True)
class Slope:
    """What the kernel of slopes is specialised to.

    Attributes
    ----------
    filters, voxels : int
    powers : tuple of float
        Of the norm's integrals; none where these are not wanted.
    below : bool
        Whether the norm has a spectrum, and hence a gradient from what is made of that.
    """

    filters: int
    voxels: int
    powers: tuple[float, ...]
    below: bool

    @property
    def blocks(self) -> int:
        """Programs of a row."""
        return -(-self.voxels // BLOCK)


def gather(harmonic: Harmonic, shape: Sequence[int]) -> str:
    """The statements of the sum over filters of transforms times conjugate filters, added to what is there."""
    code, voxels = Code(), prod(shape)
    found = filters(code, harmonic, shape)
    code.write(
        f"inside = tl.program_id(0) * {BLOCK} + tl.arange(0, {BLOCK}) < {voxels}",
        f"for step in range({TOGETHER}):",
        f"    row = (tl.program_id(1) * {TOGETHER} + step).to(tl.int64)",
        "    if row < rows:",
    )
    with indented(code, 2):
        code.write(f"there = tl.load(G + row * {voxels} + i)", "re, im = low(there), high(there)")
        for f, (real, imaginary) in enumerate(found):
            y = code.let("y", f"tl.load(Y + ({f} * rows + row) * {voxels} + i)")
            # the conjugate of -i of an odd degree is i
            parts = (f"-high({y})", f"low({y})") if harmonic.swaps else (f"low({y})", f"high({y})")
            part = code.pair(*parts)
            real_part, imaginary_part = product(part, (real, f"(-{imaginary})" if imaginary else ""))
            code.write(f"re += {real_part}", f"im += {imaginary_part}")
        code.write(f"tl.store(G + row * {voxels} + i, both(re, im), mask=inside)")
    return str(code)


def read_cotangents(code: Code, count: int) -> None:
    """Of a path's integrals, of so many powers, for both volumes of a pair; and the ratios of their sizes."""
    if not count:
        return
    code.write(
        "place = tl.load(row_of + child)",
        f"first = cotangent + (2 * pair * paths + place) * {count}",
        f"second = cotangent + ((2 * pair + 1) * paths + place) * {count}",
        "a_ratio = tl.load(ratio + 2 * pair)",
        "b_ratio = tl.load(ratio + 2 * pair + 1, mask=2 * pair + 1 < n, other=0.0)",
    )
    for q in range(count):
        code.write(f"a_weight{q} = tl.load(first + {q})")
        code.write(f"b_weight{q} = tl.load(second + {q}, mask=2 * pair + 1 < n, other=0.0)")


def slope(shape: Slope) -> str:
    """The statements of slopes, which take the place of the transforms."""
    code, count = Code(), len(shape.powers)
    code.write(
        f"row = (tl.program_id(0) // {shape.blocks}).to(tl.int64)",
        f"i = (tl.program_id(0) % {shape.blocks}) * {BLOCK} + tl.arange(0, {BLOCK})",
        f"inside = i < {shape.voxels}",
        "pair = row % pairs",
        "child = row // pairs * indices + index",
    )
    read_cotangents(code, count)
    parts = []
    for f in range(shape.filters):
        z = code.let("z", f"tl.load(Z + ({f} * rows + row) * {shape.voxels} + i, mask=inside, other=0)")
        re, im = code.pair(f"low({z})", f"high({z})")
        more = "+" if f else ""
        code.write(f"a {more}= {re} * {re}", f"b {more}= {im} * {im}")
        parts.append((re, im))
    code.write(*(f"{side}_inverse = {inverse(side)}" for side in "ab"))
    if shape.below:
        code.write(
            f"below = tl.load(G + (child * pairs + pair) * {shape.voxels} + i, mask=inside, other=0)",
            "a_slope, b_slope = low(below), high(below)",
        )
    else:
        code.write("a_slope, b_slope = tl.zeros_like(a), tl.zeros_like(b)")
    for side in "ab" if count else "":
        code.write(f"u = {side} * {side}_inverse * {side}_ratio")
        for q, value in enumerate(derivatives(code, "u", shape.powers)):
            code.write(f"{side}_slope += {side}_weight{q}{value}")
    code.write(*(f"{side}_slope = {quotient(f'{side}_slope', side, f'{side}_inverse')}" for side in "ab"))
    for f, (re, im) in enumerate(parts):
        target = f"Z + ({f} * rows + row) * {shape.voxels} + i"
        code.write(f"tl.store({target}, both({re} * a_slope, {im} * b_slope), mask=inside)")
    return str(code)


def inverse(square: str) -> str:
    """One by the norm: one instruction, where a root and a quotient are many."""
    return f"tl.rsqrt(tl.maximum({square}, {TINY}))"


def quotient(slope: str, square: str, inverse: str) -> str:
    """A slope by the norm: where that is 0, so are its derivative and those of its powers."""
    return f"tl.where({square} > {TINY}, {slope}, 0.0) * {inverse}"


def derivatives(code: Code, u: str, powers: Sequence[float]) -> list[str]:
    """What weights are multiplied by, as text: ``u^(q - 1)``, whose factor q is in the weights."""
    found = []
    for exponent in powers:
        if exponent == 1:
            found.append("")
        elif exponent > 1:
            (value,) = raised(code, u, [exponent - 1])
            found.append(f" * {value}")
        else:
            bounded = code.let("bounded", f"tl.maximum({u}, {TINY})")
            power = f"tl.exp2({number(exponent - 1)} * tl.log2({bounded}))"
            found.append(f" * {code.let('root', f'tl.rsqrt({bounded})' if exponent == 0.5 else power)}")
    return found
