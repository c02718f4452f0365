"""The low-pass as matrices: dense, or through frames, against the convolution that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import signal, specs

from scatc.ir.filters import banks
from scatc.ir.lowpass import Frames, banded_matrix, dense_matrix, frames, impulse_response, taps
from scatc.ir.spec import Spec

Array = NDArray[Any]

LONG = Spec(dim=1, shape=200, J=3, T=2)  # 512 samples, of which phi spans few
WIDE = Spec(dim=2, shape=(48, 24), J=1)


def convolved(spec: Spec, level: int, axis: int, u: Array) -> Array:
    """The low-pass of one axis by its definition: a product of DFTs."""
    response = banks(spec)["phi"].axis_response(axis, level)  # type: ignore[attr-defined]
    return np.fft.ifft(np.fft.fft(u) * response).real


def through_frames(u: Array, layout: Frames, block: Array, outputs: int) -> Array:
    """Every frame times the same block; the halves of the products overlap by one block of outputs."""
    cut = u[layout.base : layout.stop].reshape(layout.blocks + 1, layout.length)
    products = cut @ block
    n = layout.outputs
    return (products[:-1, :n] + products[1:, n:]).reshape(-1)[:outputs]


@given(st.data())
@settings(max_examples=60)
def test_dense_matrix_is_the_convolution(data: st.DataObject) -> None:
    spec = data.draw(specs(dims=(1, 2)))
    axis = data.draw(st.integers(0, spec.dim - 1))
    level = data.draw(st.integers(0, spec.J - (spec.dim == 2)))
    assume(spec.padded_shape[axis] % (1 << level) == 0)
    n = spec.padded_shape[axis] >> level
    by = data.draw(st.integers(0, (n & -n).bit_length() - 1))
    start = data.draw(st.integers(0, n >> by))
    kept = (start, data.draw(st.integers(start, n >> by)))
    u = signal("noise", (n,), data.draw(st.integers(0, 99)))
    matrix = dense_matrix(spec, level, axis, by, kept)
    assert matrix.shape == (n, kept[1] - kept[0])
    expected = convolved(spec, level, axis, u)[:: 1 << by][slice(*kept)]
    np.testing.assert_allclose(u @ matrix, expected, atol=1e-13)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8, 1e-15])
@pytest.mark.parametrize("spec", [LONG, WIDE, Spec(dim=1, shape=300, J=5, T=7.3)], ids=["long", "2D", "broken T"])
def test_taps_hold_all_but_the_tolerance(spec: Spec, tolerance: float) -> None:
    for axis in range(spec.dim):
        for level in range(spec.J):
            h = np.abs(impulse_response(spec, level, axis))
            n, count = len(h), taps(spec, level, axis, tolerance)
            assert 1 <= count <= n
            assert count % 2 or count == n

            def outside(radius: int, h: Array = h, n: int = n) -> float:
                distance = np.minimum(np.arange(n), n - np.arange(n))
                return float(h[distance > radius].sum() / h.sum())

            assert outside(count // 2) <= tolerance * (1 + 1e-6)
            if 1 < count < n:
                assert outside(count // 2 - 1) > tolerance * (1 - 1e-6)


def test_taps_do_not_grow_with_the_tolerance() -> None:
    counts = [taps(LONG, 0, 0, tolerance) for tolerance in (1e-15, 1e-8, 1e-4, 1e-2, 0.5)]
    assert counts == sorted(counts, reverse=True)
    assert taps(LONG, 0, 0, 1.0) == 1
    assert taps(Spec(dim=1, shape=2, J=1, T=1), 0, 0, 1e-8) <= 4


@pytest.mark.parametrize("by", [0, 1, 2, 3])
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-15])
def test_frames_give_what_the_dense_matrix_gives(level: int, by: int, tolerance: float) -> None:
    n = LONG.padded_shape[0] >> level
    count = taps(LONG, level, 0, tolerance)
    first, last = -(-(count // 2) >> by) + 1, (n - 2 * count) >> by
    u = signal("noise", (3, n))
    for kept in ((first, last), (first, first + 1), (first + 1, (first + last) // 2)):
        layout = frames(kept, by, count)
        assert 0 <= layout.base < layout.stop <= n
        block = banded_matrix(LONG, level, 0, by, count)
        assert block.shape == (layout.length, 2 * layout.outputs)
        assert layout.length == layout.outputs << by
        assert layout.length >= count
        expected = u @ dense_matrix(LONG, level, 0, by, kept)
        got = np.stack([through_frames(row, layout, block, kept[1] - kept[0]) for row in u])
        assert np.abs(got - expected).max() <= 10 * tolerance * np.abs(u).max() + 1e-14


@given(st.integers(0, 40), st.integers(1, 60), st.integers(0, 4), st.integers(0, 40))
def test_frames_cover_the_taps_of_every_output(start: int, outputs: int, by: int, radius: int) -> None:
    layout = frames((start, start + outputs), by, 2 * radius + 1)
    assert layout.blocks * layout.outputs >= outputs > (layout.blocks - 1) * layout.outputs
    assert layout.base == (start << by) - radius
    for n in range(start, start + outputs):
        block = (n - start) // layout.outputs
        first = layout.base + block * layout.length
        centre = n << by
        assert first <= centre - radius
        assert centre + radius < first + 2 * layout.length
    assert layout.stop == layout.base + (layout.blocks + 1) * layout.length


def test_matrices_of_phi_sum_to_one() -> None:
    np.testing.assert_allclose(dense_matrix(LONG, 0, 0, 1, (0, 256)).sum(axis=0), 1, rtol=1e-12)
    count = taps(LONG, 0, 0, 1e-8)
    block = banded_matrix(LONG, 0, 0, 1, count)
    n = block.shape[1] // 2
    np.testing.assert_allclose(block[:, :n].sum(axis=0) + block[:, n:].sum(axis=0), 1, rtol=1e-7)
