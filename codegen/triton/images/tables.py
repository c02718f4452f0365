"""The arrays that kernels of images read: filters on windows of two axes, matrices of phi, indices of padding."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.signals import Result
from scatc.codegen.triton.images.mixed import Stages
from scatc.ir.filters import Band, banks
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import dense_matrix, impulse_response
from scatc.ir.lowpass import taps as lowpass_taps
from scatc.ir.nodes import Fold, Pad
from scatc.ir.spec import Spec

Array = NDArray[Any]


def pad_index(length: int, node: Pad | None, axis: int) -> Array:
    """Of each padded row or column, that of the image which it repeats; -1 has zeros."""
    if node is None:
        return np.arange(length, dtype=np.int32)
    left, right = node.widths[axis]
    return extension_index(length - left - right, left, right, cast(Padding, node.mode)).astype(np.int32)


def twiddles(split: Stages) -> Array:
    """``exp(2 pi i n p / length)`` of the stages of a transform, p by p, as 64-bit integers."""
    turns = np.outer(np.arange(split.second), np.arange(split.first)) / split.length
    found: Array = np.exp(2j * np.pi * turns).astype(np.complex64).view(np.int64)
    return found


def repetitions(index: Array, length: int) -> Array:
    """Of each row or column of an image, those of the padded one that repeat it, one a line; -1 is none."""
    found = [np.flatnonzero(index == place) for place in range(length)]
    lines = np.full((max(map(len, found)), length), -1, np.int32)
    for place, padded in enumerate(found):
        lines[: len(padded), place] = padded
    return lines


def filters(spec: Spec, fold: Fold, parent: tuple[int, ...]) -> tuple[Array, Array]:
    """Where each filter's window begins, from 0 on, and its weights there.

    They carry what the transform back leaves out, 1 over the samples of the parent, and the half of telling two signals
    apart.
    """
    widths = fold.widths or parent
    starts = fold.starts or ((0, 0),) * len(fold.indices)
    bank = banks(spec)[fold.bank]
    w = np.zeros((len(fold.indices), *widths), np.float32)
    for row, index, start in zip(w, fold.indices, starts, strict=True):
        box = tuple(Band(s, s + width) for s, width in zip(start, widths, strict=True))
        row[:] = bank.window(index, fold.level, box)[0] * (0.5 / np.prod(parent))
    return (np.array(starts) % np.array(parent)).astype(np.int32), w


def by_rows(start: Array, w: Array, parent: tuple[int, ...], height: int) -> Array:
    """Filters, and behind them the mirrored ones, as `short_rows.py` reads them: by the row that bins fold onto."""
    (rows, columns), filters = parent, len(w)
    whole = np.zeros((filters, rows, columns), np.float32)
    for one, (top, left), window in zip(whole, start, w, strict=True):
        y, x = (np.arange(first, first + size) for first, size in zip((top, left), window.shape, strict=True))
        one[np.ix_(y % rows, x % columns)] = window
    mirrored = np.roll(whole[:, ::-1, ::-1], 1, axis=(1, 2))
    both = np.concatenate((whole, mirrored)).reshape(2 * filters, rows // height, height, columns)
    return np.ascontiguousarray(both.transpose(0, 1, 3, 2))


def averaging(spec: Spec, level: int, result: Result, axis: int) -> Array:
    """The matrix that averages along an axis, shape ``(samples, outputs)``; of ones for a sum over all samples."""
    if result.kind == "total":
        return np.ones((spec.padded_shape[axis] >> level, 1))
    first, kept = result.first[axis], result.kept[axis]
    return dense_matrix(spec, level, axis, result.by, (first, first + kept))


def taps(spec: Spec, level: int, result: Result, axis: int, tolerance: float) -> tuple[int, tuple[float, ...]]:
    """Where the samples of the first average along an axis begin, and their weights that are not next to nothing."""
    h, radius = impulse_response(spec, level, axis), lowpass_taps(spec, level, axis, tolerance) // 2
    weights = h[np.arange(radius, -radius - 1, -1)]
    return (result.first[axis] << result.by) - radius, tuple(map(float, weights.astype(np.float32)))


def gain(spec: Spec, result: Result) -> float:
    """What the average of a constant image is a multiple of: phi adds up to nearly, not exactly, one."""
    if result.kind == "total":
        return float(np.prod(spec.padded_shape))
    phi = banks(spec)["phi"]
    return float(np.prod([phi.axis_response(axis, 0)[0] for axis in range(2)]))


def without_small(a: Array, tolerance: float) -> Array:
    """An array whose parts, along the first axis, lose their smallest entries: `tolerance` of their L1 mass at most."""
    sizes = np.abs(a.reshape(len(a), -1))
    ordered = np.sort(sizes, axis=1)
    held = np.cumsum(ordered, axis=1, dtype=np.float64)
    kept = sizes.copy()
    for row, size, mass in zip(kept, ordered, held, strict=True):
        dropped = int(np.searchsorted(mass, tolerance * mass[-1], side="right"))
        row[:] = row >= size[min(dropped, len(size) - 1)]
    return a * kept.reshape(a.shape)
