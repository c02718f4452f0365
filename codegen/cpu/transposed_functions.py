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

    def window(self, grid: Grid) -> str:
        """From a complex signal to its spectrum, of volumes no more than a window."""
        name = self.forward(grid)
        if grid.kind != "volume":
            return name
        return self._add(f"window_volume_{_sizes(grid)}", TEMPLATE, "window_volume", *grid.shape)

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
