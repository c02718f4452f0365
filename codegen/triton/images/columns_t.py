"""The kernel that goes on from moduli back to spectra of columns: `columns.py`, and its way back, in registers.

One program has a tile of neighbouring columns, as there: it transforms them, turns the cotangents of moduli into those
of what they are of, ``gU V / |V|``, and transforms these forward, into the place of what it read; neither the waves nor
their moduli reach memory. Cotangents come from as many as three *sources*: of moduli that were packed in pairs
(`pack`), whose shape they have; of averages, which `spread_rows` has spread along rows (`local`), or of sums (`total`).
What is written are the two images of a pair, whatever was read: of sums and differences the second is i times that.
"""

from __future__ import annotations

from collections.abc import Sequence

from scatc.codegen.code import Code, Plane
from scatc.codegen.triton import planes
from scatc.codegen.triton.fused import FusedCode
from scatc.codegen.triton.images.columns import Columns, inside, outputs, places, read
from scatc.codegen.triton.images.mixed import Group, mixed_fft, mixed_fft_back
from scatc.codegen.triton.modulus import turned
from scatc.codegen.triton.planes import At, unstacked
from scatc.codegen.triton.tuned import LEAST_DOT

NUMBERS = ("n", "pairs")
"""The last arguments of a kernel."""

MOST_STORED = 8
"""Planes that are stored at a time: of 32, threads would compute all addresses first, which takes registers."""


def parameters(columns: Columns) -> dict[str, str]:
    """Names and types of a kernel's arguments; `sinks` are the sources here."""
    found = {"Y": "*i64"} | ({"twiddles": "*i64"} if columns.split.turned else {})
    if {"local", "total"} & set(columns.sinks):
        found |= {"T": "*fp32"}
    if columns.multiplied:
        found |= {"phi_high": "*fp32", "phi_low": "*fp32"}
    if "pack" in columns.sinks:
        found |= {"G": "*fp32"}
    return found | dict.fromkeys(NUMBERS, "i32")


def body(columns: Columns) -> str:
    """The statements of the kernel."""
    code, split, width = FusedCode(), columns.split, columns.width
    found = mixed_fft(code, read(code, columns), split, columns.tile, 1, "twiddles", columns=True)
    code.write("# cotangents, with the phase of what they are of")
    spread = _spread(code, columns)
    if "pack" in columns.sinks:
        code.write(f"packed = G + (2 * ((child * pairs + pair) * {split.length * width} + x) + second)[None, :]")
    cotangents = []
    for group in found:
        given = _cotangents(code, columns, group, spread)
        waves = tuple(turned(code, wave, g) for wave, g in zip(group.planes, given, strict=True))
        cotangents.append(Group(group.start, group.stride, group.size, group.count, waves))
    back = mixed_fft_back(code, cotangents, split, columns.tile, -1, "twiddles", columns=True)
    if columns.paired:
        code.write(f"top += (second * {split.length * width})[None, :]")
        code.write("tl.debug_barrier()  # one image takes the place of what both were read from")
    _store(code, columns, back)
    return str(code)


def _store(code: Code, columns: Columns, back: Sequence[Plane]) -> None:
    """The planes of the first stage; from here on rows are in their own order."""
    split, width = columns.split, columns.width
    if not split.coprime:
        code.write(f"line = top + p * {width}")
    to, shape = range(0, split.length, split.second), (split.second, columns.tile)
    for at, (re, im) in planes.stacks(code, back, to, shape, MOST_STORED):
        place = f"line + {at} * {width}"
        if split.coprime:
            row = code.let("row", f"p * {split.first} + {at}")
            row = code.let("row", f"{row} - tl.where({row} < {split.length}, 0, {split.length})")
            place = f"top + {row} * {width}"
        here = code.let("here", at.pointers(place))
        code.write(f"tl.store({here}, both({re}, {im}), mask=there[None, :])")


def _cotangents(code: Code, columns: Columns, group: Group, spread: list[str]) -> list[str]:
    """The cotangents of the moduli of a group's planes."""
    products = _products(code, columns, group, spread[0]) if columns.multiplied else []
    packed = _packed(code, columns, group) if "pack" in columns.sinks else []
    found = []
    for q in range(len(group.planes)):
        terms = products[q : q + 1] + packed[q : q + 1]
        if spread and not products:
            terms.append(_sum(code, columns, spread, group.start + group.stride * q))
        found.append(" + ".join(terms))
    return found


def _packed(code: Code, columns: Columns, group: Group) -> list[str]:
    """The cotangents of moduli that were packed in pairs."""
    found, e = [], places(code, group)
    for some, y in outputs(code, columns, group, e):
        mask = f"live[None, :]{inside(group, e)}"
        to = code.let("to", y.pointers(f"packed + {y} * {2 * columns.width}"))
        g = code.let("g", f"tl.load({to}, mask={mask}, other=0.0)")
        found += unstacked(code, g, some.stop - some.start, (group.size, columns.tile)) if y.listed else [g]
    return found


def _products(code: Code, columns: Columns, group: Group, spread: str) -> list[str]:
    """What the matrix of averages makes of the cotangents of a group's planes, several of them at a time if short."""
    found: list[str] = []
    together = max(LEAST_DOT // group.size, 1)
    twos = ", 2" * (together.bit_length() - 1)
    for q in range(0, len(group.planes), together):
        some, r = min(len(group.planes) - q, together), code.let("r", f"tl.arange(0, {together * group.size})[:, None]")
        at = f"({group.start + group.stride * q} + {r} // {group.size} * {group.stride} + {r} % {group.size})"
        kept = f"({r} < {some * group.size}) & ({r} % {group.size} < {group.count})"
        at = code.let("at", f"{at} * {columns.padded} + tl.arange(0, {columns.padded})[None, :]")
        high, low = (code.let("a", f"tl.load(phi_{part} + {at}, mask={kept}, other=0.0)") for part in ("high", "low"))
        zero = f"tl.zeros(({together * group.size}, {columns.tile}), tl.float32)"
        g = code.let("g", f"product_left({zero}, {high}, {low}, {spread})")
        if together > 1:
            g = code.let("g", f"tl.permute(tl.reshape({g}, [{together}, {group.size}, {columns.tile}]), [1, 2, 0])")
            g = code.let("g", f"tl.reshape({g}, [{group.size}, {columns.tile}{twos}])")
        found += code.unstack(g, together)[:some]
    return found


def _spread(code: Code, columns: Columns) -> list[str]:
    """Cotangents of the averages of each column, one a name; for a product, all as one tensor."""
    if not {"local", "total"} & set(columns.sinks):
        return []
    outputs = max(columns.outputs, 1)
    code.write(f"place = T + ((child * n + signal) * {outputs * columns.width} + x)[None, :]")
    if columns.multiplied:
        o = code.let("o", f"tl.arange(0, {columns.padded})[:, None]")
        mask = f"live[None, :] & ({o} < {outputs})"
        return [code.let("t", f"tl.load(place + {o} * {columns.width}, mask={mask}, other=0.0)")]

    def cotangent(at: At) -> tuple[str]:
        return (code.let("t", f"tl.load({at.pointers(f'place + {at}')}, mask=live[None, :], other=0.0)"),)

    found = planes.read(code, range(0, outputs * columns.width, columns.width), (1, columns.tile), cotangent)
    return [t[0] for t in found if t is not None]


def _sum(code: Code, columns: Columns, spread: list[str], row: int) -> str:
    """What the averages of a column make of the cotangent of one of its samples; of all, where they are sums."""
    if not columns.weights:
        (total,) = spread
        return total
    terms = [(weights[row], t) for weights, t in zip(columns.weights, spread, strict=True) if weights[row]]
    return code.combine(terms) or code.let("zero", f"tl.zeros_like({spread[0]})")
