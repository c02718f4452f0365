"""Averages along columns from the registers: products of a matrix with the moduli of a tile, on tensor cores.

Terms may be added in any order. Products take them as threads hold them, the planes of a group side by side, so that a
thread writes several neighbours at a time where the tensor core reads; the matrix is stored in their order, its rows
one output each, with zeros where there is padding.

Triton lays out all that leads to a product as the product wants it, as far back as it finds no reason not to, even if
each thread then computes what others do, in more registers. Loops are a reason: so roots are taken in a loop of one
turn (`roots`), and what is left over from groups comes from one (`settled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.code import Code
from scatc.codegen.triton.images.mixed import Group, Stages, groups
from scatc.codegen.triton.tuned import LEAST_DOT


@dataclass(frozen=True, slots=True)
class Terms:
    """What one product adds up.

    Attributes
    ----------
    group : int
        Which group of a transform the planes are of.
    size : int
        Numbers of a plane, with padding.
    first, planes : int
        Which planes, and how many.
    together : int
        Planes with padding, a power of two. Term ``e * together + i`` is number e of the i-th of them.
    start : int
        Where the terms begin among those of all products.
    """

    group: int
    size: int
    first: int
    planes: int
    together: int
    start: int

    @property
    def count(self) -> int:
        """With padding."""
        return self.size * self.together

    @property
    def stop(self) -> int:
        """Where those of the next product begin."""
        return self.start + self.count


def products(split: Stages) -> list[Terms]:
    """What is added up, product by product."""
    found: list[Terms] = []
    planes = split.second if split.second > 1 else split.first
    for group, (_, size, _) in enumerate(_groups(split)):
        together = max(LEAST_DOT // size, 1)
        for first in range(0, planes, together):
            start = found[-1].stop if found else 0
            found.append(Terms(group, size, first, min(together, planes - first), together, start))
    return found


def _groups(split: Stages) -> list[tuple[int, int, int]]:
    """Start, size and count of the groups that `mixed_fft` yields."""
    return groups(split.first) if split.second > 1 else [(0, 1, 1)]


def order(split: Stages) -> NDArray[np.intp]:
    """The places of all terms along a column, as `mixed_fft` has them; -1 is padding."""
    found = []
    for terms in products(split):
        stride = split.first if split.second > 1 else 1
        start, _, count = _groups(split)[terms.group]
        e, i = np.divmod(np.arange(terms.count), terms.together)
        inside = (e < count) & (i < terms.planes)
        found.append(np.where(inside, start + stride * (terms.first + i) + e, -1))
    return np.concatenate(found)


def width(split: Stages) -> int:
    """How many terms there are, with padding."""
    return products(split)[-1].stop


def averages(code: Code, split: Stages, tile: int, squares: Sequence[tuple[Group, list[str]]], outputs: int) -> str:
    """What moduli are averaged to whose squares are given, as text of a tensor ``[outputs, tile]``."""
    code.write(f"o = tl.arange(0, {outputs})[:, None]", f"acc = tl.zeros(({tile}, {outputs}), tl.float32)")
    for terms in reversed(products(split)):  # what is short first, while few registers are taken
        _, us = squares[terms.group]
        u = _stacked(code, terms, us[terms.first : terms.first + terms.planes], tile)
        places = f"(tl.arange(0, {terms.count}) + {terms.start})[:, None]"
        at = code.let("at", f"tl.trans(o) * {width(split)} + {places}")
        high, low = (code.let("a", f"tl.load(phi_{part} + {at})") for part in ("high", "low"))
        code.write(f"acc = product(acc, tl.trans(roots({u})), {high}, {low})")
    return "tl.trans(acc)"


def _stacked(code: Code, terms: Terms, us: list[str], tile: int) -> str:
    """Planes as one tensor, ``[terms, tile]``."""
    if terms.size == 1 and terms.planes < LEAST_DOT:
        r = code.let("r", f"tl.arange(0, {terms.count})[:, None]")
        u = "0.0"
        for i, one in enumerate(us):
            u = code.let("u", f"tl.where({r} == {i}, {one}, {u})")
        return u
    zeros = [code.let("zero", f"tl.zeros_like({us[0]})")] if terms.planes < terms.together else []
    u = code.stack(us + zeros * (terms.together - terms.planes))
    if terms.together > 1:
        u = code.let("t", f"tl.reshape({u}, [{terms.size}, {tile}, {terms.together}])")
        u = code.let("t", f"tl.reshape(tl.permute({u}, [0, 2, 1]), [{terms.count}, {tile}])")
    return u
