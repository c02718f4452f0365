"""Filters as the kernel for rows reads them: in chunks that have a weight, row by row of the result.

A *chunk* is what folds onto a row of the result as a whole: so many bins of a row of the parent's spectrum as the
result has, from a multiple of that number on. Filters whose products a program makes side by side share chunks.

Differences of the images of a pair, ``Q = w conj(Z[-k])``, are conjugates of products with mirrored filters, whose rows
are transformed like those of ``P = w Z``. So the mirrored filters follow the others, and only the row that a chunk is
added to is that of the negated frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scatc.codegen.triton.images.mixed import Stages
from scatc.codegen.triton.images.tables import Array


@dataclass(frozen=True, slots=True)
class Held:
    """What the chunks of some filters hold.

    Attributes
    ----------
    visited : float
        Bins in chunks, for each number of the result.
    weighty : float
        Those of them that have a weight in any of the filters that share a chunk.
    touched : float
        The share of the parent's spectrum that is read at all.
    """

    visited: float
    weighty: float
    touched: float


@dataclass(frozen=True, slots=True)
class Chunks:
    """The tables of a kernel for rows.

    Attributes
    ----------
    first : array
        Of each group of filters and row of its results, its first chunk; those of the next row follow. Chunk 0 has no
        weight: rows that have fewer than others visit it.
    places : array
        Where the bins of each chunk begin in a spectrum.
    w : array
        The weights of each chunk, filter by filter; pairs of filters, if there are any, as 64-bit integers.
    """

    first: Array
    places: Array
    w: Array


def held(
    start: Array, w: Array, parent: tuple[int, int], result: tuple[int, int], together: Sequence[int]
) -> dict[int, Held]:
    """What chunks hold, for each number of filters that may share them.

    Parameters
    ----------
    start, w : array
        Where windows begin, and their weights.
    parent, result : tuple of int
        Sides, those of the parent multiples of those of the result.
    together : sequence of int
        Divisors of the number of filters.
    """
    (height, width), (rows, length) = parent, result
    both, found = _whole(start, w != 0, parent), {}
    touched = float(both.any(0).mean())
    for count in together:
        weighty = np.asarray(both.reshape(-1, count, *parent).any(1))
        numbers = len(weighty) * rows * length
        live = weighty.reshape(len(weighty), height, width // length, length).any(3)
        visited = float(live.sum() * length / numbers) if parent != result else 1.0
        found[count] = Held(visited, float(weighty.sum() / numbers), touched)
    return found


def chunks(start: Array, w: Array, parent: tuple[int, int], result: tuple[Stages, int], together: int) -> Chunks:
    """The chunks of filters, `together` of them side by side.

    Parameters
    ----------
    start, w : array
        Where windows begin, and their weights.
    parent : tuple of int
        The sides of the spectrum.
    result : tuple of Stages and int
        Of the transform along columns, in whose order rows are written, and how long they are.
    together : int
    """
    (height, width), (across, length) = parent, result
    rows, half = across.length, len(w) // together
    # group, row of the result, alias along columns, alias along rows, filter, bin
    apart = (
        _whole(start, w, parent)
        .reshape(2 * half, together, height // rows, rows, width // length, length)
        .transpose(0, 3, 2, 4, 1, 5)
    )
    natural = np.stack([across.inputs, -across.inputs % rows])
    apart = np.concatenate([apart[:half, natural[0]], apart[half:, natural[1]]])
    # where nothing is folded, each row has its chunk, weight or none
    live = (apart != 0).any((4, 5)) | (parent == (rows, length))
    group, row, down, along = np.nonzero(live)
    places = (down * rows + natural[group // half, row]) * width + along * length
    none = np.zeros((1, together, length), w.dtype)
    kept = np.concatenate([none, apart[live] + 0.0])  # masks look at bits, and -0.0 has one
    if together > 1:
        pairs = kept.reshape(len(kept), together // 2, 2, length).transpose(0, 1, 3, 2)
        kept = np.ascontiguousarray(pairs).view(np.int64)[..., 0]
    return Chunks(
        first=np.concatenate([[1], 1 + np.cumsum(live.sum((2, 3)))]).astype(np.int32),
        places=np.concatenate([[0], places]).astype(np.int32),
        w=kept,
    )


def _whole(start: Array, w: Array, parent: tuple[int, int]) -> Array:
    """Filters on all bins of a spectrum, and after them the same ones mirrored."""
    found = np.zeros((2, len(w), *parent), w.dtype)
    for sign, filters in zip((1, -1), found, strict=True):
        for filled, (top, left), window in zip(filters, start, w, strict=True):
            rows, columns = (np.arange(n) + at for n, at in zip(window.shape, (top, left), strict=True))
            filled[np.ix_(sign * rows % parent[0], sign * columns % parent[1])] = window
    return found.reshape(2 * len(w), *parent)
