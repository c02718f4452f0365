"""Geometry: padded lengths against known values, kept samples against positions counted one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scatc.ir import geometry

# N, T, padded length as Kymatio 0.4 (development) has it
PADDED = [
    (1, 2, 1), (2, 2, 4), (3, 4, 4), (5, 8, 8), (31, 4, 64), (70, 2, 128), (70, 8, 128), (100, 64, 256), (300, 8, 512),
    (1000, 1, 2048), (1000, 1.5, 2048), (1000, 16, 2048), (1023, 32, 2048), (1024, 64, 2048), (1025, 64, 2048),
    (4096, 256, 8192), (8192, 512, 16384), (10000, 600, 16384), (65536, 4096, 131072), (65536, 8192, 131072),
    (220500, 4096, 524288), (220500, 16384, 524288),
]  # fmt: skip


@pytest.mark.parametrize(("N", "T", "padded"), PADDED)
def test_padded_length_is_the_reference_one(N: int, T: float, padded: int) -> None:
    assert geometry.padded_length(N, T) == padded


def half_support_by_fft(N: int, T: float) -> int:
    """The definition, word for word: phi on the frequency grid, its inverse transform, its L1 residual."""
    grid = np.arange(N)[:, None] / N + np.arange(-2, 2)
    phi = np.abs(np.fft.ifft(np.exp(-((grid * T / geometry.SIGMA0) ** 2) / 2).sum(axis=1)))
    half = N // 2
    residual = [phi[n:half].sum() / phi.sum() for n in range(half)]
    return next((n + 1 for n, mass in enumerate(residual) if mass <= 1e-3), half)


@pytest.mark.parametrize("T", [1, 1.3, 2, 3.7, 4, 16, 50])
@pytest.mark.parametrize("N", [9, 10, 17, 64, 70, 101, 333, 1000])
def test_half_support_is_that_of_the_definition(N: int, T: float) -> None:
    if 8 * T < N:
        assert geometry._half_support(N, T) == half_support_by_fft(N, T)


@pytest.mark.parametrize("N", [1, 2, 3, 4, 7, 8, 15, 37, 64, 70, 200])
def test_wide_low_pass_asks_for_the_longest_padding(N: int) -> None:
    for T in (max(1, N / 8), N / 4, N / 2, N, 3 * N):
        needed = N + 6 * half_support_by_fft(N, max(T, 1))
        shortcut = min(math.ceil(math.log2(needed)), math.floor(math.log2(3 * N - 2)))
        assert geometry.padded_length(N, max(T, 1)) == 2**shortcut


def test_closed_form_continues_the_sum() -> None:
    width = 256 * 2 * math.pi * geometry.SIGMA0
    for N in (2_000, 5_000, 100_001):
        below, above = (geometry._half_support(N, width * (1 + step)) for step in (-1e-9, 1e-9))
        assert below == above


def test_padded_length_needs_no_array_of_that_length() -> None:
    assert geometry.padded_length(2**32, 2**27) == 2**33


@pytest.mark.parametrize(
    ("N", "padded", "widths"), [(5, 8, (1, 2)), (6, 8, (1, 1)), (8, 8, (0, 0)), (300, 512, (106, 106))]
)
def test_padding_1d(N: int, padded: int, widths: tuple[int, int]) -> None:
    assert geometry.padding_1d(N, padded) == widths


@pytest.mark.parametrize(
    ("side", "K", "padded"),
    [(31, 1, 34), (32, 1, 36), (33, 1, 36), (31, 4, 48), (32, 4, 64), (37, 5, 96), (32, 5, 96)],
)
def test_padded_side(side: int, K: int, padded: int) -> None:
    assert geometry.padded_side(side, K) == padded


def kept_one_by_one(N: int, left: int, level: int) -> list[int]:
    """Sample n at some level is sample 2 n one level below; it is kept if it lies in the signal."""
    return [n for n in range((left + N) // 2**level + 2) if left <= n * 2**level < left + N]


@pytest.mark.parametrize("N", [2, 5, 31, 32, 33, 300, 1000])
@pytest.mark.parametrize("T", [1, 2, 8, 32])
def test_kept_1d_are_the_samples_inside_the_signal(N: int, T: int) -> None:
    padded = geometry.padded_length(N, T)
    left, _ = geometry.padding_1d(N, padded)
    for level in range(padded.bit_length()):
        assert list(range(*geometry.kept_1d(N, left, level))) == kept_one_by_one(N, left, level)


def test_kept_1d_is_not_always_the_ceiling() -> None:
    start, stop = geometry.kept_1d(300, 106, 3)
    assert stop - start == 37


@pytest.mark.parametrize("side", [2, 3, 7, 8, 31, 32, 33, 37, 100])
def test_kept_2d_starts_inside_and_drops_one_at_either_end(side: int) -> None:
    for K in range(1, side.bit_length()):
        padded = geometry.padded_side(side, K)
        left, _ = geometry.padding_1d(side, padded)
        for level in range(K + 1):
            start, stop = geometry.kept_2d(side, left, level)
            inside = kept_one_by_one(side, left, level)
            assert start == (inside[0] if inside else 1)
            assert stop - start == side // 2**level
            assert stop <= padded // 2**level
        assert geometry.kept_2d(side, left, K) == (1, padded // 2**K - 1)


@pytest.mark.parametrize(("mode", "name"), [("reflect", "reflect"), ("periodic", "wrap")])
@pytest.mark.parametrize(("n", "left", "right"), [(5, 2, 3), (4, 9, 11), (1, 2, 3), (6, 0, 0)])
def test_extension_index_is_numpy_pad(mode: geometry.Padding, name: str, n: int, left: int, right: int) -> None:
    index = geometry.extension_index(n, left, right, mode)
    x = np.random.default_rng(n).normal(size=n)
    np.testing.assert_array_equal(x[index], np.pad(x, (left, right), mode=name))  # type: ignore[call-overload]


def test_extension_index_of_zeros() -> None:
    assert geometry.extension_index(3, 2, 1, "zero").tolist() == [-1, -1, 0, 1, 2, -1]
