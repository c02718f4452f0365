"""Transforms of lines: walks the tree of signals and launches kernels, by what `choices.py` says of each.

What a kernel looks like is in `templates/kernels/`, or written by `wavelet.py` and `matrix.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import matrix, tables, wavelet
from scatc.codegen.triton.choices import Choices, Way, live_bytes
from scatc.codegen.triton.cost import REAL, Work, matrix_work, wavelet_work
from scatc.codegen.triton.emitter import BLOCK, Emitter, power
from scatc.codegen.triton.kernels import Written, in_registers, of_matrix
from scatc.codegen.triton.launch import Launch, Transform
from scatc.ir.nodes import Pad

LEVELS = 9
"""Launches of what finds the mean and the size of each signal."""


class Lines(Emitter):
    """The walk over a program of lines.

    Attributes
    ----------
    choices : Choices
    shapes : dict of str to Shape
        The kernels in registers, by name.
    matrices : dict of str to Matrix
        What the kernels of long signals are specialised to, by the names of the first ones.
    """

    title = "1D scattering"
    template = "lines.py.j2"

    def prepare(self) -> None:
        """What the walk gathers."""
        self.choices = Choices(self.spec, self.options, self.tuned)
        self.matrices: dict[str, matrix.Matrix] = {}

    def generated(self) -> Iterable[Written]:
        """The kernels in registers, and those of long signals."""
        yield from (in_registers(shape, name) for name, shape in self.shapes.items())
        for name, shape in self.matrices.items():
            yield from of_matrix(shape, name)

    def before(self) -> list[Work]:
        """What finds the levels."""
        return [Work("levels", 4.0 * REAL * self.spec.input_shape[0], launches=LEVELS)]

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one signal."""
        if isinstance(step, Launch):
            if step.kernel in self.shapes:
                return wavelet_work(step, self.shapes[step.kernel])
            if (first := step.kernel.replace("rows_", "columns_")) in self.matrices:
                return matrix_work(step, self.matrices[first], along_columns=first == step.kernel)
        return super().work(step)

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one signal of the batch."""
        return live_bytes(self.choices, self.root)

    def trunk(self) -> str:
        """The padded signals in pairs, their spectrum, and order 0."""
        root, self.lines = self.root, []
        length = root.length
        pad = self.graph[root.nodes[0]] if root.nodes else None
        self.note(*root.nodes)
        self.table("pad_index", tables.pad_index(length, pad if isinstance(pad, Pad) else None))
        self.write(f"U0 = torch.empty((1, pairs, {length}), dtype=torch.complex64, device=x.device)")
        self.static_launch(
            "pad",
            1,
            (f"triton.cdiv({length}, {BLOCK})", "pairs"),
            ["x", 't["pad_index"]', "mean", "scale", "U0.view(torch.int64)", "n"],
            {"SAMPLES": self.spec.input_shape[0], "LENGTH": length, "BLOCK": BLOCK},
        )
        self._transform(root, "U0")
        for result in root.results:
            if result.kind == "raw":
                self.note(*result.nodes)
                self.write(f"outs[{result.group}][:, {self.program.places[result.paths[0]][1]}] = x")
        return "\n".join(self.lines)

    def _transform(self, signal: Signal, packed: str) -> None:
        """The spectrum of a signal whose children need it, and the averages of it."""
        self.note(signal.spectrum)
        self.write(f"{self.spectrum(signal)} = torch.fft.fft({packed})")
        self.steps.append(Transform(signal.length, signal.paths, packed=True))
        for result in signal.results:
            if result.kind == "raw":
                continue
            self.note(*result.nodes)
            if self.choices.averages_bins(signal, result):
                self._averaged(signal, result)
            else:
                self._lowpass(signal, result, f"{packed}.view(torch.int64)", packed=True)
        self.write(f"del {packed}")

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it."""
        self.note(*signal.nodes)
        way = self.choices.way(signal)
        written = {Way.STAGED: self._staged, Way.MATRIX: self._matrix}.get(way, self._registers)
        packed = written(signal)
        if signal.spectrum:
            self._transform(signal, packed)
        elif way in (Way.PACKED, Way.MATRIX):
            for result in signal.results:
                if result.kind == "local":
                    self.note(*result.nodes)
                    self._lowpass(signal, result, f"{packed}.view(torch.int64)", packed=True)
            self.write(f"del {packed}")
        for child in signal.children:
            self.branch(child)
        if signal.spectrum:
            self.write(f"del {self.spectrum(signal)}")

    def _packed(self, signal: Signal) -> str:
        """Room for the moduli of pairs of signals."""
        shape = f"({signal.paths}, pairs, {signal.length})"
        self.write(f"{signal.name} = torch.empty({shape}, dtype=torch.complex64, device=x.device)")
        return signal.name

    # One kernel from spectrum to moduli or averages.

    def _registers(self, signal: Signal) -> str:
        assert signal.fold is not None and signal.parent is not None
        shape = self.choices.shape(signal)
        known = {other: name for name, other in self.shapes.items()}
        name = known.get(shape, f"wavelet_{shape.length}_{len(self.shapes)}")
        self.shapes[name] = shape
        fold = signal.nodes[0]
        start, w = tables.filters(self.spec, signal.fold, signal.parent.length, shape.width)
        self.table(f"{fold}_start", start)
        self.table(f"{fold}_w", w)
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        parent = self.spectrum(signal.parent)
        arguments = [f"{parent}.view(torch.int64)", *self.named(f"{fold}_start", f"{fold}_w")]
        arguments += self.named(f"twiddles_{shape.length}")
        packed = self._packed(signal) if "pack" in shape.sinks else ""
        for result in signal.results:
            if result.kind in shape.sinks:
                self.note(*result.nodes)
                if result.kind == "local":
                    averaging = tables.leaf_matrix(self.spec, signal.level, result.by, result.first[0], shape)
                    # rows are in the order in which so many warps hold samples
                    arguments += self.split(f"leaf{signal.level}_{shape.warps}", averaging)
                arguments += ["scale", self.rows(fold, result), f"outs[{result.group}]"]
        if packed:
            arguments.append(f"{packed}.view(torch.float32)")
        grid = (f"triton.cdiv(2 * pairs, {shape.rows})", str(signal.paths))
        types = dict(wavelet.parameters(shape))
        rows = {len(self.program.outputs[result.group][1]) for result in signal.results if result.kind in shape.sinks}
        numbers = [str(signal.parent.length), str(len(signal.fold.indices)), str(max(rows, default=1)), "n", "pairs"]
        self.launch(Launch(name, types, grid, [*arguments, *numbers], {}, shape.warps, signal.paths))
        return packed

    # Two kernels, along columns and rows.

    def _matrix(self, signal: Signal) -> str:
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name, inverse, _ = signal.nodes
        shape = matrix.shape(parent.length, signal.length, fold.widths[0] if fold.widths else parent.length)
        known = {other: kernel for kernel, other in self.matrices.items()}
        kernel = known.get(shape, f"columns_{shape.length}_{len(self.matrices)}")
        self.matrices[kernel] = shape
        start, w = tables.filters(self.spec, fold, parent.length, shape.width)
        self.table(f"{name}_start", start)
        self.table(f"{name}_w", w)
        length, turns = shape.length, shape.turns
        self.table(f"twiddles_{shape.columns}", tables.twiddles(shape.columns))
        self.table(f"twiddles_{shape.rows}", tables.twiddles(shape.rows))
        self.table(f"turns_{length}_small", tables.twiddles(length)[:turns])
        self.table(f"turns_{length}_large", tables.twiddles(length // turns))
        room = f"({signal.paths}, 2 * pairs, {length})"
        self.write(f"{inverse} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *self.named(f"{name}_start", f"{name}_w")]
        arguments += self.named(f"twiddles_{shape.columns}", f"turns_{length}_small", f"turns_{length}_large")
        arguments += [f"{inverse}.view(torch.int64)", str(parent.length), str(len(fold.indices)), "pairs"]
        grid = ("2 * pairs", str(signal.paths))
        tiles = str(shape.rows // shape.tile(shape.columns))
        warps = shape.warps(shape.columns)
        self.launch(Launch(kernel, matrix.COLUMNS, (*grid, tiles), arguments, {}, warps, signal.paths))
        packed = self._packed(signal)
        arguments = [f"{inverse}.view(torch.int64)", *self.named(f"twiddles_{shape.rows}")]
        arguments += [f"{packed}.view(torch.float32)", "n", "pairs"]
        tiles = str(shape.columns // shape.tile(shape.rows))
        warps = shape.warps(shape.rows)
        rows = kernel.replace("columns", "rows")
        self.launch(Launch(rows, matrix.ROWS, (*grid, tiles), arguments, {}, warps, signal.paths))
        self.write(f"del {inverse}")
        return packed

    # Kernels with a library's transform between them.

    def _staged(self, signal: Signal) -> str:
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name, _, modulus = signal.nodes
        inverse = signal.nodes[1]
        start, w = tables.filters(self.spec, fold, parent.length)
        self.table(f"{name}_start", start)
        self.table(f"{name}_w", w)
        m = signal.length
        self.write(f"{name} = torch.empty(({signal.paths}, 2 * pairs, {m}), dtype=torch.complex64, device=x.device)")
        block, together = min(BLOCK, power(m)), 4
        self.static_launch(
            "fold",
            signal.paths,
            (f"triton.cdiv({m}, {block})", str(signal.paths), f"triton.cdiv(pairs, {together})"),
            [
                f"{self.spectrum(parent)}.view(torch.int64)",
                *self.named(f"{name}_start", f"{name}_w"),
                f"{name}.view(torch.int64)",
                "pairs",
            ],
            {
                "PARENT": parent.length,
                "LENGTH": m,
                "WIDTH": w.shape[1],
                "FILTERS": len(fold.indices),
                "BLOCK": block,
                "PAIRS": together,
            },
        )
        self.write(f'{inverse} = torch.fft.ifft({name}, norm="forward")', f"del {name}")
        self.steps.append(Transform(m, signal.paths, packed=False))
        packed = ""
        if signal.spectrum:
            packed = self._packed(signal)
            self.static_launch(
                "pack",
                signal.paths,
                (f"{signal.paths} * pairs", f"triton.cdiv({m}, {block})"),
                [f"{inverse}.view(torch.int64)", f"{modulus}.view(torch.int64)"],
                {"LENGTH": m, "BLOCK": block},
            )
        for result in signal.results:
            if not signal.spectrum or result.kind == "raw":
                self._moduli(signal, result, inverse)
        self.write(f"del {inverse}")
        return packed

    def _moduli(self, signal: Signal, result: Result, z: str) -> None:
        """Coefficients from complex numbers in memory."""
        self.note(*result.nodes)
        source, name = f"{z}.view(torch.int64)", signal.nodes[0]
        paths = len(self.program.outputs[result.group][1])
        into = ["scale", self.rows(name, result), f"outs[{result.group}]", "n", "pairs"]
        if result.kind == "local":
            self._lowpass(signal, result, source, packed=False)
        elif result.kind == "total":
            constants = {"PATHS": paths, "LENGTH": signal.length, "BLOCK": min(1024, power(signal.length))}
            self.static_launch("total", signal.paths, ("n", str(signal.paths)), [source, *into], constants)
        else:
            block = min(BLOCK, power(max(result.kept[0], 1)))
            constants = {"PATHS": paths, "LENGTH": signal.length, "FIRST": result.first[0], "KEPT": result.kept[0]}
            grid = ("n", str(signal.paths), f"triton.cdiv({result.kept[0]}, {block})")
            self.static_launch("moduli", signal.paths, grid, [source, *into], constants | {"BLOCK": block})

    def _lowpass(self, signal: Signal, result: Result, source: str, *, packed: bool) -> None:
        choice = self.choices.window(signal, result)
        first, _ = tables.window(self.spec, signal.level, result.by, choice.outputs, self.options.tolerance)
        whole = choice.window >= signal.length
        name = f"phi{signal.level}_{choice.outputs}"
        averaging = tables.toeplitz(
            self.spec, signal.level, result.by, result.first[0], choice.outputs, choice.padded, self.options.tolerance
        )
        arguments = [
            source,
            *self.split(name, averaging),
            "mean",
            "scale",
            self.rows(signal.nodes[0] if signal.nodes else signal.name, result),
        ]
        constants = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "LENGTH": signal.length,
            "STEP": 1 << result.by,
            "FIRST": 0 if whole else (result.first[0] << result.by) - first,
            "WINDOW": choice.padded,
            "KEPT": result.kept[0],
            "OUTPUTS": choice.outputs,
            "ROWS": choice.rows,
            "BLOCK": choice.block,
            "PACKED": packed,
            "GAIN": 1.0 if signal.parent is None else 0.0,
        }
        grid = (str(-(-result.kept[0] // choice.outputs)), str(signal.paths), f"triton.cdiv(n, {choice.rows})")
        self.static_launch(
            "lowpass", signal.paths, grid, [*arguments, f"outs[{result.group}]", "n", "pairs"], constants
        )

    def _averaged(self, signal: Signal, result: Result) -> None:
        """Coefficients from the few bins of a spectrum that phi, or a sum over all samples, leaves."""
        if result.kind == "total":
            even, odd, gain = np.full((1, 1), 0.5), np.zeros((1, 1)), float(signal.length)
            name, kept = "sum", 1
        else:
            outputs = (result.first[0], result.first[0] + result.kept[0])
            even, odd = tables.bins(self.spec, signal.level, result.by, outputs, self.options.tolerance)
            name, kept, gain = f"bins{signal.level}", result.kept[0], 1.0
        choice = self.choices.bins(even.shape[0], kept)
        pads = ((0, choice.padded - even.shape[0]), (0, choice.columns - even.shape[1]))
        arguments = [f"{self.spectrum(signal)}.view(torch.int64)"]
        arguments += self.split(f"{name}_even", np.pad(even, pads)) + self.split(f"{name}_odd", np.pad(odd, pads))
        arguments += [
            "mean",
            "scale",
            self.rows(signal.nodes[0] if signal.nodes else signal.name, result),
            f"outs[{result.group}]",
            "n",
            "pairs",
        ]
        constants = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "PARENT": signal.length,
            "BINS": choice.padded,
            "KEPT": kept,
            "OUTPUTS": choice.outputs,
            "ROWS": choice.rows,
            "BLOCK": choice.block,
            "GAIN": gain if signal.parent is None else 0.0,
        }
        grid = (str(choice.columns // choice.outputs), str(signal.paths), f"triton.cdiv(n, {choice.rows})")
        self.static_launch("average", signal.paths, grid, arguments, constants)
