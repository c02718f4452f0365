"""How the coefficients of a signal are computed and where they are written."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import Tables
from scatc.codegen.cpu import fft, tables
from scatc.codegen.cpu.functions import Functions
from scatc.codegen.cpu.layout import Grid, padded
from scatc.codegen.signals import Result, Signal
from scatc.ir.filters import banks
from scatc.ir.lowpass import impulse_response, taps
from scatc.ir.nodes import Input
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node

MATRIX_FLOPS, DFT_FLOPS = 2.0, 1.2
"""Of an operation on vectors: nearly all of a product with a matrix are fused, few of a transform."""

TRANSPOSED = 6
"""Operations on vectors that add up the lanes of a sum, when many are transposed together."""


class Coefficients:
    """The statements of results: from the signal at `v` to `out`.

    Parameters
    ----------
    program : Program
    options : Options
    functions : Functions
        To which what is called is added.
    made : dict of str to array
        To which matrices are added.
    known : dict of str to array
        Which may have them already.
    """

    def __init__(self, program: Program, options: Options, functions: Functions, made: Tables, known: Tables) -> None:
        self.program, self.options, self.functions, self.tables, self.known = program, options, functions, made, known
        self.graph, self.spec = program.graph, program.graph.spec

    def of(self, signal: Signal, grid: Grid, result: Result, scratch: int) -> SimpleNamespace:
        """What the template needs to know of a result; averages along columns are at `scratch` in the arena."""
        output = result.nodes[-1]
        rows = np.array([self.program.places[path][1] for path in result.paths], np.int64)
        self.tables[f"{output}_rows"] = rows
        shape, paths = self.program.outputs[result.group]
        source = self.graph[result.nodes[0]].x
        direct = source != signal.name and isinstance(self.graph[source], Input)  # what comes before padding
        return SimpleNamespace(
            name=output,
            notes=[print_node(name, self.graph[name]) for name in result.nodes],
            rows=f"{output}_rows",
            group=result.group,
            paths=len(paths),
            samples=prod(shape),
            lines=self._lines(signal, grid, result, scratch, direct),
        )

    def _lines(self, signal: Signal, grid: Grid, result: Result, scratch: int, direct: bool) -> list[str]:
        if direct:  # whole or in part, but never averaged by phi
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
        if len(shape) == 1:
            return [*before, self._line(signal, grid, result, f"{source}, {columns}")]
        return [*before, *self._image(signal, grid, result, scratch, f"{source}, {{}}, {stride}")]

    def _line(self, signal: Signal, grid: Grid, result: Result, source: str) -> str:
        """Averages of a line by whatever is cheaper: window by window, or a matrix for as many as a vector has."""
        kept = result.kept[0]
        if self._by_windows(signal, grid, result):
            return f"average_windows({source}, {self._average(signal, grid, result, 0, 1)}, {kept}, out);"
        return f"average_line({source}, {self._average(signal, grid, result, 0, self.functions.lanes)}, {kept}, out);"

    def _by_windows(self, signal: Signal, grid: Grid, result: Result) -> bool:
        if signal.parent is None:  # samples of both signs: neighbours cancel, but not in lanes, which add every 16th
            return False
        (n,), lanes, kept = grid.shape, self.functions.lanes, result.kept[0]
        for together in (1, lanes):
            if f"phi{signal.level}_0_{together}" in self.known:
                return together == 1
        reach = min(taps(self.spec, signal.level, 0, self.options.tolerance), n)
        windows = kept * (padded(reach, lanes) // lanes + TRANSPOSED)
        return n >= lanes and windows < -(-kept // lanes) * min(((lanes - 1) << result.by) + reach, n)

    def _image(self, signal: Signal, grid: Grid, result: Result, scratch: int, source: str) -> list[str]:
        """Along columns, flipped, and along columns again."""
        columns = grid.shape[1]
        high, wide = result.kept
        flipped = padded(high, grid.lanes)
        room = self.room(grid, result)
        first, skipped = self._columns(signal, grid, result, 0, source.format(columns), f"along, {grid.stride}")
        second, left = self._columns(signal, grid, result, 1, f"across, {high}, {flipped}", f"last, {flipped}")
        return [
            f"real *const along = c->arena + {scratch}, *const across = along + {room[0]};",
            f"real *const last = across + {room[1]};",
            first,
            f"flip(along + {skipped * grid.stride}, {grid.stride}, {high}, {columns}, across, {flipped});",
            second,
            f"flip_out(last + {left * flipped}, {flipped}, {wide}, {high}, out);",
        ]

    def room(self, grid: Grid, result: Result) -> tuple[int, int, int]:
        """Numbers of the averages along columns of an image, of these flipped, and of the averages of these."""
        flipped = padded(result.kept[0], grid.lanes)
        high, wide = (padded(n >> result.by, grid.lanes) + grid.lanes for n in grid.shape)
        return high * grid.stride, grid.stride * flipped, wide * flipped

    def _columns(
        self, signal: Signal, grid: Grid, result: Result, axis: int, source: str, into: str
    ) -> tuple[str, int]:
        """Averages along columns by whatever is cheaper, and how many of them come before those that are kept."""
        n, kept, tolerance = grid.shape[axis], result.kept[axis], self.options.tolerance
        together, price = tables.group(grid, signal.level, axis, result.by, kept, self.spec, tolerance)
        m, machine = n >> result.by, self.options.machine
        transforms = fft.operations(n) / 2 + fft.operations(m) / 2 + n + 2 * m
        if MATRIX_FLOPS * price / machine.matmul_rate <= DFT_FLOPS * transforms / machine.fft_rate:
            image, width, stride = source.split(", ")
            name = self.functions.average_columns(together)
            matrix = self._average(signal, grid, result, axis, together)
            return f"{name}({image}, {n}, {width}, {stride}, {into}, {matrix}, {kept});", 0
        name = self.functions.average_spectra(n, m)
        table = f"phi{signal.level}_{axis}"
        self._keep(table, lambda: banks(self.spec)["phi"].axis_response(axis, signal.level) / n)
        return f"{name}(c, {source}, {into}, c->tables[{table}]);", result.first[axis]

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
        n, level = grid.shape[axis], signal.level
        name = f"phi{level}_{axis}_{together}"
        if name in self.known:
            reach = len(self.known[name]) - ((together - 1) << result.by)
        else:
            reach = taps(self.spec, level, axis, self.options.tolerance)
            if self.spec.dim == 1 and together == 1:  # windows of whole vectors
                reach = padded(reach, self.functions.lanes)
            reach = min(reach, n)
        average = tables.Average(n, result.by, result.first[axis], together, reach)
        self._keep(name, lambda: average.matrix(impulse_response(self.spec, level, axis).astype(self.options.dtype)))
        return f"{average.start}, {average.step}, c->tables[{name}], {average.length}"

    def _keep(self, name: str, make: Callable[[], NDArray[Any]]) -> None:
        """A table, made if it is not known."""
        if name not in self.tables:
            known = self.known.get(name)
            self.tables[name] = np.ascontiguousarray(make(), self.options.dtype) if known is None else known
