"""What the templates of the transposed kinds need to know of a node. (`functional_rules.py` has the other kinds.)

Arrays are laid out as in the forward code. What adds to a value writes in place: no derivative is taken of this code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from scatc.codegen.functional_rules import axis_slice, runs, sample_axes
from scatc.codegen.functional_tables import lowpass_table, windows
from scatc.codegen.slices import index, shape_text, span, wrapped
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import frames
from scatc.ir.nodes import Node
from scatc.ir.transposed import (
    AverageT,
    Blank,
    Cotangent,
    FftT,
    FoldT,
    Gradient,
    IfftT,
    Load,
    LowpassT,
    ModulusT,
    PadT,
    Store,
    Sum,
    UnpadT,
)
from scatc.ir.values import Value

if TYPE_CHECKING:
    from scatc.codegen.torch.emitter import GradientEmitter

Pieces = list[tuple[str, str]]
"""Indices (target, source) of parts that are added to one another."""


def _nothing(e: GradientEmitter, name: str, node: Node, x: Value, y: Value) -> dict[str, object]:
    return {}


def _cotangent(e: GradientEmitter, name: str, node: Cotangent, x: Value, y: Value) -> dict[str, object]:
    group, row = e.place(node)
    return {"g": f"g{group}", "rows": span(row, row + len(node.paths))}


def _sum(e: GradientEmitter, name: str, node: Sum, x: Value, y: Value) -> dict[str, object]:
    return {"y": node.y}


def _slot(e: GradientEmitter, name: str, node: Store | Load, x: Value, y: Value) -> dict[str, object]:
    return {"slot": node.slot}


def _blank(e: GradientEmitter, name: str, node: Blank, x: Value, y: Value) -> dict[str, object]:
    return {"shape": shape_text(f"len({node.x})", y.paths, *y.shape)}


def _pad_t(e: GradientEmitter, name: str, node: PadT, x: Value, y: Value) -> dict[str, object]:
    """`inner`: the samples that are no padding; `steps`: last axis first, the repeated samples that are added."""
    axes = list(zip(sample_axes(e.dim), y.shape, node.widths, strict=True))
    if node.mode == "zero":
        return {"inner": index(*(span(left, left + n) for _, n, (left, _) in axes)), "steps": []}
    steps = []
    for axis, n, (left, right) in reversed(axes):
        if (left, right) == (0, 0):
            continue
        parts, k = [], 0
        for first, count, falling in runs(extension_index(n, left, right, cast(Padding, node.mode)).tolist()):
            target, source = (axis_slice(e.dim, axis, span(a, a + count)) for a in (first, k))
            parts.append(SimpleNamespace(target=target, source=source, flip=falling))
            k += count
        steps.append(SimpleNamespace(axis=axis, whole=axis_slice(e.dim, axis, span(0, n)), parts=parts))
    return {"inner": "", "steps": steps}


def _fft_t(e: GradientEmitter, name: str, node: FftT, x: Value, y: Value) -> dict[str, object]:
    """`pieces`: where the bins of the box lie in FFT order; several may fall on one."""
    boxes = [wrapped(box, n) for box, n in zip(node.box, x.grid, strict=False)]
    return {
        "shape": shape_text(f"len({node.x})", y.paths, *x.grid),
        "pieces": list(_pieces(boxes)),
        "real": node.real,
        "centred": node.centred,
        "axes": sample_axes(e.dim),
    }


def _pieces(runs: list[Iterator[tuple[int, int, int]]]) -> Iterator[tuple[str, str]]:
    """Of runs (source, target, length) on each axis: the indices (target, source) of the parts they make."""
    if not runs:
        return
    for part in product(*runs):
        yield index(*(span(t, t + n) for _, t, n in part)), index(*(span(s, s + n) for s, _, n in part))


def _ifft_t(e: GradientEmitter, name: str, node: IfftT, x: Value, y: Value) -> dict[str, object]:
    return {"real": node.real, "inner": span(1, (x.shape[-1] + 1) // 2), "axes": sample_axes(e.dim)}


def _fold_t(e: GradientEmitter, name: str, node: FoldT, x: Value, y: Value) -> dict[str, object]:
    """How x is laid out at every alias (`split`, `tail`, `repeats`), cropped to the window, and summed (`axes`) over
    components and, unless each has its own window (`starts`), over filters; and where that is added.
    """
    boxes = windows(cast(Any, node), y)  # it has what a fold has
    widths, start = tuple(b - a for a, b in boxes[0]), tuple(a for a, _ in boxes[0])
    grid, count = x.grid, len(node.indices)
    left = [0 if node.shifted else s % m for s, m in zip(start, grid, strict=True)]
    aliases = [-(-(a + w) // m) for a, w, m in zip(left, widths, grid, strict=True)]
    crop = [
        span(a, a + w) if (a, w) != (0, c * m) else ":" for a, w, c, m in zip(left, widths, aliases, grid, strict=True)
    ]
    several = count > 1
    rows = [y.paths, *([count] if several else []), *([x.components] if e.components else [])]
    own = len(set(node.starts)) > 1
    held = [a for a, _ in y.band] if y.band else [0] * e.dim
    context: dict[str, object] = {
        "into": node.into,
        "w": e.filters[node.x.removeprefix("g")],
        "split": shape_text(-1, *rows, *x.shape),
        "tail": grid[-1] - x.shape[-1],
        "repeats": shape_text(*(1,) * (1 + len(rows)), *aliases) if prod(aliases) > 1 else "",
        "crop": index(*crop) if set(crop) != {":"} else "",
        "conj": e.dim == 3,  # tables of 1D and 2D filters are real
        "axes": tuple(([2] if several and not own else []) + ([2 + several] if e.components else [])),
        "starts": (),
    }
    if own:
        variables = [f"k{axis}" if e.dim > 1 else "k" for axis in range(e.dim)]
        starts = [tuple(s - a for s, a in zip(each, held, strict=True)) for each in node.starts]
        return context | {
            "starts": starts if e.dim > 1 else [s for (s,) in starts],
            "variables": f"({', '.join(variables)})" if e.dim > 1 else variables[0],
            "target": index(*(f"{k}:{k} + {w}" for k, w in zip(variables, widths, strict=True))),
        }
    placed = [
        iter([(0, s - a, w)]) if y.band else wrapped((s, s + w), n)
        for s, a, w, n in zip(start, held, widths, y.grid, strict=True)
    ]
    return context | {"pieces": list(_pieces(placed))}


def _modulus_t(e: GradientEmitter, name: str, node: ModulusT, x: Value, y: Value) -> dict[str, object]:
    return {"u": node.u, "v": node.v, "components": e.components}


def _average_t(e: GradientEmitter, name: str, node: AverageT, x: Value, y: Value) -> dict[str, object]:
    return {"u": node.u, "mode": node.mode, "powers": node.powers, "shape": shape_text(-1, y.paths, *(1,) * e.dim)}


def _unpad_t(e: GradientEmitter, name: str, node: UnpadT, x: Value, y: Value) -> dict[str, object]:
    return {"pads": [(a, n - b) for (a, b), n in zip(node.kept, y.shape, strict=True)]}


def _lowpass_t(e: GradientEmitter, name: str, node: LowpassT, x: Value, y: Value) -> dict[str, object]:
    """`steps`: a product with the transposed matrix for each axis, first axis first."""
    source, shape, steps = node.x, list(x.shape), []
    for axis in range(e.dim):
        last, matrix = axis == e.dim - 1, lowpass_table(cast(Any, node), axis)
        if node.methods[axis] == "dense":
            steps.append(SimpleNamespace(dense=f"{source} @ {matrix}.T" if last else f"{matrix}.T @ {source}"))
        else:
            steps.append(_banded_step(node, axis, source, matrix, shape, x.paths, y.shape[axis]))
        shape[axis], source = y.shape[axis], name
    return {"steps": steps}


def _banded_step(
    node: LowpassT, axis: int, source: str, matrix: str, shape: list[int], paths: int, n: int
) -> SimpleNamespace:
    """The transpose of a product of frames with a small matrix: frame f reads blocks f - 1 and f, and adds to nothing
    but its own samples.
    """
    layout = frames(node.kept[axis], node.by, node.taps[axis])
    behind = len(shape) - 1 - axis
    before, after = shape[:axis], shape[axis + 1 :]
    joined = layout.blocks * layout.outputs
    return SimpleNamespace(
        dense="",
        x=source,
        missing=_pads(behind, (0, joined - shape[axis])),
        blocks=shape_text(-1, paths, *before, layout.blocks, layout.outputs, *after),
        earlier=_pads(behind + 1, (1, 0)),
        later=_pads(behind + 1, (0, 1)),
        axis=-1 - behind,
        product=f"{matrix}.T @ halves" if behind else f"halves @ {matrix}.T",
        joined=shape_text(-1, paths, *before, (layout.blocks + 1) * layout.length, *after),
        outer=_pads(behind, (layout.base, n - layout.stop)),
    )


def _pads(behind: int, pads: tuple[int, int]) -> str:
    """The argument of `pad` for one axis with so many behind it; nothing if nothing is padded."""
    return shape_text(*(0,) * (2 * behind), *pads) if any(pads) else ""


TRANSPOSED: dict[type[Node], Callable[..., dict[str, object]]] = {
    Cotangent: _cotangent,
    Gradient: _nothing,
    Sum: _sum,
    Store: _slot,
    Load: _slot,
    Blank: _blank,
    PadT: _pad_t,
    FftT: _fft_t,
    IfftT: _ifft_t,
    FoldT: _fold_t,
    ModulusT: _modulus_t,
    AverageT: _average_t,
    UnpadT: _unpad_t,
    LowpassT: _lowpass_t,
}
