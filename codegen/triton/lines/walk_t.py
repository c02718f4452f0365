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
from typing import ClassVar

import numpy as np

from scatc.codegen.signals import Result, Signal
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import Work
from scatc.codegen.triton.emitter import BLOCK, LEVEL_BLOCK, power
from scatc.codegen.triton.kernels import ARGUMENTS, Written
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import blocks_t, cost_t, matrix, matrix_t, tables_t, wavelet_t
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.blocks_t import Join, Unthin
from scatc.codegen.triton.lines.choices import Way, thin_weights
from scatc.codegen.triton.lines.sums_t import Sum
from scatc.codegen.triton.lines.together_t import Grouped, choose
from scatc.codegen.triton.lines.walk import Lines
from scatc.codegen.triton.lines.ways_t import Back

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
    grouped : Grouped or None
        The leaves that are grouped.
    """

    title = "Gradient of 1D scattering"
    template = "lines_t.py.j2"
    arguments: ClassVar[Mapping[str, Sequence[str]]] = ARGUMENTS | ARGUMENTS_T

    def prepare(self) -> None:
        """What the walk gathers."""
        self.coefficients: dict[str, list[Result]] = {}
        for signal in self.root.all():
            self.coefficients[signal.name], signal.results = signal.results, []
        self.returns, self.grouped = choose(self.spec, self.options, self.root, self.coefficients)
        self.choices, self.together = self.returns, None
        self.cuts, self.matrices = {}, {}
        self.turns: dict[str, wavelet_t.Turn] = {}
        self.joins: dict[str, Join | Unthin] = {}
        self.returning: dict[matrix.Matrix, str] = {}
        self.gathers: dict[str, Work] = {}

    def generated(self) -> Iterable[Written]:
        """Besides the kernels of the way there, those that go there and back in registers."""
        launched = {step.kernel for step in self.steps if isinstance(step, Launch)}
        yield from (kernel for kernel in super().generated() if kernel.name in launched)
        for shape, name in self.returning.items():
            yield from matrix_t.written(shape, name)
        yield from (wavelet_t.written(shape, name) for name, shape in self.turns.items())
        yield from (blocks_t.written(shape, name) for name, shape in self.joins.items())

    def work(self, step: Launch | Transform) -> Work:
        """What a step does for one signal."""
        if isinstance(step, Launch):
            if step.kernel in self.turns:
                return cost_t.turn_work(step.paths, self.turns[step.kernel])
            if step.kernel in self.joins:
                joined = self.joins[step.kernel]
                if isinstance(joined, Unthin):
                    return cost_t.unthin_work(step.paths, joined)
                line, count = int(step.arguments[3]), int(step.arguments[9])
                return cost_t.join_work(step.paths, joined, step.paths // count * line)
            for shape, name in self.returning.items():
                if step.kernel in (name, name.replace("rows", "columns")):
                    return cost_t.matrix_work(step.paths, shape, along_rows=step.kernel == name)
            if step.kernel == "gather":
                return self.gathers[step.arguments[2]]
            if step.kernel in cost_t.STATIC:
                return cost_t.STATIC[step.kernel](step, step.constants)
        return super().work(step)

    def before(self) -> Sequence[Work]:
        """What the library does besides transforms: it finds the largest cotangents, and adds two of the input."""
        follow = self._choice(self.root).follow
        both = follow.spectrum is not None and follow.thinning is None and self._in_blocks
        works = [cost_t.loudest(self.program.outputs), *([cost_t.added(self.root.length)] if both else [])]
        return works + ([cost_t.zeros(self.root.length)] if self._in_blocks else [])

    @property
    def live_bytes(self) -> int:
        """Bytes that are in use at a time, at most, for one signal of the batch."""
        return self.returns.live_bytes(self.root) + (self.grouped.live_bytes if self.grouped else 0)

    @property
    def _in_blocks(self) -> bool:
        """Whether cotangents of the input come from blocks of it: others are added to these."""
        follow = self._choice(self.root).follow
        return follow.thinning is not None or any(choice.cut for choice in follow.children.values())

    def passed(self) -> str:
        """What the trunk hands to branches: the input's spectrum, its samples, and the cotangents of both."""
        root = self.root
        names = [self.spectrum(root)] if self._choice(root).follow.spectrum else []
        if self.grouped:
            return ", ".join([*names, "X1"])
        names += ["U0"] if self._in_blocks else []
        return ", ".join(f"{name}, g{name}" for name in names)

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
        samples, follow = self.spec.input_shape[0], self._choice(root).follow
        heard = [group for group, (kept, paths) in enumerate(self.program.outputs) if all(kept) and paths]
        for group in heard:
            loud = f'torch.linalg.vector_norm(gs[{group}].flatten(1), float("inf"), dim=1)'
            self.write(f"loud = {loud}" if group == heard[0] else f"loud = torch.maximum(loud, {loud})")
        sizes = {"SAMPLES": samples, "BLOCK": min(LEVEL_BLOCK, power(samples))}
        self.static_launch("weights", 1, ("n",), ["x", "loud", "size", "plain", "weight"], sizes)
        self._pad()
        if follow.spectrum is not None:
            self._begin(root, "U0")
        if self._in_blocks:
            self._cotangent(root, "plain", known=False, name="gU0")
        else:
            self.write("del U0")
        if self.grouped:
            self.write(f"X1 = torch.empty({self.grouped.bins} * pairs, dtype=torch.complex64, device=x.device)")
        return "\n".join(self.lines)

    def end(self) -> str:
        """The gradient of the input from that of its spectrum and from the coefficients of order 0."""
        self.lines = []
        root, samples, follow = self.root, self.spec.input_shape[0], self._choice(self.root).follow
        if self.grouped:
            self._leaves(self.grouped)
            for one in self.returns.sums(root, follow):
                self._of_input(one)
            self.write("del X1, P1")
        if self._in_blocks:
            self.write("del U0")
        if follow.spectrum is not None:
            self.write(f"del {self.spectrum(root)}")
            self._averages(root, "plain")
            found = self._inverse(root)
            if follow.thinning is not None:
                assert follow.cut is not None
                self._join(root, follow.cut, self._unthin(root, found, ""), "gU0")
            elif self._in_blocks:
                self.write(f"gU0 += {found}")
            else:
                self.write(f"gU0 = {found}")
                self._cotangent(root, "plain", known=True, name="gU0")
        places = tables_t.places(self._pad_index(), samples)
        self.table("places", places)
        block = min(BLOCK, power(samples))
        self.static_launch(
            "unpad",
            1,
            (f"triton.cdiv({samples}, {block})", "pairs"),
            ["gU0.view(torch.int64)", *self.named("places"), "size", "gradient", "n"],
            {"SAMPLES": samples, "LENGTH": root.length, "COPIES": len(places), "BLOCK": block},
        )
        for result in self.coefficients[root.name]:
            if result.kind == "raw":
                self.note(*result.nodes)
                row = self.program.places[result.paths[0]][1]
                self.write(f"gradient += gs[{result.group}][:, {row}]")
        return "\n".join(self.lines)

    def branch(self, signal: Signal) -> None:
        """All that is launched for a signal and what is below it, there and back; if leaves are grouped, there alone."""
        if self.grouped is None:
            sums = self.returns.sums(self.root, self._choice(self.root).follow)
            self._of_input(next(one for one in sums if signal in one.children))
        elif signal.name in self.grouped.spectra:
            self.note(*signal.nodes)
            samples = self._registers(signal)
            self._transform(signal, samples, {})
            self.write(f"del {samples}")

    def _place(self, signal: Signal) -> int | None:
        return self.grouped.spectra.get(signal.name) if self.grouped else None

    def _of_input(self, one: Sum) -> None:
        """What some filters of the input bring to the cotangent of its spectrum, or of its samples."""
        if one.cut is None:
            self._summed(one, {})
            return
        cuts = {one.cut: self._cut(self.root, "U0", one.cut)}
        self._summed(one, cuts)
        self._join(self.root, one.cut, f"g{cuts[one.cut]}", "gU0")
        self.write(f"del {cuts[one.cut]}")

    def _begin(self, signal: Signal, samples: str, cuts: Mapping[Blocks, str] | None = None) -> None:
        """The spectrum of a signal, unless it is there, and room for its cotangent."""
        spectrum, name = self._choice(signal).follow.spectrum, self.spectrum(signal)
        assert spectrum is not None
        if samples:
            self._transform(signal, samples, dict(cuts or {}))
        else:
            assert self.grouped is not None
            place, bins = self.grouped.spectra[signal.name], signal.paths * spectrum.bins
            self.write(f"{name} = X1[{place} * pairs : {place + bins} * pairs]")
        how = "empty" if signal.children else "zeros"  # the first sum over filters writes all bins
        room = f"({signal.paths}, pairs, {spectrum.length})"
        self.write(f"g{name} = torch.{how}({room}, dtype=torch.complex64, device=x.device)")

    def _returned(self, signal: Signal, cuts: Mapping[Blocks, str], into: str = "") -> str:
        """The spectrum of a signal's cotangent; yields its name. Of one that returns in registers: written `into`."""
        self.note(*signal.nodes)
        waves = self._below(signal, cuts) if signal.spectrum else ""
        choice = self.returns.of(signal)
        reads = choice.back is Back.REGISTERS and self.returns.source(signal)
        if not (signal.spectrum or reads):
            self._cotangent(signal, "weight", known=False)
        if choice.back in (Back.REGISTERS, Back.BLOCKS):
            return self._turn(signal, cuts, into)
        return (self._rows_and_columns if choice.back is Back.MATRIX else self._slopes)(signal, waves)

    def _summed(self, one: Sum, cuts: Mapping[Blocks, str]) -> None:
        """Some children of a signal, and the sum over their filters, added to the cotangent of what they read."""
        if one.apart:
            self._gather(one, cuts, "P1")
            return
        if len(one.children) == 1:
            self._gather(one, cuts, self._returned(one.children[0], cuts))
            return
        product, numbers = f"P_{one.parent.name}", sum(one.numbers(child) for child in one.children)
        self.write(f"{product} = torch.empty({numbers} * pairs, dtype=torch.complex64, device=x.device)")
        for child, place in one.places().items():
            (signal,) = (signal for signal in one.children if signal.name == child)
            self._returned(signal, cuts, f"{product}[{place * one.rows} * pairs :]")
        self._gather(one, cuts, product)

    def _below(self, signal: Signal, cuts: Mapping[Blocks, str]) -> str:
        """The cotangent of a signal by way of what is made of it; yields the name of its waves, if they are kept."""
        choice, waves, samples = self.returns.of(signal), "", ""
        follow = choice.follow
        if self.grouped and signal.name in self.grouped.spectra:
            pass  # its spectrum is there
        elif choice.way is Way.STAGED:
            waves = self._waves(signal)
            samples = self._pack(signal, waves)
        elif choice.way is Way.MATRIX:
            kernel, waves = self._along_columns(signal)
            samples = self._along_rows(signal, kernel, waves)
        elif choice.way is Way.BLOCKS:
            samples = self._of_blocks(signal, dict(cuts))
        else:
            samples = self._registers(signal)
        if waves and not choice.kept:
            self.write(f"del {waves}")
            waves = ""
        own: dict[Blocks, str] = {}
        for cut in (*(below.cut for below in follow.children.values()), follow.cut):
            if cut is not None and cut not in own:
                own[cut] = self._cut(signal, samples, cut, len(own))
        if follow.spectrum is not None:
            self._begin(signal, samples, own)
        if samples:
            self.write(f"del {samples}")
        sums = self.returns.sums(signal, follow)
        for one in sums:
            self._summed(one, own)
        known = follow.spectrum is not None and follow.thinning is None
        if follow.spectrum is not None:
            self.write(f"del {self.spectrum(signal)}")
            self._averages(signal, "weight")
            found = self._inverse(signal)
            if follow.thinning is None:
                self.write(f"g{signal.name} = {found}", f"del {found}")
            else:
                assert follow.cut is not None
                shared = any(one.cut == follow.cut for one in sums)
                self._unthin(signal, found, f"g{own[follow.cut]}" if shared else "", f"g{own[follow.cut]}")
        joined = self.returns.joined(signal, follow)
        self._cotangent(signal, "weight", known=known, fresh=any(fresh for _, fresh in joined))
        for cut, fresh in joined:
            self._join(signal, cut, f"g{own[cut]}", f"g{signal.name}", fresh=fresh)
            self.write(f"del {own[cut]}")
        return waves

    def _averages(self, signal: Signal, weight: str) -> None:
        """What coefficients bring to the bins of a signal's spectrum."""
        for result in self.coefficients[signal.name]:
            if self.returns.from_bins(signal, result, self._choice(signal).follow):
                self._bins(signal, result, weight)

    def _inverse(self, signal: Signal) -> str:
        """The cotangent of what was transformed, from that of its spectrum; yields its name."""
        spectrum, name = self._choice(signal).follow.spectrum, self.spectrum(signal)
        assert spectrum is not None
        self.write(f'h{name} = torch.fft.ifft(g{name}, norm="forward")', f"del g{name}")
        self.steps.append(Transform(spectrum.length, signal.paths, packed=True))
        return f"h{name}"

    # Blocks.

    def _unthin(self, signal: Signal, source: str, into: str, name: str = "") -> str:
        """The cotangent of a thinned signal, brought to spectra of blocks: added `into` these, or written to new ones."""
        follow = self._choice(signal).follow
        cut, thinning = follow.cut, follow.thinning
        assert cut is not None and thinning is not None
        by, target = thinning.by, name or f"gB_{signal.name}"
        shape = blocks_t.default_unthin(cut.length >> by, cut.bins, add=bool(into))
        if not into:
            sizes = f"({signal.paths}, pairs, {cut.count}, {cut.bins})"
            self.write(f"{target} = torch.empty({sizes}, dtype=torch.complex64, device=x.device)")
        self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
        arguments = [f"{source}.view(torch.int64)", *self.named(f"smooth_{signal.name}", f"twiddles_{shape.length}")]
        numbers = (signal.length >> by, cut.first >> by, cut.halo >> by, cut.hop >> by, cut.count)
        arguments += [f"{target}.view(torch.int64)", *map(str, numbers), "pairs"]
        grid = (f"triton.cdiv({cut.count} * pairs, {shape.rows})", str(signal.paths))
        kernel = self._joining(shape, f"unthin_{shape.length}")
        self.launch(Launch(kernel, blocks_t.UNTHIN, grid, arguments, {}, shape.warps, signal.paths * cut.count))
        self.write(f"del {source}")
        return target

    def _join(self, signal: Signal, cut: Blocks, spectra: str, into: str, *, fresh: bool = False) -> None:
        """The cotangents of blocks of a signal, from those of their spectra, added to those of its samples."""
        line = self._choice(signal).line
        for i, (begin, step, count) in enumerate(blocks_t.turns(cut, line.length, whole=line.whole)):
            first = fresh and i == 0
            shape = blocks_t.default_join(cut.length, cut.bins, around=line.whole, fresh=first)
            kernel = self._joining(shape, f"join_{shape.length}")
            self.table(f"twiddles_{shape.length}", tables.twiddles(shape.length))
            arguments = [f"{spectra}.view(torch.int64)", *self.named(f"twiddles_{shape.length}")]
            numbers = (line.length, cut.first - cut.halo - line.first, cut.hop, cut.count, begin, step, count)
            arguments += [f"{into}.view(torch.int64)", *map(str, numbers), "pairs"]
            grid = (f"triton.cdiv({count} * pairs, {shape.rows})", str(signal.paths))
            self.launch(Launch(kernel, blocks_t.JOIN, grid, arguments, {}, shape.warps, signal.paths * count))
        self.write(f"del {spectra}")

    def _joining(self, shape: Join | Unthin, stem: str) -> str:
        known = {other: name for name, other in self.joins.items()}
        name = known.get(shape, f"{stem}_{len(self.joins)}")
        self.joins[name] = shape
        return name

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
        shape = tables_t.spread(self.spec, signal, result, self.options.tolerance)
        name, line = f"phi{signal.level}_t{shape.samples}", self._choice(signal).line
        if f"{name}_high" not in self.tables:
            self.split(name, tables_t.spread_matrix(self.spec, signal.level, shape))
        arguments += self.named(f"{name}_high", f"{name}_low")
        constants = self.returns.spread(signal, result, line) | {"ADD": add}
        paths = len(self.program.outputs[result.group][1])
        grid = (
            f"{-(-(line.first + line.length - constants['START']) // shape.samples)}",
            str(signal.paths),
            f"triton.cdiv(2 * pairs, {constants['ROWS']})",
        )
        arguments += [f"{into}.view(torch.float32)", "n", "pairs"]
        self.static_launch("spread", signal.paths, grid, arguments, {"PATHS": paths} | constants)

    def _given(self, signal: Signal, result: Result, weight: str, add: bool, into: str) -> None:
        """Samples that were output, or their sum."""
        arguments = self._incoming(signal, result, weight)
        block, total = min(BLOCK, power(signal.length)), result.kind == "total"
        self.static_launch(
            "given",
            signal.paths,
            ("pairs", str(signal.paths), f"triton.cdiv({signal.length}, {block})"),
            [*arguments, f"{into}.view(torch.int64)", "n", "pairs"],
            {
                "PATHS": len(self.program.outputs[result.group][1]),
                "LENGTH": signal.length,
                "FIRST": 0 if total else result.first[0],
                "KEPT": 1 if total else result.kept[0],
                "TOTAL": total,
                "BLOCK": block,
                "ADD": add,
            },
        )

    def _bins(self, signal: Signal, result: Result, weight: str) -> None:
        """Averages, or a sum, brought to the few bins that they come from."""
        arguments = self._incoming(signal, result, weight)
        constants, follow = self.returns.average_t(signal, result), self._choice(signal).follow
        spectrum, thinning = follow.spectrum, follow.thinning
        assert spectrum is not None
        if result.kind == "total":
            even, odd, name = np.full((1, 1), 0.5), np.zeros((1, 1)), "sum"
        else:
            outputs = (result.first[0], result.first[0] + result.kept[0])
            smooth = thin_weights(thinning, signal.length, signal.length >> thinning.by) if thinning else None
            even, odd = tables.bins(self.spec, signal.level, result.by, outputs, self.options.tolerance, smooth)
            name = f"bins{signal.level}" + (f"_{signal.name}" if thinning else "")
        pads = ((0, constants["PADDED"] - even.shape[0]), (0, constants["COLUMNS"] - even.shape[1]))
        arguments += self.split(f"{name}_even", np.pad(even, pads)) + self.split(f"{name}_odd", np.pad(odd, pads))
        grid = (
            str(constants.pop("PADDED") // constants["FREQUENCIES"]),
            str(signal.paths),
            f"triton.cdiv(pairs, {constants['ROWS']})",
        )
        sizes = {"PATHS": len(self.program.outputs[result.group][1]), "PARENT": spectrum.length, "BINS": len(even)}
        arguments += [f"g{self.spectrum(signal)}.view(torch.int64)", "n", "pairs"]
        self.static_launch("average_t", signal.paths, grid, arguments, sizes | constants)

    def _weights(self, signal: Signal, width: int) -> str:
        """The name of the table of a signal's filters, which kernels want padded with zeros, or not."""
        return f"{signal.nodes[0]}_w{width}"

    def _turn(self, signal: Signal, cuts: Mapping[Blocks, str], into: str) -> str:
        """The spectrum of a signal's cotangent, by a kernel in registers; yields its name; or written `into`."""
        choice, fold, parent = self.returns.of(signal), signal.fold, signal.parent
        assert fold is not None and parent is not None
        cut, bins = choice.cut, self.choices.spectrum_bins(parent)
        if cut is None:
            shape, source, rows = self.returns.turn(signal, bins), self.spectrum(parent), 1
            filters = self._filters(signal, shape.there.width)
        else:
            shape, source, rows = self.returns.turn_of_blocks(signal, cut, choice.line), cuts[cut], cut.count
            filters, bins = self._block_filters(signal, cut, shape.there.width), cut.bins
        there, product = shape.there, f"g{signal.nodes[1]}"
        self.table(f"twiddles_{there.length}", tables.twiddles(there.length))
        arguments = [f"{source}.view(torch.int64)", *filters, *self.named(f"twiddles_{there.length}")]
        more, paths = self._slopes_of(signal, shape)
        if not into:
            room = f"({signal.paths}, {2 * rows} * pairs, {there.length})"
            self.write(f"{product} = torch.empty({room}, dtype=torch.complex64, device=x.device)")
        arguments += [*more, f"{into or product}.view(torch.int64)", str(bins), str(len(fold.indices))]
        arguments += [str(paths), "n", "pairs", *((str(rows), str(choice.line.length)) if cut else ())]
        grid = (f"triton.cdiv({2 * rows} * pairs, {there.rows})", str(signal.paths))
        types = wavelet_t.parameters(shape)
        self.launch(Launch(self._turning(shape), types, grid, arguments, {}, there.warps, signal.paths * rows))
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
            shape, there = group.shape, group.shape.there
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
            place += group.numbers
            grid = (f"triton.cdiv(2 * pairs, {there.rows})", str(group.paths))
            kernel = self._turning(shape)
            self.launch(Launch(kernel, wavelet_t.parameters(shape), grid, arguments, {}, there.warps, group.paths))

    def _turning(self, shape: wavelet_t.Turn) -> str:
        """The name of a kernel that goes there and back in registers."""
        known = {other: name for name, other in self.turns.items()}
        kernel = known.get(shape, f"returns_{shape.there.length}_{len(self.turns)}")
        self.turns[kernel] = shape
        return kernel

    def _rows_and_columns(self, signal: Signal, waves: str) -> str:
        """The spectrum of a signal's cotangent, by kernels along rows and columns; yields its name."""
        fold, parent = signal.fold, signal.parent
        assert fold is not None and parent is not None
        name = waves or self._along_columns(signal)[1]
        shape = self.returns.matrix(signal, self.choices.spectrum_bins(parent))
        rows = self.returning.setdefault(shape, f"rows_t_{shape.length}_{len(self.returning)}")
        grid, source = ("2 * pairs", str(signal.paths)), f"{name}.view(torch.int64)"
        arguments = [source, *self.named(f"twiddles_{shape.rows}"), f"g{signal.name}.view(torch.float32)", "pairs"]
        tiles, warps = str(shape.columns // shape.second.count), shape.second.warps
        self.launch(Launch(rows, matrix_t.ROWS, (*grid, tiles), arguments, {}, warps, signal.paths))
        tables = f"twiddles_{shape.columns}", f"turns_{shape.length}_small", f"turns_{shape.length}_large"
        tiles, warps = str(shape.rows // shape.first.count), shape.first.warps
        arguments, columns = [source, *self.named(*tables), "pairs"], rows.replace("rows", "columns")
        self.launch(Launch(columns, matrix_t.COLUMNS, (*grid, tiles), arguments, {}, warps, signal.paths))
        self.write(f"del g{signal.name}")
        return name

    def _slopes(self, signal: Signal, waves: str) -> str:
        """The spectrum of a signal's cotangent, short as the signal is; yields its name."""
        name = waves or self._waves(signal)
        block = min(BLOCK, power(signal.length))
        self.static_launch(
            "slope",
            signal.paths,
            (f"{signal.paths} * pairs * {-(-signal.length // block)}",),
            [f"{name}.view(torch.int64)", f"g{signal.name}.view(torch.int64)"],
            {"SAMPLES": signal.length, "BLOCK": block},
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
        constants, pairs = one.constants(), f"{one.rows} * pairs" if cut else "pairs"
        bins = -(-constants["BINS"] // constants["BLOCK"])
        grid = (f"{bins} * triton.cdiv({pairs}, {constants['PAIRS']})", str(parent.paths))
        arguments = [f"{product}.view(torch.int64)", *self.named(f"{name}_windows", f"{name}_w")]
        arguments += [f"{target}.view(torch.int64)", pairs]
        self.gathers[arguments[2]] = one.work()
        self.static_launch("gather", parent.paths, grid, arguments, constants)
        if not one.apart:
            self.write(f"del {product}")
