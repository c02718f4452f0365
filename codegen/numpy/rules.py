"""What the macro of each node kind needs: names, shapes and slices, as text."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from scatc.codegen.numpy.folding import buffers, steps, tails
from scatc.codegen.numpy.tables import is_slice, output_rows
from scatc.codegen.slices import alias_runs, hermitian_copies, index, shape_text, span, wrapped
from scatc.ir.lowpass import frames
from scatc.ir.nodes import Average, Fft, Fold, Ifft, Lowpass, Modulus, Node, Output, Pad, Unpad
from scatc.ir.values import Value

if TYPE_CHECKING:
    from scatc.codegen.numpy.emitter import Emitter


def _pad(e: Emitter, name: str, node: Pad, x: Value, y: Value) -> dict[str, object]:
    inner = index(*(span(left, left + n) for (left, _), n in zip(node.widths, x.shape, strict=True)))
    return {
        "shape": shape_text("n", *y.shape),
        "offset": e.offset(name),
        "mode": node.mode,
        "axes": e.spec.dim,
        "inner": inner,
    }


def _fft(e: Emitter, name: str, node: Fft, x: Value, y: Value) -> dict[str, object]:
    # the input is the caller's: only a padded copy of it may be changed
    centred = ("-=" if node.x != "x" else "= x -") if node.centred else ""
    common: dict[str, object] = {"centred": centred, "mean_axes": e.last_axes}
    if not node.box:
        return common | {"whole": True, "forward": f"fft{e.suffix}", "axes": e.axes}
    return common | {
        "whole": False,
        "half": f"rfft{e.suffix}",
        "axes": e.axes,
        "shape": shape_text(e.rows(name), *y.shape),
        "offset": e.offset(name),
        "copies": list(hermitian_copies(node.box, x.grid)),
    }


def _fold(e: Emitter, name: str, node: Fold, x: Value, y: Value) -> dict[str, object]:
    if node.half:
        return _fold_half(e, name, node, x, y)
    widths = node.widths or x.grid
    split = e.program.split(name)
    chunk = e.chunk(name) if split else ":"
    filters = f"{chunk}.stop - {chunk}.start" if split else str(len(node.indices))
    # in a vector, components have an axis of their own, behind that of filters
    vector = [y.components] * (e.vector and y.components > 1)
    component = "" if vector else ", m" if y.components > 1 else ", 0"
    gathered = len(set(node.starts)) > 1
    e.gathers |= gathered
    stages, place = [], e.program.rows[name] * prod((*vector, *y.grid))
    for stage, shape in buffers(widths, y.grid).items():
        offset = e.offset(name, 2 * e.options.itemsize * place)
        stages.append(
            SimpleNamespace(name=stage, shape=shape_text(e.rows(node.x), filters, *vector, *shape), offset=offset)
        )
        place += e.program.rows[name] * prod((*vector, *shape))
    into = stages[0].name if stages else name
    fills = bool(stages) or widths == y.grid
    return {
        "shape": shape_text(e.rows(node.x), filters, *vector, *y.grid),
        "offset": e.offset(name),
        "stages": stages,
        "spread": "[:, :, None]" if vector else "",
        "gathered": gathered,
        "window": shape_text(*widths),
        "window_axes": shape_text(*range(1, e.spec.dim + 1)),
        "starts": ", ".join(f"{name}_start{a}" + (f"[{chunk}]" if split else "") for a in range(e.spec.dim)),
        "target": into if fills else f"{into}[{index(*(span(0, w) for w in widths))}]",
        "w": f"{name}_w[{chunk}{component}]",
        "pieces": _pieces(e, node, x, into, fills, f"{name}_w[{chunk}{component}", bool(vector)),
        "tails": tails(widths, y.grid),
        "steps": list(steps(widths, y.grid, name)),
        "flat": ", ".join(map(str, (e.rows(name), *vector, *y.grid))),
    }


def _pieces(
    e: Emitter, node: Fold, x: Value, into: str, fills: bool, w: str, vector: bool
) -> list[tuple[str, str, str]]:
    """(target, read, filter) of each part of a window, the same for all filters, that lies in one run.

    A box in natural order holds any window in one part; a spectrum in FFT order may hold it in two on each axis.
    """
    widths = node.widths or x.grid
    start = node.starts[0] if node.starts else (0,) * e.spec.dim
    runs = []
    for s, w_, n, held, box in zip(start, widths, x.grid, x.shape, x.band or (None,) * e.spec.dim, strict=True):
        parts = list(wrapped((s, s + w_), n)) if box is None else [(0, s - box[0], w_)]
        runs.append([(span(p, p + c), ":" if c == held else span(f, f + c)) for p, f, c in parts])
    pieces = []
    for run in product(*runs):
        targets, read = [t for t, _ in run], ", ".join((":", *["None"] * (1 + vector), *(r for _, r in run)))
        whole = all(len(parts) == 1 for parts in runs)
        target = into if whole and fills else f"{into}[{index(*targets)}]"
        pieces.append((target, read, w + ("]" if whole else f"{', :' * vector}, {', '.join(targets)}]")))
    return pieces


def _fold_half(e: Emitter, name: str, node: Fold, x: Value, y: Value) -> dict[str, object]:
    widths = node.widths or x.grid
    start = node.starts[0] if node.starts else (0,) * e.spec.dim
    low = [a for a, _ in x.band] if x.band else [0] * e.spec.dim
    runs = [list(alias_runs(s, w, m, keep)) for s, w, m, keep in zip(start, widths, y.grid, y.shape, strict=True)]
    return {
        "macro": "fold_half",
        "w": f"{name}_w",
        "shape": shape_text(e.rows(name), *y.shape),
        "read": index(*(span(s - a, s - a + w) for s, a, w in zip(start, low, widths, strict=True))),
        "aliases": [(index(*(t for t, _ in r)), index(*(s for _, s in r))) for r in product(*runs)],
    }


def _ifft(e: Emitter, name: str, node: Ifft, x: Value, y: Value) -> dict[str, object]:
    if not node.real:
        return {"real": False, "inverse": f"ifft{e.suffix}", "axes": e.axes}
    lengths = str(y.shape[0]) if e.spec.dim == 1 else str(y.shape)
    return {"real": True, "inverse": f"irfft{e.suffix}", "axes": e.axes, "lengths": lengths}


def _modulus(e: Emitter, name: str, node: Modulus, x: Value, y: Value) -> dict[str, object]:
    size = e.program.rows[name] * prod(y.shape) * e.options.itemsize
    return {
        "shape": shape_text(e.rows(name), *y.shape),
        "offset": e.offset(name),
        "components": x.components,
        "square": e.offset(name, size),
    }


def _lowpass(e: Emitter, name: str, node: Lowpass, x: Value, y: Value) -> dict[str, object]:
    """Last axis first; every step reads the result of the one before."""
    source, shape, steps = node.x, list(x.shape), []
    for axis in reversed(range(e.spec.dim)):
        outputs = node.kept[axis][1] - node.kept[axis][0]
        matrix, last = f"{name}_a{axis}", axis == e.spec.dim - 1
        if node.methods[axis] == "dense":
            steps.append(SimpleNamespace(dense=f"{source} @ {matrix}" if last else f"{matrix} @ {source}"))
        else:
            layout = frames(node.kept[axis], node.by, node.taps[axis])
            tail = ", :" * (e.spec.dim - 1 - axis)
            lead, rest = ["-1", *map(str, shape[:axis])], list(map(str, shape[axis + 1 :]))
            g, joined = layout.outputs, layout.blocks * layout.outputs
            early, late = (f"..., :-1, :{g}", f"..., 1:, {g}:") if last else (f"..., :-1, :{g}, :", f"..., 1:, {g}:, :")
            steps.append(
                SimpleNamespace(
                    dense="",
                    x=source,
                    span=f"..., {layout.base}:{layout.stop}{tail}",
                    framed=", ".join([*lead, str(layout.blocks + 1), str(layout.length), *rest]),
                    product=f"frames @ {matrix}" if last else f"{matrix} @ frames",
                    early=early,
                    late=late,
                    joined=", ".join([*lead, str(joined), *rest]),
                    kept="" if joined == outputs else f"[..., :{outputs}{tail}]",
                )
            )
        shape[axis], source = outputs, name
    return {"steps": steps}


def _average(e: Emitter, name: str, node: Average, x: Value, y: Value) -> dict[str, object]:
    return {
        "mode": node.mode,
        "axes": e.last_axes,
        "powers": node.powers,
        "rows": e.rows(name),
    }


def _unpad(e: Emitter, name: str, node: Unpad, x: Value, y: Value) -> dict[str, object]:
    return {"kept": index(*(span(a, b) for a, b in node.kept))}


def _output(e: Emitter, name: str, node: Output, x: Value, y: Value) -> dict[str, object]:
    group, rows, shape = output_rows(e.program, name)
    around = e.program.around[name]
    if any(e.program.split(f) for f in around):
        picks = [e.chunk(f) if e.program.split(f) else ":" for f in around]
        where = f"{name}_rows[{', '.join(picks)}]" + (".reshape(-1)" if len(shape) > 1 else "")
    else:
        where = span(rows[0], rows[-1] + 1) if is_slice(rows) else f"{name}_rows" + ".reshape(-1)" * (len(shape) > 1)
    count = f"{e.rows(name)} // n" if any(map(e.program.split, around)) else str(len(rows))
    return {"out": f"out{group}", "rows": where, "shape": ", ".join(map(str, ("n", count, *y.shape)))}


RULES: dict[type[Node], Callable[[Emitter, str, Any, Value, Value], dict[str, object]]] = {
    Pad: _pad,
    Fft: _fft,
    Fold: _fold,
    Ifft: _ifft,
    Modulus: _modulus,
    Lowpass: _lowpass,
    Average: _average,
    Unpad: _unpad,
    Output: _output,
}
