"""Which way each signal of a transform of images goes, and the tiles of its kernels."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_BLOCK = 16
"""Of a tensor core's product, along each axis."""

MOST_OUTPUTS = 64
"""Averages of one program."""


@dataclass(frozen=True, slots=True)
class Product:
    """The tiles of a product with a matrix.

    Attributes
    ----------
    padded : int
        Length of the sums, with zeros.
    columns, outputs : int
        All outputs with padding, and those of one program.
    tile, block : int
        Sums of a program for each output, and how many terms it adds at a time.
    """

    padded: int
    columns: int
    outputs: int
    tile: int
    block: int

    def constants(self, kept: int) -> dict[str, int]:
        """What a kernel is specialised to."""
        tiles = {"PADDED": self.padded, "KEPT": kept, "OUTPUTS": self.outputs, "TILE": self.tile}
        return tiles | {"BLOCK": self.block}


def product(terms: int, outputs: int, tile: int = 32) -> Product:
    """The tiles for a matrix of so many rows and columns."""
    block = LEAST_BLOCK if terms <= LEAST_BLOCK else 32
    together = min(MOST_OUTPUTS, max(LEAST_BLOCK, 1 << (outputs - 1).bit_length()))
    return Product(-(-terms // block) * block, -(-outputs // together) * together, together, tile, block)
