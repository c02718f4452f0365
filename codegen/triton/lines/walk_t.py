"""Gradients of transforms of lines: there and back through each branch, the deepest first, keeping nothing of others.

Of a signal's waves V and moduli U, of which more may be made,

    V = ifft(fold(psi X)),  U = |V|,  X_U = fft U,  what is below adds up gX_U,  gU = ifft gX_U + what averages bring,
    P = fft(gU V / |V|),  gX[k] += psi[k] P[k]

with signals in pairs: of P, with A and B the two signals of a pair, bin k of the parent's cotangent gets
``psi[k] (A[k] + i B[k]) / 2`` and bin -k ``psi[k] conj(A[k] - i B[k]) / 2``. Then one complex transform brings both
back to samples. Each child writes its P, and a sum over the filters for each bin of the parent (`gather`) reads them:
nothing is added by several programs at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import Work
from scatc.codegen.triton.emitter import LEVEL_BLOCK
from scatc.codegen.triton.kernels import ARGUMENTS, Written
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import cost_t, matrix, matrix_t, tables_t, wavelet_t
from scatc.codegen.triton.lines.choices import Way
from scatc.codegen.triton.lines.walk import Lines
from scatc.codegen.triton.lines.ways_t import Back, Returns
from scatc.codegen.triton.tuned import Gathered

ARGUMENTS_T = {
    "weights": ("x", "loud", "size", "plain", "weight"),
    "slope": ("Z", "G"),
    "gather": ("P", "windows", "w", "G", "pairs"),
    "spread": ("g", "weight", "row", "phi_high", "phi_low", "gU", "n", "pairs"),
    "given": ("g", "weight", "row", "G", "n", "pairs"),
    "average_t": ("g", "weight", "row", "even_high", "even_low", "odd_high", "odd_low", "G", "n", "pairs"),
    "unpad": ("G", "places", "size", "gradient", "n"),
}
"""Of the kernels in `templates/kernels/` that only gradients have."""


class LinesT(Lines):
    """The walk over a program of lines, there and back.

    Attributes
    ----------
    coefficients : dict of str to list of Result
        Of each signal, whose cotangents come in; on the way there, signals have none.
    returns : Returns
        Which way back each signal takes.
    """

    title = "Gradient of 1D scattering"
    template = "lines_t.py.j2"
    arguments: ClassVar[Mapping[str, Sequence[str]]] = ARGUMENTS | ARGUMENTS_T

    def prepare(self) -> None:
        """What the walk gathers."""
        self.coefficients: dict[str, list[Result]] = {}
        for signal in self.root.all():
            self.coefficients[signal.name], signal.results = signal.results, []
        self.returns = Returns(self.spec, self.options, self.root, self.coefficients)
        self.choices, self.together = self.returns.there, None
        self.cuts, self.matrices = {}, {}
        self.turns: dict[str, wavelet_t.Turn] = {}
        self.returning: dict[matrix.Matrix, str] = {}
        self.gathers: dict[str, Work] = {}

    def generated(self) -> Iterable[Written]:
        """Besides the kernels of the way there, those that go there and back in registers."""
        launched = {step.kernel for step in self.steps if isinstance(step, Launch)}
        yield from (kernel for kernel in super().generated() if kernel.name in launched)
        for shape, name in self.returning.items():
            yield from matrix_t.written(shape, name)
        yield from (wavelet_t.written(shape, name) for name, shape in self.turns.items())

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one signal."""
        if isinstance(step, Launch):
            if step.kernel in self.turns:
                return cost_t.turn_work(step.paths, self.turns[step.kernel])
            for shape, name in self.returning.items():
                if step.kernel in (name, name.replace("rows", "columns")):
                    return cost_t.matrix_work(step.paths, shape, along_rows=step.kernel == name)
            if step.kernel == "gather":
                return self.gathers[step.arguments[2]]
            if step.kernel in cost_t.STATIC:
                return cost_t.STATIC[step.kernel](step, step.constants)
        return super().work(step)

    def before(self) -> Sequence[Work]:
        """What the library does besides transforms: it finds the largest cotangents, and fills spectra with zeros."""
        filled = [signal for signal in self.root.all() if signal.spectrum or signal.parent is None]
        return [cost_t.loudest(self.program.outputs), *(cost_t.zeros(signal) for signal in filled)]

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one signal of the batch."""
        return self.returns.live_bytes(self.root)

    def passed(self) -> str:
        """What the trunk hands to branches: the input's spectrum and its cotangent."""
        return f"{self.spectrum(self.root)}, g{self.spectrum(self.root)}"

    def transforms(self, signal: Signal) -> float:
        """How many complex transforms lead to a signal and back from it, for each of the batch."""
        return 2 * super().transforms(signal)

    def explain(self) -> str:
        """Which way back each signal takes."""
        return self.returns.explain()

    # What is launched.

    def trunk(self) -> str:
        """The sizes of cotangents; the padded signals in pairs and their spectrum."""
        root, self.lines = self.root, []
        samples = self.spec.input_shape[0]
        heard = [group for group, (kept, paths) in enumerate(self.program.outputs) if all(kept) and paths]
        for group in heard:
            loud = f'torch.linalg.vector_norm(gs[{group}].flatten(1), float("inf"), dim=1)'
            self.write(f"loud = {loud}" if group == heard[0] else f"loud = torch.maximum(loud, {loud})")
        shape = self.elementwise("weights", samples, LEVEL_BLOCK)
        sizes = {"SAMPLES": samples, "BLOCK": shape.block}
        self.static_launch("weights", 1, ("n",), ["x", "loud", "size", "plain", "weight"], sizes, shape)
        self._pad()
        if root.children:
            self._transform(root, "U0", {})
        self.write(
            "del U0",
            f"g{self.spectrum(root)} = torch.zeros((1, pairs, {root.length}), dtype=torch.complex64, device=x.device)",
        )
        if not root.children:
            self.write(f"{self.spectrum(root)} = None  # nobody reads it")
        return "\n".join(self.lines)

    def end(self) -> str:
        """The gradient of the input from that of its spectrum and from the coefficients of order 0."""
        self.lines = []
        root, samples = self.root, self.spec.input_shape[0]
        self.write(f"del {self.spectrum(root)}")
        self._samples(root, "plain")
        places = tables_t.places(self._pad_index(), samples)
        self.table("places", places)
        shape = self.elementwise("unpad", samples)
        self.static_launch(
            "unpad",
            1,
            (f"triton.cdiv({samples}, {shape.block})", "pairs"),
            [f"g{root.name}.view(torch.int64)", *self.named("places"), "size", "gradient", "n"],
            {"SAMPLES": samples, "LENGTH": root.length, "COPIES": len(places), "BLOCK": shape.block},
            shape,
        )
        for result in self.coefficients[root.name]:
            if result.kind == "raw":
                self.note(*result.nodes)
                row = self.program.places[result.paths[0]][1]
                self.write(f"gradient += gs[{result.group}][:, {row}]")
        return "\n".join(self.lines)

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it, there and back."""
        self._gather([signal], self._returned(signal))

    def _returned(self, signal: Signal, into: str = "") -> str:
        """The spectrum of a signal's cotangent; yields its name. Of one that returns in registers: written `into`."""
        self.note(*signal.nodes)
        waves = self._below(signal) if signal.spectrum else ""
        way = self.returns.ways[signal.name]
        if not (signal.spectrum or (way is Back.REGISTERS and self.returns.source(signal))):
            self._cotangent(signal, "weight", known=False)
        if way is Back.REGISTERS:
            return self._turn(signal, into)
        return (self._rows_and_columns if way is Back.MATRIX else self._slopes)(signal, waves)

    def _children(self, signal: Signal) -> None:
        """All that is below a signal, added to the cotangent of its spectrum."""
        for group in self.returns.gathered(signal):
            if len(group) == 1:
                self._gather(group, self._returned(group[0]))
                continue
            numbers = sum(2 * child.paths * child.length for child in group)
            product, place, places = f"P_{signal.name}", 0, {}
            self.write(f"{product} = torch.empty({numbers} * pairs, dtype=torch.complex64, device=x.device)")
            for child in group:
                places[child.name] = place
                self._returned(child, f"{product}[{place} * pairs :]")
                place += 2 * child.paths * child.length
            self._gather(group, product, places)

    def _below(self, signal: Signal) -> str:
        """The cotangent of a signal by way of what is made of it; yields the name of its waves, if they are kept."""
        way, waves = self._choice(signal).way, ""
        if way is Way.STAGED:
            waves = self._waves(signal)
            samples = self._pack(signal, waves)
        elif way is Way.MATRIX:
            kernel, waves = self._along_columns(signal)
            samples = self._along_rows(signal, kernel, waves)
        else:
            samples = self._registers(signal)
        if waves and not self.returns.kept(signal):
            self.write(f"del {waves}")
            waves = ""
        self._transform(signal, samples, {})
        spectrum = self.spectrum(signal)
        room = f"({signal.paths}, pairs, {signal.length})"
        self.write(f"del {samples}", f"g{spectrum} = torch.zeros({room}, dtype=torch.complex64, device=x.device)")
        self._children(signal)
        self.write(f"del {spectrum}")
        self._samples(signal, "weight")
        return waves

    def _samples(self, signal: Signal, weight: str) -> None:
        """The cotangent of a signal from that of its spectrum, and what its coefficients bring."""
        spectrum = self.spectrum(signal)
        for result in self.coefficients[signal.name]:
            if self.returns.from_bins(signal, result):
                self._bins(signal, result, weight)
        self.write(f'g{signal.name} = torch.fft.ifft(g{spectrum}, norm="forward")', f"del g{spectrum}")
        self.steps.append(Transform(signal.length, signal.paths, packed=True))
        self._cotangent(signal, weight, known=True)

    def _cotangent(self, signal: Signal, weight: str, *, known: bool) -> None:
        """What coefficients bring to the samples of a signal, in pairs; added to what is known."""
        if not known:
            room = f"({signal.paths}, pairs, {signal.length})"
            self.write(f"g{signal.name} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        for result in self.coefficients[signal.name]:
            if (known and self.returns.from_bins(signal, result)) or (signal.parent is None and result.kind == "raw"):
                continue
            if result.kind == "local":
                self._spread(signal, result, weight, known)
            else:
                self._given(signal, result, weight, known)
            known = True

    def _incoming(self, signal: Signal, result: Result, weight: str) -> list[str]:
        """The arguments that say which cotangents come in."""
        self.note(*result.nodes)
        return [f"gs[{result.group}]", weight, self.rows(signal.nodes[0] if signal.nodes else signal.name, result)]

    def _spread(self, signal: Signal, result: Result, weight: str, add: bool) -> None:
        """Averages, brought to samples by phi transposed."""
        arguments = self._incoming(signal, result, weight)
        tiles = self.taken(self.returns.spread_tiles(signal, result))
        shape = self.returns.spread_shape(signal, result, tiles)
        matrix = tables_t.spread_matrix(self.spec, signal.level, shape)
        arguments += self.split(f"phi{signal.level}_t{shape.window}x{shape.samples}", matrix)
        constants = self.returns.spread(signal, result, tiles) | {"ADD": add}
        paths = len(self.program.outputs[result.group][1])
        grid = (
            f"{-(-signal.length // shape.samples)}",
            str(signal.paths),
            f"triton.cdiv(2 * pairs, {constants['ROWS']})",
        )
        arguments += [f"g{signal.name}.view(torch.float32)", "n", "pairs"]
        self.static_launch("spread", signal.paths, grid, arguments, {"PATHS": paths} | constants, tiles)

    def _given(self, signal: Signal, result: Result, weight: str, add: bool) -> None:
        """Samples that were output, or their sum."""
        arguments = self._incoming(signal, result, weight)
        shape, total = self.elementwise("given", signal.length), result.kind == "total"
        self.static_launch(
            "given",
            signal.paths,
            ("pairs", str(signal.paths), f"triton.cdiv({signal.length}, {shape.block})"),
            [*arguments, f"g{signal.name}.view(torch.int64)", "n", "pairs"],
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
        tiles = self.taken(self.returns.average_tiles(signal, result))
        if result.kind == "total":
            even, odd, name = np.full((1, 1), 0.5), np.zeros((1, 1)), "sum"
        else:
            outputs = (result.first[0], result.first[0] + result.kept[0])
            even, odd = tables.bins(self.spec, signal.level, result.by, outputs, self.options.tolerance)
            name = f"bins{signal.level}"
        pads, name = ((0, tiles.columns - even.shape[0]), (0, tiles.padded - even.shape[1])), f"{name}_t{tiles.padded}"
        name += f"x{tiles.columns}"
        arguments += self.split(f"{name}_even", np.pad(even, pads)) + self.split(f"{name}_odd", np.pad(odd, pads))
        grid = (str(tiles.programs), str(signal.paths), f"triton.cdiv(pairs, {tiles.rows})")
        sizes = {"PATHS": len(self.program.outputs[result.group][1]), "PARENT": signal.length, "BINS": len(even)}
        sizes |= {"KEPT": tiles.terms, "COLUMNS": tiles.padded, "FREQUENCIES": tiles.outputs}
        sizes |= {"ROWS": tiles.rows, "BLOCK": tiles.block}
        arguments += [f"g{self.spectrum(signal)}.view(torch.int64)", "n", "pairs"]
        self.static_launch("average_t", signal.paths, grid, arguments, sizes, tiles)

    def _weights(self, signal: Signal, width: int) -> str:
        """The name of the table of a signal's filters, which kernels want padded with zeros, or not."""
        return f"{signal.nodes[0]}_w{width}"

    def _turn(self, signal: Signal, into: str) -> str:
        """The spectrum of a signal's cotangent, by a kernel in registers; yields its name; or written `into`."""
        fold, parent, result = signal.fold, signal.parent, self.returns.source(signal)
        assert fold is not None and parent is not None
        shape = self.taken(self.returns.shape(signal))
        there, product = shape.there, f"g{signal.nodes[1]}"
        known = {other: name for name, other in self.turns.items()}
        kernel = known.get(shape, f"returns_{there.length}_{len(self.turns)}")
        self.turns[kernel] = shape
        self.table(f"twiddles_{there.length}", tables.twiddles(there.length))
        arguments = [f"{self.spectrum(parent)}.view(torch.int64)", *self._filters(signal, there.width)]
        arguments += self.named(f"twiddles_{there.length}")
        paths = 1
        if result is None:
            arguments.append(f"g{signal.name}.view(torch.float32)")
        else:
            arguments += self._incoming(signal, result, "weight")
            paths = len(self.program.outputs[result.group][1])
            if result.kind == "local":
                averaging = tables.leaf_matrix(self.spec, signal.level, result.by, result.first[0], there)
                products, warps, columns, depth = shape.matrix
                turned = averaging.reshape(products, warps, depth, columns).swapaxes(2, 3)
                arguments += self.split(f"leaf{signal.level}_{warps}_t", turned)
        if not into:
            room = f"({signal.paths}, 2 * pairs, {there.length})"
            self.write(f"{product} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        arguments += [
            f"{into or product}.view(torch.int64)",
            str(self.choices.spectrum_bins(parent)),
            str(len(fold.indices)),
        ]
        grid = (f"triton.cdiv(2 * pairs, {there.rows})", str(signal.paths))
        types = wavelet_t.parameters(shape)
        numbers = [str(paths), "n", "pairs"]
        self.launch(Launch(kernel, types, grid, [*arguments, *numbers], {}, there.warps, signal.paths, shape))
        if result is None:
            self.write(f"del g{signal.name}")
        return product

    def _rows_and_columns(self, signal: Signal, waves: str) -> str:
        """The spectrum of a signal's cotangent, by kernels along rows and columns; yields its name."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name = waves or self._along_columns(signal)[1]
        shape = self.returns.matrix(signal)
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

    def _gather(self, children: list[Signal], product: str, places: Mapping[str, int] | None = None) -> None:
        """The sum over the filters of some children, added to the cotangent of their parent's spectrum."""
        parent = children[0].parent
        assert parent is not None
        constants, name = self.returns.gather(children), f"{parent.name}_{children[0].name}_{len(children)}"
        weights = []
        for child in children:
            assert child.fold is not None
            weights.append(tables.filters(self.spec, child.fold, parent.length)[1].ravel())
        self.table(f"{name}_windows", tables_t.windows(children, places or {children[0].name: 0}))
        self.table(f"{name}_w", np.concatenate(weights))
        bins, filters, block, pairs = (constants[key] for key in ("BINS", "FILTERS", "BLOCK", "PAIRS"))
        tiles = self.taken(Gathered("gather", bins, filters, block, pairs))
        constants |= {"BLOCK": tiles.block, "PAIRS": tiles.pairs}
        grid = (f"triton.cdiv({bins}, {tiles.block})", str(parent.paths), f"triton.cdiv(pairs, {tiles.pairs})")
        arguments = [f"{product}.view(torch.int64)", *self.named(f"{name}_windows", f"{name}_w")]
        arguments += [f"g{self.spectrum(parent)}.view(torch.int64)", "pairs"]
        self.gathers[arguments[2]] = cost_t.gather_work(children, bins)
        self.static_launch("gather", parent.paths, grid, arguments, constants, tiles)
        self.write(f"del {product}")
