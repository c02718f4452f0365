"""Folding statements, carried out and compared with sums over single bins."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scatc.codegen.numpy.folding import Shape, buffers, steps, tails

LEAD = (2, 3)
"""Signals and filters, which every statement leaves alone."""


def folded(x: NDArray[Any], grid: Shape) -> NDArray[Any]:
    """The definition: bin k of the window is added to bin k mod grid."""
    y = np.zeros((*LEAD, *grid), x.dtype)
    for k in product(*map(range, x.shape[len(LEAD) :])):
        y[(..., *(i % m for i, m in zip(k, grid, strict=True)))] += x[(..., *k)]
    return y


def execute(x: NDArray[Any], grid: Shape) -> NDArray[Any]:
    """What the emitted statements make of a product x, in memory that held something else before."""
    widths = x.shape[len(LEAD) :]
    shapes = {**buffers(widths, grid), "y": grid}
    arrays: dict[str, Any] = {name: np.full((*LEAD, *shape), np.nan) for name, shape in shapes.items()}
    product_of = arrays[next(iter(shapes))]  # the first buffer, or the result itself
    product_of[(..., *map(slice, widths))] = x
    for kind, target, first, second in steps(widths, grid, "y"):
        code = {"sum": f"{target} = {first} + {second}", "copy": f"{target} = {first}", "add": f"{target} += {first}"}
        exec(code[kind], arrays)
    for tail in tails(widths, grid):
        exec(f"y[{tail}] = 0", arrays)
    result: NDArray[Any] = arrays["y"]
    return result


AXIS = st.tuples(st.integers(1, 9), st.integers(1, 5))
"""The width of a window and the length of the grid."""


@given(st.lists(AXIS, min_size=1, max_size=3))
@example([(9, 3)])  # three whole periods
@example([(8, 3)])  # two and a part
@example([(4, 3)])  # one and a part
@example([(2, 5), (7, 3)])  # zeros behind one axis, the other folded
@example([(7, 3), (2, 5)])
@example([(7, 2), (5, 5), (9, 4)])
@example([(7, 2), (2, 4), (1, 4)])
def test_statements_fold_modulo_the_grid(axes: list[tuple[int, int]]) -> None:
    widths, grid = tuple(w for w, _ in axes), tuple(m for _, m in axes)
    x = np.random.default_rng(0).standard_normal((*LEAD, *widths))
    np.testing.assert_allclose(execute(x, grid), folded(x, grid), rtol=0, atol=1e-13)


@given(st.lists(AXIS, min_size=1, max_size=3))
def test_no_statement_reads_what_it_writes(axes: list[tuple[int, int]]) -> None:
    """NumPy would copy one of the two first, in memory that no footprint counts."""
    widths, grid = tuple(w for w, _ in axes), tuple(m for _, m in axes)
    for _, target, first, second in steps(widths, grid, "y"):
        assert target.split("[")[0] not in (first.split("[")[0], second.split("[")[0])


@pytest.mark.parametrize(
    ("widths", "grid", "expected"),
    [
        ((4,), (4,), {}),
        ((3,), (4,), {}),
        ((5,), (4,), {"product": (5,)}),
        ((5, 6), (4, 3), {"product": (5, 6), "partial1": (4, 6)}),
        ((5, 2, 6), (4, 3, 3), {"product": (5, 2, 6), "partial1": (4, 2, 6)}),
    ],
)
def test_buffers_hold_the_product_and_all_stages_but_the_last(
    widths: Shape, grid: Shape, expected: dict[str, Shape]
) -> None:
    assert buffers(widths, grid) == expected


def test_text() -> None:
    assert list(steps((8,), (3,), "y")) == [
        ("sum", "y[..., :3]", "product[..., :3]", "product[..., 3:6]"),
        ("add", "y[..., :2]", "product[..., 6:8]", ""),
    ]
    assert list(steps((4,), (3,), "y")) == [
        ("sum", "y[..., :1]", "product[..., :1]", "product[..., 3:4]"),
        ("copy", "y[..., 1:3]", "product[..., 1:3]", ""),
    ]
    assert tails((2, 5), (4, 6)) == ["..., 2:, :", "..., :2, 5:"]
