"""Launches for pieces of gradients of lines: blocks, what coefficients bring, ways back to spectra, sums over filters.

`walk_t.py` walks the tree there and back; here is how each of its steps is written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import Work
from scatc.codegen.triton.launch import Launch, Transform, kernel_name
from scatc.codegen.triton.lines import blocks_t, matrix, matrix_t, tables_t, wavelet_t
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.blocks_t import Join, Unthin
from scatc.codegen.triton.lines.sums_t import Sum
from scatc.codegen.triton.lines.together_t import Grouped, choose, numbers
from scatc.codegen.triton.lines.walk import Lines


class PiecesT(Lines):
    """What `LinesT` launches, signal by signal.

    Attributes
    ----------
    coefficients : dict of str to list of Result
        Of each signal, whose cotangents come in; on the way there, signals have none.
    returns : Returns
        Which way back each signal takes.
    grouped : Grouped or None
        The leaves that are grouped.
    """

    def prepare(self) -> None:
        """What the walk gathers."""
        self.coefficients: dict[str, list[Result]] = {}
        for signal in self.root.all():
            self.coefficients[signal.name], signal.results = signal.results, []
        self.returns, self.grouped = choose(self.spec, self.options, self.root, self.coefficients)
        self.choices, self.together = self.returns, None
        self.cuts, self.matrices, self.parts = {}, {}, {}
        self.turns: dict[str, wavelet_t.Turn] = {}
        self.joins: dict[str, Join | Unthin] = {}
        self.returning: dict[matrix.Matrix, str] = {}
        self.gathers: dict[str, Work] = {}

    # Blocks.

    def _unthin(self, signal: Signal, source: str, into: str, name: str = "") -> str:
        """The cotangent of a thinned signal, brought to spectra of blocks: added `into` these, or to new ones."""
        follow = self._choice(signal).follow
        cut, thinning = follow.cut, follow.thinning
        assert cut is not None and thinning is not None
        by, target = thinning.by, name or f"gB_{signal.name}"
        shape = self.taken(blocks_t.default_unthin(cut.length >> by, cut.bins, cut.halo >> by, add=bool(into)))
        if not into:
            sizes = f"({signal.paths}, pairs, {cut.count}, {cut.bins})"
            self.write(f"{target} = torch.empty({sizes}, dtype=torch.complex64, device=x.device)")
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        arguments = [f"{source}.view(torch.int64)", *self.named(f"smooth_{signal.name}", f"twiddles_{shape.length}")]
        numbers = (signal.length >> by, cut.first >> by, cut.hop >> by, cut.count)
        arguments += [f"{target}.view(torch.int64)", *map(str, numbers), "pairs"]
        grid = (f"triton.cdiv({cut.count} * pairs, {shape.rows})", str(signal.paths))
        kernel = kernel_name(self.joins, shape, f"unthin_{shape.length}")
        paths = signal.paths * cut.count
        self.launch(Launch(kernel, blocks_t.UNTHIN, grid, arguments, {}, shape.warps, paths, shape))
        self.write(f"del {source}")
        return target

    def _join(self, signal: Signal, cut: Blocks, spectra: str, into: str, *, fresh: bool = False) -> None:
        """The cotangents of blocks of a signal, from those of their spectra, added to those of its samples."""
        line = self._choice(signal).line
        for i, (begin, step, count) in enumerate(blocks_t.turns(cut, line.length, whole=line.whole)):
            first = fresh and i == 0
            shape = self.taken(blocks_t.default_join(cut.length, cut.bins, around=line.whole, fresh=first))
            kernel = kernel_name(self.joins, shape, f"join_{shape.length}")
            self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
            arguments = [f"{spectra}.view(torch.int64)", *self.named(f"twiddles_{shape.length}")]
            numbers = (line.length, cut.first - cut.halo - line.first, cut.hop, cut.count, begin, step, count)
            arguments += [f"{into}.view(torch.int64)", *map(str, numbers), "pairs"]
            grid = (f"triton.cdiv({count} * pairs, {shape.rows})", str(signal.paths))
            self.launch(Launch(kernel, blocks_t.JOIN, grid, arguments, {}, shape.warps, signal.paths * count, shape))
        self.write(f"del {spectra}")

    # What coefficients bring.

    def _cotangent(self, signal: Signal, weight: str, *, known: bool, name: str = "", fresh: bool = False) -> None:
        """What coefficients bring to the samples of a signal, in pairs; added to what is known.

        If nothing is known, they are zero, unless they are written `fresh` by what comes next.
        """
        choice = self._choice(signal)
        results = [
            result
            for result in self.coefficients[signal.name]
            if not self.returns.from_bins(signal, result, choice.follow)
            and (signal.parent is not None or result.kind != "raw")
        ]
        if not known:
            room = f"({signal.paths}, pairs, {choice.line.length})"
            how = "empty" if results or fresh else "zeros"
            name = name or f"g{signal.name}"
            self.write(f"{name} = torch.{how}({room}, dtype=torch.complex64, device=x.device)")
        for result in results:
            if result.kind == "local":
                self._spread(signal, result, weight, known, name or f"g{signal.name}")
            else:
                self._given(signal, result, weight, known, name or f"g{signal.name}")
            known = True

    def _incoming(self, signal: Signal, result: Result, weight: str) -> list[str]:
        """The arguments that say which cotangents come in."""
        self.note(*result.nodes)
        return [f"gs[{result.group}]", weight, self.rows(signal.nodes[0] if signal.nodes else signal.name, result)]

    def _spread(self, signal: Signal, result: Result, weight: str, add: bool, into: str) -> None:
        """Averages, brought to samples by phi transposed."""
        arguments = self._incoming(signal, result, weight)
        line = self._choice(signal).line
        tiles = self.taken(self.returns.spread_tiles(signal, result, line))
        shape = self.returns.spread_shape(signal, result, tiles)
        name = f"phi{signal.level}_t{shape.window}x{shape.samples}"
        if f"{name}_high" not in self.tables:
            self.split(name, tables_t.spread_matrix(self.spec, signal.level, shape))
        arguments += self.named(f"{name}_high", f"{name}_low")
        constants = self.returns.spread(signal, result, line, tiles) | {"ADD": add}
        paths = len(self.program.outputs[result.group][1])
        grid = (
            f"{-(-(line.first + line.length - constants['START']) // shape.samples)}",
            str(signal.paths),
            f"triton.cdiv(2 * pairs, {constants['ROWS']})",
        )
        arguments += [f"{into}.view(torch.float32)", "n", "pairs"]
        self.static_launch("spread", signal.paths, grid, arguments, {"PATHS": paths} | constants, tiles)

    def _given(self, signal: Signal, result: Result, weight: str, add: bool, into: str) -> None:
        """Samples that were output, or their sum."""
        arguments = self._incoming(signal, result, weight)
        shape, total = self.elementwise("given", signal.length), result.kind == "total"
        self.static_launch(
            "given",
            signal.paths,
            ("pairs", str(signal.paths), f"triton.cdiv({signal.length}, {shape.block})"),
            [*arguments, f"{into}.view(torch.int64)", "n", "pairs"],
            {
                "PATHS": len(self.program.outputs[result.group][1]),
                "LENGTH": signal.length,
                "FIRST": 0 if total else result.first[0],
                "KEPT": 1 if total else result.kept[0],
                "TOTAL": total,
                "BLOCK": shape.block,
                "ADD": add,
            },
            shape,
        )

    def _bins(self, signal: Signal, result: Result, weight: str) -> None:
        """Averages, or a sum, brought to the few bins that they come from."""
        arguments = self._incoming(signal, result, weight)
        tiles, follow = self.taken(self.returns.average_tiles(signal, result)), self._choice(signal).follow
        spectrum = follow.spectrum
        assert spectrum is not None
        even, odd, name = self._of_bins(signal, result)
        pads = ((0, tiles.columns - even.shape[0]), (0, tiles.padded - even.shape[1]))
        name += f"_t{tiles.padded}x{tiles.columns}"
        arguments += self.split(f"{name}_even", np.pad(even, pads)) + self.split(f"{name}_odd", np.pad(odd, pads))
        grid = (str(tiles.programs), str(signal.paths), f"triton.cdiv(pairs, {tiles.rows})")
        sizes = {"PATHS": len(self.program.outputs[result.group][1]), "PARENT": spectrum.length}
        arguments += [f"g{self.spectrum(signal)}.view(torch.int64)", "n", "pairs"]
        constants = sizes | self.returns.average_t(tiles)
        self.static_launch("average_t", signal.paths, grid, arguments, constants, tiles)

    def _weights(self, signal: Signal, width: int) -> str:
        """The name of the table of a signal's filters, which kernels want padded with zeros, or not."""
        return f"{signal.nodes[0]}_w{width}"

    def _turn(self, signal: Signal, cuts: Mapping[Blocks, str], into: str) -> str:
        """The spectrum of a signal's cotangent, by a kernel in registers; yields its name; or written `into`."""
        choice, fold, parent = self.returns.of(signal), signal.fold, signal.parent
        assert fold is not None and parent is not None
        cut, bins = choice.cut, self.choices.spectrum_bins(parent)
        if cut is None:
            shape, source, rows = self.taken(self.returns.turn(signal, bins)), self.spectrum(parent), 1
            filters = self._filters(signal, shape.there.width)
        else:
            shape = self.taken(self.returns.turn_of_blocks(signal, cut, choice.line))
            source, rows = cuts[cut], cut.count
            filters, bins = self._block_filters(signal, cut, shape.there.width), cut.bins
        there, product = shape.there, f"g{signal.nodes[1]}"
        self.table(f"twiddles_{there.length}", tables.twiddles(there.length))
        arguments = [f"{source}.view(torch.int64)", *filters, *self.named(f"twiddles_{there.length}")]
        more, paths = self._slopes_of(signal, shape)
        if not into:
            room = f"({signal.paths}, {2 * rows} * pairs, {there.length})"
            self.write(f"{product} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        arguments += [*more, f"{into or product}.view(torch.int64)", str(bins)]
        arguments += [str(paths), "n", "pairs", *((str(rows), str(choice.line.length)) if cut else ())]
        grid = (f"triton.cdiv({2 * rows} * pairs, {there.rows})", *self.filters_and_parents(signal))
        types = wavelet_t.parameters(shape)
        self.launch(Launch(self._turning(shape), types, grid, arguments, {}, shape.warps, signal.paths * rows, shape))
        if shape.source == "memory":
            self.write(f"del g{signal.name}")
        return product

    def _slopes_of(self, signal: Signal, shape: wavelet_t.Turn) -> tuple[list[str], int]:
        """Whence a kernel in registers takes the cotangents of moduli: arguments, and rows of the output."""
        result = self.returns.source(signal)
        if shape.source == "memory" or result is None:
            return [f"g{signal.name}.view(torch.float32)"], 1
        arguments = [*self._incoming(signal, result, "weight"), *self._averaging(signal, result, shape)]
        return arguments, len(self.program.outputs[result.group][1])

    def _averaging(self, signal: Signal, result: Result, shape: wavelet_t.Turn) -> list[str]:
        """The matrix that takes averages to samples, if it is averages that come in."""
        if result.kind != "local":
            return []
        averaging = tables.leaf_matrix(self.spec, signal.level, result.by, result.first[0], shape.there)
        products, warps, columns, depth = shape.matrix
        turned = averaging.reshape(products, warps, depth, columns).swapaxes(2, 3)
        return self.split(f"leaf{signal.level}_{warps}_t", turned)

    def _leaves(self, grouped: Grouped) -> None:
        """The leaves that are grouped, there and back."""
        self.write(f"P1 = torch.empty({grouped.numbers} * pairs, dtype=torch.complex64, device=x.device)")
        place = 0
        for group in grouped.groups:
            shape = self.taken(group.shape)
            there = shape.there
            results = [self.returns.source(leaf) for leaf in group.leaves]
            sources = [result for result in results if result is not None]
            arguments = ["X1.view(torch.int64)", *self._of_leaves(group.leaves, grouped.spectra, there.width)]
            self.table(f"twiddles_{there.length}", tables.twiddles(there.length))
            rows = [self.program.places[path][1] for result in sources for path in result.paths]
            name = f"leaves{group.leaves[0].level}_{there.width}_{shape.source}_row"
            self.table(name, np.array(rows, np.int32))
            arguments += [*self.named(f"twiddles_{there.length}"), f"gs[{sources[0].group}]", "weight"]
            arguments += [*self.named(name), *self._averaging(group.leaves[0], sources[0], shape)]
            paths = len(self.program.outputs[sources[0].group][1])
            arguments += [f"P1[{place} * pairs :].view(torch.int64)", str(paths), "n", "pairs"]
            place += numbers(group)
            grid = (f"triton.cdiv(2 * pairs, {there.rows})", str(group.paths))
            kernel, types = self._turning(shape), wavelet_t.parameters(shape)
            self.launch(Launch(kernel, types, grid, arguments, {}, shape.warps, group.paths, shape))

    def _turning(self, shape: wavelet_t.Turn) -> str:
        """The name of a kernel that goes there and back in registers."""
        return kernel_name(self.turns, shape, f"returns_{shape.there.length}")

    def _rows_and_columns(self, signal: Signal, waves: str) -> str:
        """The spectrum of a signal's cotangent, by kernels along rows and columns; yields its name."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name = waves or self._along_columns(signal)[1]
        shape = self.returns.matrix(signal, self.choices.spectrum_bins(parent))
        first, second = (self.taken(replace(tile, back=True)) for tile in (shape.first, shape.second))
        shape = replace(shape, first=first, second=second)
        rows = self.returning.setdefault(shape, f"rows_t_{shape.length}_{len(self.returning)}")
        grid, source = ("2 * pairs", str(signal.paths)), f"{name}.view(torch.int64)"
        arguments = [source, *self.named(f"twiddles_{shape.rows}"), f"g{signal.name}.view(torch.float32)", "pairs"]
        tiles = str(shape.columns // second.count)
        self.launch(Launch(rows, matrix_t.ROWS, (*grid, tiles), arguments, {}, second.warps, signal.paths, second))
        tables = f"twiddles_{shape.columns}", f"turns_{shape.length}_small", f"turns_{shape.length}_large"
        tiles = str(shape.rows // first.count)
        arguments, columns = [source, *self.named(*tables), "pairs"], rows.replace("rows", "columns")
        self.launch(Launch(columns, matrix_t.COLUMNS, (*grid, tiles), arguments, {}, first.warps, signal.paths, first))
        self.write(f"del g{signal.name}")
        return name

    def _slopes(self, signal: Signal, waves: str) -> str:
        """The spectrum of a signal's cotangent, short as the signal is; yields its name."""
        name = waves or self._waves(signal)
        shape = self.elementwise("slope", signal.length)
        self.static_launch(
            "slope",
            signal.paths,
            (f"{signal.paths} * pairs * {-(-signal.length // shape.block)}",),
            [f"{name}.view(torch.int64)", f"g{signal.name}.view(torch.int64)"],
            {"SAMPLES": signal.length, "BLOCK": shape.block},
            shape,
        )
        self.write(f"g{name} = torch.fft.fft({name})", f"del {name}, g{signal.name}")
        self.steps.append(Transform(signal.length, signal.paths, packed=False))
        return f"g{name}"

    def _gather(self, one: Sum, cuts: Mapping[Blocks, str], product: str) -> None:
        """The sum over the filters of some children, added to the cotangent of what they read."""
        parent, cut = one.parent, one.cut
        name = f"{parent.name}_{one.children[0].name}_{len(one.children)}"
        self.table(f"{name}_windows", one.windows())
        self.table(f"{name}_w", one.weights(self.spec, self._choice(parent).follow.thinning))
        target = f"g{self.spectrum(parent) if cut is None else cuts[cut]}"
        if cut is not None:
            room = f"({parent.paths}, pairs, {cut.count}, {cut.bins})"
            self.write(f"{target} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        tiles, pairs = self.taken(one.tiles()), f"{one.rows} * pairs" if cut else "pairs"
        grid = (f"{-(-tiles.bins // tiles.block)} * triton.cdiv({pairs}, {tiles.pairs})", str(parent.paths))
        arguments = [f"{product}.view(torch.int64)", *self.named(f"{name}_windows", f"{name}_w")]
        arguments += [f"{target}.view(torch.int64)", pairs]
        self.gathers[arguments[2]] = one.work()
        self.static_launch("gather", parent.paths, grid, arguments, one.constants(tiles), tiles)
        if not one.apart:
            self.write(f"del {product}")
