"""Writes C for images: half of a spectrum is all there is of it, and of filters what is not negligible."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from types import SimpleNamespace

from scatc.codegen import Tables
from scatc.codegen.cpu import runs
from scatc.codegen.cpu.emitter import Emitter
from scatc.codegen.cpu.layout import Grid, Half, half
from scatc.codegen.signals import Signal
from scatc.ir.nodes import Fold
from scatc.ir.options import Options
from scatc.ir.schedule import Program


class ImageEmitter(Emitter):
    """The walk over the program of a transform of images. See `Emitter`.

    Spectra of a pair lie where its samples were, if there is one pair at a time.
    """

    def __init__(self, program: Program, options: Options, version: str = "", known: Tables | None = None) -> None:
        self.made: dict[Hashable, runs.Runs] = {}
        super().__init__(program, options, version, known)

    def _read(self, signal: Signal) -> Half:
        """The bins of a signal's spectrum that its children read."""
        return half(self.grid(signal), [child.fold for child in signal.children if child.fold])

    def _scratch(self) -> int:
        """Numbers of what is turned over, and of averages: they are never there together."""
        signals = list(self.root.all())
        turned = [self.grid(signal).turned for signal in signals]
        halves = [self._read(signal).turned for signal in signals if signal.children]
        averages = [sum(self.coefficients.room(self.grid(s), result)) for s in signals for result in s.results]
        return max([*turned, *halves, *averages])

    def _room(self) -> int:
        return 0

    def _spectrum_size(self, signal: Signal) -> int:
        """With a line on both sides, for what is read of it without being needed."""
        return self._read(signal).size + 2 * self.lanes

    def _place(self, signal: Signal) -> int:
        return self._group(signal) * self.grid(signal).size

    def _moduli(self, signal: Signal, free: int, spectra: int) -> int:
        return free if signal.children and self._group(signal) <= self.together else free + spectra

    def _results(self, signal: Signal, grid: Grid) -> list[SimpleNamespace]:
        return [self.coefficients.of(signal, grid, result, 0) for result in signal.results]

    def _source(self, signal: Signal, grid: Grid) -> list[str]:
        assert signal.fold is not None and signal.parent is not None
        name = self._runs(signal.nodes[0], signal.fold, grid, self._read(signal.parent))
        _, bins = self.functions.image(self._read(signal.parent))
        return [
            f".parent = {self._spectrum_size(signal.parent)}, .from = &{bins}",
            f".w = {name}_weights, .runs = {name}_runs, .start = {name}_start",
            f".inverse = &{self.functions.inverse(grid)}",
        ]

    def _runs(self, name: str, fold: Fold, child: Grid, bins: Half) -> str:
        """The name of the filters of a fold, which are made once for all folds that have the same."""
        key = (replace(fold, x=""), child, bins)
        if key not in self.made:
            tables = [f"{name}_{part}" for part in ("start", "runs", "weights")]
            if tables[0] in self.known:
                made = runs.Runs(name, *(self.known[table] for table in tables))
            else:
                made = runs.runs(self.spec, name, fold, child, bins, self.options)
            self.made[key] = made
            self.tables |= zip(tables, (made.start, made.runs, made.w), strict=True)
        return self.made[key].name

    def _own_spectrum(self, signal: Signal, u: int) -> str:
        cube, bins = self.functions.image(self._read(signal))
        return f".cube = &{cube}, .to = &{bins}"

    def _root_spectrum(self) -> list[str]:
        cube, bins = self.functions.image(self._read(self.root))
        own, size = self._spectrum_size(self.root), self.grid(self.root).size
        return [
            "const ptrdiff_t next = least(k + 1, count - 1);",
            f"real *const first = (real *)spectrum + row * {own};",
            f"const real *const a = u + k * {size}, *const b = u + next * {size};",
            f"forward_image(c, &{cube}, &{bins}, a, b, first + k * {own}, first + next * {own});",
        ]
