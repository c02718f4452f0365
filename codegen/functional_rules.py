"""What the templates of each node kind need to know of a node: shapes, slices and axes, mostly as text.

Arrays are `(n, paths, *samples)`; where a norm over components follows, `(n, paths, components, *samples)`. The batch n
is never written as a number: shapes say -1 for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from scatc.codegen.functional_tables import lowpass_table, toeplitz, windows
from scatc.codegen.slices import index, progression, shape_text, span, wrapped
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import frames
from scatc.ir.nodes import Average, Fft, Fold, Ifft, Lowpass, Modulus, Node, Pad, Ripple, Stack, Unpad
from scatc.ir.values import Value

if TYPE_CHECKING:
    from scatc.codegen.functional import Emitter

Rule = Callable[["Emitter", str, Any, Value, Value], dict[str, object]]

WHOLE = ":"


def sample_axes(dim: int) -> tuple[int, ...]:
    """The axes of samples, counted from behind."""
    return tuple(range(-dim, 0))


def axis_slice(dim: int, axis: int, part: str) -> str:
    """An index that takes a part of one axis of samples."""
    return index(*(part if a == axis else WHOLE for a in sample_axes(dim)))


def _pad(e: Emitter, name: str, node: Pad, x: Value, y: Value) -> dict[str, object]:
    """`widths`: (left, right) of every axis of samples; `steps`: for each, what to join, mirrored or not."""
    steps = []
    for axis, n, width in zip(sample_axes(e.dim), x.shape, node.widths, strict=True):
        if node.mode != "zero" and width != (0, 0):
            found = runs(extension_index(n, *width, cast(Padding, node.mode)).tolist())
            steps.append(SimpleNamespace(axis=axis, parts=[_part(e.dim, axis, run, n) for run in found]))
    return {"mode": node.mode, "widths": node.widths, "steps": steps}


def runs(indices: list[int]) -> Iterator[tuple[int, int, bool]]:
    """Cut indices into the longest runs that rise or fall by one: (lowest, number, falling)."""
    start = 0
    while start < len(indices):
        stop, step = start + 1, 0
        while stop < len(indices) and abs(d := indices[stop] - indices[stop - 1]) == 1 and step in (0, d):
            stop, step = stop + 1, d
        yield min(indices[start], indices[stop - 1]), stop - start, step < 0
        start = stop


def _part(dim: int, axis: int, run: tuple[int, int, bool], n: int) -> SimpleNamespace:
    first, count, falling = run
    return SimpleNamespace(
        whole=count == n, read=axis_slice(dim, axis, span(first, first + count)), axes=(axis,) if falling else ()
    )


def _fft(e: Emitter, name: str, node: Fft, x: Value, y: Value) -> dict[str, object]:
    """`whole`: all bins in FFT order. Otherwise `rows` and `mirrored` are, for all axes but the last, how to gather the
    bins of the box and those at the negated frequencies, and `parts` what to join on the last axis.
    """
    common: dict[str, object] = {"centred": node.centred, "axes": sample_axes(e.dim), "real": node.real}
    if not node.box:
        return common | {"whole": True}
    *others, last = node.box
    parts = list(_last_axis_parts(e.dim, last, x.grid[-1]))
    rows, mirrored = [], []
    for axis, (start, stop), n in zip(sample_axes(e.dim), others, x.grid[:-1], strict=False):
        rows += _gather(e.dim, axis, (start, stop), n)
        mirrored += _gather(e.dim, axis, (1 - stop, 1 - start), n)
    return common | {
        "whole": False,
        "rows": rows,
        "mirrored": mirrored if any(part.mirrored for part in parts) else [],
        "parts": parts,
    }


def _gather(dim: int, axis: int, box: tuple[int, int], n: int) -> list[SimpleNamespace]:
    """How to gather bins in natural order, on one axis, out of an array in FFT order; nothing if it is in order."""
    runs = [(first, count) for _, first, count in wrapped(box, n)]
    if runs == [(0, n)]:
        return []
    return [SimpleNamespace(axis=axis, reads=[axis_slice(dim, axis, span(a, a + c)) for a, c in runs])]


def _last_axis_parts(dim: int, box: tuple[int, int], n: int) -> Iterator[SimpleNamespace]:
    """Runs of the halved axis, in order: bins that are held, or conjugates of those at the negated frequency."""
    k, stop = box
    while k < stop:
        first = k % n
        held = first <= n // 2
        count = min((n // 2 + 1 if held else n) - first, stop - k)
        low = first if held else n - first - count + 1
        whole = count == n // 2 + 1
        yield SimpleNamespace(mirrored=not held, whole=whole, read=axis_slice(dim, -1, span(low, low + count)))
        k += count


def _fold(e: Emitter, name: str, node: Fold, x: Value, y: Value) -> dict[str, object]:
    """How the windows are read (`gathers`, then `read`, or `reads` where each filter has its own), what is padded
    around the product so that every axis holds whole aliases (`pads`), and how these are added.
    """
    boxes = windows(node, x)
    widths, start = tuple(b - a for a, b in boxes[0]), tuple(a for a, _ in boxes[0])
    lead = [WHOLE, WHOLE]
    grouped = x.paths > 1 and len(node.indices) > 1
    new = ["None"] * grouped + ["None"] * e.components
    left = [0 if node.shifted else s % m for s, m in zip(start, y.grid, strict=True)]
    aliases = [-(-(a + w) // m) for a, w, m in zip(left, widths, y.grid, strict=True)]
    pads = [(a, c * m - a - w) for a, w, c, m in zip(left, widths, aliases, y.grid, strict=True)]
    rows = [y.paths, *([y.components] if e.components else [])]
    split = [size for c, m in zip(aliases, y.grid, strict=True) for size in ((c, m) if c > 1 else (m,))]
    context: dict[str, object] = {
        "w": e.filters[name],
        "pads": pads if any(map(any, pads)) else [],
        "lead_axes": 2 + grouped + e.components,
        "split": shape_text(-1, *rows, *split) if grouped or len(split) > e.dim else "",
        "alias_axes": _alias_axes(aliases),
        "keep": index(*(span(0, k) for k in y.shape)) if y.shape != y.grid else "",
    }
    low = [a for a, _ in x.band] if x.band else [0] * e.dim
    if len(set(node.starts)) > 1:
        return context | _own_windows(e, node, low, widths, grouped)
    gathers, reads = [], []
    for axis, s, a, w, n, held in zip(sample_axes(e.dim), start, low, widths, x.grid, x.shape, strict=True):
        if not x.band and s % n + w > n:
            gathers += _gather(e.dim, axis, (s, s + w), n)
            reads.append(WHOLE)
        else:
            first = s - a if x.band else s % n
            reads.append(WHOLE if w == held else span(first, first + w))
    whole = not new and set(reads) == {WHOLE}
    return context | {"gathers": gathers, "read": "" if whole else ", ".join([*lead, *new, *reads]), "starts": ()}


def _own_windows(e: Emitter, node: Fold, low: list[int], widths: tuple[int, ...], grouped: bool) -> dict[str, object]:
    """One slice for each filter, to be stacked on the axis of filters (joined there, if the spectrum has one path)."""
    variables = [f"k{axis}" if e.dim > 1 else "k" for axis in range(e.dim)]
    starts = [tuple(s - a for s, a in zip(start, low, strict=True)) for start in node.starts]
    reads = [f"{k}:{k} + {w}" for k, w in zip(variables, widths, strict=True)]
    return {
        "gathers": [],
        "variables": ", ".join(variables),
        "starts": starts if e.dim > 1 else [s for (s,) in starts],
        "read": ", ".join([WHOLE, WHOLE, *(["None"] if e.components else []), *reads]),
        "stacked": grouped,
    }


def _alias_axes(aliases: list[int]) -> tuple[int, ...]:
    """The axes of aliases, counted from behind, in the shape where each axis of several aliases is split in two."""
    found, behind = [], 0
    for count in reversed(aliases):
        behind += 1
        if count > 1:
            behind += 1
            found.append(-behind)
    return tuple(reversed(found))


def _ifft(e: Emitter, name: str, node: Ifft, x: Value, y: Value) -> dict[str, object]:
    return {"real": node.real, "axes": sample_axes(e.dim), "lengths": y.shape}


def _modulus(e: Emitter, name: str, node: Modulus, x: Value, y: Value) -> dict[str, object]:
    return {"components": e.components}


def _lowpass(e: Emitter, name: str, node: Lowpass, x: Value, y: Value) -> dict[str, object]:
    """`steps`: a matrix product for each axis, last axis first; each reads the result of the one before.

    Where tables are compact, `phi` says how the matrix is made.
    """
    source, shape, steps = node.x, list(x.shape), []
    for axis in reversed(range(e.dim)):
        table, last = lowpass_table(node, axis), axis == e.dim - 1
        form = toeplitz(e.spec, node, axis)
        phi = (
            SimpleNamespace(table=table, rows=form.rows, step=form.step, width=form.width, transposed=last)
            if e.target.compact
            else None
        )
        matrix = "phi" if phi else table
        if node.methods[axis] == "dense":
            step = SimpleNamespace(dense=f"{source} @ {matrix}" if last else f"{matrix} @ {source}", x=source)
        else:
            step = _banded_step(node, axis, source, matrix, shape, y.paths)
        step.phi = phi
        steps.append(step)
        shape[axis], source = node.kept[axis][1] - node.kept[axis][0], name
    return {"steps": steps}


def _banded_step(node: Lowpass, axis: int, source: str, matrix: str, shape: list[int], paths: int) -> SimpleNamespace:
    """A product of frames with a small matrix: frame f gives half of block f - 1, and half of block f."""
    layout = frames(node.kept[axis], node.by, node.taps[axis])
    last = axis == len(shape) - 1
    tail = ", :" * (len(shape) - 1 - axis)
    before, behind = shape[:axis], shape[axis + 1 :]
    g, joined = layout.outputs, layout.blocks * layout.outputs
    outputs = node.kept[axis][1] - node.kept[axis][0]
    return SimpleNamespace(
        dense="",
        x=source,
        span=f"..., {layout.base}:{layout.stop}{tail}",
        framed=shape_text(-1, paths, *before, layout.blocks + 1, layout.length, *behind),
        product=f"frames @ {matrix}" if last else f"{matrix} @ frames",
        early=f"..., :-1, {g}:" + ("" if last else ", :"),
        late=f"..., 1:, :{g}" + ("" if last else ", :"),
        joined=shape_text(-1, paths, *before, joined, *behind),
        kept="" if joined == outputs else f"..., :{outputs}{tail}",
    )


def _average(e: Emitter, name: str, node: Average, x: Value, y: Value) -> dict[str, object]:
    """`flat`: the shape with one axis of samples."""
    return {
        "mode": node.mode,
        "axes": sample_axes(e.dim),
        "powers": node.powers,
        "flat": shape_text(-1, x.paths, prod(x.shape)),
    }


def _unpad(e: Emitter, name: str, node: Unpad, x: Value, y: Value) -> dict[str, object]:
    return {"kept": index(*(span(a, b) for a, b in node.kept))}


def _stack(e: Emitter, name: str, node: Stack, x: Value, y: Value) -> dict[str, object]:
    """`parts`: what is joined; `rows`: what is read of it, a slice or a table, if not all."""
    return {"parts": list(node.operands), "rows": progression(node.rows) or (f"{name}_rows" if node.rows else "")}


def _ripple(e: Emitter, name: str, node: Ripple, x: Value, y: Value) -> dict[str, object]:
    """`filter`, `phi`: matrices, the latter if there is one; `cast`: whether a complex matrix meets real rows."""
    filter, *phi = e.ripples[name]
    return {"filter": filter, "phi": "".join(phi), "mode": node.mode, "cast": x.real}


RULES: dict[type[Node], Rule] = {
    Pad: _pad,
    Fft: _fft,
    Fold: _fold,
    Ifft: _ifft,
    Modulus: _modulus,
    Lowpass: _lowpass,
    Average: _average,
    Unpad: _unpad,
    Stack: _stack,
    Ripple: _ripple,
}
"""By node kind; a target may put its own beside these."""
