"""Writes C for volumes, whose waves are real: half of a spectrum is all there is of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from scatc.codegen import Tables
from scatc.codegen.cpu import volumes
from scatc.codegen.cpu.emitter import Emitter
from scatc.codegen.cpu.layout import Grid, Half, half
from scatc.codegen.signals import Signal
from scatc.ir.nodes import Fold, Modulus
from scatc.ir.options import Options
from scatc.ir.schedule import Program


class VolumeEmitter(Emitter):
    """The walk over the program of a transform of volumes. See `Emitter`.

    A volume is transformed on its own, so that there are no pairs.
    """

    together = 1

    def __init__(self, program: Program, options: Options, version: str = "", known: Tables | None = None) -> None:
        self.made: dict[Hashable, volumes.Waves] = {}
        super().__init__(program, options, version, known)

    def _read(self, signal: Signal) -> Half:
        """The bins of a signal's spectrum that its children read."""
        return half(self.grid(signal), [child.fold for child in signal.children if child.fold])

    def _scratch(self) -> int:
        return max((bins.turned for bins in self._bins()), default=0)

    def _room(self) -> int:
        """Numbers of the spectra of planes, of a wave or of a volume that is transformed."""
        return max((bins.whole for bins in self._bins()), default=0)

    def _bins(self) -> list[Half]:
        folds = [half(self.grid(signal), [signal.fold]) for signal in self.root.all() if signal.fold]
        return folds + [self._read(signal) for signal in self.root.all() if signal.children]

    def _spectrum_size(self, signal: Signal) -> int:
        return self._read(signal).size

    def _source(self, signal: Signal, grid: Grid) -> list[str]:
        assert signal.fold is not None and signal.parent is not None
        fold, _, modulus = signal.nodes
        weights = self.graph[modulus]
        assert isinstance(weights, Modulus)
        bank, parent = self._waves(fold, signal.fold, grid, weights.weights), self._read(signal.parent)
        self.tables |= {f"{fold}_along": bank.a, bank.name: bank.b}
        cube, bins = self.functions.cube(bank.half)
        return [
            f".parent = {parent.size}, .start = {parent.at(bank.half)}",
            f".w = {bank.name}, .a = {fold}_along, .waves = {bank.b.shape[1]}, .filter = {bank.b[0, 0].size}, "
            f".along = {bank.a[0, 0].size}",
            f".wave = {self.functions.wave(bank.b.shape[2], bank.kind)}, .cube = &{cube}, "
            f".from = &{self.functions.cube(parent)[1]}, .bins = &{bins}",
        ]

    def _waves(self, name: str, fold: Fold, grid: Grid, weights: tuple[int, ...]) -> volumes.Waves:
        """The filters of a fold, made once for all folds that have the same."""
        key = (replace(fold, x="", starts=(), widths=()), half(grid, [fold]), weights)
        if key not in self.made:
            self.made[key] = volumes.waves(self.spec, name, fold, grid, weights, self.options, self.known)
        return replace(self.made[key], name=f"{name}_w{self.made[key].kind}")

    def _place(self, signal: Signal) -> int:
        return self._group(signal) * self.grid(signal).size

    def _own_spectrum(self, signal: Signal, u: int) -> str:
        return f".to = &{self.functions.cube(self._read(signal))[1]}"

    def _root_spectrum(self) -> list[str]:
        bins = self._read(self.root)
        cube, name = self.functions.cube(bins)
        to = f"(real *)spectrum + (row + k) * {bins.size}"
        size = self.grid(self.root).size
        return [f"forward_cube(c, &{cube}, &{name}, u + k * {size}, c->arena + SCRATCH, {to});"]
