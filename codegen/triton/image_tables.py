"""The arrays that kernels of images read: filters on windows of two axes, matrices of phi, indices of padding."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.signals import Result
from scatc.ir.filters import Band, banks
from scatc.ir.geometry import Padding, extension_index
from scatc.ir.lowpass import dense_matrix
from scatc.ir.nodes import Fold, Pad
from scatc.ir.spec import Spec

Array = NDArray[Any]


def pad_index(length: int, node: Pad | None, axis: int) -> Array:
    """Of each padded row or column, that of the image which it repeats; -1 has zeros."""
    if node is None:
        return np.arange(length, dtype=np.int32)
    left, right = node.widths[axis]
    return extension_index(length - left - right, left, right, cast(Padding, node.mode)).astype(np.int32)


def filters(spec: Spec, fold: Fold, parent: tuple[int, ...], padded: tuple[int, int] = (0, 0)) -> tuple[Array, Array]:
    """Where each filter's window begins, from 0 on, and its weights there, with zeros up to `padded` bins.

    They carry what the transform back leaves out, 1 over the samples of the parent, and the half of telling two signals
    apart.
    """
    widths = fold.widths or parent
    starts = fold.starts or ((0, 0),) * len(fold.indices)
    bank = banks(spec)[fold.bank]
    shape = tuple(max(*pair) for pair in zip(padded, widths, strict=True))
    w = np.zeros((len(fold.indices), *shape), np.float32)
    for row, index, start in zip(w, fold.indices, starts, strict=True):
        box = tuple(Band(s, s + width) for s, width in zip(start, widths, strict=True))
        row[: widths[0], : widths[1]] = bank.window(index, fold.level, box)[0] * (0.5 / np.prod(parent))
    return (np.array(starts) % np.array(parent)).astype(np.int32), w


def averaging(spec: Spec, level: int, result: Result, axis: int) -> Array:
    """The matrix that averages along an axis, shape ``(samples, outputs)``; of ones for a sum over all samples."""
    if result.kind == "total":
        return np.ones((spec.padded_shape[axis] >> level, 1))
    first, kept = result.first[axis], result.kept[axis]
    return dense_matrix(spec, level, axis, result.by, (first, first + kept))


def gain(spec: Spec, result: Result) -> float:
    """What the average of a constant image is a multiple of: phi adds up to nearly, not exactly, one."""
    if result.kind == "total":
        return float(np.prod(spec.padded_shape))
    phi = banks(spec)["phi"]
    return float(np.prod([phi.axis_response(axis, 0)[0] for axis in range(2)]))


def without_tails(matrix: Array, tolerance: float) -> Array:
    """A matrix whose columns lose their smallest entries, together no more than `tolerance` of their L1 mass."""
    sizes = np.abs(matrix)
    order = np.argsort(sizes, axis=0)
    held = np.cumsum(np.take_along_axis(sizes, order, 0), axis=0)
    small = np.empty(matrix.shape, bool)
    np.put_along_axis(small, order, held <= tolerance * held[-1:], 0)
    return np.where(small, 0.0, matrix)
