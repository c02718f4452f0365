"""Fourier transforms in registers of lengths with an odd factor: images are padded to an odd number times 2^t.

Two stages, as in `fft.py`: the first in a list of any length, the second, a power of two, in a list after an exchange.
Tensors have lengths that are powers of two, so the digit that is done cannot become an axis as a whole: it does in
*groups*, 33 as 32 and 1. Where the list alone does, nothing is exchanged, and a thread transforms a row or column by
itself.

Stages without a common factor need no twiddles between them if inputs and outputs are taken in an order of their own
(Good 1958, Thomas 1963), which who writes the former and who reads the latter has to know: `inputs` and `outputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.dft import dft
from scatc.codegen.triton.planes import At, Shape2, loaded, read
from scatc.codegen.triton.tuned import WARP

MOST_LISTED = 40
"""Longest list, in complex numbers that a thread holds."""

USUAL_LISTED = 20
"""The same, where there is a choice: several kernels then fit a processor."""

MOST_SECOND = 32
"""Of the second stage."""


THREADS = 128
"""Of a program: more share few numbers when a product wants them laid out its own way."""


@dataclass(frozen=True, slots=True)
class Stages:
    """A length as a product.

    Attributes
    ----------
    first : int
        Of any kind: what a list has.
    second : int
        A power of two.
    coprime : bool
        Whether inputs and outputs are in the order that needs no twiddles.
    """

    first: int
    second: int
    coprime: bool = False

    @property
    def length(self) -> int:
        """Of the transform."""
        return self.first * self.second

    @property
    def turned(self) -> bool:
        """Whether there are twiddles."""
        return self.second > 1 and not self.coprime

    @property
    def padded(self) -> int:
        """Numbers of the first stage, with the padding of groups."""
        start, size, _ = groups(self.first)[-1]
        return start + size

    @property
    def inputs(self) -> NDArray[Any]:
        """Which input stands at ``n * second + p``."""
        places = np.arange(self.length)
        return (places + places % self.second * (self.first - 1)) % self.length if self.coprime else places

    @property
    def outputs(self) -> NDArray[Any]:
        """Which output stands at ``q * first + e``: that whose remainders they are."""
        e, q = np.arange(self.first), np.arange(self.second)[:, None]
        return ((e * self.units[0] + q * self.units[1]) % self.length if self.coprime else e + q * self.first).ravel()

    @property
    def units(self) -> tuple[int, int]:
        """Of coprime stages: the numbers that leave 1 divided by `first` and 0 by `second`, and the other way round."""
        one = self.second * pow(self.second, -1, self.first) % self.length
        return one, (1 - one) % self.length


@dataclass(frozen=True, slots=True)
class Group:
    """Some results of a transform: plane q has that of place ``start + stride * q + e``, for e < count.

    Attributes
    ----------
    start, stride : int
    size : int
        Of the axis, a power of two.
    count : int
        Places that are no padding.
    planes : tuple of complex
    """

    start: int
    stride: int
    size: int
    count: int
    planes: tuple[Complex, ...]


def stages(length: int, least: int = 1, *, ordered: bool = True) -> Stages | None:
    """The stages of a length, None if it has none: none but a list if that does, else a short one first.

    Parameters
    ----------
    length : int
    least : int, optional
        Of the second stage.
    ordered : bool, optional
        Whether inputs and outputs must be in their own order.
    """
    if length <= MOST_LISTED and least == 1:
        return Stages(length, 1)
    powers = (1 << bits for bits in range(MOST_SECOND.bit_length()))
    seconds = [second for second in powers if second >= least and length % second == 0]
    for most in (USUAL_LISTED, MOST_LISTED):
        for second in seconds:
            first = length // second
            if first <= most:
                return Stages(first, second, not ordered and second > 1 and gcd(first, second) == 1)
    return None


def numbers_each(first: int) -> int:
    """How many transforms a thread has a part of, a power of two, for some forty numbers in all."""
    return 1 << (max(MOST_LISTED // first, 1).bit_length() - 1)


def fits(split: Stages, tile: int, warps: int, most: int = MOST_LISTED) -> bool:
    """Whether a program of so many warps may have so many transforms: a thread holds all planes of one or more."""
    each = tile * split.second / (WARP * warps)
    return 1 <= each and split.first * each <= most


def groups(count: int) -> list[tuple[int, int, int]]:
    """Start, size and count of the groups of a list: powers of two, the last with padding if that is little."""
    found, start = [], 0
    while start < count:
        rest = count - start
        size = 1 << (rest - 1).bit_length()
        if 8 * (size - rest) > count:
            size //= 2
        found.append((start, size, min(size, rest)))
        start += size
    return found


def mixed_fft(
    code: Code,
    planes: Sequence[Plane],
    split: Stages,
    others: int,
    sign: int,
    twiddles: str,
    *,
    columns: bool,
    settled: bool = False,
) -> list[Group]:
    """The DFT of each row, or column, of `planes`.

    Parameters
    ----------
    code : Code
    planes : sequence of planes, ``split.first`` of them
        Plane n holds those of the places ``n * split.second + p``, as ``[others, p]``, or ``[p, others]`` for columns.
    split : Stages
    others : int
        Transforms side by side.
    sign : {1, -1}
        Of the exponent.
    twiddles : str
        Pointer to the table of ``exp(2 pi i n p / length)``, p by p, complex numbers as 64-bit integers; of stages
        that are coprime, none.
    columns : bool
        Whether transforms are along the first axis.
    settled : bool, optional
        Whether what is left over from groups is kept from being laid out as what follows wants it (`averaged.py`).

    Returns
    -------
    list of Group
        Whose planes are ``[others, e]``, or ``[e, others]``.
    """
    code.write(f"# {split.first} of {split.length} points")
    done = dft(code, planes, sign)
    if split.second == 1:
        return [Group(0, 1, 1, 1, tuple(_number(code, plane, done) for plane in done))]
    code.write(f"# {split.second} points")
    # butterflies take twiddles in, but for padding as well, and of many groups of four only with more registers
    later = split.turned and split.second % 4 == 0 and split.padded == split.first
    later = later and (split.second > 4 or split.first <= USUAL_LISTED)
    if split.turned and not later:
        done = _turned(code, done, split, others, sign, twiddles, columns=columns)
    axis, found = "[:, None]" if columns else "[None, :]", []
    for start, size, count in groups(split.first):
        some = [_number(code, plane, done) for plane in done[start : start + count]]
        some += some[:1] * (size - count)  # padding that is never read
        if settled and size == 1:
            some = [code.pair(f"settled({re})", f"settled({im})") for re, im in some]
        parts = [_exchange(code, [one[part] for one in some], split.second, others, columns=columns) for part in (0, 1)]
        listed: list[Plane] = list(zip(*parts, strict=True))
        factors: list[Complex | None] = []
        if later:
            turn = f"{twiddles} + ({start} + tl.arange(0, {size})){axis}"
            shape = (size, others) if columns else (others, size)
            many = size >= split.second  # as many numbers as planes of the first stage have
            factors = _twiddles(code, turn, range(0, split.length, split.first), shape if many else None)
        after = dft(code, listed, sign, factors)
        ordered = tuple(_number(code, plane, after) for plane in after)
        found.append(Group(start, split.first, size, count, ordered))
    return found


def mixed_fft_back(
    code: Code, found: Sequence[Group], split: Stages, others: int, sign: int, twiddles: str, *, columns: bool
) -> list[Plane]:
    """The DFT of what `mixed_fft` yields, as planes of what it takes: the same stages the other way round.

    Parameters
    ----------
    code : Code
    found : sequence of Group
    split : Stages
    others : int
    sign : {1, -1}
        Of the exponent.
    twiddles : str
    columns : bool

    Returns
    -------
    list of planes, ``split.first`` of them
    """
    code.write(f"# back: {split.second} of {split.length} points")
    if split.second == 1:
        (group,) = found
        return dft(code, group.planes, sign)
    listed: list[Plane] = []
    for group in found:
        done = [_number(code, plane, group.planes) for plane in dft(code, group.planes, sign)]
        re, im = (_exchange(code, [one[part] for one in done], group.size, others, columns=columns) for part in (0, 1))
        some = list(zip(re, im, strict=True))[: group.count]
        listed += (
            _turned(code, some, split, others, sign, twiddles, columns=columns, start=group.start)
            if split.turned
            else some
        )
    code.write(f"# back: {split.first} points")
    return dft(code, listed, sign)


def _turned(
    code: Code,
    planes: Sequence[Plane],
    split: Stages,
    others: int,
    sign: int,
    twiddles: str,
    *,
    columns: bool,
    start: int = 0,
) -> list[Plane]:
    """Planes of the first stage times their twiddles; the first is plane `start`."""
    turn = f"{twiddles} + tl.arange(0, {split.second}){'[:, None]' if columns else '[None, :]'} * {split.first}"
    shape = (split.second, others) if columns else (others, split.second)
    factors = _twiddles(code, turn, range(start, start + len(planes)), shape)
    return [code.scaled(*both, sign) for both in zip(planes, factors, strict=True)]


def _twiddles(code: Code, turn: str, places: range, shape: Shape2 | None) -> list[Complex | None]:
    """What planes are multiplied by, at places of the table behind those of the threads; None for 1, at place 0.

    Planes without a `shape` have few numbers, fewer perhaps than there are threads.
    """

    def number(at: At) -> Complex:
        return loaded(code, at.pointers(f"{turn} + {at}"))

    if shape is None:
        turn = code.let("turn", turn)
        return [number(At(str(place), listed=False)) if place else None for place in places]
    # one for each number of a plane: large reads say how Triton lays out what they are multiplied by
    turn = code.let("turn", f"tl.broadcast_to({turn}, [{shape[0]}, {shape[1]}])")
    return read(code, [place or None for place in places], shape, number)


def _number(code: Code, plane: Plane, others: Sequence[Plane]) -> Complex:
    """A plane, of zeros if it is known to be zero."""
    if plane is not None:
        return plane
    like = next(other for other in others if other is not None)
    zero = code.let("zero", f"tl.zeros_like({like[0]})")
    return zero, zero


def _exchange(code: Code, planes: Sequence[str], length: int, others: int, *, columns: bool) -> list[str]:
    """The list becomes an axis, and the axis, of a length that is a power of two, a list."""
    size = len(planes)
    stacked = code.stack(planes)
    twos = ", 2" * (length.bit_length() - 1)
    if columns:
        split = code.let("t", f"tl.reshape({stacked}, [{length}, {others}, {size}])")
        moved = code.let("t", f"tl.permute({split}, [2, 1, 0])")
        joined = code.let("t", f"tl.reshape({moved}, [{size}, {others}{twos}])")
    else:
        split = code.let("t", f"tl.reshape({stacked}, [{others}, {length}, {size}])")
        moved = code.let("t", f"tl.permute({split}, [0, 2, 1])")
        joined = code.let("t", f"tl.reshape({moved}, [{others}, {size}{twos}])")
    return code.unstack(joined, length)
