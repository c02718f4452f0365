"""Writes the kernel of what has no opposite: the bins of even grids that stand at the Nyquist frequency of an axis.

On such a grid a filter without parity is H + iK with a K that is zero but on three planes of bins, one for each axis.
What it makes of a volume is a sum of three images, each repeated along its axis with alternating signs,

    (A * k)[z, y, x] = (-1)^z a[y, x] + (-1)^y b[z, x] + (-1)^x c[z, y]

so that no volume has to be transformed for it. `edge` multiplies one plane, the library transforms it, and `last` adds
the three. A bin of several planes is counted to the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from scatc.codegen.code import Code
from scatc.codegen.triton.volumes.harmonic import Harmonic, evaluate
from scatc.codegen.triton.volumes.solid import AXES, BLOCK, product, waves

EDGE = {"X": "*i64", **{f"{axis}_waves": "*fp32" for axis in AXES}, "E": "*i64", "rows": "i32"}
"""Arguments, and their types."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What the kernel is specialised to: the filters, the sides of a volume, and which axis is at its Nyquist bin."""

    harmonic: Harmonic
    shape: tuple[int, int, int]
    axis: int

    @property
    def sides(self) -> tuple[int, int]:
        """Of the plane."""
        a, b = (size for axis, size in enumerate(self.shape) if axis != self.axis)
        return a, b

    @property
    def tiles(self) -> int:
        """Programs of a row."""
        a, b = self.sides
        return -(-a * b // BLOCK)


def edge(shape: Edge) -> str:
    """The statements."""
    code, (outer, inner) = Code(), shape.sides
    nz, ny, nx = shape.shape
    code.write(
        f"row = (tl.program_id(0) // {shape.tiles}).to(tl.int64)",
        f"i = (tl.program_id(0) % {shape.tiles}) * {BLOCK} + tl.arange(0, {BLOCK})",
        f"i = tl.minimum(i, {outer * inner - 1})  # what is behind the last is that once more",
    )
    others = iter((f"i // {inner}", f"i % {inner}"))
    for axis, (name, size) in enumerate(zip(AXES, shape.shape, strict=True)):
        code.write(
            f"{name}_bin = tl.zeros_like(i) + {size // 2}" if axis == shape.axis else f"{name}_bin = {next(others)}"
        )
    here = waves(code, {name: f"{name}_bin" for name in AXES}, shape.shape)
    turned = {name: f"({size} - {name}_bin) % {size}" for name, size in zip(AXES, shape.shape, strict=True)}
    found = evaluate(code, shape.harmonic, here, waves(code, turned, shape.shape))[1::2]
    code.write(f"z = tl.load(X + row * {nz * ny * nx} + (z_bin * {ny} + y_bin) * {nx} + x_bin)")
    before = [f"({AXES[axis]}_bin != {shape.shape[axis] // 2})" for axis in range(shape.axis)]
    if before:
        code.write(f"z = tl.where({' & '.join(before)}, z, 0)")
    code.write("re, im = high(z), -low(z)" if shape.harmonic.swaps else "re, im = low(z), high(z)")
    for f, factor in enumerate(found):
        re, im = product(("re", "im"), factor)
        code.write(f"tl.store(E + ({f} * rows + row) * {outer * inner} + i, both({re}, {im}))")
    return str(code)
