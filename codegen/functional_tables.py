"""The arrays that pure functions need: filters on their windows, matrices of phi, the order of the outputs.

They end up in the graphs that frameworks store and ship, so they are small: filters are real where their responses are,
and values that low-pass alike share their matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import Tables
from scatc.codegen.slices import progression
from scatc.ir.filters import Band, banks
from scatc.ir.graph import Graph
from scatc.ir.joint import mix_matrix
from scatc.ir.lowpass import frames, impulse_response
from scatc.ir.nodes import Fold, Lowpass, Modulus, Node, Output, Ripple, Stack
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.spec import Spec
from scatc.ir.values import Value


def make_tables(program: Program, options: Options, compact: bool = False) -> Tables:
    """All tables of a program, by the name that the emitted code uses; `compact` has vectors for matrices of phi."""
    tables: Tables = {}
    for name, node in program.graph:
        if type(node) in TABLES:
            tables |= TABLES[type(node)](program, options, name, node, compact)
    for group, rows in enumerate(output_rows(program)):
        if rows is not None:
            tables[f"out{group}_rows"] = rows
    for table in tables.values():
        table.flags.writeable = False
    return tables


def has_components(program: Program) -> bool:
    """Whether spectra and signals between fold and modulus have an axis of components, behind that of paths."""
    return any(value.components > 1 for value in program.values.values())


def filter_tables(program: Program) -> dict[str, str]:
    """Of each fold, the name of its filters' table: that of the first fold by the same filters is used by all."""
    first: dict[Hashable, str] = {}
    return {
        name: first.setdefault((replace(node, x=""), modulus_weights(program.graph, name)), f"{name}_w")
        for name, node in program.graph
        if isinstance(node, Fold)
    }


def _fold(program: Program, options: Options, name: str, node: Fold, compact: bool) -> Tables:
    """`<name>_w`: the responses on the windows, shape ``(filters, *window)`` or ``(filters, components, *window)``.

    They carry the fold's factor, and the roots of the weights of the modulus behind it.
    """
    if filter_tables(program)[name] != f"{name}_w":
        return {}
    spec, x = program.graph.spec, program.values[node.x]
    bank, boxes = banks(spec)[node.bank], windows(node, x)
    w = np.stack([bank.window(i, node.level, box) for i, box in zip(node.indices, boxes, strict=True)])
    w = w * 0.5 ** (node.by * spec.dim)
    if node.components:
        w = w[:, list(node.components)]
    if weights := modulus_weights(program.graph, name):
        w = w * np.sqrt(np.array(weights, np.float64)).reshape(-1, *(1,) * spec.dim)
    if not has_components(program):
        w = w[:, 0]
    dtype = np.result_type(options.dtype, np.complex64) if np.iscomplexobj(w) else np.dtype(options.dtype)
    return {f"{name}_w": np.ascontiguousarray(w.astype(dtype))}


def windows(node: Fold, x: Value) -> list[tuple[Band, ...]]:
    """The window of each filter of a fold of x."""
    widths = node.widths or x.grid
    starts = node.starts or ((0,) * len(widths),) * len(node.indices)
    return [tuple(Band(s, s + w) for s, w in zip(start, widths, strict=True)) for start in starts]


def modulus_weights(graph: Graph, fold: str) -> tuple[int, ...]:
    """The weights of the modulus that reads a fold's inverse FFT; empty if there is none, or all are 1."""
    for inverse in graph.users[fold]:
        for user in graph.users[inverse]:
            if isinstance(modulus := graph[user], Modulus):
                return modulus.weights
    return ()


def lowpass_table(node: Lowpass, axis: int) -> str:
    """The name of the table of an axis: within one program, the level says everything else."""
    return f"phi{node.level}_{node.methods[axis]}{axis}"


@dataclass(frozen=True, slots=True)
class Toeplitz:
    """A matrix whose rows read one vector; each begins `step` entries before the one above it.

    The vector has ``width + rows * step`` entries (as for one row if there is none): row r is
    ``vector[(rows - 1 - r) * step :][:width]``.
    """

    rows: int
    step: int
    width: int

    def matrix(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """The matrix, shape ``(rows, width)``."""
        rows = [vector[(self.rows - 1 - r) * self.step :][: self.width] for r in range(self.rows)]
        return np.reshape(rows, (self.rows, self.width))


def toeplitz(spec: Spec, node: Lowpass, axis: int) -> Toeplitz:
    """The matrix of an axis: samples to outputs (dense), or a frame to the outputs of two blocks, the earlier first."""
    start, stop = node.kept[axis]
    if node.methods[axis] == "dense":
        return Toeplitz(stop - start, 1 << node.by, banks(spec)["phi"].grid(node.level)[axis])
    layout = frames(node.kept[axis], node.by, node.taps[axis])
    return Toeplitz(2 * layout.outputs, 1 << node.by, layout.length)


def _lowpass_vector(spec: Spec, node: Lowpass, axis: int) -> NDArray[np.float64]:
    """What the rows of the matrix of an axis read: phi in time, backwards (banded: its taps, and zeros around them)."""
    form = toeplitz(spec, node, axis)
    h = impulse_response(spec, node.level, axis)
    j = np.arange(form.width + max(form.rows, 1) * form.step)
    if node.methods[axis] == "dense":
        return h[((node.kept[axis][1] - 1) * form.step - j) % len(h)]
    radius = node.taps[axis] // 2
    distance = form.step * (form.rows // 2 - 1) + radius - j
    return np.where(np.abs(distance) <= radius, h[distance % len(h)], 0.0)


def _lowpass(program: Program, options: Options, name: str, node: Lowpass, compact: bool) -> Tables:
    """The matrix of each axis, transposed for the last one, where it stands on the right; or the vector it reads."""
    spec = program.graph.spec
    tables: Tables = {}
    for axis in range(spec.dim):
        table = _lowpass_vector(spec, node, axis)
        if not compact:
            table = toeplitz(spec, node, axis).matrix(table)
            table = table.T if axis == spec.dim - 1 else table
        tables[lowpass_table(node, axis)] = np.ascontiguousarray(table.astype(options.dtype))
    return tables


def ripple_tables(program: Program) -> dict[str, tuple[str, ...]]:
    """Of each ripple, the names of its matrices: equal ones are one."""
    known: dict[str, tuple[str, ...]] | None = program.graph.derived.get(ripple_tables)
    if known is not None:
        return known
    first: dict[Hashable, str] = {}
    found: dict[str, tuple[str, ...]] = {}
    for name, node in program.graph:
        if isinstance(node, Ripple):
            mixes = zip(("m", "a"), node.mixes, (program.values[node.x].paths, node.whole), strict=False)
            keys = [(f"{name}_{letter}", (replace(mix, x=""), rows)) for letter, mix, rows in mixes if mix.bank]
            found[name] = tuple(first.setdefault(key, table) for table, key in keys)
    program.graph.derived[ripple_tables] = found
    return found


def _ripple(program: Program, options: Options, name: str, node: Ripple, compact: bool) -> Tables:
    """`<name>_m`: the matrix of the filter, from the rows of x to those between; `<name>_a`: of phi, from these on."""
    tables: Tables = {}
    rows = program.values[node.x].paths, node.whole
    for table, mix, count in zip(ripple_tables(program)[name], node.mixes, rows, strict=False):
        if table in (f"{name}_m", f"{name}_a"):
            matrix = mix_matrix(program.graph.spec, mix, count)
            dtype = np.result_type(options.dtype, np.complex64) if np.iscomplexobj(matrix) else np.dtype(options.dtype)
            tables[table] = np.ascontiguousarray(matrix.astype(dtype))
    return tables


def _stack(program: Program, options: Options, name: str, node: Stack, compact: bool) -> Tables:
    """`<name>_rows`: the rows that are kept, where no slice reads them."""
    return {} if not node.rows or progression(node.rows) else {f"{name}_rows": np.array(node.rows, np.int32)}


def output_parts(program: Program) -> list[list[str]]:
    """For each output array, the output nodes that it consists of: those of the trunk, then branch after branch."""
    found: list[list[str]] = [[] for _ in program.outputs]
    for branch in (None, *program.branches):
        for name, output in program.graph.outputs:
            if program.branch(name) == branch:
                found[program.places[output.paths[0]][0]].append(name)  # paths of one node have one shape
    return found


def output_rows(program: Program) -> list[NDArray[np.int32] | None]:
    """For each output array, where its rows are among those of its parts; None where they are in order."""
    found: list[NDArray[np.int32] | None] = []
    for parts in output_parts(program):
        nodes = [program.graph[name] for name in parts]
        rows = [program.places[path][1] for node in nodes if isinstance(node, Output) for path in node.paths]
        found.append(None if rows == sorted(rows) else np.argsort(rows).astype(np.int32))
    return found


TABLES: dict[type[Node], Callable[[Program, Options, str, Any, bool], Tables]] = {
    Fold: _fold,
    Lowpass: _lowpass,
    Ripple: _ripple,
    Stack: _stack,
}
"""By node kind; a target may put its own rules beside these."""
