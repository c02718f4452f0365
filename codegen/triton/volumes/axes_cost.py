"""What launches of the kernels that transform volumes axis by axis cost."""

from __future__ import annotations

from math import log2

from scatc.codegen.triton.cost import COMPLEX, INSTRUCTIONS, REAL, Work
from scatc.codegen.triton.launch import Launch, Transform
from scatc.codegen.triton.volumes.axes import Along, Begin, First, Last
from scatc.codegen.triton.volumes.axes_t import Finish, Gather, Turn
from scatc.codegen.triton.volumes.edges import Edge
from scatc.codegen.triton.volumes.solid_cost import PAIR


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
        return Work("finish", moved, numbers * (_transform(shape.kept.size) + 8))
    numbers = shape.lines * shape.after.size / PAIR
    moved = PAIR * REAL * numbers + COMPLEX * shape.lines * shape.after.count / PAIR
    return Work("begin", moved, numbers * (_transform(shape.after.size) + 8))


def plane_work(step: Transform) -> Work:
    """The library's transform of a plane of edges."""
    numbers = step.paths * step.length / PAIR
    return Work("fft of edges", 4.0 * COMPLEX * numbers, 2.5 * log2(max(step.length, 2)) * numbers, launches=2)


def _first(launch: Launch, shape: First) -> Work:
    """Filters take two products and a sum for each power of z."""
    (z, y, x), harmonic = shape.product, shape.harmonic
    lines = launch.paths * y.count * x.count / PAIR
    numbers = shape.filters * lines * z.size
    filtered = (2 + 2 * harmonic.degree) * (1 if harmonic.symmetric else 2) + 2
    moved = COMPLEX * (lines * z.count + numbers)
    return Work(f"first l={harmonic.degree}", moved, numbers * _transform(z.size) + numbers * filtered)


def _along(launch: Launch, shape: Along) -> Work:
    lines = launch.paths * shape.behind / PAIR
    moved = COMPLEX * lines * (shape.before.count + shape.after.count)
    title = f"along {shape.before.size}{' forward' if shape.forward else ''}"
    return Work(title, moved, lines * shape.before.size * _transform(shape.before.size))


def _last(launch: Launch, shape: Last) -> Work:
    """A square and two sums for each number; roots and powers of what is left of them."""
    lines, size, filters = launch.paths * shape.lines / PAIR, shape.before.size, int(launch.arguments[-1])
    numbers = lines * size
    moved = COMPLEX * lines * filters * shape.before.count
    instructions = filters * (_transform(size) + 4.0) + 8 + 8 * len(shape.powers)
    if shape.edges is not None:  # two of the planes are read for each number, from the cache if all goes well
        moved += 2.0 * COMPLEX * numbers * filters
        instructions += 24.0 * filters
    if shape.after is not None:
        moved += COMPLEX * lines * shape.after.count
        instructions += _transform(size)
    return Work(f"last of {filters}", moved, numbers * instructions)


def _turn(launch: Launch, shape: Turn) -> Work:
    """Each filter is read twice and written, and takes three transforms."""
    lines, size, filters = launch.paths * shape.lines / PAIR, shape.kept.size, int(launch.arguments[-1])
    moved = 3.0 * COMPLEX * lines * filters * shape.kept.count
    instructions = filters * (3 * _transform(size) + 8) + 20 + 16 * len(shape.powers)
    if shape.below is not None:
        moved += COMPLEX * lines * shape.below.count
        instructions += _transform(size)
    return Work(f"turn of {filters}", moved, lines * size * instructions)


def _gather(launch: Launch, shape: Gather) -> Work:
    """As the kernel of the way there, but what is there of the sum is read, too."""
    forward = _first(launch, shape.first)
    z, y, x = shape.first.product
    moved = forward.bytes + COMPLEX * launch.paths * z.count * y.count * x.count / PAIR
    return Work(f"gather l={shape.first.harmonic.degree}", moved, forward.instructions)


def _transform(size: int) -> float:
    """Instructions of a thread for each number, with those that read and write it."""
    return float(INSTRUCTIONS[max(size, min(INSTRUCTIONS))])
