"""The floor of a transform on a CPU: its Fourier transforms alone, by the FFT library, in batches that fit the cache.

What is above it, a target may spare; what is below it, only by other transforms than the library's. Runs in the
environment of our side.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np

CACHED = 1 << 19
"""Bytes of a batch of transforms."""

SHORTEST = 0.02
"""Seconds that a measurement takes at least."""

Kind = tuple[tuple[int, ...], bool]
"""The shape of a transform, and whether its input is real."""


def transforms(plan: Any) -> Counter[Kind]:
    """How many transforms of each kind there are for one signal: those of the plan's program."""
    from scatc.ir.nodes import Fft, Ifft

    program = plan._program
    found: Counter[Kind] = Counter()
    for name, node in program.graph:
        if isinstance(node, Fft):
            value = program.values[node.x]
            found[value.shape, True] += value.paths
        elif isinstance(node, Ifft):
            value = program.values[name]
            found[value.shape, node.real] += value.paths * value.components
    return found


def flops(plan: Any) -> float:
    """Of the transforms for one signal, by the usual count: 5 N log2 N, half of it for real ones."""
    from scatc.ir.cost import fft_flops

    return sum(count * fft_flops(shape, real=real) for (shape, real), count in transforms(plan).items())


def seconds(plan: Any, batch: int, threads: int) -> float:
    """What the transforms of a batch take at least, on so many threads that share them evenly."""
    return (
        sum(count * batch * _one(shape, real, threads) for (shape, real), count in transforms(plan).items()) / threads
    )


def _one(shape: tuple[int, ...], real: bool, threads: int) -> float:
    """Seconds of one transform, while every thread does such."""
    with ThreadPoolExecutor(threads) as pool:
        return max(pool.map(lambda _: _alone(shape, real), range(threads)))


def _alone(shape: tuple[int, ...], real: bool) -> float:
    from scipy import fft

    from scatc.runtime.fft import choose

    rows = max(CACHED // (8 * prod(shape)), 1)
    axes = tuple(range(1, len(shape) + 1))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, *shape), dtype=np.float32)
    z = x.astype(np.complex64)
    best, spent = np.inf, 0.0
    with choose().context():
        while spent < SHORTEST or not np.isfinite(best):
            start = time.perf_counter()
            if real:
                fft.rfftn(x, axes=axes)
            else:
                z = fft.ifftn(z, axes=axes, norm="ortho", overwrite_x=True)
            took = time.perf_counter() - start
            best, spent = min(best, took), spent + took
    return best / rows
