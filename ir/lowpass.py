"""The low-pass `unpad(subsample(x * phi))` of one axis as a matrix: dense, or the same small block for each frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scatc.ir.cost import frame_outputs
from scatc.ir.filters import banks
from scatc.ir.spec import Spec


@lru_cache(maxsize=256)
def impulse_response(spec: Spec, level: int, axis: int) -> NDArray[np.float64]:
    """Phi in time on one axis at a level, shape ``(grid,)``, its centre at index 0."""
    return np.fft.ifft(banks(spec)["phi"].axis_response(axis, level)).real


@lru_cache(maxsize=256)
def taps(spec: Spec, level: int, axis: int, tolerance: float) -> int:
    """The odd number of samples around phi's centre that hold all but `tolerance` of its L1 mass (at most the grid)."""
    mass = np.abs(impulse_response(spec, level, axis))
    n = len(mass)
    half = n // 2
    if half == 0:
        return 1
    beyond = mass[half:0:-1] + mass[-half:]  # both sides at distance half, half - 1, .. 1
    dropped = np.cumsum(beyond)
    radius = half - int(np.searchsorted(dropped, tolerance * mass.sum(), side="right"))
    return min(2 * radius + 1, n)


@dataclass(frozen=True, slots=True)
class Frames:
    """How a banded low-pass cuts an axis: `blocks + 1` frames of `length` samples from `base` on.

    Block b of `outputs` outputs reads frames b and b + 1 and nothing else.
    """

    base: int
    outputs: int
    length: int
    blocks: int

    @property
    def stop(self) -> int:
        """The sample after the last frame."""
        return self.base + (self.blocks + 1) * self.length


def frames(kept: tuple[int, int], by: int, tap_count: int) -> Frames:
    """The frames for outputs `kept` at a subsampling of `2**by`; legal if they lie within the grid."""
    outputs = frame_outputs(tap_count, by)
    start, stop = kept
    return Frames((start << by) - tap_count // 2, outputs, outputs << by, -(-(stop - start) // outputs))


def dense_matrix(spec: Spec, level: int, axis: int, by: int, kept: tuple[int, int]) -> NDArray[np.float64]:
    """The matrix of one axis, shape ``(grid, outputs)``: samples times matrix gives outputs."""
    h = impulse_response(spec, level, axis)
    centres = np.arange(*kept) << by
    matrix: NDArray[np.float64] = h[(centres[None, :] - np.arange(len(h))[:, None]) % len(h)]
    return matrix


def banded_matrix(spec: Spec, level: int, axis: int, by: int, tap_count: int) -> NDArray[np.float64]:
    """The block of one axis, shape ``(frame length, 2 * outputs)``.

    Frame f adds its product's first half to block f and its second half to block f - 1.
    """
    h = impulse_response(spec, level, axis)
    layout = frames((0, 1), by, tap_count)
    radius, outputs = tap_count // 2, layout.outputs
    distance = (np.arange(outputs) << by) + radius - np.arange(2 * layout.length)[:, None]
    both = np.where(np.abs(distance) <= radius, h[distance % len(h)], 0.0)  # samples of two frames x outputs of a block
    return np.concatenate([both[: layout.length], both[layout.length :]], axis=1)
