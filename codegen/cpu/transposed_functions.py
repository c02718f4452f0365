"""The functions that a gradient needs besides those of its transform."""

from __future__ import annotations

from scatc.codegen.cpu.functions import Functions
from scatc.codegen.cpu.layout import Grid

TEMPLATE = "transposed.c.j2"


class TransposedFunctions(Functions):
    """See `Functions`."""

    def waves(self, grid: Grid) -> str:
        """From a spectrum to waves and moduli."""
        first, second = grid.inverse
        if grid.kind != "volume":
            return self._waves(grid.kind, first, second)
        self._waves("plane", first, second)
        self.dft(grid.shape[0])
        return self._add(f"waves_volume_{_sizes(grid)}", TEMPLATE, "waves_volume", *grid.shape)

    def _waves(self, kind: str, first: int, second: int) -> str:
        self._steps(kind, first, second)
        return self._add(f"waves_{kind}_{first}x{second}", TEMPLATE, "waves", kind, first, second)

    def unfold_volume(self, grid: Grid) -> str:
        """From one component of a wave to what it adds to the cotangent of its parent's spectrum."""
        self.forward(grid)
        return self._add(f"unfold_volume_{_sizes(grid)}", TEMPLATE, "unfold_volume", *grid.shape)

    def samples(self, grid: Grid) -> str:
        """From the spectrum of a pair to samples."""
        first, second = grid.inverse
        kind = "line" if grid.kind == "line" else "image"
        self._steps(kind, first, second)
        name = self._add(f"samples_{kind}_{first}x{second}", TEMPLATE, "samples", kind, first, second)
        if grid.kind != "volume":
            return name
        self.dft(grid.shape[0])
        return self._add(f"samples_volume_{_sizes(grid)}", TEMPLATE, "samples_volume", *grid.shape)

    def slopes(self) -> str:
        """From cotangents of integrals of powers to those of samples."""
        return self._add("slopes", TEMPLATE, "slopes", self.powers)


def _sizes(grid: Grid) -> str:
    return "x".join(map(str, grid.shape))
