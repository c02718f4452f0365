"""Slices as source text, and how bins in natural order lie in the arrays that real FFTs return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

Span = tuple[int, int]


def index(*parts: str) -> str:
    """An index behind all leading axes: `..., a, b`; trailing whole axes stay, so that the text shows every axis."""
    return ", ".join(("...", *parts))


def span(start: int, stop: int) -> str:
    """`start:stop`, without a start of 0."""
    return f"{start or ''}:{stop}"


def progression(rows: Sequence[int]) -> str:
    """The slice that reads rows, if they rise by the same step; else, or if there are none, nothing."""
    if not rows:
        return ""
    step = rows[1] - rows[0] if len(rows) > 1 else 1
    if step < 1 or list(rows) != list(range(rows[0], rows[-1] + 1, step)):
        return ""
    return span(rows[0], rows[-1] + 1) + (f":{step}" if step > 1 else "")


def shape_text(*sizes: object) -> str:
    """A tuple of sizes, which may be expressions."""
    return f"({', '.join(map(str, sizes))}{',' * (len(sizes) == 1)})"


def backwards(first: int, count: int) -> str:
    """`count` entries from `first` on downwards."""
    last = first - count
    return f"{first}:{last if last >= 0 else ''}:-1"


def wrapped(box: Span, n: int, keep: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Cut natural-order bins into runs that are contiguous in FFT order: (place in box, FFT index, length).

    With `keep`, only FFT indices below it.
    """
    start, stop = box
    k = start
    while k < stop:
        first = k % n
        length = min(n - first, stop - k)
        kept = length if keep is None else min(length, max(keep - first, 0))
        if kept:
            yield k - start, first, kept
        k += length


def hermitian_copies(box: tuple[Span, ...], grid: tuple[int, ...]) -> Iterator[tuple[str, str, bool]]:
    """How to fill a box of bins from the output of a real FFT: (target, source, conjugated) slices.

    The real FFT holds bins `0 .. N//2` of the last axis; the others are conjugates of the bins at negated frequency.
    """
    *other_boxes, last_box = box
    *other_grids, n = grid
    for conjugated in (False, True):
        others = [list(_runs(b, m, negated=conjugated)) for b, m in zip(other_boxes, other_grids, strict=True)]
        for place, source in _last_axis_runs(last_box, n, conjugated):
            for runs in product(*others):
                yield index(*(r[0] for r in runs), place), index(*(r[1] for r in runs), source), conjugated


def _runs(box: Span, n: int, *, negated: bool) -> Iterator[tuple[str, str]]:
    """(target, source) of an axis that is held whole, read at k or at -k."""
    if not negated:
        for place, first, length in wrapped(box, n):
            yield span(place, place + length), span(first, first + length)
        return
    start, stop = box
    for place, first, length in wrapped((1 - stop, 1 - start), n):  # -k, in increasing order
        target = (stop - start) - place - length
        yield span(target, target + length), backwards(first + length - 1, length)


def _last_axis_runs(box: Span, n: int, conjugated: bool) -> Iterator[tuple[str, str]]:
    """(target, source) of the halved axis, for the bins that are held or for those that are conjugates."""
    start, stop = box
    k = start
    while k < stop:
        first = k % n
        held = first <= n // 2
        length = min((n // 2 + 1 if held else n) - first, stop - k)
        if held and not conjugated:
            yield span(k - start, k - start + length), span(first, first + length)
        if not held and conjugated:
            yield span(k - start, k - start + length), backwards(n - first, length)
        k += length


def alias_runs(start: int, width: int, length: int, keep: int) -> Iterator[tuple[str, str]]:
    """(target, source) of a window folded onto bins `k mod length`, of which those below `keep` are wanted."""
    for place, first, count in wrapped((start, start + width), length, keep):
        yield span(first, first + count), span(place, place + count)


def chunks(count: int, chunk: int) -> str:
    """The slices of so many things at a time, as an expression to loop over."""
    slices = [f"slice({a}, {min(a + chunk, count)})" for a in range(0, count, chunk)]
    if len(slices) <= 4:
        return f"({', '.join(slices)}{',' * (len(slices) == 1)})"
    stop = f"a + {chunk}" if count % chunk == 0 else f"min(a + {chunk}, {count})"
    return f"[slice(a, {stop}) for a in range(0, {count}, {chunk})]"
