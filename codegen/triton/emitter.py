"""Walks the tree of signals and writes a module: kernels, and functions of tensors that launch them.

What is launched for a signal is decided here, by `choices.py`; what a kernel looks like is in `templates/kernels/`, or
written by `wavelet.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scatc.codegen import Tables
from scatc.codegen.slices import shape_text
from scatc.codegen.triton import matrix, tables, wavelet
from scatc.codegen.triton.choices import Choices, Tuned, Way
from scatc.codegen.triton.code import INDENT
from scatc.codegen.triton.cost import LEVELS, REAL, Work, work
from scatc.codegen.triton.kernels import ARGUMENTS, POINTERS, in_registers, of_matrix, templates
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.signals import Result, Signal, signals
from scatc.ir.nodes import Pad
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.text import print_node

BLOCK = 512
"""Samples of a program of an element-wise kernel.

Only the first axis of a grid may be longer than 65535: it is that of whatever has no bound.
"""


class Emitter:
    """The walk over one program.

    Attributes
    ----------
    source : str
        The module.
    tables : dict of str to array
        What kernels read, by name.
    steps : list of Launch or Transform
        What is done, in the order in which it is written.
    shapes : dict of str to Shape
        The kernels in registers, by name.
    matrices : dict of str to Matrix
        What the kernels of long signals are specialised to, by the names of the first ones.
    """

    def __init__(
        self, program: Program, options: Options, tensor_cores: bool, version: str = "", tuned: Tuned | None = None
    ) -> None:
        self.program, self.options, self.tensor_cores = program, options, tensor_cores
        self.graph, self.spec = program.graph, program.graph.spec
        self.root = signals(program)
        self.choices = Choices(self.spec, options, tuned)
        self.tables: Tables = {}
        self.steps: list[Launch | Transform] = []
        self.shapes: dict[str, wavelet.Shape] = {}
        self.matrices: dict[str, matrix.Matrix] = {}
        self._used: set[str] = set()
        self.lines: list[str] = []
        self.source = self._module(version)
        for table in self.tables.values():
            table.flags.writeable = False

    # The module.

    def _module(self, version: str) -> str:
        trunk, branches = self._trunk(), []
        for child in self.root.children:
            self.lines = []
            self._signal(child)
            branches.append((child, "\n".join(self.lines)))
        return (
            templates()
            .get_template("module.py.j2")
            .render(
                title=f"1D scattering, {len(self.program.places)} paths.",
                version=version,
                digest=self.spec.digest,
                spec=self.spec,
                x_shape=shape_text("n", *self.spec.input_shape),
                tensor_cores=self.tensor_cores,
                static=[name for name in ARGUMENTS if name in self._used],
                generated=[
                    *(in_registers(s, name) for name, s in self.shapes.items()),
                    *(w for name, m in self.matrices.items() for w in of_matrix(m, name)),
                ],
                tables=[f"{name:<24} {t.dtype} {t.shape}" for name, t in sorted(self.tables.items())],
                outs=[shape_text("n", len(paths), *shape) for shape, paths in self.program.outputs],
                samples=self.spec.input_shape[0],
                trunk=trunk,
                spectrum=self.spectrum(self.root),
                branches=[(child.nodes[0], body) for child, body in branches],
                chunk=self.choices.chunk(self.works(), self.root),
            )
        )

    def works(self) -> list[Work]:
        """What a call does for one signal, step by step."""
        levels = Work("levels", 4.0 * REAL * self.spec.input_shape[0], launches=LEVELS)
        return [levels, *(work(step, self.shapes, self.matrices) for step in self.steps)]

    def spectrum(self, signal: Signal) -> str:
        """The variable of a signal's spectrum."""
        return signal.spectrum or f"X_of_{signal.name}"

    # Functions.

    def _trunk(self) -> str:
        root, self.lines = self.root, []
        length = root.length
        pad = self.graph[root.nodes[0]] if root.nodes else None
        self._note(*root.nodes)
        self._table("pad_index", tables.pad_index(length, pad if isinstance(pad, Pad) else None))
        self.write(f"U0 = torch.empty((1, pairs, {length}), dtype=torch.complex64, device=x.device)")
        self._static_launch(
            "pad",
            1,
            (f"triton.cdiv({length}, {BLOCK})", "pairs"),
            ["x", 't["pad_index"]', "mean", "scale", "U0.view(torch.int64)", "n"],
            {"SAMPLES": self.spec.input_shape[0], "LENGTH": length, "BLOCK": BLOCK},
        )
        self._transform(root, "U0")
        for result in root.results:
            if result.kind == "raw":
                self._note(*result.nodes)
                self.write(f"outs[{result.group}][:, {self.program.places[result.paths[0]][1]}] = x")
        return "\n".join(self.lines)

    def _transform(self, signal: Signal, packed: str) -> None:
        """The spectrum of a signal whose children need it, and the averages of it."""
        self._note(signal.spectrum)
        self.write(f"{self.spectrum(signal)} = torch.fft.fft({packed})")
        self.steps.append(Transform(signal.length, signal.paths, packed=True))
        for result in signal.results:
            if result.kind == "raw":
                continue
            self._note(*result.nodes)
            if self.choices.averages_bins(signal, result):
                self._averaged(signal, result)
            else:
                self._lowpass(signal, result, f"{packed}.view(torch.int64)", packed=True)
        self.write(f"del {packed}")

    def _signal(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it."""
        self._note(*signal.nodes)
        way = self.choices.way(signal)
        written = {Way.STAGED: self._staged, Way.MATRIX: self._matrix}.get(way, self._registers)
        packed = written(signal)
        if signal.spectrum:
            self._transform(signal, packed)
        elif way in (Way.PACKED, Way.MATRIX):
            for result in signal.results:
                if result.kind == "local":
                    self._note(*result.nodes)
                    self._lowpass(signal, result, f"{packed}.view(torch.int64)", packed=True)
            self.write(f"del {packed}")
        for child in signal.children:
            self._signal(child)
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
        self._table(f"{fold}_start", start)
        self._table(f"{fold}_w", w)
        self._table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        parent = self.spectrum(signal.parent)
        arguments = [f"{parent}.view(torch.int64)", *self._named(f"{fold}_start", f"{fold}_w")]
        arguments += self._named(f"twiddles_{shape.length}")
        packed = self._packed(signal) if "pack" in shape.sinks else ""
        for result in signal.results:
            if result.kind in shape.sinks:
                self._note(*result.nodes)
                if result.kind == "local":
                    averaging = tables.leaf_matrix(self.spec, signal.level, result.by, result.first, shape)
                    # rows are in the order in which so many warps hold samples
                    arguments += self._split(f"leaf{signal.level}_{shape.warps}", averaging)
                arguments += ["scale", self._rows(fold, result), f"outs[{result.group}]"]
        if packed:
            arguments.append(f"{packed}.view(torch.float32)")
        grid = (f"triton.cdiv(2 * pairs, {shape.rows})", str(signal.paths))
        types = dict(wavelet.parameters(shape))
        rows = {len(self.program.outputs[result.group][1]) for result in signal.results if result.kind in shape.sinks}
        numbers = [str(signal.parent.length), str(len(signal.fold.indices)), str(max(rows, default=1)), "n", "pairs"]
        self._launch(Launch(name, types, grid, [*arguments, *numbers], {}, shape.warps, signal.paths))
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
        self._table(f"{name}_start", start)
        self._table(f"{name}_w", w)
        length, turns = shape.length, shape.turns
        self._table(f"twiddles_{shape.columns}", tables.twiddles(shape.columns))
        self._table(f"twiddles_{shape.rows}", tables.twiddles(shape.rows))
        self._table(f"turns_{length}_small", tables.twiddles(length)[:turns])
        self._table(f"turns_{length}_large", tables.twiddles(length // turns))
        room = f"({signal.paths}, 2 * pairs, {length})"
        self.write(f"{inverse} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *self._named(f"{name}_start", f"{name}_w")]
        arguments += self._named(f"twiddles_{shape.columns}", f"turns_{length}_small", f"turns_{length}_large")
        arguments += [f"{inverse}.view(torch.int64)", str(parent.length), str(len(fold.indices)), "pairs"]
        grid = ("2 * pairs", str(signal.paths))
        tiles = str(shape.rows // shape.tile(shape.columns))
        warps = shape.warps(shape.columns)
        self._launch(Launch(kernel, matrix.COLUMNS, (*grid, tiles), arguments, {}, warps, signal.paths))
        packed = self._packed(signal)
        arguments = [f"{inverse}.view(torch.int64)", *self._named(f"twiddles_{shape.rows}")]
        arguments += [f"{packed}.view(torch.float32)", "n", "pairs"]
        tiles = str(shape.columns // shape.tile(shape.rows))
        warps = shape.warps(shape.rows)
        rows = kernel.replace("columns", "rows")
        self._launch(Launch(rows, matrix.ROWS, (*grid, tiles), arguments, {}, warps, signal.paths))
        self.write(f"del {inverse}")
        return packed

    # Kernels with a library's transform between them.

    def _staged(self, signal: Signal) -> str:
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name, _, modulus = signal.nodes
        inverse = signal.nodes[1]
        start, w = tables.filters(self.spec, fold, parent.length)
        self._table(f"{name}_start", start)
        self._table(f"{name}_w", w)
        m = signal.length
        self.write(f"{name} = torch.empty(({signal.paths}, 2 * pairs, {m}), dtype=torch.complex64, device=x.device)")
        block, together = min(BLOCK, _power(m)), 4
        self._static_launch(
            "fold",
            signal.paths,
            (f"triton.cdiv({m}, {block})", str(signal.paths), f"triton.cdiv(pairs, {together})"),
            [
                f"{self.spectrum(parent)}.view(torch.int64)",
                *self._named(f"{name}_start", f"{name}_w"),
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
            self._static_launch(
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
        self._note(*result.nodes)
        source, name = f"{z}.view(torch.int64)", signal.nodes[0]
        paths = len(self.program.outputs[result.group][1])
        into = ["scale", self._rows(name, result), f"outs[{result.group}]", "n", "pairs"]
        if result.kind == "local":
            self._lowpass(signal, result, source, packed=False)
        elif result.kind == "total":
            constants = {"PATHS": paths, "LENGTH": signal.length, "BLOCK": min(1024, _power(signal.length))}
            self._static_launch("total", signal.paths, ("n", str(signal.paths)), [source, *into], constants)
        else:
            block = min(BLOCK, _power(max(result.kept, 1)))
            constants = {"PATHS": paths, "LENGTH": signal.length, "FIRST": result.first, "KEPT": result.kept}
            grid = ("n", str(signal.paths), f"triton.cdiv({result.kept}, {block})")
            self._static_launch("moduli", signal.paths, grid, [source, *into], constants | {"BLOCK": block})

    def _lowpass(self, signal: Signal, result: Result, source: str, *, packed: bool) -> None:
        choice = self.choices.window(signal, result)
        first, _ = tables.window(self.spec, signal.level, result.by, choice.outputs, self.options.tolerance)
        whole = choice.window >= signal.length
        name = f"phi{signal.level}_{choice.outputs}"
        averaging = tables.toeplitz(
            self.spec, signal.level, result.by, result.first, choice.outputs, choice.padded, self.options.tolerance
        )
        arguments = [
            source,
            *self._split(name, averaging),
            "mean",
            "scale",
            self._rows(signal.nodes[0] if signal.nodes else signal.name, result),
        ]
        constants = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "LENGTH": signal.length,
            "STEP": 1 << result.by,
            "FIRST": 0 if whole else (result.first << result.by) - first,
            "WINDOW": choice.padded,
            "KEPT": result.kept,
            "OUTPUTS": choice.outputs,
            "ROWS": choice.rows,
            "BLOCK": choice.block,
            "PACKED": packed,
            "GAIN": 1.0 if signal.parent is None else 0.0,
        }
        grid = (str(-(-result.kept // choice.outputs)), str(signal.paths), f"triton.cdiv(n, {choice.rows})")
        self._static_launch(
            "lowpass", signal.paths, grid, [*arguments, f"outs[{result.group}]", "n", "pairs"], constants
        )

    def _averaged(self, signal: Signal, result: Result) -> None:
        """Coefficients from the few bins of a spectrum that phi, or a sum over all samples, leaves."""
        if result.kind == "total":
            even, odd, gain = np.full((1, 1), 0.5), np.zeros((1, 1)), float(signal.length)
            name, kept = "sum", 1
        else:
            outputs = (result.first, result.first + result.kept)
            even, odd = tables.bins(self.spec, signal.level, result.by, outputs, self.options.tolerance)
            name, kept, gain = f"bins{signal.level}", result.kept, 1.0
        choice = self.choices.bins(even.shape[0], kept)
        pads = ((0, choice.padded - even.shape[0]), (0, choice.columns - even.shape[1]))
        arguments = [f"{self.spectrum(signal)}.view(torch.int64)"]
        arguments += self._split(f"{name}_even", np.pad(even, pads)) + self._split(f"{name}_odd", np.pad(odd, pads))
        arguments += [
            "mean",
            "scale",
            self._rows(signal.nodes[0] if signal.nodes else signal.name, result),
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
        self._static_launch("average", signal.paths, grid, arguments, constants)

    # Lines and tables.

    def write(self, *lines: str) -> None:
        """Append statements."""
        self.lines += [INDENT + line for line in lines]

    def _note(self, *names: str) -> None:
        self.write(*(f"# {print_node(name, self.graph[name])}" for name in names if name))

    def _static_launch(
        self, kernel: str, paths: int, grid: tuple[str, ...], arguments: list[str], constants: dict[str, Any]
    ) -> None:
        """Launch a kernel of `templates/kernels/`."""
        types = {name: POINTERS.get(name, "i32") for name in ARGUMENTS[kernel]}
        self._used.add(kernel)
        self._launch(Launch(kernel, types, grid, arguments, constants, paths=paths))

    def _launch(self, launch: Launch) -> None:
        self.steps.append(launch)
        self.write(*launch.lines())

    def _table(self, name: str, table: np.ndarray[Any, Any]) -> None:
        known = self.tables.setdefault(name, np.ascontiguousarray(table))
        assert np.array_equal(known, table), f"two tables are called {name}"

    def _named(self, *names: str) -> list[str]:
        return [f't["{name}"]' for name in names]

    def _split(self, name: str, a: np.ndarray[Any, Any]) -> list[str]:
        """A matrix in two parts, as tables."""
        high, low = tables.split(a)
        self._table(f"{name}_high", high)
        self._table(f"{name}_low", low)
        return self._named(f"{name}_high", f"{name}_low")

    def _rows(self, name: str, result: Result) -> str:
        """The table of the output rows of a result's paths."""
        rows = np.array([self.program.places[path][1] for path in result.paths], np.int32)
        self._table(f"{name}_{result.kind}_row", rows)
        return self._named(f"{name}_{result.kind}_row")[0]


def _power(n: int) -> int:
    """The next power of two."""
    return 1 << max(n - 1, 0).bit_length()
