"""The functions that a gradient needs besides those of its transform."""

from __future__ import annotations

from scatc.codegen.cpu.functions import Functions
from scatc.codegen.cpu.layout import Grid

TEMPLATE = "transposed.c.j2"


class TransposedFunctions(Functions):
    """See `Functions`."""

    def waves(self, grid: Grid) -> str:
        """From a spectrum to waves and moduli of a line or an image."""
        return self._waves(grid.kind, *grid.inverse)

    def waves_volume(self, grid: Grid, terms: int, parts: int) -> str:
        """From a spectrum to one component of the waves and moduli of a volume."""
        self._waves("plane", *grid.inverse)
        self.dft(grid.shape[0])
        return self._volume("waves_volume", grid, terms, parts)

    def unfold_volume(self, grid: Grid, terms: int, parts: int) -> str:
        """From one component of a wave to what it adds to the cotangent of its parent's spectrum."""
        self.forward(grid)
        return self._volume("unfold_volume", grid, terms, parts)

    def _volume(self, what: str, grid: Grid, terms: int, parts: int) -> str:
        name = f"{what}_{_sizes(grid)}_{terms}{'c' if parts == 2 else 'r'}"
        return self._add(name, TEMPLATE, what, *grid.shape, terms, parts)

    def _waves(self, kind: str, first: int, second: int) -> str:
        self._steps(kind, first, second)
        return self._add(f"waves_{kind}_{first}x{second}", TEMPLATE, "waves", kind, first, second)

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
