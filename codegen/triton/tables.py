"""The arrays that kernels read: filters on windows, matrices of phi cut into two parts of TF32, indices, twiddles."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.triton.fft import twiddle_blocks
from scatc.codegen.triton.lines.wavelet import Shape
from scatc.codegen.triton.volumes.harmonic import Harmonic
from scatc.ir.filters import Band, banks
from scatc.ir.filters.solid_harmonic import SolidHarmonicBank, wave_numbers
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import impulse_response, taps
from scatc.ir.nodes import Fold, Pad
from scatc.ir.spec import Spec

Array = NDArray[Any]

TF32_BITS = ~0x1FFF
"""What of a float32 TF32 keeps: 10 of 23 bits of the fraction."""


def split(a: Array) -> tuple[Array, Array]:
    """A matrix as the sum of two of which TF32 loses nothing that float32 would keep."""
    a = np.ascontiguousarray(a, np.float32)
    high = (a.view(np.int32) & TF32_BITS).view(np.float32)
    return high, np.ascontiguousarray(a - high)


def pad_index(length: int, node: Pad | None) -> Array:
    """Of each padded sample, the sample of the signal that it repeats; -1 is a zero."""
    if node is None:
        return np.arange(length, dtype=np.int32)
    (left, right) = node.widths[0]
    return extension_index(length - left - right, left, right, cast(Padding, node.mode)).astype(np.int32)


def windows(fold: Fold, parent: int) -> tuple[list[int], int]:
    """Where each filter's window of a parent's spectrum begins, and how wide all are; bin 0 is in the middle."""
    width = fold.widths[0] if fold.widths else parent
    return [start[0] for start in fold.starts] or [0] * len(fold.indices), width


def filters(
    spec: Spec,
    fold: Fold,
    parent: int,
    padded: int = 0,
    *,
    thinned: int = 0,
    smooth: Callable[[Array], Array] | None = None,
) -> tuple[Array, Array]:
    """Where each filter's window begins, and its weights there: `padded` with zeros to so many bins.

    They carry what the transform back leaves out, 1 / length, and the half of telling two signals apart; of a parent
    that was subsampled by ``2**thinned`` after a smoothing, also what undoes that.
    """
    starts, width = windows(fold, parent)
    bank = banks(spec)[fold.bank]
    w = np.zeros((len(starts), max(padded, width)), np.float32)
    for row, index, start in zip(w, fold.indices, starts, strict=True):
        weights = bank.window(index, fold.level, (Band(start, start + width),))[0] * (0.5 * (1 << thinned) / parent)
        if smooth is not None:
            weights = weights / smooth(np.arange(start, start + width) / parent)
        row[:width] = weights
    return np.array(starts, np.int32), w


def block_window(fold: Fold, parent: int, length: int) -> tuple[list[int], int]:
    """As `windows`, of the spectrum of a block of so many samples: its bins are every so manieth of the parent's."""
    starts, width = windows(fold, parent)
    step = parent // length
    firsts = [-(-start // step) for start in starts]
    last = max((start + width - 1) // step - first for start, first in zip(starts, firsts, strict=True))
    return firsts, min(last + 1, length)


def block_filters(spec: Spec, fold: Fold, parent: int, length: int, padded: int) -> tuple[Array, Array]:
    """As `filters`, for the spectra of blocks."""
    (starts, width), step = block_window(fold, parent, length), parent // length
    bank = banks(spec)[fold.bank]
    w = np.zeros((len(starts), padded), np.float32)
    for row, index, first in zip(w, fold.indices, starts, strict=True):
        band = Band(first * step, (first + width - 1) * step + 1)
        row[:width] = bank.window(index, fold.level, (band,))[0][::step] * (0.5 / length)
    return np.array(starts, np.int32), w


def twiddles(length: int) -> Array:
    """``exp(2 pi i k / length)`` as 64-bit integers, and behind them the blocks of `twiddle_blocks`."""
    blocks = twiddle_blocks(length)
    turns = np.exp(2j * np.pi * np.arange(min(blocks.values(), default=length)) / length)
    parts = [turns]
    for order, stage in blocks:
        remaining = length // prod(order[:stage])
        rest = remaining // order[stage]
        products = np.outer(np.arange(rest), np.arange(order[stage])) * (length // remaining)
        parts.append(turns[products.reshape(-1)])
    return np.concatenate(parts).astype(np.complex64).view(np.int64)


def bins(
    spec: Spec, level: int, by: int, outputs: tuple[int, int], tolerance: float, smooth: Array | None = None
) -> tuple[Array, Array]:
    """The average of a signal from its spectrum: what bins k >= 0 add to each output, by real and imaginary part.

    Bins are those that hold all but `tolerance` of phi's L1 mass. With the half of telling two signals apart; `smooth`
    is what the spectrum's bins were multiplied by.
    """
    phi = banks(spec)["phi"].axis_response(0, level)
    n = len(phi)
    count = held_bins(phi, tolerance)
    k, t = np.arange(count), np.arange(*outputs) << by
    twice = np.where((k == 0) | (2 * k == n), 1.0, 2.0)
    angles = 2 * np.pi * ((k[:, None] * t[None, :]) % n) / n
    weights = (twice * phi[:count] * (0.5 / n))[:, None]
    if smooth is not None:
        weights /= smooth[:count, None]
    return weights * np.cos(angles), -weights * np.sin(angles)


def held_bins(phi: Array, tolerance: float) -> int:
    """How many bins from 0 on hold all but `tolerance` of a symmetric response's L1 mass."""
    half = np.abs(phi[: len(phi) // 2 + 1])
    behind = np.cumsum(half[::-1])[::-1]
    return max(int(np.searchsorted(-behind, -tolerance * float(half.sum()))), 1)


def window(spec: Spec, level: int, by: int, outputs: int, tolerance: float) -> tuple[int, int]:
    """Of a block of averages: where, before the first output's centre, its window of samples begins, and its length."""
    n = len(impulse_response(spec, level, 0))
    reach = taps(spec, level, 0, tolerance)
    length = ((outputs - 1) << by) + reach
    return (0, n) if length >= n else (reach // 2, length)


def toeplitz(spec: Spec, level: int, by: int, first: int, outputs: int, padded: int, tolerance: float) -> Array:
    """The matrix from a window of samples to a block of averages, shape ``(padded, outputs)``."""
    h = impulse_response(spec, level, 0)
    before, length = window(spec, level, by, outputs, tolerance)
    j, t = np.arange(length)[:, None], np.arange(outputs)[None, :]
    matrix = np.zeros((padded, outputs))
    if length == len(h):  # the whole circle, from sample 0 on
        matrix[:length] = h[(((first + t) << by) - j) % len(h)]
    else:
        away = (t << by) + before - j
        matrix[:length] = np.where(np.abs(away) <= before, h[away % len(h)], 0)
    return matrix


def leaf_matrix(spec: Spec, level: int, by: int, first: int, shape: Shape) -> Array:
    """The matrix of a fused average: rows in the order in which registers hold the samples."""
    h = impulse_response(spec, level, 0)
    together = shape.depth * shape.warps // shape.last
    at = np.arange(shape.length)
    group, flat = at // (shape.depth * shape.warps), at % (shape.depth * shape.warps)
    samples = flat // together + shape.last * (group * together + flat % together)
    matrix = np.zeros((shape.length, shape.columns))
    centres = (first + np.arange(shape.outputs)) << by
    matrix[:, : shape.outputs] = h[(centres[None, :] - samples[:, None]) % len(h)]
    return matrix


def waves(size: int, sigma: float) -> Array:
    """Of each bin of one axis of volumes: sigma k, and the Gaussian; both 0 where the Gaussian is."""
    s = sigma * wave_numbers(size)
    gauss = np.exp(-0.5 * s * s).astype(np.float32)
    return np.stack([np.where(gauss > 0, s, 0).astype(np.float32), gauss])


def harmonics(bank: SolidHarmonicBank, index: int, harmonic: Harmonic) -> Array:
    """The real filters that a wavelet comes down to (`harmonic.py`), at full size, as 64-bit integers.

    Without the factor -i of odd degrees, which kernels have.
    """
    every = bank.response(index)
    first = -harmonic.degree
    rows = []
    weights = harmonic.weights or (1,) * len(harmonic.orders)
    for m, weight in zip(harmonic.orders, weights, strict=True):
        psi = every[m - first] * (weight**0.5 / harmonic.voxels)
        mirrored = np.conj(np.roll(psi[::-1, ::-1, ::-1], (1, 1, 1), (0, 1, 2)))
        rows.append((psi + mirrored) / 2)
        if m or not harmonic.symmetric:
            rows.append((psi - mirrored) / 2j)
    turned = np.stack(rows) * (1j if harmonic.swaps else 1)
    return np.ascontiguousarray(turned.astype(np.complex64)).view(np.int64)
