"""The arrays that emitted numpy code needs: filters on their windows, low-pass matrices, indices."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import Tables
from scatc.ir.filters import Band, banks
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import banded_matrix, dense_matrix
from scatc.ir.nodes import Fold, Lowpass, Modulus, Node, Output, Pad
from scatc.ir.options import Options
from scatc.ir.schedule import Program, filters
from scatc.ir.spec import Spec
from scatc.ir.transposed import Cotangent, FoldT, LowpassT, ModulusT

SHARED = ("w", "start0", "start1", "start2", "a0", "a1", "a2")
"""The tables that are the same in all programs of one plan, by the ends of their names."""


def make_tables(program: Program, options: Options, known: Tables) -> Tables:
    """All tables of a program, by the name that the emitted code uses; equal nodes of siblings share theirs.

    Parameters
    ----------
    program : Program
    options : Options
    known : dict of str to array
        The tables of another program of the same plan, which need not be made again.
    """
    tables: Tables = {}
    made: dict[Hashable, Tables] = {}
    for name, node in program.graph:
        owner = table_name(node.x if isinstance(node, FoldT) else name)
        if type(node) not in _RULES or f"{owner}_w" in tables:
            continue
        found = {key: known[f"{owner}_{key}"] for key in SHARED if f"{owner}_{key}" in known}
        if not found:
            key = _likeness(program, name, node)
            if key not in made:
                made[key] = _RULES[type(node)](program, options, name, node)
            found = made[key]
        tables |= {f"{owner}_{key}": table for key, table in found.items()}
    for table in tables.values():
        freeze(table)
    return tables


def _likeness(program: Program, name: str, node: Node) -> Hashable:
    """What the tables of a node depend on, besides spec and options: nodes that are equal in it have equal tables."""
    if not isinstance(node, Fold | Lowpass):
        return name
    x = program.values[node.x]
    return replace(node, x=""), x.grid, x.band, _weights(program, name, node)


def table_name(name: str) -> str:
    """The node whose tables a node reads: a transposed one reads those of what it transposes."""
    return name.removeprefix("g").removesuffix("_t")


def freeze(table: NDArray[Any]) -> None:
    """Make a table read-only; not an index, of which `numpy.take` would then make a copy at every call."""
    table.flags.writeable = table.dtype.kind == "i"


def _pad(program: Program, options: Options, name: str, node: Pad) -> Tables:
    """`index<axis>`: the input sample that each padded one repeats."""
    if node.mode == "zero":
        return {}
    shape = program.values[node.x].shape
    return {
        f"index{axis}": extension_index(n, *width, cast(Padding, node.mode)).astype(np.intp)
        for axis, (n, width) in enumerate(zip(shape, node.widths, strict=True))
    }


def _fold(program: Program, options: Options, name: str, node: Fold | FoldT) -> Tables:
    """`w`: responses on the windows, scaled so that no FFT needs to; `start<axis>`: where gathered windows begin."""
    spec = program.graph.spec
    x = program.values[node.into if isinstance(node, FoldT) else node.x]
    bank = banks(spec)[node.bank]
    widths = node.widths or x.grid
    starts = node.starts or ((0,) * spec.dim,) * len(node.indices)
    boxes = [tuple(Band(s, s + w) for s, w in zip(start, widths, strict=True)) for start in starts]
    components = node.components or range(bank.components(node.indices[0]))
    factors = np.sqrt(_weights(program, name, node) or [1.0] * len(components)) / prod(x.grid)
    # complex even where the response is real: numpy multiplies like with like fastest
    number = options.dtype if node.half else np.result_type(options.dtype, np.complex64)
    w = np.empty((len(boxes), len(components), *widths), number)
    for row, i, box in zip(w, node.indices, boxes, strict=True):
        bank.fill(row, i, node.level, box, dict(zip(components, factors.tolist(), strict=True)))
    tables: Tables = {"w": w[0, 0] if node.half else w}
    if len(set(starts)) > 1:
        low = [a for a, _ in x.band] if x.band else [0] * spec.dim
        for axis in range(spec.dim):
            tables[f"start{axis}"] = np.array([s[axis] - low[axis] for s in starts], dtype=np.intp)
    return tables


def _weights(program: Program, fold: str, node: Node) -> tuple[int, ...]:
    """The weights of the modulus behind a fold of some components; none of other nodes."""
    if not isinstance(node, Fold | FoldT) or not node.components:
        return ()
    graph = program.graph
    near = (
        [graph[graph[node.x].x]]
        if isinstance(node, FoldT)
        else map(graph.__getitem__, graph.users[graph.users[fold][0]])
    )
    (modulus,) = (reader for reader in near if isinstance(reader, Modulus | ModulusT))
    return modulus.weights


def _lowpass(program: Program, options: Options, name: str, node: Lowpass | LowpassT) -> Tables:
    """`a<axis>`: the matrix of an axis, stored so that the emitted product needs no transpose."""
    spec: Spec = program.graph.spec
    tables: Tables = {}
    for axis, (method, kept) in enumerate(zip(node.methods, node.kept, strict=True)):
        if method == "dense":
            a = dense_matrix(spec, node.level, axis, node.by, kept)
        else:
            a = banded_matrix(spec, node.level, axis, node.by, node.taps[axis])
        a = a if axis == spec.dim - 1 else a.T
        tables[f"a{axis}"] = np.ascontiguousarray(a.astype(options.dtype))
    return tables


def _output(program: Program, options: Options, name: str, node: Output | Cotangent) -> Tables:
    """`rows`: the output row of each path, one axis for each fold above."""
    _, rows, shape = output_rows(program, name)
    table = np.array(rows, dtype=np.intp).reshape(shape)
    return {} if is_slice(rows) and not _split_above(program, name) else {"rows": table}


def output_rows(program: Program, name: str) -> tuple[int, list[int], tuple[int, ...]]:
    """Of an output node: the output array it writes, its rows there, and their shape (an axis for each fold above)."""
    node = program.graph[name]
    assert isinstance(node, Output | Cotangent)
    shape = tuple(filters(program.graph[fold]) for fold in program.within[name])
    group = program.places[node.paths[0]][0]  # paths of one node have one shape, so one output array
    return group, [program.places[p][1] for p in node.paths], shape


def is_slice(rows: list[int]) -> bool:
    """Whether rows are consecutive."""
    return rows == list(range(rows[0], rows[0] + len(rows)))


def _split_above(program: Program, name: str) -> bool:
    return any(program.split(fold) for fold in program.within[name])


_RULES: dict[type[Node], Callable[[Program, Options, str, Any], Tables]] = {
    Pad: _pad,
    Fold: _fold,
    FoldT: _fold,
    Lowpass: _lowpass,
    LowpassT: _lowpass,
    Output: _output,
    Cotangent: _output,
}
