"""Transforms of images: walks the tree of signals and launches kernels.

What a kernel looks like is in `templates/kernels/`, or written by `rows.py` and `columns.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton.cost import Work
from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.images import averaged, columns, pair_columns, rows, short_rows, sums
from scatc.codegen.triton.images import tables as image_tables
from scatc.codegen.triton.images.choices import LEAST_BLOCK, MOST_ROWS, ImageChoices, Way, constants, product
from scatc.codegen.triton.images.chunks import Held
from scatc.codegen.triton.images.cost import (
    columns_work,
    forward_transform,
    pair_columns_work,
    rows_work,
    short_rows_work,
    static_work,
    sums_work,
)
from scatc.codegen.triton.images.kernels import ARGUMENTS, of_columns, of_pair_columns, of_rows, of_short_rows, of_sums
from scatc.codegen.triton.images.mixed import Stages
from scatc.codegen.triton.images.pair_columns import PairColumns
from scatc.codegen.triton.kernels import Written
from scatc.codegen.triton.launch import Launch, Transform, kernel_name
from scatc.codegen.triton.tuned import Product
from scatc.ir.nodes import Pad

TOGETHER = 4
"""Pairs that a program of `fold_image` does one after the other, with the weights that it read."""


class Images(Emitter):
    """The walk over a program of images.

    Attributes
    ----------
    choices : ImageChoices
    of_rows : dict of str to Rows
        What the kernels for rows are specialised to, by name.
    of_columns : dict of str to Columns
        What those for columns are.
    of_pair_columns : dict of str to PairColumns
        What those that lead on to spectra are.
    of_short_rows : dict of str to ShortRows
        What those for short rows are.
    of_sums : dict of str to Sums
        What those of averages that are sums are.
    """

    title = "2D scattering"
    template = "images.py.j2"
    arguments = ARGUMENTS
    only: ClassVar[Way | None] = None
    """A way that all signals go that can."""

    @property
    def pad(self) -> Pad | None:
        """How the input is padded; None if it is not."""
        node = self.graph[self.root.nodes[0]] if self.root.nodes else None
        return node if isinstance(node, Pad) else None

    def prepare(self) -> None:
        """What the walk gathers."""
        self.choices = ImageChoices(self.spec, self.options, self.pad, self.only)
        self.of_rows: dict[str, rows.Rows] = {}
        self.of_columns: dict[str, columns.Columns] = {}
        self.of_pair_columns: dict[str, PairColumns] = {}
        self.of_short_rows: dict[str, short_rows.ShortRows] = {}
        self.of_sums: dict[str, sums.Sums] = {}
        self._owners: dict[tuple[Any, ...], str] = {}  # of tables of filters: the names of the first signals
        self._held: dict[int, Held] = {}  # in chunks, by the launches of kernels for rows

    def generated(self) -> Iterable[Written]:
        """The kernels for rows and for columns."""
        yield from (of_rows(shape, name) for name, shape in self.of_rows.items())
        yield from (of_columns(shape, name) for name, shape in self.of_columns.items())
        yield from (of_pair_columns(shape, name) for name, shape in self.of_pair_columns.items())
        yield from (of_short_rows(shape, name) for name, shape in self.of_short_rows.items())
        yield from (of_sums(shape, name) for name, shape in self.of_sums.items())

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one image."""
        if isinstance(step, Launch) and step.kernel in self.of_rows:
            return rows_work(step.paths, self.of_rows[step.kernel], self._held[id(step)])
        if isinstance(step, Launch) and step.kernel in self.of_columns:
            return columns_work(step.paths, self.of_columns[step.kernel])
        if isinstance(step, Launch) and step.kernel in self.of_pair_columns:
            return pair_columns_work(step.paths, self.of_pair_columns[step.kernel])
        if isinstance(step, Launch) and step.kernel in self.of_short_rows:
            return short_rows_work(step.paths, self.of_short_rows[step.kernel])
        if isinstance(step, Launch) and step.kernel in self.of_sums:
            return sums_work(step.paths, self.of_sums[step.kernel])
        return static_work(step)

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one image of the batch."""
        return self.choices.live_bytes(self.root)

    def trunk(self) -> str:
        """The padded images in pairs, their spectrum, and order 0."""
        root, self.lines = self.root, []
        for result in root.results:
            if result.kind == "raw":
                self.note(*result.nodes)
                self._input(result)
        self.find_levels()
        pair = self.choices.pair_columns(root)
        if pair is None:
            self.padded()
            self._packed_results(root, "U0")
        else:
            self._pair_results(root, self.pair_columns(root, pair))
        return "\n".join(self.lines)

    def padded(self) -> None:
        """The padded images in pairs."""
        root = self.root
        height, width = root.shape
        self.note(*root.nodes)
        for axis, name in enumerate(("pad_rows", "pad_columns")):
            self.table(name, image_tables.pad_index(root.shape[axis], self.pad, axis))
        self.write(f"U0 = torch.empty((1, pairs, {height}, {width}), dtype=torch.complex64, device=x.device)")
        shape = self.elementwise("pad_image", height * width)
        sizes = dict(zip(("HEIGHT", "WIDTH"), self.spec.input_shape, strict=True))
        sizes |= {"ROWS": height, "COLUMNS": width, "BLOCK": shape.block}
        grid = (f"triton.cdiv({height * width}, {shape.block})", "pairs")
        arguments = ["x", *self.named("pad_rows", "pad_columns"), "mean", "scale", "U0.view(torch.int64)", "n"]
        self.static_launch("pad_image", 1, grid, arguments, sizes, shape)

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it."""
        self.note(*signal.nodes)
        way, done = self.choices.way(signal), tuple[str, ...]()
        pair = self.choices.pair_columns(signal) if way is Way.FUSED else None
        if way is Way.STAGED:
            packed = self._staged(signal)
        elif pair is not None:
            packed = ""
            self._pair_results(signal, self.pair_columns(signal, pair, self._rows(signal)))
        else:
            source = self._rows(signal) if way is Way.FUSED else self._library_rows(signal)
            packed, done = self._columns(signal, source, paired=way is Way.FUSED)
        if packed:
            self._packed_results(signal, packed, done)
        for child in signal.children:
            self.branch(child)
        if signal.spectrum:
            self.write(f"del {self.spectrum(signal)}")

    # What is made of moduli.

    def _input(self, result: Result) -> None:
        """Order 0 without averaging: the input; what is padding in it was given by the user."""
        cut = ""
        if self.spec.pre_pad:
            cut = "".join(f", {a}:{a + kept}" for a, kept in zip(result.first, result.kept, strict=True))
        row = self.program.places[result.paths[0]][1]
        self.write(f"outs[{result.group}][:, {row}] = x" + (f"[:{cut}]" if cut else ""))

    def _packed_results(self, signal: Signal, packed: str, done: Sequence[str] = ()) -> None:
        """The averages of signals that are packed in pairs, their spectrum, and sums, which are its first bin."""
        for result in signal.results:
            if result.kind == "local" and result.kind not in done:
                self.note(*result.nodes)
                self._lowpass(signal, result, f"{packed}.view(torch.int64)", packed=True)
        if signal.spectrum or any(result.kind == "total" for result in signal.results):
            self.transformed(signal, packed)
        self.write(f"del {packed}")
        self._totals(signal)

    def transformed(self, signal: Signal, packed: str) -> None:
        """The spectrum of signals that are packed in pairs."""
        self.note(signal.spectrum)
        self.write(f"{self.spectrum(signal)} = torch.fft.fft2({packed})")
        self.steps.append(forward_transform(signal, 2))

    def pair_columns(self, signal: Signal, shape: PairColumns, waves: str = "", *, kept: bool = False) -> str:
        """The spectrum of signals, from transformed rows or the input, and averages along columns; packed moduli."""
        shape = self.taken(shape)
        kernel = kernel_name(self.of_pair_columns, shape, f"pair_columns_{shape.split.length}")
        halfway, packed = self.choices.halfway(signal), (*signal.nodes[2:3], "U0")[0]
        name, averages = self.spectrum(signal) + ("" if halfway else "_columns"), f"T_of_{signal.name}"
        arguments = [f"{waves}.view(torch.int64)"]
        if not waves:
            self.note(*signal.nodes)
            self.table("pad_columns", image_tables.pad_index(signal.shape[1], self.pad, 1))
            arguments = ["x", *self.named("pad_columns"), "mean", "scale"]
        arguments += self.twiddles(shape.split)
        if shape.weights:
            room = f"({signal.paths}, n, {len(shape.weights)}, {shape.width})"
            self.write(f"{averages} = torch.empty({room}, dtype=torch.float32, device=x.device)")
            arguments.append(averages)
        for room in (packed, name) if shape.pack else (name,):
            self.room(room, signal, "pairs")
            arguments.append(f"{room}.view(torch.int64)")
        grid = (f"triton.cdiv(pairs * {shape.width}, {shape.tile})", str(signal.paths))
        types, arguments = pair_columns.parameters(shape), [*arguments, "n", "pairs"]
        self.launch(Launch(kernel, types, grid, arguments, {}, shape.warps, signal.paths, shape))
        if waves and not kept:
            self.write(f"del {waves}")
        self.note(signal.spectrum)
        if not halfway:
            self.write(f"{self.spectrum(signal)} = torch.fft.fft({name})", f"del {name}")
            self.steps.append(forward_transform(signal, 1))
        return packed if shape.pack else ""

    def _pair_results(self, signal: Signal, packed: str) -> None:
        """What is made of averages along columns, or of packed moduli, and of the spectrum."""
        for result in signal.results:
            if result.kind == "local":
                self.note(*result.nodes)
                if packed:
                    self._lowpass(signal, result, f"{packed}.view(torch.int64)", packed=True)
                else:
                    self._lowpass_rows(signal, result, f"T_of_{signal.name}")
        if packed:
            self.write(f"del {packed}")
        self._totals(signal)

    def _totals(self, signal: Signal) -> None:
        """Sums over whole images, from their spectra."""
        for result in signal.results:
            if result.kind == "total":
                self.note(*result.nodes)
                self._sum(signal, result)

    def _lowpass(self, signal: Signal, result: Result, source: str, *, packed: bool) -> None:
        """An average along columns, then along rows."""
        height, width = signal.shape
        name = f"T_of_{signal.name}"
        room = f"({signal.paths}, n, {result.kept[0]}, {width})"
        self.write(f"{name} = torch.empty({room}, dtype=torch.float32, device=x.device)")
        short = self.choices.sums(signal, result) if packed else None
        if short is not None:
            self._sums(signal, short, source, name)
            self._lowpass_rows(signal, result, name)
            return
        matrix = image_tables.averaging(self.spec, signal.level, result, 0)
        tiles = self.taken(self.choices.product(signal, result, packed=packed))
        arguments = [source, *self._matrix(f"phi{signal.level}_columns", matrix, tiles), name, "n", "pairs"]
        sizes = {"ROWS": height, "COLUMNS": width, **constants(tiles), "PACKED": packed}
        # of pairs, a program has half as many columns of both images
        wide, images = (tiles.rows // 2, "pairs") if packed else (tiles.rows, "n")
        grid = (f"{images} * {-(-width // wide)}", str(signal.paths), str(tiles.programs))
        self.static_launch("lowpass_columns", signal.paths, grid, arguments, sizes, tiles)
        self._lowpass_rows(signal, result, name)

    def _sums(self, signal: Signal, shape: sums.Sums, source: str, into: str) -> None:
        """Averages along columns that are sums of a few samples."""
        shape = self.taken(shape)
        kernel = kernel_name(self.of_sums, shape, f"sums_{shape.height}")
        grid = (f"triton.cdiv(pairs * {shape.width}, {shape.tile})", str(signal.paths), str(shape.groups))
        arguments = [source, into, "n", "pairs"]
        self.launch(Launch(kernel, sums.TYPES, grid, arguments, {}, shape.warps, signal.paths, shape))

    def _lowpass_rows(self, signal: Signal, result: Result, name: str) -> None:
        """An average along rows, into the output."""
        matrix = image_tables.averaging(self.spec, signal.level, result, 1)
        tiles = self.taken(product("lowpass_rows", matrix.shape[0], matrix.shape[1], tile=MOST_ROWS, block=LEAST_BLOCK))
        kind = "sum" if result.kind == "total" else "phi"
        arguments = [name, *self._matrix(f"{kind}{signal.level}_rows", matrix, tiles), "mean", "scale"]
        arguments += [self.rows(signal.nodes[0] if signal.nodes else signal.name, result)]
        sizes: dict[str, Any] = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "COLUMNS": signal.shape[1],
            "HEIGHT": result.kept[0],
            **constants(tiles),
            "GAIN": image_tables.gain(self.spec, result) if signal.parent is None else 0.0,
        }
        lines = f"triton.cdiv(n * {result.kept[0]}, {tiles.rows})"
        grid = (lines, str(signal.paths), str(tiles.programs))
        arguments += [f"outs[{result.group}]", "n"]
        self._used.add("settled")
        self.static_launch("lowpass_rows", signal.paths, grid, arguments, sizes, tiles)
        self.write(f"del {name}")

    def _matrix(self, name: str, matrix: np.ndarray[Any, Any], tiles: Product) -> list[str]:
        """A matrix, a row for each output: tensor cores read its terms side by side; with the padding of its tiles."""
        pads = ((0, tiles.columns - matrix.shape[1]), (0, tiles.padded - matrix.shape[0]))
        return self.split(f"{name}_{tiles.columns}x{tiles.padded}", np.pad(matrix.T, pads))

    def _sum(self, signal: Signal, result: Result) -> None:
        """The sum of all samples: bin 0, of which the kernel that averages lines reads a few more, for nothing."""
        samples, tiles = prod(signal.shape), self.taken(product("average", 1, 1))
        even, odd = np.zeros((2, tiles.padded, tiles.columns))
        even[0, 0] = 0.5
        arguments = [f"{self.spectrum(signal)}.view(torch.int64)"]
        name = f"sum_{tiles.padded}"
        arguments += [*self.split(f"{name}_even", even), *self.split(f"{name}_odd", odd), "mean", "scale"]
        arguments += [self.rows(signal.nodes[0] if signal.nodes else signal.name, result)]
        sizes = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "PARENT": samples,
            "BINS": tiles.padded,
            "KEPT": 1,
            "OUTPUTS": tiles.outputs,
            "ROWS": tiles.rows,
            "BLOCK": tiles.block,
            "GAIN": float(samples) if signal.parent is None else 0.0,
        }
        grid = ("1", str(signal.paths), f"triton.cdiv(n, {tiles.rows})")
        arguments += [f"outs[{result.group}]", "n", "pairs"]
        self.static_launch("average", signal.paths, grid, arguments, sizes, tiles)

    # Kernels in registers, along rows and along columns.

    def _rows(self, signal: Signal) -> str:
        """Products with filters, folded, as sums and differences of the images of a pair, transformed along rows."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        if self.choices.halfway(parent):
            return self._short_rows(signal, parent)
        shape = self.choices.rows(signal)
        assert shape is not None
        shape = self.taken(shape)
        name, length = signal.nodes[0], shape.split.length
        kernel = kernel_name(self.of_rows, shape, f"rows_{length}")
        chunks = self.choices.chunks(signal, shape)
        filters = self._filters(signal, "rows", first=chunks.first, places=chunks.places, w=chunks.w)
        self.room(name, signal, "2 * pairs")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *filters, *self.twiddles(shape.split)]
        arguments += [f"{name}.view(torch.int64)", "pairs"]
        tiles = f"triton.cdiv(pairs * {shape.height}, {shape.tile})"
        grid = (f"{shape.groups} * {tiles}", str(signal.paths // shape.filters))
        step = Launch(kernel, rows.parameters(shape), grid, arguments, {}, shape.warps, signal.paths, shape)
        self.launch(step)
        self._held[id(step)] = self.choices.held(signal, shape)
        return name

    def _short_rows(self, signal: Signal, parent: Signal) -> str:
        """The same from a spectrum along columns, whose rows a thread transforms forward, too."""
        shape = self.choices.short_rows(signal)
        assert shape is not None
        shape = self.taken(shape)
        name = signal.nodes[0]
        kernel = kernel_name(self.of_short_rows, shape, f"short_rows_{shape.shape[1]}")
        start, w = self.choices.filters(signal)
        filters = self._filters(signal, "short", rows=image_tables.by_rows(start, w, parent.shape, signal.shape[0]))
        self.room(name, signal, "2 * pairs")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *filters, f"{name}.view(torch.int64)", "pairs"]
        self._used.add("settled")
        tiles = f"triton.cdiv(pairs * {signal.shape[0]}, {shape.tile})"
        grid = (f"{shape.groups} * {tiles}", str(signal.paths // shape.filters))
        self.launch(Launch(kernel, short_rows.TYPES, grid, arguments, {}, shape.warps, signal.paths, shape))
        return name

    def _library_rows(self, signal: Signal) -> str:
        name, inverse, _ = signal.nodes
        self._fold(signal)
        self.write(f'{inverse} = torch.fft.ifft({name}, norm="forward")', f"del {name}")
        self.steps.append(Transform(prod(signal.shape), signal.paths, packed=False))
        return inverse

    def _columns(self, signal: Signal, source: str, *, paired: bool) -> tuple[str, tuple[str, ...]]:
        """From transformed rows to moduli; what they are packed in, and which results are done."""
        shape = self.choices.columns(signal, paired=paired)
        assert shape is not None
        shape = self.taken(shape)
        length, modulus = shape.split.length, signal.nodes[2]
        kernel = kernel_name(self.of_columns, shape, f"columns_{length}")
        arguments = [f"{source}.view(torch.int64)", *self.twiddles(shape.split)]
        kinds = {result.kind: result for result in signal.results}
        averaged, numbers = kinds.get("local", kinds.get("total")), 1
        if shape.multiplied:
            self._used |= {"roots", "settled"}
            arguments += self._terms(signal, kinds["local"], shape)
        sums = f"T_of_{signal.name}"
        if {"local", "total"} & set(shape.sinks):
            room = f"({signal.paths}, n, {shape.outputs or 1}, {shape.width})"
            self.write(f"{sums} = torch.empty({room}, dtype=torch.float32, device=x.device)")
            arguments.append(sums)
        if "pack" in shape.sinks:
            self.room(modulus, signal, "pairs")
            arguments.append(f"{modulus}.view(torch.float32)")
        if "raw" in shape.sinks:
            result = kinds["raw"]
            numbers = len(self.program.outputs[result.group][1])
            arguments += ["scale", self.rows(signal.nodes[0], result), f"outs[{result.group}]"]
        grid = (f"triton.cdiv(2 * pairs * {shape.width}, {shape.tile})", str(signal.paths))
        types = columns.parameters(shape)
        arguments += [str(numbers), "n", "pairs"]
        self.launch(Launch(kernel, types, grid, arguments, {}, shape.warps, signal.paths, shape))
        self.write(f"del {source}")
        if averaged is not None and averaged.kind in shape.sinks:
            self.note(*averaged.nodes)
            self._lowpass_rows(signal, averaged, sums)
        return (modulus if "pack" in shape.sinks else ""), shape.sinks

    def twiddles(self, split: Stages) -> list[str]:
        """The table of a transform; none if it has no twiddles."""
        if not split.turned:
            return []
        name = f"twiddles_{split.first}x{split.second}"
        self.table(name, image_tables.twiddles(split))
        return self.named(name)

    def column_matrix(self, signal: Signal, result: Result, shape: columns.Columns) -> np.ndarray[Any, Any]:
        """The matrix of averages of a column, its rows where the kernel has them, with zeros to so many columns."""
        matrix = image_tables.averaging(self.spec, signal.level, result, 0)[shape.split.outputs]
        return np.pad(matrix, ((0, 0), (0, shape.padded - matrix.shape[1])))

    def _terms(self, signal: Signal, result: Result, shape: columns.Columns) -> list[str]:
        """The same, a row for each average, its terms as products take them."""
        matrix, split = self.column_matrix(signal, result, shape), shape.split
        zero = np.zeros((1, matrix.shape[1]))  # padding is the last row, place -1
        terms = np.concatenate((matrix, zero))[averaged.order(split)].T
        return self.split(f"phi{signal.level}_terms_{split.first}x{split.second}", terms)

    def _filters(self, signal: Signal, kind: str, **arrays: image_tables.Array) -> list[str]:
        """Tables of filters, which all signals share that are made of the same level by the same filters."""
        fold = signal.fold
        assert fold is not None
        name = self._owners.setdefault((kind, fold.bank, fold.level, fold.indices), f"{signal.nodes[0]}_{kind}")
        for key, array in arrays.items():
            self.table(f"{name}_{key}", array)
        return self.named(*(f"{name}_{key}" for key in arrays))

    def room(self, name: str, signal: Signal, images: str) -> None:
        """Room for complex numbers of as many images of each path."""
        shape = f"({signal.paths}, {images}, {signal.shape[0]}, {signal.shape[1]})"
        self.write(f"{name} = torch.empty({shape}, dtype=torch.complex64, device=x.device)")

    # Kernels with the library's transform between them.

    def _fold(self, signal: Signal) -> str:
        """Products with filters, folded."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name, samples = signal.nodes[0], prod(signal.shape)
        start, w = image_tables.filters(self.spec, fold, parent.shape)
        filters = self._filters(signal, "fold", start=start, w=w)
        self.room(name, signal, "2 * pairs")
        shape = self.elementwise("fold_image", samples)
        sizes = {"PARENT_ROWS": parent.shape[0], "PARENT_COLUMNS": parent.shape[1], "ROWS": signal.shape[0]}
        sizes |= {"COLUMNS": signal.shape[1], "HEIGHT": w.shape[1], "WIDTH": w.shape[2]}
        sizes |= {"FILTERS": len(fold.indices), "BLOCK": shape.block, "PAIRS": TOGETHER}
        grid = (f"triton.cdiv({samples}, {shape.block})", str(signal.paths), f"triton.cdiv(pairs, {TOGETHER})")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *filters]
        arguments += [f"{name}.view(torch.int64)", "pairs"]
        self.static_launch("fold_image", signal.paths, grid, arguments, sizes, shape)
        return name

    def staged_waves(self, signal: Signal) -> str:
        """Products with filters, folded and transformed back."""
        name, inverse, _ = signal.nodes
        self._fold(signal)
        self.write(f'{inverse} = torch.fft.ifft2({name}, norm="forward")', f"del {name}")
        self.steps.append(Transform(prod(signal.shape), signal.paths, packed=False, axes=2))
        return inverse

    def pack(self, signal: Signal, inverse: str) -> str:
        """Moduli in pairs."""
        samples, packed = prod(signal.shape), signal.nodes[2]
        shape = self.elementwise("pack", samples)
        self.room(packed, signal, "pairs")
        grid = (f"{signal.paths} * pairs", f"triton.cdiv({samples}, {shape.block})")
        arguments = [f"{inverse}.view(torch.int64)", f"{packed}.view(torch.int64)"]
        self.static_launch("pack", signal.paths, grid, arguments, {"LENGTH": samples, "BLOCK": shape.block}, shape)
        return packed

    def _staged(self, signal: Signal) -> str:
        inverse = self.staged_waves(signal)
        packed, source = "", f"{inverse}.view(torch.int64)"
        if signal.spectrum:
            packed = self.pack(signal, inverse)
        for result in signal.results:
            if not packed or result.kind == "raw":
                self.note(*result.nodes)
                self._moduli(signal, result, source)
        self.write(f"del {inverse}")
        return packed

    def _moduli(self, signal: Signal, result: Result, source: str) -> None:
        """Coefficients from complex numbers in memory."""
        samples, paths = prod(signal.shape), len(self.program.outputs[result.group][1])
        arguments = [source, "scale", self.rows(signal.nodes[0], result), f"outs[{result.group}]", "n", "pairs"]
        if result.kind == "local":
            self._lowpass(signal, result, source, packed=False)
        elif result.kind == "total":
            shape = self.elementwise("total", samples, 1024)
            sizes = {"PATHS": paths, "LENGTH": samples, "BLOCK": shape.block}
            self.static_launch("total", signal.paths, ("n", str(signal.paths)), arguments, sizes, shape)
        else:
            shape = self.elementwise("moduli_image", prod(result.kept))
            sizes = {"PATHS": paths, "ROWS": signal.shape[0], "COLUMNS": signal.shape[1]}
            sizes |= {"FIRST_ROW": result.first[0], "FIRST_COLUMN": result.first[1]}
            sizes |= {"KEPT_ROWS": result.kept[0], "KEPT_COLUMNS": result.kept[1], "BLOCK": shape.block}
            grid = ("n", str(signal.paths), f"triton.cdiv({prod(result.kept)}, {shape.block})")
            self.static_launch("moduli_image", signal.paths, grid, arguments, sizes, shape)
