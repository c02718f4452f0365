"""How the coefficients of a signal are computed and where they are written."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

import numpy as np

from scatc.codegen import Tables
from scatc.codegen.cpu import tables
from scatc.codegen.cpu.functions import Functions
from scatc.codegen.cpu.layout import Grid
from scatc.codegen.signals import Result, Signal
from scatc.ir.nodes import Input
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node


class Coefficients:
    """The statements of results: from the signal at `v` to `out`.

    Parameters
    ----------
    program : Program
    options : Options
    functions : Functions
        To which what is called is added.
    known : dict of str to array
        To which matrices are added.
    """

    def __init__(self, program: Program, options: Options, functions: Functions, known: Tables) -> None:
        self.program, self.options, self.functions, self.tables = program, options, functions, known
        self.graph, self.spec = program.graph, program.graph.spec

    def of(self, signal: Signal, grid: Grid, result: Result, scratch: int) -> SimpleNamespace:
        """What the template needs to know of a result; averages along columns are at `scratch` in the arena."""
        output = result.nodes[-1]
        rows = np.array([self.program.places[path][1] for path in result.paths], np.int64)
        self.tables[f"{output}_rows"] = rows
        shape, paths = self.program.outputs[result.group]
        direct = isinstance(self.graph[self.graph[result.nodes[0]].x], Input)  # what was not padded
        return SimpleNamespace(
            notes=[print_node(name, self.graph[name]) for name in result.nodes],
            rows=f"{output}_rows",
            group=result.group,
            paths=len(paths),
            samples=prod(shape),
            lines=self._lines(signal, grid, result, scratch, direct and signal.parent is None),
        )

    def _lines(self, signal: Signal, grid: Grid, result: Result, scratch: int, direct: bool) -> list[str]:
        if direct:  # the input, row by row
            shape, source, stride = self.spec.input_shape, "input", self.spec.input_shape[-1]
            before = [f"const real *const input = (const real *)x + (row + k) * {prod(shape)};", "(void)v;"]
        else:
            shape, source, stride, before = grid.shape, "v", grid.stride, []
        rows, columns = prod(shape[:-1]), shape[-1]
        if result.kind == "total":
            return [*before, f"out[0] = sum_image({source}, {rows}, {columns}, {stride});"]
        if result.kind == "integral":
            return [*before, f"{self.functions.integrals()}({source}, {rows}, {columns}, {stride}, out);"]
        if result.kind == "raw":
            return [*before, *self._raw(result, source, stride)]
        line = self._average(signal, grid, result, -1, self.functions.lanes)
        if len(shape) == 1:
            if direct:  # the matrix knows no bounds but those of the signal, which is not padded at all
                return [*before, f"average_line({source}, {columns}, {line}, {result.kept[0]}, out);"]
            return [f"average_line(v, {columns}, {line}, {result.kept[0]}, out);"]
        together = tables.group(grid, signal.level, result.by, result.kept[0], self.spec, self.options.tolerance)
        name = self.functions.average_columns(together)
        column = self._average(signal, grid, result, 0, together)
        high, wide = result.kept
        return [
            *before,
            f"real *const along = c->arena + {scratch};",
            f"{name}({source}, {rows}, {columns}, {stride}, {column}, {high}, along, {grid.stride});",
            f"for (ptrdiff_t p = 0; p < {high}; p++)",
            f"    average_line(along + p * {grid.stride}, {columns}, {line}, {wide}, out + p * {wide});",
        ]

    def _raw(self, result: Result, source: str, stride: int) -> list[str]:
        if len(result.kept) == 1:
            return [f"memcpy(out, {source} + {result.first[0]}, {result.kept[0]} * sizeof(real));"]
        (top, left), (high, wide) = result.first, result.kept
        return [
            f"for (ptrdiff_t p = 0; p < {high}; p++)",
            f"    memcpy(out + p * {wide}, {source} + (p + {top}) * {stride} + {left}, {wide} * sizeof(real));",
        ]

    def _average(self, signal: Signal, grid: Grid, result: Result, axis: int, together: int) -> str:
        """The arguments that say how an axis is averaged: where windows begin, how far they move, matrix, length."""
        axis %= len(grid.shape)
        found = tables.average(
            self.spec,
            grid,
            signal.level,
            axis,
            result.by,
            result.first[axis],
            together,
            self.options.tolerance,
        )
        name = f"phi{signal.level}_{axis}_{together}"
        self.tables[name] = np.ascontiguousarray(found.a.astype(self.options.dtype))
        return f"{found.start}, {found.step}, c->tables[{name}], {found.a.shape[0]}"
