"""Slices written as text, carried out and compared with sums over single bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatc.codegen.slices import alias_runs, backwards, hermitian_copies, index, span, wrapped


def at(array: Any, text: str) -> Any:
    """What an index, as text, picks from an array."""
    return eval(f"array[{text}]", {"array": array})


def test_text() -> None:
    assert span(0, 5) == ":5"
    assert span(2, 5) == "2:5"
    assert index() == "..."
    assert index(":3", ":") == "..., :3, :"
    assert backwards(4, 2) == "4:2:-1"
    assert backwards(4, 5) == "4::-1"


@given(st.integers(0, 20), st.data())
def test_backwards(first: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, first + 1))
    assert list(at(np.arange(21), backwards(first, count))) == [first - i for i in range(count)]


@given(st.integers(1, 12), st.integers(-40, 40), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 12)))
def test_wrapped(n: int, start: int, width: int, keep: int | None) -> None:
    runs = list(wrapped((start, start + width), n, keep))
    seen = {place + i: first + i for place, first, length in runs for i in range(length)}
    kept = n if keep is None else keep
    assert seen == {i: (start + i) % n for i in range(width) if (start + i) % n < kept}
    runs = list(wrapped((start, start + width), n))
    assert all(length > 0 and first + length <= n for _, first, length in runs)
    assert len(runs) <= width // n + 2


def boxes(n: int) -> st.SearchStrategy[tuple[int, int]]:
    """Any bins of a grid, up to all of them, as they are read: from somewhere within one period of bin 0."""
    return st.integers(1, n).flatmap(lambda w: st.integers(-n, n).map(lambda a: (a, a + w)))


@given(st.data())
def test_hermitian_copies(data: st.DataObject) -> None:
    """Every bin of the box is written once, with the bin of the full FFT."""
    grid = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    box = tuple(data.draw(boxes(n)) for n in grid)
    x = np.random.default_rng(0).standard_normal((2, *grid))
    axes = tuple(range(1, 1 + len(grid)))
    half = np.fft.rfftn(x, axes=axes)
    got = np.zeros((2, *(b - a for a, b in box)), complex)
    writes = np.zeros(got.shape, int)
    for target, source, conjugated in hermitian_copies(box, grid):
        read = at(half, source)
        at(got, target)[...] = read.conj() if conjugated else read
        at(writes, target)[...] += 1
    wanted = np.fft.fftn(x, axes=axes)
    for axis, (a, b) in zip(axes, box, strict=True):
        wanted = np.take(wanted, np.arange(a, b), axis, mode="wrap")
    assert (writes == 1).all()
    np.testing.assert_allclose(got, wanted, atol=1e-12)


@given(st.integers(-30, 30), st.integers(0, 40), st.integers(1, 12), st.data())
def test_alias_runs(start: int, width: int, length: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, length))
    window = np.arange(1.0, width + 1)
    got, wanted = np.zeros(keep), np.zeros(length)
    for target, source in alias_runs(start, width, length, keep):
        at(got, target)[...] += at(window, source)
    for i, value in enumerate(window):
        wanted[(start + i) % length] += value
    np.testing.assert_array_equal(got, wanted[:keep])
