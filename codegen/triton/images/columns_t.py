"""The kernel that goes on from moduli back to spectra of columns: `columns.py`, and its way back, in registers.

One program has a tile of neighbouring columns, as there: it transforms them, turns the cotangents of moduli into those
of what they are of, ``gU V / |V|``, and transforms these forward, into the place of what it read; neither the waves nor
their moduli reach memory. Cotangents come from as many as three *sources*: of moduli that were packed in pairs
(`pack`), whose shape they have; of averages, which `spread_rows` has spread along rows (`local`), or of sums (`total`).
What is written are the two images of a pair, whatever was read: of sums and differences the second is i times that.
"""

from __future__ import annotations

from scatc.codegen.code import Code
from scatc.codegen.triton.fused import FusedCode
from scatc.codegen.triton.images.columns import Columns, inside, places, read
from scatc.codegen.triton.images.mixed import Group, mixed_fft, mixed_fft_back

NUMBERS = ("n", "pairs")
"""The last arguments of a kernel."""


def parameters(columns: Columns) -> dict[str, str]:
    """Names and types of a kernel's arguments; `sinks` are the sources here."""
    found = {"Y": "*i64", "twiddles": "*i64"}
    if {"local", "total"} & set(columns.sinks):
        found |= {"T": "*fp32"}
    if "pack" in columns.sinks:
        found |= {"G": "*fp32"}
    return found | dict.fromkeys(NUMBERS, "i32")


def body(columns: Columns) -> str:
    """The statements of the kernel."""
    code, split, width = FusedCode(), columns.split, columns.width
    planes = read(code, columns)
    found = mixed_fft(code, planes, split, columns.tile, 1, "twiddles", columns=True)
    code.write("# cotangents, with the phase of what they are of")
    spread = _spread(code, columns)
    if "pack" in columns.sinks:
        code.write(f"packed = G + (2 * ((child * pairs + pair) * {split.length * width} + x) + second)[None, :]")
    turned = []
    for group in found:
        e, waves = places(code, group), []
        for q, (re, im) in enumerate(group.planes):
            terms = [_sum(code, columns, spread, group.start + group.stride * q)] if spread else []
            if "pack" in columns.sinks:
                at = f"packed + ({e} + {group.stride * q}) * {2 * width}"
                terms.append(code.let("g", f"tl.load({at}, mask=live[None, :]{inside(group, e)}, other=0.0)"))
            u = code.let("u", f"tl.sqrt({re} * {re} + {im} * {im})")
            g = f"tl.where({u} > 0, {' + '.join(terms)}, 0.0)"
            slope = code.let("slope", f"{g} / tl.where({u} > 0, {u}, 1.0)")
            waves.append(code.pair(f"{re} * {slope}", f"{im} * {slope}"))
        turned.append(Group(group.start, group.stride, group.size, group.count, tuple(waves)))
    back = mixed_fft_back(code, turned, split, columns.tile, -1, "twiddles", columns=True)
    if columns.paired:
        code.write(f"line += (second * {split.length * width})[None, :]")
        code.write("tl.debug_barrier()  # one image takes the place of what both were read from")
    for j, plane in enumerate(back):
        assert plane is not None
        at = j * split.second * width
        code.write(f"tl.store(line + {at}, both({plane[0]}, {plane[1]}), mask=there[None, :])")
    return str(code)


def _spread(code: Code, columns: Columns) -> list[str]:
    """Cotangents of the averages of each column, one a name."""
    if not {"local", "total"} & set(columns.sinks):
        return []
    outputs = max(columns.outputs, 1)
    code.write(f"place = T + ((child * n + signal) * {outputs * columns.width} + x)[None, :]")
    return [
        code.let("t", f"tl.load(place + {o * columns.width}, mask=live[None, :], other=0.0)") for o in range(outputs)
    ]


def _sum(code: Code, columns: Columns, spread: list[str], row: int) -> str:
    """What the averages of a column make of the cotangent of one of its samples; of all, where they are sums."""
    if not columns.weights:
        (total,) = spread
        return total
    terms = [(weights[row], t) for weights, t in zip(columns.weights, spread, strict=True) if weights[row]]
    return code.combine(terms) or code.let("zero", f"tl.zeros_like({spread[0]})")
