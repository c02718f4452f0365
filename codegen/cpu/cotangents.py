"""How the cotangents of coefficients become those of their signal: the transposes of `coefficients.py`."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

import numpy as np

from scatc.codegen import Tables
from scatc.codegen.cpu.layout import Grid
from scatc.codegen.cpu.transposed_functions import TransposedFunctions
from scatc.codegen.cpu.transposed_tables import spread
from scatc.codegen.signals import Result, Signal
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node


class Cotangents:
    """The statements of results: from cotangents at `out` to those of the samples, at `g`.

    Parameters
    ----------
    program : Program
    options : Options
    functions : TransposedFunctions
        To which what is called is added.
    known : dict of str to array
        To which matrices are added.
    """

    def __init__(self, program: Program, options: Options, functions: TransposedFunctions, known: Tables) -> None:
        self.program, self.options, self.functions, self.tables = program, options, functions, known
        self.graph, self.spec = program.graph, program.graph.spec

    def of(self, signal: Signal, grid: Grid, scratch: int, *, add: bool) -> list[SimpleNamespace]:
        """What the template needs to know of a signal's results: the first sets `g` unless it is to `add`."""
        found = []
        for result in signal.results:
            if not self.direct(signal, grid, result):
                found.append(self._result(result, self._lines(signal, grid, result, scratch, add)))
                add = True
        return found

    def unpadded(self, signal: Signal, grid: Grid) -> list[SimpleNamespace]:
        """The same for results of the input as it was before it was padded, at `to`."""
        results = [result for result in signal.results if self.direct(signal, grid, result)]
        count = prod(self.spec.input_shape)
        lines = {"total": [f"spread_total(out[0], {count}, 1, to);"], "raw": [f"add_row(out, {count}, to);"]}
        return [self._result(result, lines[result.kind]) for result in results]

    def direct(self, signal: Signal, grid: Grid, result: Result) -> bool:
        """Whether a result is of the input as it was before it was padded."""
        value = self.program.values[result.nodes[-1]]
        return signal.parent is None and not value.spectrum and value.shape != grid.shape

    def _result(self, result: Result, lines: list[str]) -> SimpleNamespace:
        cotangent = result.nodes[0]
        rows = np.array([self.program.places[path][1] for path in result.paths], np.int64)
        self.tables[f"{cotangent}_rows"] = rows
        shape, paths = self.program.outputs[result.group]
        return SimpleNamespace(
            notes=[print_node(name, self.graph[name]) for name in result.nodes],
            rows=f"{cotangent}_rows",
            group=result.group,
            paths=len(paths),
            samples=prod(shape),
            lines=lines,
        )

    def _lines(self, signal: Signal, grid: Grid, result: Result, scratch: int, add: bool) -> list[str]:
        sums = int(add)
        if result.kind == "total":
            return [f"spread_total(out[0], {grid.size}, {sums}, g);"]
        if result.kind == "integral":
            return [f"{self.functions.slopes()}({grid.size}, v, out, {sums}, g);"]
        if result.kind == "raw":
            clear = [] if add else [f"memset(g, 0, {grid.size} * sizeof(real));"]
            return [*clear, *self._raw(result, grid.stride)]
        y = f"c->arena + {scratch}"
        spreads = [self._spread(signal, grid, result, axis) for axis in range(self.spec.dim)]
        if len(spreads) == 1:
            return [f"spread_line(out, {spreads[0]}, {y}, {sums}, g);"]
        return [f"spread_image(out, {spreads[0]}, {spreads[1]}, {y}, {sums}, g, {grid.stride});"]

    @staticmethod
    def room(grid: Grid, result: Result) -> int:
        """Numbers of scratch memory that averages need: an axis has as many frames as samples at most, heard twice."""
        if result.kind != "local":
            return 0
        slots = [2 * (n >> result.by) + 2 * grid.lanes for n in grid.shape]
        return slots[0] if len(slots) == 1 else slots[0] * grid.stride + slots[1]

    def _raw(self, result: Result, stride: int) -> list[str]:
        if len(result.kept) == 1:
            return [f"add_row(out, {result.kept[0]}, g + {result.first[0]});"]
        (top, left), (high, wide) = result.first, result.kept
        return [
            f"for (ptrdiff_t p = 0; p < {high}; p++)",
            f"    add_row(out + p * {wide}, {wide}, g + (p + {top}) * {stride} + {left});",
        ]

    def _spread(self, signal: Signal, grid: Grid, result: Result, axis: int) -> str:
        """How averages along an axis are transposed: whole vectors of neighbours, or some rows at a time."""
        least = grid.lanes if axis == self.spec.dim - 1 else 4 if grid.shape[axis] % 4 == 0 else 1
        found = spread(self.spec, grid, signal.level, axis, result.by, least, self.options.tolerance)
        name = f"phi{signal.level}_{axis}_{result.by}_t"
        self.tables[name] = np.ascontiguousarray(found.a.astype(self.options.dtype))
        n, (heard, block) = grid.shape[axis], found.a.shape
        numbers = (
            n,
            result.kept[axis],
            result.first[axis],
            n >> result.by,
            found.early,
            heard,
            block >> result.by,
            block,
        )
        return f"(spreading){{{', '.join(map(str, numbers))}, c->tables[{name}]}}"
