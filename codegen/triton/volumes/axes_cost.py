"""What launches of the kernels that transform volumes axis by axis cost."""

from __future__ import annotations

from math import log2

from scatc.codegen.triton.cost import COMPLEX, REAL, Work
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.volumes.axes import Along, Begin, First, Last
from scatc.codegen.triton.volumes.axes_t import Finish, Gather, Turn
from scatc.codegen.triton.volumes.edges import Edge
from scatc.codegen.triton.volumes.solid_cost import PAIR

# Instructions were counted in machine code for sm_90, for lines of 16 to 512 numbers, degrees 0 to 2, powers 1/2, 1, 2.

ALONG = {16: 25, 32: 20, 64: 24, 128: 31, 256: 33, 512: 41}
"""Of a thread for each complex number of a line along z or y: read, transformed, written."""

LINES = {16: 23, 32: 16, 64: 18, 128: 21, 256: 24, 512: 26}
"""The same along x, where neighbours are in one line."""

HALF = 0.5
"""Powers that are multiples of this take products and roots alone."""


def work(launch: Launch, shape: First | Along | Last | Begin | Turn | Gather | Finish | Edge) -> Work:
    """What a kernel does for one volume: `launch.paths` rows for each pair."""
    if isinstance(shape, First):
        return _first(launch, shape)
    if isinstance(shape, Along):
        return _along(launch, shape)
    if isinstance(shape, Last):
        return _last(launch, shape)
    if isinstance(shape, Turn):
        return _turn(launch, shape)
    if isinstance(shape, Gather):
        return _gather(launch, shape)
    if isinstance(shape, Edge):
        a, b = shape.sides
        numbers = launch.paths * a * b / PAIR
        filters = shape.harmonic.filters // 2
        return Work("edge", COMPLEX * numbers * (1 + filters), numbers * (80 + 20.0 * filters))
    if isinstance(shape, Finish):
        numbers = shape.lines * shape.kept.size / PAIR
        moved = PAIR * REAL * numbers + COMPLEX * shape.lines * shape.kept.count / PAIR
        return Work("finish", moved, numbers * (_counted(LINES, shape.kept.size) + 10.0))
    numbers = shape.lines * shape.after.size / PAIR
    moved = PAIR * REAL * numbers + COMPLEX * shape.lines * shape.after.count / PAIR
    return Work("begin", moved, numbers * (_counted(LINES, shape.after.size) + 19.0))


def plane_work(step: Transform) -> Work:
    """The library's transform of a plane of edges."""
    numbers = step.paths * step.length / PAIR
    return Work("fft of edges", 4.0 * COMPLEX * numbers, 2.5 * log2(max(step.length, 2)) * numbers, launches=2)


def _first(launch: Launch, shape: First) -> Work:
    """Coefficients of polynomials for each number of the spectrum; a product, a transform for each of the filters'."""
    (z, y, x), harmonic = shape.product, shape.harmonic
    lines = launch.paths * y.count * x.count / PAIR
    moved = COMPLEX * lines * (z.count + shape.filters * z.size)
    if harmonic.symmetric:
        before, filtered = 4 + 3.0 * harmonic.degree, 1.2 * harmonic.degree
    else:
        before = 10 + 3.0 * harmonic.degree
        filtered = 3.0 * harmonic.degree if shape.edges else 1.5 + 4.5 * harmonic.degree
    instructions = before + shape.filters * (_counted(ALONG, z.size) + filtered)
    return Work(f"first l={harmonic.degree}", moved, lines * z.size * instructions)


def _along(launch: Launch, shape: Along) -> Work:
    lines = launch.paths * shape.behind / PAIR
    moved = COMPLEX * lines * (shape.before.count + shape.after.count)
    title = f"along {shape.before.size}{' forward' if shape.forward else ''}"
    return Work(title, moved, lines * shape.before.size * _counted(ALONG, shape.before.size))


def _last(launch: Launch, shape: Last) -> Work:
    """Two squares and their sums for each number; roots and powers of what is left of them."""
    lines, size, filters = launch.paths * shape.lines / PAIR, shape.before.size, int(launch.arguments[-1])
    numbers = lines * size
    moved = COMPLEX * lines * filters * shape.before.count
    instructions = filters * (_counted(LINES, size) + 2.0) + 12 + _powers(shape.powers)
    if shape.edges is not None:  # two of the planes are read for each number, from the cache if all goes well
        moved += 2.0 * COMPLEX * numbers * filters
        instructions += 11.0 * filters + 3
    if shape.after is not None:
        moved += COMPLEX * lines * shape.after.count
        instructions += _counted(LINES, size) + 5
    return Work(f"last of {filters}", moved, numbers * instructions)


def _turn(launch: Launch, shape: Turn) -> Work:
    """Each filter is read twice and written, and takes three transforms; one that is alone is read once."""
    lines, size, filters = launch.paths * shape.lines / PAIR, shape.kept.size, int(launch.arguments[-1])
    passes, more = (2, 0.0) if shape.alone else (3, 6.0)
    moved = float(passes * COMPLEX * lines * filters * shape.kept.count)
    instructions = filters * (passes * _counted(LINES, size) + more) + 22 + _powers(shape.powers)
    if shape.below is not None:
        moved += COMPLEX * lines * shape.below.count
        instructions += _counted(LINES, size)
    return Work(f"turn of {filters}", moved, lines * size * instructions)


def _gather(launch: Launch, shape: Gather) -> Work:
    """As the kernel of the way there, but what is there of the sum is read, too; sums of several are laid out anew."""
    forward = _first(launch, shape.first)
    z, y, x = shape.first.product
    lines = launch.paths * y.count * x.count / PAIR
    added = 5.0 if shape.first.filters == 1 else 12.0
    moved = forward.bytes + COMPLEX * lines * z.count
    return Work(f"gather l={shape.first.harmonic.degree}", moved, forward.instructions + lines * z.size * added)


def _powers(powers: tuple[float, ...]) -> float:
    """Of both volumes' numbers, or of their derivatives: other powers than of roots take logarithms."""
    return sum(6.0 if power % HALF == 0 else 56.0 for power in powers)


def _counted(table: dict[int, int], size: int) -> float:
    """For lines of so many numbers."""
    return float(table[max(size, min(table))])
