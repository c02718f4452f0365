"""The filters of volumes as sums of separable terms, which is what solid harmonics are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import Tables
from scatc.codegen.cpu.layout import Grid, Half, Spectrum, half, padded, turned, windows
from scatc.ir.errors import TargetError
from scatc.ir.filters import Band, banks
from scatc.ir.filters.bank import Bank
from scatc.ir.nodes import Box, Fold
from scatc.ir.options import Options
from scatc.ir.spec import Spec

Array = NDArray[Any]

KINDS = {"r": ("real",), "i": ("imag",), "c": ("real", "imag")}

MASS_STEP = 4
"""Planes from one that is looked at to the next."""

FEW_PLANES = 8
"""That are looked at first."""

NEGLIGIBLE = 1e-13
"""What a sum of terms may leave out, relative to the largest value of a filter."""


@dataclass(frozen=True)
class Terms:
    """Filters of volumes as sums of terms ``a[k] b[l, m]``, of which solid harmonics have one or two.

    Attributes
    ----------
    start : array of int64
        As that of `Filters`.
    a : array, shape ``(filters, components, terms, deep)``
        Real.
    b : array, shape ``(filters, components, terms, parts, rows, row)``
        Real parts, and imaginary ones where there are any.
    widths : tuple of int
        Of the windows, in the order in which spectra lie.
    """

    start: Array
    a: Array
    b: Array
    widths: tuple[int, ...]


def terms(
    spec: Spec, fold: Fold, parent: Spectrum, weights: tuple[int, ...], dtype: str, known: Sequence[Array]
) -> Terms:
    """The filters of a fold, scaled so that no DFT needs to be, times the roots of the weights of a norm over m.

    `known` may have both arrays already.
    """
    boxes = windows(fold, parent.grid)
    deep, wide, high = (b - a for a, b in boxes[0])  # of each plane, rows are those of the last axis
    start = np.array([parent.at(turned(tuple(low for low, _ in box)))[0] for box in boxes], np.int64)
    if known:
        return Terms(start, known[0], known[1], (deep, high, wide))
    bank, size = banks(spec)[fold.bank], float(np.prod(parent.grid.shape))
    found = []
    for index, box in zip(fold.indices, boxes, strict=True):
        read = partial(_response, bank, index, fold, weights, size)
        components = len(fold.components) or bank.components(index)
        found.append([_separated(partial(read, m), box) for m in range(components)])
    every = [pair for component in found for pair in component]
    count = max(len(a) for a, _ in every)
    parts = 2 if any(np.iscomplexobj(b) for _, b in every) else 1
    row = padded(wide, parent.grid.lanes) + parent.grid.lanes
    a = np.zeros((len(boxes), len(found[0]), count, deep))
    b = np.zeros((len(boxes), len(found[0]), count, parts, high, row))
    for f, component in enumerate(found):
        for m, (along, plane) in enumerate(component):
            a[f, m, : len(along)] = along
            for part in range(parts):
                values = plane.imag if part else plane.real
                b[f, m, : len(along), part, :, :wide] = values.swapaxes(-1, -2)
    return Terms(
        start, np.ascontiguousarray(a.astype(dtype)), np.ascontiguousarray(b.astype(dtype)), (deep, high, wide)
    )


@dataclass(frozen=True)
class Waves:
    """Filters of volumes that are real in space, each a sum of terms ``a[k] b[l, m]``.

    Attributes
    ----------
    half : Half
        Their bins.
    kind : {'r', 'i', 'c'}
        What `b` has: real parts, imaginary ones, or both.
    name : str
        Of `b` as a table.
    a : array, shape ``(filters, waves, terms, deep)``
    b : array, shape ``(filters, waves, terms, parts, wide, stride)``
    """

    half: Half
    kind: str
    name: str
    a: Array
    b: Array


def waves(
    spec: Spec, name: str, fold: Fold, grid: Grid, weights: tuple[int, ...], options: Options, known: Tables
) -> Waves:
    """The filters of a fold, scaled so that no DFT needs to be, times the roots of the weights of a norm over m.

    A component ``h + i k`` has two waves, for ``|x * (h + i k)|^2 = (x * h)^2 + (x * k)^2`` if x is real, and one if
    it is real itself, but for a factor. `known` may have both arrays already.
    """
    bins = half(grid, [fold])
    for kind in KINDS:
        if f"{name}_w{kind}" in known:
            a, b = known[f"{name}_along"], known[f"{name}_w{kind}"]
            return Waves(replace(bins, columns=min(bins.columns, b.shape[-1])), kind, f"{name}_w{kind}", a, b)
    bank, box = banks(spec)[fold.bank], (bins.deep, (0, bins.columns), bins.wide)
    found = []
    for index in fold.indices:
        pairs = []
        for m in range(len(fold.components) or bank.components(index)):
            read = partial(_component, bank, index, fold, weights, float(np.prod(grid.shape)), m)
            pairs += _real_waves(read, box, max(options.tolerance, NEGLIGIBLE))
        found.append(pairs)
    count, terms = max(map(len, found)), max(len(a) for pairs in found for a, _ in pairs)
    kind = _kind([pair for pairs in found for pair in pairs], max(options.tolerance, NEGLIGIBLE))
    parts = len(KINDS[kind])
    a = np.zeros((len(found), count, terms, bins.deep[1] - bins.deep[0]), options.dtype)
    b = np.zeros((len(found), count, terms, parts, bins.wide[1] - bins.wide[0], bins.stride), options.dtype)
    for f, pairs in enumerate(found):
        for n, (along, plane) in enumerate(pairs):
            a[f, n, : len(along)] = along
            for part, which in enumerate(KINDS[kind]):
                b[f, n, : len(along), part, :, : bins.columns] = getattr(plane, which).swapaxes(-1, -2)
    if bins.columns % grid.lanes == 1 and _last_is_negligible(a, b, bins.columns, options.tolerance):
        bins = replace(bins, columns=bins.columns - 1)
        b = np.ascontiguousarray(b[..., : bins.stride])
    return Waves(bins, kind, f"{name}_w{kind}", a, b)


def _kind(pairs: list[tuple[Array, Array]], negligible: float) -> str:
    """Which of `KINDS` filters are, but for L1 mass that is negligible."""
    mass = {
        which: sum(np.abs(a).sum(axis=1) @ np.abs(getattr(b, which)).sum(axis=(1, 2)) for a, b in pairs)
        for which in KINDS["c"]
    }
    most = max(mass.values())
    return "r" if mass["imag"] <= negligible * most else "i" if mass["real"] <= negligible * most else "c"


def _last_is_negligible(a: Array, b: Array, columns: int, tolerance: float) -> bool:
    """Whether the last column of filters, for which there is one more vector in each row, has next to no L1 mass.

    As supports are, it is that of all waves of a filter. Some planes are looked at: their numbers change slowly.
    """
    if columns == 1:  # of filters that are zero everywhere, what is last is first
        return False
    mass = np.zeros((len(b), b.shape[-1]))
    for part in range(b.shape[3]):
        for k in range(0, a.shape[-1], MASS_STEP):
            mass += np.abs(np.einsum("fnt,fntwh->fnwh", a[..., k], b[:, :, :, part])).sum(axis=(1, 2))
    return bool(np.all(mass[:, columns - 1] <= tolerance * mass.sum(axis=1)))


def _component(
    bank: Bank, index: int, fold: Fold, weights: tuple[int, ...], size: float, m: int, box: tuple[Band, ...]
) -> Array:
    """One component of a filter on a box, scaled."""
    out = np.empty((1, *(band.size for band in box)), np.complex128)
    scale = float(np.sqrt(weights[m]) if weights else 1.0) / size
    bank.fill(out, index, fold.level, box, {fold.components[m] if fold.components else m: scale})
    found: Array = out[0]
    return found


def _real_waves(read: Callable[[tuple[Band, ...]], Array], box: Box, negligible: float) -> list[tuple[Array, Array]]:
    """The waves of a component, as `_separated` gives them: of a response w, ``(w(k) +- conj w(-k)) / 2``."""

    @cache  # both waves are made of the same numbers
    def both(bands: tuple[Band, ...]) -> tuple[Array, Array]:
        here, opposite = read(bands), read(tuple(Band(1 - band.stop, 1 - band.start) for band in bands))
        mirrored = opposite[::-1, ::-1, ::-1].conj()
        return (here + mirrored) / 2, (here - mirrored) / 2j

    (low, high), *others = box
    planes = [both((Band(k, k + 1), *(Band(*band) for band in others))) for k in _places(low, high, FEW_PLANES)]
    # what breaks parity is on planes of Nyquist bins, of which the first one stands for no other
    masses = np.array([[np.abs(side).sum() for side in pair] for pair in planes])
    mass = masses[0] + masses[1:].sum(axis=0) * (high - low - 1) / max(len(planes) - 1, 1)
    there = np.flatnonzero(mass > negligible * mass.max()).tolist()

    def wave(side: int, bands: tuple[Band, ...]) -> Array:
        return both(bands)[side]

    return [_separated(partial(wave, side), box, exact=True) for side in there or [0]]


def _places(low: int, high: int, count: int) -> list[int]:
    """So many planes all over a box, and its first."""
    return sorted({low, *(low + (high - low) * (2 * i + 1) // (2 * count) for i in range(count))})


def _response(
    bank: Bank, index: int, fold: Fold, weights: tuple[int, ...], size: float, m: int, box: tuple[Band, ...]
) -> Array:
    """One component of a filter on a box, scaled."""
    component = fold.components[m] if fold.components else m
    scale = np.sqrt(weights[m]) if weights else 1.0
    return np.asarray(bank.window(index, fold.level, box)[component] * (scale / size))


def _separated(read: Callable[[tuple[Band, ...]], Array], box: Box, *, exact: bool = False) -> tuple[Array, Array]:
    """A filter on a box as a sum of terms: numbers along the first axis (real), and planes.

    Moduli do not see a factor of i, which may be left out unless this is to be `exact`.

    The planes that span a few of them span all: a polynomial times a Gaussian has no more than its degree allows. As
    many columns then say how much of each there is. The first plane, that of the Nyquist bin, may be like no other.
    """
    (low, high), *others = (Band(*band) for band in box)
    count = FEW_PLANES
    while True:
        count = min(count, high - low)
        places = _places(low, high, count)
        planes = np.stack([read((Band(k, k + 1), *others))[0] for k in places])
        phase, parts = _phase(planes)
        lines = parts(planes * phase).reshape(len(planes), -1)
        basis, pivots = _spanning(lines)
        if len(basis) < len(planes) or count == high - low:
            break
        count *= 2
    shape = planes.shape[1:]
    columns = []
    for pivot in pivots:
        part, *place = (int(k) for k in np.unravel_index(pivot, (2, *shape)))
        point = (Band(band.start + k, band.start + k + 1) for band, k in zip(others, place, strict=True))
        columns.append(parts((read((Band(low, high), *point)) * phase).reshape(-1))[:, part])
    along = np.linalg.solve(basis[:, pivots].T, np.stack(columns))
    left = np.abs(along.T[[k - low for k in places]] @ basis - lines).max()
    if left > 10 * NEGLIGIBLE * np.abs(lines).max():
        raise TargetError(
            "filters that are not sums of few separable terms are not possible with target='cpu': compile with "
            "target='numpy'"
        )
    found = basis.reshape(len(basis), -1, *shape)
    if found.shape[1] == 2:
        return along, found[:, 0] + 1j * found[:, 1]
    return along, found[:, 0] * np.conj(phase) if exact and phase != 1 else found[:, 0]


def _spanning(lines: Array) -> tuple[Array, list[int]]:
    """Lines that span some, and columns that tell them apart: Gaussian elimination, the largest number first."""
    left = lines.copy()
    basis: list[Array] = []
    pivots: list[int] = []
    while True:
        row, column = np.unravel_index(int(np.argmax(np.abs(left))), left.shape)
        pivot = left[row, column]
        if basis and abs(pivot) <= NEGLIGIBLE * np.abs(lines).max():
            return np.stack(basis), pivots
        basis.append(left[row] / pivot if pivot else np.eye(1, left.shape[1])[0])
        pivots.append(int(column))
        left = left - np.outer(left[:, column], basis[-1])


def _phase(planes: Array) -> tuple[complex, Callable[[Array], Array]]:
    """A factor that makes all numbers real if one does (moduli know nothing of it), and what takes them apart."""
    largest = np.abs(planes).max()
    for phase in (1, 1j):
        if np.abs((planes * phase).imag).max() <= 1e-15 * largest:
            return phase, _real_part
    return 1, _both_parts


def _real_part(z: Array) -> Array:
    return np.asarray(z.real[:, None])


def _both_parts(z: Array) -> Array:
    return np.stack([z.real, z.imag], axis=1)
