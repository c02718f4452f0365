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

from scatc.codegen.signals import Signal
from scatc.codegen.triton.cost import Work
from scatc.codegen.triton.emitter import LEVEL_BLOCK
from scatc.codegen.triton.kernels import ARGUMENTS, Written
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.lines import blocks_t, cost_t, matrix_t, tables_t, wavelet_t
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.blocks_t import Unthin
from scatc.codegen.triton.lines.choices import Way
from scatc.codegen.triton.lines.pieces_t import PiecesT
from scatc.codegen.triton.lines.sums_t import Sum
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


class LinesT(PiecesT):
    """The walk over a program of lines, there and back."""

    title = "Gradient of 1D scattering"
    template = "lines_t.py.j2"
    arguments: ClassVar[Mapping[str, Sequence[str]]] = ARGUMENTS | ARGUMENTS_T

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
                given = dict(zip(step.types, step.arguments, strict=True))
                return cost_t.join_work(step.paths, joined, step.paths // int(given["count"]) * int(given["line"]))
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
        shape = self.elementwise("weights", samples, LEVEL_BLOCK)
        sizes = {"SAMPLES": samples, "BLOCK": shape.block}
        self.static_launch("weights", 1, ("n",), ["x", "loud", "size", "plain", "weight"], sizes, shape)
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
        shape = self.elementwise("unpad", samples)
        self.static_launch(
            "unpad",
            1,
            (f"triton.cdiv({samples}, {shape.block})", "pairs"),
            ["gU0.view(torch.int64)", *self.named("places"), "size", "gradient", "n"],
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
        """All that is launched for a signal and what is below it, there and back; there alone if leaves are grouped."""
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
