"""Shapes that can be tuned: which numbers a kernel may have instead of those that are chosen without a device.

A *shape* is what a kernel is specialised to. Some of its numbers do not say what is computed, only how it is cut up:
rows of a program, its warps. A shape that can be tuned names a few others that compute the same, itself first; the
spaces are stated in `docs/gpu.md`. What was found on a device is a mapping from shapes to such others, and an emitter
takes these in their place, with all that depends on them: grids, the padding of tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import log2
from typing import Any, Protocol, Self, TypeVar, cast

MOST = 8
"""Candidates of a shape, with itself."""

MOST_WARPS = 16
"""Of a program; more leave a thread too few registers."""

WARP = 32
"""Threads of a warp."""


class Tunable(Protocol):
    """A shape that can be tuned: hashable, for equal shapes share a kernel."""

    def candidates(self) -> list[Self]:
        """The shapes that compute the same, itself first."""
        ...


Tuned = Mapping[Tunable, Tunable]
"""What was found to be quicker on a device, by what would be chosen without one."""

S = TypeVar("S")


class Taken:
    """Takes shapes in place of others, and remembers for which.

    Attributes
    ----------
    usual : dict of shape to shape
        What would have been taken without a device, by what was.
    """

    def __init__(self, tuned: Tuned | None = None) -> None:
        self._tuned: Mapping[Any, Any] = tuned or {}
        self.usual: dict[Any, Tunable] = {}

    def __call__(self, shape: S) -> S:
        """What is taken in place of a shape: itself, if it was not tuned."""
        found = self._tuned.get(shape, shape)
        self.usual[found] = cast(Tunable, shape)
        return cast(S, found)


def space(shape: S, legal: Callable[[S], bool], **numbers: Iterable[int]) -> list[S]:
    """A shape, and those with other numbers that are legal: the nearest, in factors of two.

    Parameters
    ----------
    shape : dataclass
    legal : callable
        Whether a kernel can have a shape.
    **numbers : iterable of int
        What each of these attributes may be.
    """
    found: list[S] = []
    for values in product(*numbers.values()):
        other = replace(cast(Any, shape), **dict(zip(numbers, values, strict=True)))
        if other != shape and legal(other):
            found.append(other)

    def distance(other: S) -> float:
        return sum(abs(log2(getattr(other, name) / getattr(shape, name))) for name in numbers)

    return [shape, *sorted(found, key=distance)][:MOST]


def around(number: int, *, most: int | None = None) -> list[int]:
    """Half of a number, the number and twice it, from 1 on."""
    return [n for n in (number // 2, number, 2 * number) if n >= 1 and (most is None or n <= max(most, number))]


@dataclass(frozen=True, slots=True)
class Elementwise:
    """What an element-wise kernel of `templates/kernels/` is specialised to.

    Attributes
    ----------
    kernel : str
    numbers : int
        Of a row, each of which is written once.
    block, warps : int
        Numbers of a program, its warps.
    """

    kernel: str
    numbers: int
    block: int
    warps: int = 4

    def candidates(self) -> list[Elementwise]:
        """Half to four times the numbers, four or eight warps, with a number at least for each thread."""

        def legal(other: Elementwise) -> bool:
            return WARP * other.warps <= other.block < max(2 * self.numbers, self.block + 1)

        blocks = [*around(self.block), 4 * self.block]
        return space(self, legal, block=blocks, warps=(4, 8))


@dataclass(frozen=True, slots=True)
class Gathered:
    """The tiles of a sum over filters, for some bins of the spectra of some pairs.

    Attributes
    ----------
    kernel : str
    bins : int
        Of a spectrum, in all.
    filters : int
    block, pairs : int
        Of a program.
    warps : int
    """

    kernel: str
    bins: int
    filters: int
    block: int
    pairs: int
    warps: int = 4

    def candidates(self) -> list[Gathered]:
        """Half, as many and twice the bins, the pairs and the warps, with two to sixteen numbers for each thread."""

        def legal(other: Gathered) -> bool:
            fits = WARP <= other.block < max(2 * self.bins, self.block + 1)
            return fits and 2 <= other.block * other.pairs / (WARP * other.warps) <= 16

        return space(self, legal, block=around(self.block), pairs=around(self.pairs), warps=around(self.warps, most=8))


@dataclass(frozen=True, slots=True)
class Warps:
    """A kernel whose tiles are fixed, for others depend on them: only its warps can be chosen.

    Attributes
    ----------
    kernel : str
        What it is called.
    shape : hashable
        What it is specialised to.
    warps : int
    """

    kernel: str
    shape: Any
    warps: int = 4

    def candidates(self) -> list[Warps]:
        """Half, as many and twice the warps."""
        return space(self, lambda other: True, warps=around(self.warps, most=MOST_WARPS))


@dataclass(frozen=True, slots=True)
class Product:
    """The tiles of a product with a matrix, by a kernel of `templates/kernels/`.

    Attributes
    ----------
    kernel : str
    terms : int
        Of a sum, for one output.
    kept : int
        Outputs.
    outputs, rows : int
        Of a program: outputs, and for how many signals, columns or lines it computes them.
    block : int
        Terms that it adds at a time.
    step : int
        How many terms further the next output begins; 0 if all have the same.
    most : int
        Terms at most, whatever the step: those of a circle. 0 if there is no such bound.
    around : bool
        Whether all of these may be read, which goes around the circle.
    warps : int
    parts : int
        How many programs share the terms.
    """

    kernel: str
    terms: int
    kept: int
    outputs: int
    rows: int
    block: int
    step: int = 0
    most: int = 0
    around: bool = True
    warps: int = 4
    parts: int = 1

    @property
    def window(self) -> int:
        """Terms of a program."""
        found = self.terms + (self.outputs - 1) * self.step
        return min(found, self.most) if self.most else found

    @property
    def padded(self) -> int:
        """The same with zeros, so that parts are alike, and blocks whole."""
        whole = self.parts * self.block
        return -(-self.window // whole) * whole

    @property
    def columns(self) -> int:
        """Outputs with zeros, so that programs are alike."""
        return -(-self.kept // self.outputs) * self.outputs

    @property
    def programs(self) -> int:
        """How many of them each row has."""
        return self.columns // self.outputs

    def candidates(self) -> list[Product]:
        """Twice and half the parts, the rows with their warps, the warps, the outputs, the terms: one at a time.

        Where there are parts, there are in all: a kernel adds them up.
        """
        found = [self]
        more = (("parts",),) if self.parts > 1 else ()
        for names in (*more, ("rows", "warps"), ("warps",), ("outputs",), ("block",)):
            for twice in (True, False):
                numbers = {name: 2 * n if twice else n // 2 for name in names for n in (getattr(self, name),)}
                other = replace(self, **cast(Any, numbers))
                if other._legal() and (other.parts > 1) == (self.parts > 1):
                    found.append(other)
        return found[:MOST]

    def _legal(self) -> bool:
        least = min(self.outputs, self.rows, self.block) >= LEAST_DOT  # tensor cores want so many of each
        fits = self.outputs < 2 * max(self.kept, LEAST_DOT) and self.block < 2 * max(self.window, LEAST_DOT)
        small = max(self.outputs, self.rows // 2, self.block) <= MOST_SIDE and 1 <= self.warps <= 8
        shared = 1 <= self.parts <= max(self.window // self.block, 1)
        return least and fits and small and shared and (self.around or self.window < self.most)


LEAST_DOT = 16
"""Numbers along each side of a tensor core's product."""

MOST_SIDE = 64
"""The same, at most (twice as many rows): what a program has lies in its registers or in shared memory."""
