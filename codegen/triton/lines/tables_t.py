"""The arrays that kernels of gradients of lines read, besides those of the transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.signals import Result, Signal
from scatc.ir.lowpass import impulse_response, taps
from scatc.ir.spec import Spec

Array = NDArray[Any]

LEAST_SAMPLES, MOST_SAMPLES = 16, 64
"""Samples of a program that brings cotangents of averages back."""

FRAMES = 16
"""Averages that it adds up at a time."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How averages come back to samples: blocks of samples hear windows of averages, which are frames of a circle.

    Attributes
    ----------
    step, frames : int
        Samples from one frame to the next, and frames of the circle.
    radius : int
        How far phi reaches.
    samples, period : int
        Of a block, and after how many samples the windows are alike again.
    block : int
        Frames that are added up at a time.
    """

    step: int
    frames: int
    radius: int
    samples: int
    period: int
    block: int = FRAMES

    @property
    def whole(self) -> bool:
        """Whether a block hears all frames."""
        return self._needed >= self.frames

    @property
    def _needed(self) -> int:
        return -(-self.radius // self.step) + (self.period - 1 + self.radius) // self.step + 1

    @property
    def before(self) -> int:
        """Frames that a block hears before its first sample's."""
        return 0 if self.whole else -(-self.radius // self.step)

    @property
    def window(self) -> int:
        """Frames that a block hears, with padding."""
        return -(-min(self._needed, self.frames) // self.block) * self.block


def spread(spec: Spec, signal: Signal, result: Result, tolerance: float, samples: int, block: int) -> Spread:
    """How the averages of a signal come back to blocks of samples, so many frames at a time."""
    step, radius = 1 << result.by, taps(spec, signal.level, 0, tolerance) // 2
    return Spread(step, signal.length // step, radius, samples, max(step, samples), block)


def spread_matrix(spec: Spec, level: int, shape: Spread) -> Array:
    """What each frame of a window adds to each sample of a period, shape ``(window, period)``."""
    h = impulse_response(spec, level, 0)
    frames = np.arange(shape.window)[:, None] - shape.before
    away = frames * shape.step - np.arange(shape.period)[None, :]
    found = h[away % len(h)]
    if shape.whole:
        return np.asarray(np.where(frames < shape.frames, found, 0.0))
    return np.asarray(np.where(np.abs(away) <= shape.radius, found, 0.0))


def places(index: Array, samples: int) -> Array:
    """Where each sample of a signal lies in the padded one, shape ``(copies, samples)``; -1 is nowhere.

    `index` says of each padded sample which one it repeats, or -1.
    """
    found: list[list[int]] = [[] for _ in range(samples)]
    for place, sample in enumerate(index):
        if sample >= 0:
            found[sample].append(place)
    copies = max((len(one) for one in found), default=0)
    return np.array([[one[c] if c < len(one) else -1 for one in found] for c in range(copies)], np.int32)
