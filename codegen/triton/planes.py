"""Planes in memory: read and written many at a time, for the sake of Triton's compiler.

Before it chooses how threads hold what a kernel reads or writes, it looks at all that depends on it, once for each read
and each write: in a kernel of four thousand statements, a quarter of a second each, 38 of the 40 s that it compiled.
So planes are read as one tensor, whose first axis is their list. Threads hold that axis as a whole, as long as a plane
has a number for each of them, so that what follows is a change of names: the axis goes to the end, and is split.
Writing goes the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from scatc.codegen.code import Code, Complex

Shape2 = tuple[int, int]
"""Of a plane."""

MOST = 128
"""Planes of a run: there are no longer lists."""

Parts = TypeVar("Parts", bound=tuple[str, ...])
"""The names of what a number of a plane consists of: two of a complex one."""


def hinted(pointers: str, *, down: bool = False) -> str:
    """Pointers to planes, a tensor with a first axis of planes, as text, with a hint at how threads are to hold them.

    Threads go along the last axis first (or `down` the one before), along the first one last; each holds one number of
    what they go along. Triton orders axes by how many neighbours in memory they are said to have (if equal, by its
    version), and has a thread hold two or four neighbours if they are said to be aligned. The numbers only rank the
    axes: they also promise neighbours that are not there, along an axis of which no thread accesses two at once.
    """
    return f"tl.multiple_of(tl.max_contiguous({pointers}, {(1, 4, 2) if down else (1, 2, 4)}), (4, 4, 4))"


@dataclass(frozen=True, slots=True)
class At:
    """Where planes are, as the name of a number or of a tensor with a first axis of planes."""

    name: str
    listed: bool

    def __str__(self) -> str:
        return self.name

    def pointers(self, text: str, *, down: bool = False) -> str:
        """Pointers that were computed with it, as a read or write wants them."""
        return hinted(text, down=down) if self.listed else text


@dataclass(frozen=True, slots=True)
class Run:
    """Planes that lie as far apart as each other: as many as an axis may have, a power of two.

    Attributes
    ----------
    first : int
        Which plane of the list is the first of them.
    size : int
    start, step : int
        Where it is, and how much further the next.
    listed : bool
        Whether it is a tensor of three axes, with a first one of planes.
    """

    first: int
    size: int
    start: int
    step: int
    listed: bool

    @property
    def at(self) -> str:
        """Where they are: the text of a number, or of a tensor along the first of three axes."""
        if not self.listed:
            return str(self.start)
        if self.size == 1:
            return f"tl.full([1, 1, 1], {self.start}, tl.int32)"
        if self.step == 1 and self.start == 0:
            return f"tl.arange(0, {self.size})[:, None, None]"
        scaled = f"tl.arange(0, {self.size})" + (f" * {self.step}" if self.step != 1 else "")
        return f"({scaled} + {self.start})[:, None, None]" if self.start else f"({scaled})[:, None, None]"

    def let(self, code: Code) -> At:
        """Give it a name."""
        return At(code.let("at", self.at), self.listed)

    @property
    def places(self) -> range:
        """Which planes of the list they are."""
        return range(self.first, self.first + self.size)


def runs(places: Sequence[int | None], most: int = MOST, *, listed: bool = True) -> Iterator[Run]:
    """The planes of a list that are in memory, by where they are, `most` or fewer at a time; None is not there.

    Unless they are `listed`, single planes have two axes.
    """
    first = 0
    while first < len(places):
        start = places[first]
        if start is None:
            first += 1
            continue
        following = places[first + 1] if first + 1 < len(places) else None
        step = 0 if following is None else following - start
        count = 1
        while first + count < len(places) and places[first + count] == start + count * step:
            count += 1
        size = min(1 << (count.bit_length() - 1), most)
        yield Run(first, size, start, step if size > 1 else 1, listed or size > 1)
        first += size


def unstacked(code: Code, tensor: str, size: int, shape: Shape2) -> list[str]:
    """The planes of a tensor, ``[size, *shape]``, as a list."""
    if size == 1:
        return [code.let("t", f"tl.reshape({tensor}, [{shape[0]}, {shape[1]}])")]
    last = code.let("t", f"tl.permute({tensor}, [1, 2, 0])")
    twos = ", 2" * (size.bit_length() - 1)
    return code.unstack(code.let("t", f"tl.reshape({last}, [{shape[0]}, {shape[1]}{twos}])"), size)


def stacked(code: Code, planes: Sequence[str], shape: Shape2) -> str:
    """Planes, a power of two of them, as one tensor, ``[size, *shape]``."""
    if len(planes) == 1:
        return planes[0]
    last = code.let("t", f"tl.reshape({code.stack(planes)}, [{shape[0]}, {shape[1]}, {len(planes)}])")
    return code.let("t", f"tl.permute({last}, [2, 0, 1])")


def read(
    code: Code,
    places: Sequence[int | None],
    shape: Shape2,
    number: Callable[[At], Parts],
) -> list[Parts | None]:
    """Numbers in memory, as planes.

    Parameters
    ----------
    code : Code
    places : sequence of int or None
        Where each plane is; None is a plane of zeros.
    shape : tuple of int
    number : callable
        Writes what reads numbers at a place, and returns their parts: of complex numbers two.

    Returns
    -------
    list of tuples of str, or of None
    """
    found: list[Parts | None] = [None] * len(places)
    for run in runs(places):
        parts = number(run.let(code))
        lists = [unstacked(code, part, run.size, shape) if run.listed else [part] for part in parts]
        found[run.first : run.first + run.size] = cast(list[Parts | None], list(zip(*lists, strict=True)))
    return found


def loaded(code: Code, pointers: str, mask: str = "") -> Complex:
    """Both parts of complex numbers, which are loaded as 64-bit integers."""
    bits = code.let("bits", f"tl.load({pointers}{mask})")
    return code.pair(f"low({bits})", f"high({bits})")


def stacks(
    code: Code, planes: Sequence[Parts | None], places: Sequence[int | None], shape: Shape2, most: int = MOST
) -> list[tuple[At, Parts]]:
    """Planes as tensors that can be written, each with where it is to be; those without a place are left out."""
    found = []
    for run in runs(places, most):
        lists = zip(*(plane for plane in planes[run.first : run.first + run.size] if plane is not None), strict=True)
        parts = cast(Parts, tuple(stacked(code, part, shape) for part in lists))
        found.append((run.let(code), parts))
    return found


def within(length: int, plane: int, first: int, stop: int) -> tuple[list[int | None], str]:
    """Where the planes of a line are that have samples from `first` to `stop`, and which of their samples those are.

    The latter as a mask that begins with ``&``, of samples `i` of planes at ``{at}``; nothing if all of them are.
    """
    starts = range(0, length, plane)
    above = f" & (i + {{at}} >= {first})" if first % plane else ""
    below = f" & (i + {{at}} < {stop})" if stop % plane else ""
    return [start if start + plane > first and start < stop else None for start in starts], above + below
