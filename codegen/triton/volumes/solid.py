"""Writes the kernels around the transforms of volumes: products with wavelets before them, the norm over m after.

Pairs of volumes are one complex volume (`harmonic.py`); a *row* is a pair of one parent. What is transformed has the
filters first: ``Y[filter, row, voxel]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from scatc.codegen.code import INDENT, Code, number
from scatc.codegen.triton.volumes.harmonic import Harmonic, evaluate

BLOCK = 256
"""Voxels that a program has at a time."""

TOGETHER = 4
"""Pairs that a program multiplies by the filters that it has."""

MOST_STEPS = 8
"""Blocks of a program that adds up: what it adds one by one."""

TINY = "1e-37"
"""Below this, numbers are no longer what float32 has to full precision."""

AXES = ("z", "y", "x")

MULTIPLY = {"X": "*i64", **{f"{axis}_waves": "*fp32" for axis in AXES}, "Y": "*i64", "rows": "i32"}
"""Arguments of products, and their types."""

READ = {"X": "*i64", "filters": "*i64", "Y": "*i64", "rows": "i32"}
"""Those of products with filters that are tables."""

NORM = {
    "Z": "*i64",
    "ratio": "*fp32",
    "U": "*i64",
    "partial": "*fp32",
    "n": "i32",
    "pairs": "i32",
    "rows": "i32",
    "indices": "i32",
    "index": "i32",
}
"""Those of the norm."""


@dataclass(frozen=True, slots=True)
class Norm:
    """What the kernel of the norm is specialised to.

    Attributes
    ----------
    filters : int
        How many transforms its squares are summed over.
    voxels : int
    powers : tuple of float
    stored : bool
        Whether U is written, for its spectrum.
    """

    filters: int
    voxels: int
    powers: tuple[float, ...]
    stored: bool

    @property
    def steps(self) -> int:
        """Blocks of a program: more than one where there are many."""
        return max(1, min(MOST_STEPS, self.voxels // (64 * BLOCK)))

    @property
    def blocks(self) -> int:
        """Programs of a row, each of which leaves a partial sum."""
        return -(-self.voxels // (BLOCK * self.steps))


@contextmanager
def indented(code: Code, levels: int = 1) -> Iterator[None]:
    """What is written within is the body of the statement before."""
    start = len(code.lines)
    yield
    code.lines[start:] = [f"{INDENT * levels}{line}" for line in code.lines[start:]]


def multiply(harmonic: Harmonic, shape: Sequence[int]) -> str:
    """The statements of the product with all filters of a degree, each computed where it is needed."""
    code, voxels = Code(), prod(shape)
    found = filters(code, harmonic, shape)
    code.write(
        f"for step in range({TOGETHER}):",
        f"    row = (tl.program_id(1) * {TOGETHER} + step).to(tl.int64)",
        "    if row < rows:",
    )
    with indented(code, 2):
        code.write(f"bins = tl.load(X + row * {voxels} + i)", "re, im = low(bins), high(bins)")
        if harmonic.swaps:
            code.write("re, im = im, -re  # the factor -i of an odd degree")
        for f, factor in enumerate(found):
            parts = ", ".join(product(("re", "im"), factor))
            code.write(f"tl.store(Y + ({f} * rows + row) * {voxels} + i, both({parts}))")
    return str(code)


def filters(code: Code, harmonic: Harmonic, shape: Sequence[int]) -> list[tuple[str, str]]:
    """Statements that compute or read all filters at the voxels i of a program; both parts of each, by name."""
    voxels = prod(shape)
    code.write(
        f"i = tl.program_id(0) * {BLOCK} + tl.arange(0, {BLOCK})",
        f"i = tl.minimum(i, {voxels - 1})  # what is behind the last is that once more",
    )
    if not harmonic.generated:
        read = [code.let("h", f"tl.load(filters + {f * voxels} + i)") for f in range(harmonic.filters)]
        return [code.pair(f"low({h})", f"high({h})") for h in read]
    _, ny, nx = shape
    places = {"z": f"i // {ny * nx}", "y": f"i // {nx} % {ny}", "x": f"i % {nx}"}
    here = waves(code, places, shape)
    opposite: list[str] = []
    if not harmonic.symmetric:
        code.write("# the wave numbers of the opposite bins")
        turned = {axis: f"({n} - {places[axis]}) % {n}" for axis, n in zip(AXES, shape, strict=True)}
        opposite = waves(code, turned, shape)
    return evaluate(code, harmonic, here, opposite)


def product(z: tuple[str, str], factor: tuple[str, str]) -> tuple[str, str]:
    """Both parts of a product as text; a part of the factor may be zero, and has no name then."""
    re, im = factor
    if not im:
        return f"{z[0]} * {re}", f"{z[1]} * {re}"
    if not re:
        return f"-{z[1]} * {im}", f"{z[0]} * {im}"
    return f"{z[0]} * {re} - {z[1]} * {im}", f"{z[0]} * {im} + {z[1]} * {re}"


def waves(code: Code, places: dict[str, str], shape: Sequence[int]) -> list[str]:
    """Read sigma k of each axis at some bins, and the Gaussian; names, as `evaluate` wants them."""
    found, factors = [], []
    for axis, n in zip(AXES, shape, strict=True):
        at = code.let("at", places[axis])
        found.append(code.let(axis, f"tl.load({axis}_waves + {at})"))
        factors.append(f"tl.load({axis}_waves + {n} + {at})")
    return [*found, code.let("gauss", " * ".join(factors))]


def norm(shape: Norm) -> str:
    """The statements of the norm over m: squares summed over filters, their root, and sums of its powers."""
    code, powers = Code(), range(len(shape.powers))
    code.write(
        f"row = (tl.program_id(0) // {shape.blocks}).to(tl.int64)",
        f"block = tl.program_id(0) % {shape.blocks}",
        "pair = row % pairs",
        "child = (row // pairs * indices + index) * pairs + pair",
        "# of the volumes of a pair: what brings U to the size of the largest sample, whose powers are safe",
        "a_ratio = tl.load(ratio + 2 * pair)",
        "b_ratio = tl.load(ratio + 2 * pair + 1, mask=2 * pair + 1 < n, other=0.0)",
        *(f"{side}_sum{q} = tl.zeros(({BLOCK},), tl.float32)" for side in "ab" for q in powers),
        f"for step in range({shape.steps}):",
    )
    with indented(code):
        code.write(
            f"i = (block * {shape.steps} + step) * {BLOCK} + tl.arange(0, {BLOCK})",
            f"inside = i < {shape.voxels}",
        )
        for f in range(shape.filters):
            z = code.let("z", f"tl.load(Z + ({f} * rows + row) * {shape.voxels} + i, mask=inside, other=0)")
            if shape.filters == 1:
                code.write(f"a, b = tl.abs(low({z})), tl.abs(high({z}))")
            else:
                more = "+" if f else ""
                code.write(f"a {more}= low({z}) * low({z})", f"b {more}= high({z}) * high({z})")
        if shape.filters > 1:
            code.write("a, b = tl.sqrt(a), tl.sqrt(b)")
        if shape.stored:
            code.write(f"tl.store(U + child * {shape.voxels} + i, both(a, b), mask=inside)")
        for side in "ab":
            u = code.let("u", f"{side} * {side}_ratio")
            for q, value in enumerate(raised(code, u, shape.powers)):
                code.write(f"{side}_sum{q} += {value}")
    code.write(f"sums = partial + (child * {2 * shape.blocks} + block) * {len(shape.powers)}")
    for s, side in enumerate("ab"):
        for q in powers:
            code.write(f"tl.store(sums + {s * shape.blocks * len(shape.powers) + q}, tl.sum({side}_sum{q}, 0))")
    return str(code)


def raised(code: Code, u: str, powers: Sequence[float]) -> list[str]:
    """Powers of a number that is not negative, each in as few products as show: 0 to any power is 0."""
    squares, roots = [u], {0.5: ""}

    def whole(exponent: int) -> str:
        while len(squares) < exponent.bit_length():
            squares.append(code.let("p", f"{squares[-1]} * {squares[-1]}"))
        factors = [squares[bit] for bit in range(exponent.bit_length()) if exponent >> bit & 1]
        return factors[0] if len(factors) == 1 else code.let("p", " * ".join(factors))

    def rest(fraction: float) -> str:
        if not roots.get(fraction):
            power = f"tl.exp2({number(fraction)} * tl.log2(tl.maximum({u}, {TINY})))"
            text = f"tl.sqrt({u})" if fraction == 0.5 else f"tl.where({u} > 0, {power}, 0.0)"
            roots[fraction] = code.let("root", text)
        return roots[fraction]

    found = []
    for exponent in powers:
        integer, fraction = int(exponent), exponent - int(exponent)
        if not fraction:
            found.append(whole(integer))
        elif not integer:
            found.append(rest(fraction))
        else:
            found.append(code.let("p", f"{whole(integer)} * {rest(fraction)}"))
    return found
