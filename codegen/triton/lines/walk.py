"""Transforms of lines: walks the tree of signals and launches kernels, by what `choices.py` says of each.

What a kernel looks like is in `templates/kernels/`, or written by `wavelet.py` and `matrix.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import COMPLEX, REAL, Work, cut_work, matrix_work, thin_work, wavelet_work
from scatc.codegen.triton.kernels import Written, in_registers, of_blocks, of_matrix
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import matrix, wavelet
from scatc.codegen.triton.lines.blocks import Blocks, Cut, Thin
from scatc.codegen.triton.lines.choices import Line, Way, thin_weights
from scatc.codegen.triton.lines.pieces import Pieces
from scatc.ir.nodes import Pad


class Lines(Pieces):
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
        super().prepare()
        self.matrices: dict[str, matrix.Matrix] = {}

    def generated(self) -> Iterable[Written]:
        """The kernels in registers, and those of long signals."""
        yield from (in_registers(shape, name) for name, shape in self.shapes.items())
        for name, shape in self.matrices.items():
            yield from of_matrix(shape, name)
        yield from (of_blocks(shape, name) for name, shape in self.cuts.items())

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one signal."""
        if isinstance(step, Launch):
            if step.kernel in self.shapes:
                return wavelet_work(step, self.shapes[step.kernel])
            shape = self.cuts.get(step.kernel)
            if isinstance(shape, Cut):
                return cut_work(step.paths, shape)
            if isinstance(shape, Thin):
                return thin_work(step.paths, shape.length)
            if (first := step.kernel.replace("rows_", "columns_")) in self.matrices:
                return matrix_work(step, self.matrices[first], along_columns=first == step.kernel)
        return super().work(step)

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one signal of the batch."""
        spectra = COMPLEX // 2 * self.together.bins if self.together else 0
        parts = sum(REAL * one.total * one.kept for one in self.parts.values())
        return self.choices.live_bytes(self.root) + spectra + parts

    def passed(self) -> str:
        """What the trunk hands to branches: the input's spectrum, and its samples if any are made of blocks of them."""
        follow = self._choice(self.root).follow
        names = [self.spectrum(self.root)] if follow.spectrum else []
        names += ["X1"] if self.together else []
        names += [f"parts{group}" for group in self.parts]
        return ", ".join([*names, "U0"] if any(below.cut for below in follow.children.values()) else names)

    def trunk(self) -> str:
        """The padded signals in pairs, their spectrum, and order 0."""
        root, self.lines = self.root, []
        self._pad()
        self._follow(root, "U0")
        if self.together:
            self.write(f"X1 = torch.empty({self.together.bins} * pairs, dtype=torch.complex64, device=x.device)")
        for result in root.results:
            if result.kind == "raw":
                self.note(*result.nodes)
                self.write(f"outs[{result.group}][:, {self.program.places[result.paths[0]][1]}] = x")
        return "\n".join(self.lines)

    def _pad(self) -> None:
        """The padded signals in pairs, of like size."""
        root, length = self.root, self.root.length
        self.find_levels()
        self.note(*root.nodes)
        self.table("pad_index", self._pad_index())
        self.write(f"U0 = torch.empty((1, pairs, {length}), dtype=torch.complex64, device=x.device)")
        shape = self.elementwise("pad", length)
        self.static_launch(
            "pad",
            1,
            (f"triton.cdiv({length}, {shape.block})", "pairs"),
            ["x", 't["pad_index"]', "mean", "scale", "U0.view(torch.int64)", "n"],
            {"SAMPLES": self.spec.input_shape[0], "LENGTH": length, "BLOCK": shape.block},
            shape,
        )

    def _pad_index(self) -> tables.Array:
        pad = self.graph[self.root.nodes[0]] if self.root.nodes else None
        return tables.pad_index(self.root.length, pad if isinstance(pad, Pad) else None)

    def _follow(self, signal: Signal, samples: str) -> dict[Blocks, str]:
        """What is made of a signal's samples: blocks, a spectrum, averages. Yields the names of what children share.

        Where a signal has several rows, blocks are cut for all that read them; of the input, where they are read.
        """
        follow = self._choice(signal).follow
        cuts: dict[Blocks, str] = {}
        if signal.parent is not None:
            for cut in (*(below.cut for below in follow.children.values()), follow.cut):
                if cut is not None and cut not in cuts:
                    cuts[cut] = self._cut(signal, samples, cut, len(cuts))
        if follow.spectrum is not None:
            self._transform(signal, samples, cuts)
        for result in signal.results:
            if result.kind == "raw" or self._choice(signal).averaged:
                continue
            self.note(*result.nodes)
            if self.choices.from_bins(signal, result, follow):
                self._averaged(signal, result)
            else:
                self._lowpass(signal, result, f"{samples}.view(torch.int64)", packed=True)
        if signal.parent is not None or "U0" not in self.passed():
            self.write(f"del {samples}")
        return cuts

    def _transform(self, signal: Signal, samples: str, cuts: dict[Blocks, str]) -> None:
        """The spectrum of a signal, by a kernel in registers or a library."""
        follow = self._choice(signal).follow
        spectrum, source = follow.spectrum, samples
        assert spectrum is not None
        self.note(signal.spectrum)
        if follow.thinning is not None:
            assert follow.cut is not None
            spectra = cuts.get(follow.cut) or self._cut(signal, samples, follow.cut)
            source = self._thin(signal, spectra)
            if follow.cut not in cuts:
                self.write(f"del {spectra}")
        if spectrum.own:
            whole = Blocks(spectrum.length, 0, 0, 1, spectrum.bins)
            line = Line(0, spectrum.length, True)
            self._cut_line(self.spectrum(signal), signal.paths, source, line, whole, self._place(signal))
        else:
            self.write(f"{self.spectrum(signal)} = torch.fft.fft({source})")
            self.steps.append(Transform(spectrum.length, signal.paths, packed=True))
        if source != samples:
            self.write(f"del {source}")

    def _place(self, signal: Signal) -> int | None:
        """Where a signal's spectrum lies among those of others, if it does."""
        return self.together.places.get(signal.name) if self.together else None

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it."""
        self._branch(signal, {})

    def _branch(self, signal: Signal, cuts: dict[Blocks, str]) -> None:
        self.note(*signal.nodes)
        choice = self._choice(signal)
        if choice.way is Way.BLOCKS:
            samples = self._of_blocks(signal, cuts)
        else:
            written = {Way.STAGED: self._staged, Way.MATRIX: self._matrix}.get(choice.way, self._registers)
            samples = written(signal)
        below: dict[Blocks, str] = {}
        if signal.spectrum:
            below = self._follow(signal, samples)
        elif choice.way in (Way.PACKED, Way.MATRIX, Way.BLOCKS):
            for result in signal.results:
                if result.kind == "local":
                    self.note(*result.nodes)
                    self._lowpass(signal, result, f"{samples}.view(torch.int64)", packed=True)
            self.write(f"del {samples}")
        for child in signal.children:
            if not (self.together and self.together.holds(child)):
                self._branch(child, below)
        done = [*below.values(), *([self.spectrum(signal)] if choice.follow.spectrum else [])]
        if done:
            self.write(f"del {', '.join(done)}")

    # One kernel from spectrum to moduli or averages.

    def _registers(self, signal: Signal) -> str:
        assert signal.fold is not None and signal.parent is not None
        bins = self.choices.spectrum_bins(signal.parent)
        choice = self._choice(signal)
        shape = self.taken(self.choices.shape(signal, choice.way, bins, averaged=choice.averaged))
        name, fold = self._kernel(shape), signal.nodes[0]
        filters = self._filters(signal, shape.width)
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        parent = self.spectrum(signal.parent)
        arguments = [f"{parent}.view(torch.int64)", *filters]
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
            arguments.append(f"{packed}.view(torch.{'int64' if shape.paired else 'float32'})")
        grid = (f"triton.cdiv(2 * pairs, {shape.signals})", *self.filters_and_parents(signal))
        types = dict(wavelet.parameters(shape))
        rows = {len(self.program.outputs[result.group][1]) for result in signal.results if result.kind in shape.sinks}
        numbers = [str(bins), str(max(rows, default=1)), "n", "pairs"]
        self.launch(Launch(name, types, grid, [*arguments, *numbers], {}, shape.warps, signal.paths, shape))
        return packed

    # Two kernels, along columns and rows.

    def _matrix(self, signal: Signal) -> str:
        kernel, inverse = self._along_columns(signal)
        packed = self._along_rows(signal, kernel, inverse)
        self.write(f"del {inverse}")
        return packed

    def _along_columns(self, signal: Signal) -> tuple[str, str]:
        """The first of two kernels; yields its name, and that of what it writes."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        _, inverse, _ = signal.nodes
        bins = self.choices.spectrum_bins(parent)
        shape = matrix.shape(bins, signal.length, tables.windows(fold, parent.length)[1])
        shape = replace(shape, first=self.taken(shape.first), second=self.taken(shape.second))
        known = {other: kernel for kernel, other in self.matrices.items()}
        kernel = known.get(shape, f"columns_{shape.length}_{len(self.matrices)}")
        self.matrices[kernel] = shape
        filters = self._filters(signal, shape.width)
        length, turns = shape.length, shape.turns
        self.table(f"twiddles_{shape.columns}", tables.twiddles(shape.columns))
        self.table(f"twiddles_{shape.rows}", tables.twiddles(shape.rows))
        self.table(f"turns_{length}_small", tables.twiddles(length)[:turns])
        self.table(f"turns_{length}_large", tables.twiddles(length // turns)[: length // turns])
        room = f"({signal.paths}, 2 * pairs, {length})"
        self.write(f"{inverse} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *filters]
        arguments += self.named(f"twiddles_{shape.columns}", f"turns_{length}_small", f"turns_{length}_large")
        arguments += [f"{inverse}.view(torch.int64)", str(bins), str(len(fold.indices)), "pairs"]
        grid = ("2 * pairs", str(signal.paths))
        tile = shape.first
        grids = (*grid, str(tile.beside // tile.count))
        self.launch(Launch(kernel, matrix.COLUMNS, grids, arguments, {}, tile.warps, signal.paths, tile))
        return kernel, inverse

    def _along_rows(self, signal: Signal, kernel: str, inverse: str) -> str:
        """The second, which packs moduli."""
        shape, packed = self.matrices[kernel], self._packed(signal)
        arguments = [f"{inverse}.view(torch.int64)", *self.named(f"twiddles_{shape.rows}")]
        arguments += [f"{packed}.view(torch.float32)", "n", "pairs"]
        tile, rows = shape.second, kernel.replace("columns", "rows")
        grid = ("2 * pairs", str(signal.paths), str(tile.beside // tile.count))
        self.launch(Launch(rows, matrix.ROWS, grid, arguments, {}, tile.warps, signal.paths, tile))
        return packed

    # Kernels with a library's transform between them.

    def _staged(self, signal: Signal) -> str:
        inverse = self._waves(signal)
        packed = self._pack(signal, inverse) if signal.spectrum else ""
        for result in signal.results:
            if not signal.spectrum or result.kind == "raw":
                self._moduli(signal, result, inverse)
        self.write(f"del {inverse}")
        return packed

    def _waves(self, signal: Signal) -> str:
        """A signal before its modulus, by the library."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name, inverse, _ = signal.nodes
        m, width = signal.length, tables.windows(fold, parent.length)[1]
        self.write(f"{name} = torch.empty(({signal.paths}, 2 * pairs, {m}), dtype=torch.complex64, device=x.device)")
        shape, together = self.elementwise("fold", m), 4
        self.static_launch(
            "fold",
            signal.paths,
            (f"triton.cdiv({m}, {shape.block})", str(signal.paths), f"triton.cdiv(pairs, {together})"),
            [
                f"{self.spectrum(parent)}.view(torch.int64)",
                *self._filters(signal),
                f"{name}.view(torch.int64)",
                "pairs",
            ],
            {
                "PARENT": self.choices.spectrum_bins(parent),
                "LENGTH": m,
                "WIDTH": width,
                "FILTERS": len(fold.indices),
                "BLOCK": shape.block,
                "PAIRS": together,
            },
            shape,
        )
        self.write(f'{inverse} = torch.fft.ifft({name}, norm="forward")', f"del {name}")
        self.steps.append(Transform(m, signal.paths, packed=False))
        return inverse

    def _pack(self, signal: Signal, inverse: str) -> str:
        """The moduli of a signal in pairs."""
        packed, shape = self._packed(signal), self.elementwise("pack", signal.length)
        self.static_launch(
            "pack",
            signal.paths,
            (f"{signal.paths} * pairs", f"triton.cdiv({signal.length}, {shape.block})"),
            [f"{inverse}.view(torch.int64)", f"{packed}.view(torch.int64)"],
            {"LENGTH": signal.length, "BLOCK": shape.block},
            shape,
        )
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
            shape = self.elementwise("total", signal.length, 1024)
            constants = {"PATHS": paths, "LENGTH": signal.length, "BLOCK": shape.block}
            self.static_launch("total", signal.paths, ("n", str(signal.paths)), [source, *into], constants, shape)
        else:
            shape = self.elementwise("moduli", result.kept[0])
            constants = {"PATHS": paths, "LENGTH": signal.length, "FIRST": result.first[0], "KEPT": result.kept[0]}
            grid = ("n", str(signal.paths), f"triton.cdiv({result.kept[0]}, {shape.block})")
            constants |= {"BLOCK": shape.block}
            self.static_launch("moduli", signal.paths, grid, [source, *into], constants, shape)

    def _lowpass(self, signal: Signal, result: Result, source: str, *, packed: bool) -> None:
        line = self._choice(signal).line
        shape = self.taken(self.choices.window(signal, result, whole=line.whole))
        constants = self.choices.lowpass(signal, result, line, shape, packed=packed)
        outputs, padded = shape.outputs, shape.padded
        name = f"phi{signal.level}_{outputs}_{padded}"
        if f"{name}_high" not in self.tables:  # it is large, and of signals of a level the same
            first, tolerance = result.first[0], self.options.tolerance
            self.split(name, tables.toeplitz(self.spec, signal.level, result.by, first, outputs, padded, tolerance))
        phi = self.named(f"{name}_high", f"{name}_low")
        paths, into = len(self.program.outputs[result.group][1]), f"outs[{result.group}]"
        if shape.parts > 1:
            row, into = self._parted(signal, result, shape.parts)
        else:
            row = self.rows(signal.nodes[0] if signal.nodes else signal.name, result)
        grid = (str(shape.programs * shape.parts), str(signal.paths), f"triton.cdiv(n, {shape.rows})")
        self.static_launch(
            "lowpass",
            signal.paths,
            grid,
            [source, *phi, "mean", "scale", row, into, "n", "pairs"],
            {"PATHS": paths} | constants,
            shape,
        )

    def _of_bins(self, signal: Signal, result: Result) -> tuple[tables.Array, tables.Array, str]:
        """What an average, or a sum, is of the even and the odd part of a spectrum; and a name for both."""
        if result.kind == "total":
            return np.full((1, 1), 0.5), np.zeros((1, 1)), "sum"
        thinning, outputs = self._choice(signal).follow.thinning, (result.first[0], result.first[0] + result.kept[0])
        smooth = thin_weights(thinning, signal.length, signal.length >> thinning.by) if thinning else None
        even, odd = tables.bins(self.spec, signal.level, result.by, outputs, self.options.tolerance, smooth)
        return even, odd, f"bins{signal.level}" + (f"_{signal.name}" if thinning else "")

    def _averaged(self, signal: Signal, result: Result) -> None:
        """Coefficients from the few bins of a spectrum that phi, or a sum over all samples, leaves."""
        shape = self.taken(self.choices.bins(signal, result))
        constants = self.choices.average(signal, result, shape)
        even, odd, name = self._of_bins(signal, result)
        pads = ((0, shape.padded - even.shape[0]), (0, shape.columns - even.shape[1]))
        name += f"_{shape.padded}x{shape.columns}"
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
        sizes = {
            "PATHS": len(self.program.outputs[result.group][1]),
            "PARENT": self.choices.spectrum_bins(signal),
        }
        grid = (str(shape.programs), str(signal.paths), f"triton.cdiv(n, {shape.rows})")
        self.static_launch("average", signal.paths, grid, arguments, sizes | constants, shape)
