"""The arrays that gradients read besides those of their transforms: averages, transposed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.cpu.layout import Grid
from scatc.ir.lowpass import impulse_response, taps
from scatc.ir.spec import Spec

Array = NDArray[Any]


@dataclass(frozen=True)
class Spread:
    """The transpose of averages along an axis: the same for each block of samples.

    Attributes
    ----------
    a : array, shape ``(heard, block)``
        From the frames around a block to its samples.
    early : int
        How many of the frames come before the block's own.
    """

    a: Array
    early: int

    @property
    def block(self) -> int:
        """Samples of a block."""
        return int(self.a.shape[1])


def spread(spec: Spec, grid: Grid, level: int, axis: int, by: int, least: int, tolerance: float) -> Spread:
    """The matrix that transposes averages along one axis, for blocks of at least so many samples."""
    h, n = impulse_response(spec, level, axis), grid.shape[axis]
    reach, block = taps(spec, level, axis, tolerance) // 2, max(1 << by, least)
    early = reach >> by
    heard = early + ((block - 1 + reach) >> by) + 1
    if heard > n >> by:
        early, heard = 0, n >> by
    distance = ((np.arange(heard) - early) << by)[:, None] - np.arange(block)[None, :]
    return Spread(h[distance % n], early)
