"""How the product of a spectrum and a filter on a window is folded onto the subsampled grid, one axis at a time.

Each folded axis goes from one buffer to the next: numpy cannot see that two interleaved parts of one array are apart,
and would copy one of them first.
"""

from __future__ import annotations

from collections.abc import Iterator

from scatc.codegen.slices import index, span

Shape = tuple[int, ...]


def buffers(widths: Shape, grid: Shape) -> dict[str, Shape]:
    """The scratch buffers of a fold, by name: the product and all stages but the last; none where nothing is folded."""
    folded = [axis for axis, (w, m) in enumerate(zip(widths, grid, strict=True)) if w > m]
    shape, found = widths, {}
    for stage, axis in enumerate(folded):
        found[f"partial{stage}" if stage else "product"] = shape
        shape = (*shape[:axis], grid[axis], *shape[axis + 1 :])
    return found


def steps(widths: Shape, grid: Shape, result: str) -> Iterator[tuple[str, str, str, str]]:
    """The statements that fold: (kind, target, first, second).

    `sum`: target = first + second; `copy`: target = first; `add`: target += first.
    """
    names = [*buffers(widths, grid), result]
    stage, shape = 0, widths
    for axis, m in enumerate(grid):
        if (w := shape[axis]) <= m:
            continue
        source, target = names[stage], names[stage + 1]
        stage, shape = stage + 1, (*shape[:axis], m, *shape[axis + 1 :])
        there = [":"] * len(grid)
        # the result is the whole grid, of which a narrow window fills a part on the axes that are not folded
        here = [span(0, n) if n < g else ":" for n, g in zip(shape, grid, strict=True)] if target == result else there
        both = min(m, w - m)
        first, second = _part(source, there, axis, 0, both), _part(source, there, axis, m, m + both)
        yield "sum", _part(target, here, axis, 0, both), first, second
        if both < m:
            yield "copy", _part(target, here, axis, both, m), _part(source, there, axis, both, m), ""
        for a in range(2 * m, w, m):
            b = min(a + m, w)
            yield "add", _part(target, here, axis, 0, b - a), _part(source, there, axis, a, b), ""


def _part(name: str, axes: list[str], axis: int, start: int, stop: int) -> str:
    return f"{name}[{index(*axes[:axis], span(start, stop), *axes[axis + 1 :])}]"


def tails(widths: Shape, grid: Shape) -> list[str]:
    """Where a zero-padded spectrum must be zeroed: behind its window on each axis."""
    found = []
    for axis, (w, m) in enumerate(zip(widths, grid, strict=True)):
        if w < m:
            before = [span(0, v) if v < c else ":" for v, c in zip(widths[:axis], grid[:axis], strict=True)]
            found.append(index(*before, f"{w}:", *[":"] * (len(grid) - axis - 1)))
    return found
