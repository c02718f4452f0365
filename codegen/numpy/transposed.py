"""What the macro of each transposed node kind needs: names, shapes and slices, as text (see `rules.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, product
from math import prod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scatc.codegen.numpy.tables import is_slice, output_rows, table_name
from scatc.codegen.slices import alias_runs, backwards, chunks, hermitian_copies, index, shape_text, span, wrapped
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
    from scatc.codegen.numpy.emitter import Emitter


SLAB = 1 << 17
"""Numbers of a volume that are worked on at a time: few enough to stay in a core's cache from one pass to the next, so
many that threads seldom wait for the interpreter's lock."""

AT_ONCE = 1 << 18
"""Numbers of all components of a volume's window up to which they are worked on together, in fewer calls."""

MOST_REPEATED = 1 << 16
"""Numbers in the longest window for which a spectrum is repeated: beyond, reading it in pieces moves fewer bytes."""


def _picks(e: Emitter, name: str) -> list[str]:
    """The index of each fold around a node, as text: the slice of its chunk, or all."""
    return [e.chunk(fold) if e.program.split(fold) else ":" for fold in e.program.within[name]]


def _cotangent(e: Emitter, name: str, node: Cotangent, x: Value, y: Value) -> dict[str, object]:
    group, rows, shape = output_rows(e.program, name)
    around = e.program.within[name]
    table = f"{table_name(name)}_rows"
    if any(map(e.program.split, around)):
        where = f"{table}[{', '.join(_picks(e, name))}]" + (".reshape(-1)" if len(shape) > 1 else "")
    else:
        where = span(rows[0], rows[-1] + 1) if is_slice(rows) else table + ".reshape(-1)" * (len(shape) > 1)
    return {"g": f"g{group}", "rows": where, "shape": shape_text(e.rows(name), *y.shape)}


def _stored(e: Emitter, name: str, y: Value) -> dict[str, object]:
    """Where one worker's share of a slot lies: an axis for each fold, one for components, then samples."""
    counts = []
    for fold, pick in zip(e.program.within[name], _picks(e, name), strict=True):
        counts.append(str(e.filters(fold)) if pick == ":" else f"{pick}.stop - {pick}.start")
    components = [y.components] * (y.components > 1)
    return {
        "picks": ", ".join([":", *_picks(e, name)]),
        "shape": shape_text("n", *counts, *components, *y.shape),
        "flat": shape_text(e.rows(name), *components, *y.shape),
    }


def _store(e: Emitter, name: str, node: Store, x: Value, y: Value) -> dict[str, object]:
    return {"slot": f"saved[{node.slot}]", **_stored(e, name, y)}


def _load(e: Emitter, name: str, node: Load, x: Value, y: Value) -> dict[str, object]:
    return {"slot": f"saved[{node.slot}]", "offset": e.offset(name), **_stored(e, name, y)}


def _blank(e: Emitter, name: str, node: Blank, x: Value, y: Value) -> dict[str, object]:
    return {"shape": shape_text(e.rows(name), *y.shape), "offset": e.offset(name)}


def _pad_t(e: Emitter, name: str, node: PadT, x: Value, y: Value) -> dict[str, object]:
    """One step an axis, the last first: the samples themselves, then each run of padding that repeats some."""
    steps, source = [], node.x
    for axis in reversed(range(e.spec.dim)):
        n, (left, right) = y.shape[axis], node.widths[axis]
        tail = [":"] * (e.spec.dim - 1 - axis)
        repeats = extension_index(n, left, right, cast(Padding, node.mode))
        runs = [(index(t, *tail), index(s, *tail)) for t, s in _repeats(repeats, left, n)]
        steps.append(SimpleNamespace(x=source, kept=index(span(left, left + n), *tail), runs=runs))
        source = name
    return {"steps": steps}


def _repeats(repeats: np.ndarray[Any, Any], left: int, n: int) -> Iterator[tuple[str, str]]:
    """(samples, padding) of each run of padding that repeats samples in order, or backwards."""
    for first, stop in ((0, left), (left + n, len(repeats))):
        cuts = [first]
        for i in range(first + 1, stop):
            steps = repeats[i] - repeats[i - 1], repeats[i - 1] - repeats[i - 2] if i - 1 > cuts[-1] else None
            if abs(steps[0]) != 1 or steps[1] not in (None, steps[0]):
                cuts.append(i)
        for a, b in pairwise([*cuts, stop]):
            low, high = sorted((int(repeats[a]), int(repeats[b - 1])))
            if a < b and low >= 0:  # -1 stands for zeros
                yield span(low, high + 1), span(a, b) if repeats[a] == low else backwards(b - 1, b - a)


def _fft_t(e: Emitter, name: str, node: FftT, x: Value, y: Value) -> dict[str, object]:
    box = node.box or tuple((0, n) for n in x.grid)
    n = x.grid[-1]
    return {
        "inverse": f"irfft{e.suffix}",
        "lengths": str(n) if e.spec.dim == 1 else str(y.shape),
        "axes": e.axes,
        "shape": shape_text(e.rows(name), *x.grid[:-1], n // 2 + 1),
        "offset": e.offset(name),
        "copies": list(hermitian_copies(box, x.grid)),
        "whole": not node.box,  # then the first copy fills the half spectrum
        "edges": ["0", *([str(n // 2)] if n % 2 == 0 else [])],
        "mean_axes": e.last_axes if node.centred else None,
    }


def _ifft_t(e: Emitter, name: str, node: IfftT, x: Value, y: Value) -> dict[str, object]:
    kind = "rfft" if node.real else "fft"
    return {
        "real": node.real,
        "forward": f"{kind}{e.suffix}",
        "axes": e.axes,
        "inner": span(1, (x.grid[-1] + 1) // 2),
    }


def _fold_t(e: Emitter, name: str, node: FoldT, x: Value, y: Value) -> dict[str, object]:
    """The window is multiplied, summed and added to where it came from: at once, or piece by piece."""
    if node.half:
        return _fold_half_t(e, node, x, y)
    fold = e.program.around[name][-1]
    chunk = e.chunk(fold) if e.program.split(fold) else ":"
    count = f"{chunk}.stop - {chunk}.start" if e.program.split(fold) else str(len(node.indices))
    table = table_name(node.x)
    gathered = len(set(node.starts)) > 1
    common = {
        "into": e.place(node.into),
        "offset": e.offset(name),
        "starts": [f"{table}_start{axis}[{chunk}].tolist()" for axis in range(e.spec.dim)] if gathered else [],
    }
    if e.spec.dim == 3:
        return common | _fold_volume_t(e, name, node, x, y, f"{table}_w[{chunk}]", count)
    repeated, widths = is_repeated(node, x, y), node.widths or y.grid
    pieces = []
    for piece in pieces_of(node, x, y):
        whole = repeated or piece.sizes == widths
        part = "" if whole else ", " + ", ".join(piece.window)
        pieces.append(
            SimpleNamespace(
                shape=shape_text(e.rows(name), count, *piece.sizes),
                read=index(*piece.spectrum),
                w=f"{table}_w[{chunk}, 0{part}]",
                part="" if piece.sizes == widths else f"[{index(*piece.window)}]",
                place=index(*(piece.moved if gathered else piece.place)),
            )
        )
    return common | {
        "spread": shape_text(e.rows(name), count, *x.shape),
        "pieces": pieces,
        "repeated": _repeated(node, x, y) if repeated else "",
        "shape": shape_text(e.rows(name), count, *widths),
        "single": e.program.chunks[fold] == 1,
    }


def _fold_volume_t(e: Emitter, name: str, node: FoldT, x: Value, y: Value, w: str, count: str) -> dict[str, object]:
    """A volume's window is multiplied and added slab by slab; filters are complex, unlike those of lines and images."""
    gathered = len(set(node.starts)) > 1
    pieces = []
    for piece in pieces_of(node, x, y):
        planes, step, together = piece.sizes[0], slab_planes(piece.sizes), is_together(node, x, piece.sizes)
        if together:
            shape = shape_text(e.rows(name), count, x.components, *piece.sizes)
        else:
            shape = shape_text(e.rows(name), "s.stop - s.start" if planes % step else step, *piece.sizes[1:])
        pieces.append(
            SimpleNamespace(
                w=f"{w}[{index(*piece.window)}]",
                read=index(*piece.spectrum),
                place=index(*(piece.moved if gathered else piece.place)),
                together=together,
                slabs=chunks(planes, step),
                shape=shape,
            )
        )
    return {
        "macro": "fold_volume_t",
        "spread": shape_text(e.rows(name), count, x.components, *x.shape),
        "filters": count,
        "components": x.components,
        "pieces": pieces,
    }


def is_together(node: FoldT, x: Value, sizes: tuple[int, ...]) -> bool:
    """Whether all filters and components of a volume's window are multiplied at once."""
    return len(set(node.starts)) <= 1 and len(node.indices) * x.components * prod(sizes) <= AT_ONCE


def slab_planes(sizes: tuple[int, ...]) -> int:
    """How many planes of a volume make a slab."""
    return min(max(SLAB // prod(sizes[1:]), 1), sizes[0])


def is_repeated(node: FoldT, x: Value, y: Value) -> bool:
    """Whether the spectrum of x is repeated along a whole window, because it would have to be read in many pieces."""
    widths = node.widths or y.grid
    return prod(widths) <= MOST_REPEATED and len(_pieces(node, x, y, repeated=False)) > 2 ** len(widths)


def _repeated(node: FoldT, x: Value, y: Value) -> str:
    """The call that repeats `spectra` along the window, into `product`: rows first, for they are the fewest then."""
    text = "spectra"
    dim = len(x.shape)
    starts = node.starts[0] if node.starts else (0,) * dim
    for axis, (start, width) in reversed(list(enumerate(zip(starts, node.widths or y.grid, strict=True)))):
        first = 0 if node.shifted else start
        text = f'np.take({text}, np.arange({first}, {first + width}), axis={axis - dim}, mode="wrap")'
    return f"{text[:-1]}, out=product)"


def pieces_of(node: FoldT, x: Value, y: Value) -> list[SimpleNamespace]:
    """The parts of a window that lie in one run both of the subsampled spectrum and of the cotangent they are added to.

    Of each: `sizes`; and as slices, one an axis, its `window`, where it lies in the `spectrum` of x, its `place` in the
    cotangent, and that place if the window's own start (`s0`, `s1`, ..) is added (`moved`). Where the spectrum is
    repeated (`is_repeated`), it is one run.
    """
    return _pieces(node, x, y, is_repeated(node, x, y))


def _pieces(node: FoldT, x: Value, y: Value, repeated: bool) -> list[SimpleNamespace]:
    widths = node.widths or y.grid
    starts = node.starts[0] if node.starts else (0,) * len(widths)
    gathered = len(set(node.starts)) > 1
    axes = []
    for axis, (start, width, length, n) in enumerate(zip(starts, widths, x.shape, y.grid, strict=True)):
        first = 0 if node.shifted else start
        low = y.band[axis][0] if y.band else 0
        runs = [(0, 0, width)] if repeated else list(wrapped((first, first + width), length))
        places = [(0, start - low, width)] if y.band or gathered else list(wrapped((start, start + width), n))
        cuts = sorted({0, width, *(p for p, _, _ in runs), *(p for p, _, _ in places)})
        parts = []
        for a, b in pairwise(cuts):
            source = next(f + a - p for p, f, c in runs if p <= a < p + c)
            place = next(f + a - p for p, f, c in places if p <= a < p + c)
            parts.append(
                SimpleNamespace(
                    size=b - a,
                    window=":" if b - a == width else span(a, b),
                    spectrum=":" if b - a == length else span(source, source + b - a),
                    place=span(place, place + b - a),
                    moved=f"s{axis} + {a} : s{axis} + {b}" if a else f"s{axis} : s{axis} + {b}",
                )
            )
        axes.append(parts)
    found = []
    for piece in product(*axes):
        texts = {key: [getattr(part, key) for part in piece] for key in ("window", "spectrum", "place", "moved")}
        found.append(SimpleNamespace(sizes=tuple(part.size for part in piece), **texts))
    return found


def _fold_half_t(e: Emitter, node: FoldT, x: Value, y: Value) -> dict[str, object]:
    widths = node.widths or y.grid
    start = node.starts[0] if node.starts else (0,) * e.spec.dim
    low = [a for a, _ in y.band] if y.band else [0] * e.spec.dim
    runs = [
        list(alias_runs(s, w, n >> node.by, keep)) for s, w, n, keep in zip(start, widths, y.grid, x.shape, strict=True)
    ]
    return {
        "macro": "fold_half_t",
        "into": e.place(node.into),
        "w": f"{table_name(node.x)}_w",
        "read": index(*(span(s - a, s - a + w) for s, a, w in zip(start, low, widths, strict=True))),
        "aliases": [(index(*(t for t, _ in r)), index(*(s for _, s in r))) for r in product(*runs)],
    }


def _modulus_t(e: Emitter, name: str, node: ModulusT, x: Value, y: Value) -> dict[str, object]:
    # the derivatives of powers want U away from 0 first
    bounded = any(isinstance(reader := e.graph[r], AverageT) and reader.powers for r in e.graph.users[node.u])
    return {"u": node.u, "v": node.v, "spread": "[:, None]" if y.components > 1 else "", "bounded": bounded}


def _average_t(e: Emitter, name: str, node: AverageT, x: Value, y: Value) -> dict[str, object]:
    shape = shape_text(e.rows(name), *y.shape)
    ones = ", None" * e.spec.dim
    return {
        "u": node.u,
        "mode": node.mode,
        "shape": shape,
        "offset": e.offset(name) if name in e.program.offsets else None,
        "powers": [(q, f"[:, {i}{ones}]") for i, q in enumerate(node.powers)],
        "slope": any(q != 1.0 for q in node.powers[1:]),
    }


def _unpad_t(e: Emitter, name: str, node: UnpadT, x: Value, y: Value) -> dict[str, object]:
    return {"shape": shape_text(e.rows(name), *y.shape), "kept": index(*(span(a, b) for a, b in node.kept))}


def _lowpass_t(e: Emitter, name: str, node: LowpassT, x: Value, y: Value) -> dict[str, object]:
    """The steps of `_lowpass` backwards: first axis first, each with its matrix transposed."""
    source, shape, steps = node.x, [b - a for a, b in node.kept], []
    for axis in range(e.spec.dim):
        outputs, n, last = shape[axis], y.shape[axis], axis == e.spec.dim - 1
        matrix = f"{table_name(name)}_a{axis}.T"
        if node.methods[axis] == "dense":
            times = "*" if outputs == 1 else "@"  # the product with one row is as well one of columns and rows
            steps.append(SimpleNamespace(dense=f"{source} {times} {matrix}" if last else f"{matrix} {times} {source}"))
        else:
            layout = frames(node.kept[axis], node.by, node.taps[axis])
            g, joined = layout.outputs, layout.blocks * layout.outputs
            tail = ", :" * (e.spec.dim - 1 - axis)
            lead, rest = [e.rows(name), *shape[:axis]], shape[axis + 1 :]
            early, late = (f"..., :-1, :{g}", f"..., 1:, {g}:") if last else (f"..., :-1, :{g}, :", f"..., 1:, {g}:, :")
            steps.append(
                SimpleNamespace(
                    dense="",
                    x=source,
                    joined="" if joined == outputs else shape_text(*lead, joined, *rest),
                    outputs=f"..., :{outputs}{tail}",
                    blocks=shape_text(*lead, layout.blocks, g, *rest),
                    halves=shape_text(*lead, layout.blocks + 1, 2 * g, *rest),
                    early=early,
                    late=late,
                    product=f"halves @ {matrix}" if last else f"{matrix} @ halves",
                    whole=shape_text(*lead, n, *rest),
                    span=f"..., {layout.base}:{layout.stop}{tail}",
                    framed=shape_text(*lead, (layout.blocks + 1) * layout.length, *rest),
                )
            )
        shape[axis], source = n, name
    return {"steps": steps}


def _sum(e: Emitter, name: str, node: Sum, x: Value, y: Value) -> dict[str, object]:
    return {"y": node.y}


def _gradient(e: Emitter, name: str, node: Gradient, x: Value, y: Value) -> dict[str, object]:
    return {"shape": shape_text("n", *y.shape)}


RULES: dict[type[Node], Callable[[Emitter, str, Any, Value, Value], dict[str, object]]] = {
    Cotangent: _cotangent,
    Gradient: _gradient,
    Sum: _sum,
    Blank: _blank,
    Store: _store,
    Load: _load,
    PadT: _pad_t,
    FftT: _fft_t,
    IfftT: _ifft_t,
    FoldT: _fold_t,
    ModulusT: _modulus_t,
    AverageT: _average_t,
    UnpadT: _unpad_t,
    LowpassT: _lowpass_t,
}
