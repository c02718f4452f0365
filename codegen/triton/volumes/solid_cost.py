"""What launches of transforms of volumes cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

from scatc.codegen.triton.cost import COMPLEX, REAL, Work
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.volumes import solid
from scatc.codegen.triton.volumes.harmonic import Harmonic
from scatc.codegen.triton.volumes.solid_t import Slope

PAIR = 2
"""Volumes that share one complex number."""


def transform_work(step: Transform, shape: Sequence[int]) -> Work:
    """A transform of the library: one pass over memory for each axis."""
    numbers = step.paths * step.length / PAIR
    passes = max(sum(size > 1 for size in shape), 1)
    arithmetic = 2.5 * log2(max(step.length, 2)) * numbers
    return Work(f"fft {'x'.join(map(str, shape))}", 2 * passes * COMPLEX * numbers, arithmetic, launches=passes)


def product_work(launch: Launch, harmonic: Harmonic, voxels: int) -> Work:
    """What products with all filters of a degree do for one volume."""
    numbers = launch.paths * voxels / PAIR
    moved, instructions = COMPLEX * (1.0 + harmonic.filters), 8.0 + 6 * harmonic.filters
    if harmonic.generated:
        evaluations = 1 if harmonic.symmetric else 2
        instructions += (30 + 8.0 * harmonic.filters * max(harmonic.degree, 1)) * evaluations / solid.TOGETHER
    else:
        moved += COMPLEX * harmonic.filters / solid.TOGETHER
    return Work(f"product l={harmonic.degree}", numbers * moved, numbers * instructions)


def norm_work(launch: Launch, norm: solid.Norm) -> Work:
    """What a norm and the sums of its powers do for one volume."""
    numbers = launch.paths * norm.voxels / PAIR
    moved = COMPLEX * (norm.filters + (1.0 if norm.stored else 0.0))
    instructions = 20 + 5.0 * norm.filters + 8 * len(norm.powers)
    return Work(f"norm of {norm.filters}", numbers * moved, numbers * instructions)


def slope_work(launch: Launch, slope: Slope) -> Work:
    """What slopes do for one volume: transforms are read, and written over."""
    numbers = launch.paths * slope.voxels / PAIR
    moved = COMPLEX * (2.0 * slope.filters + (1.0 if slope.below else 0.0))
    return Work(
        f"slopes of {slope.filters}", numbers * moved, numbers * (30 + 8.0 * slope.filters + 12 * len(slope.powers))
    )


def gather_work(launch: Launch, harmonic: Harmonic, voxels: int) -> Work:
    """What sums over filters do for one volume: as products do, and what is there is read besides."""
    forward = product_work(launch, harmonic, voxels)
    moved = forward.bytes + COMPLEX * launch.paths * voxels / PAIR
    return Work(f"sum l={harmonic.degree}", moved, forward.instructions)


def static_work(launch: Launch) -> Work:
    """A kernel of `templates/kernels/`, for one volume."""
    c = launch.constants
    if launch.kernel in ("pair", "unpair"):
        return Work(launch.kernel, REAL * 2.0 * c["VOXELS"], 8.0 * c["VOXELS"])
    if launch.kernel == "peaks":
        return Work("sizes", REAL * c["VOXELS"], 8.0 * c["VOXELS"])
    if launch.kernel == "ratios":
        return Work("sizes", 2.0 * REAL * c["BLOCKS"], 16.0 * c["BLOCKS"])
    numbers = launch.paths * c["BLOCKS"] * c["POWERS"]
    return Work("integrate", REAL * float(numbers + launch.paths * c["POWERS"]), 8.0 * numbers)
