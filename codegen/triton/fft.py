"""Fourier transforms in registers: a DFT of a list of planes, and longer ones of several such stages.

The mixed-radix decimation in frequency of Cooley and Tukey (1965), with lists for digits: in a stage the current digit
of the index is the place in a list, so that its DFT is straight-line code on whole tensors, without any exchange
between threads. Between two stages the planes are stacked, their axes permuted and unstacked again: an exchange through
shared memory for each stage but the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod

from scatc.codegen.triton.code import Code, Plane

LARGEST_RADIX = 32
"""Of a stage: compilation takes minutes beyond."""

ONE_STAGE = 16
"""Up to which length one stage does."""


def radices(length: int) -> tuple[int, ...]:
    """The stages of a transform of a power of two: as few as can be, as equal as can be, the smaller ones first.

    Raises
    ------
    ValueError
        If the length is not a power of two.
    """
    bits = length.bit_length() - 1
    if length < 1 or 1 << bits != length:
        raise ValueError(f"length={length} is not a power of two")
    if length <= ONE_STAGE:
        return (length,)
    stages = -(-bits // (LARGEST_RADIX.bit_length() - 1))
    if stages == 1:
        stages = 2
    small, more = divmod(bits, stages)
    return (1 << small,) * (stages - more) + (2 << small,) * more


def dft(code: Code, x: Sequence[Plane], sign: int) -> list[Plane]:
    """The DFT over a list, ``y[k] = sum_j x[j] exp(sign 2 pi i j k / n)``, in natural order.

    Radix 4 and 2 while they divide the length, then odd radices; not normalised.
    """
    n = len(x)
    if n == 1:
        return list(x)
    if n % 4 == 0:
        return _radix4(code, x, sign)
    if n % 2 == 0:
        return _split(code, x, 2, sign)
    factor = next(p for p in range(3, n + 1, 2) if n % p == 0)
    return _odd(code, x, sign) if factor == n else _split(code, x, factor, sign)


def _split(code: Code, x: Sequence[Plane], radix: int, sign: int) -> list[Plane]:
    """One stage of a given radix within the list, then transforms of the rest."""
    n, rest = len(x), len(x) // radix
    columns: list[list[Plane]] = [[] for _ in range(radix)]
    for j in range(rest):
        parts = x[j::rest]
        done = [code.add(*parts), code.subtract(*parts)] if radix == 2 else _odd(code, parts, sign)
        for q, y in enumerate(done):
            columns[q].append(code.rotate(y, q * j, n, sign))
    return _interleave([dft(code, column, sign) for column in columns])


def _radix4(code: Code, x: Sequence[Plane], sign: int) -> list[Plane]:
    n, rest = len(x), len(x) // 4
    columns: list[list[Plane]] = [[], [], [], []]
    for j in range(rest):
        a, b, c, d = x[j::rest]
        even, odd = code.add(a, c), code.add(b, d)
        first, second = code.subtract(a, c), code.turn(code.subtract(b, d), sign)
        done = code.add(even, odd), code.add(first, second), code.subtract(even, odd), code.subtract(first, second)
        for q, y in enumerate(done):
            columns[q].append(code.rotate(y, q * j, n, sign))
    return _interleave([dft(code, column, sign) for column in columns])


def _interleave(columns: list[list[Plane]]) -> list[Plane]:
    """Output ``q + radix * k`` is output k of column q."""
    return [column[k] for k in range(len(columns[0])) for column in columns]


def _odd(code: Code, x: Sequence[Plane], sign: int) -> list[Plane]:
    """A DFT of odd prime length: cosines of sums and sines of differences of opposite inputs."""
    n, half = len(x), len(x) // 2
    sums = [code.add(x[j], x[n - j]) for j in range(1, half + 1)]
    differences = [code.subtract(x[j], x[n - j]) for j in range(1, half + 1)]
    live = [j for j in range(half) if sums[j] is not None]
    if not live:
        return [x[0]] * n
    first = x[0]
    for j in live:
        first = code.add(first, sums[j])
    found: list[Plane] = [first, *[None] * (n - 1)]
    for k in range(1, half + 1):
        turns = [2 * math.pi * (j + 1) * k / n for j in live]
        even = [
            code.combine([(math.cos(t), (sums[j] or ("", ""))[part]) for t, j in zip(turns, live, strict=True)], start)
            for part, start in enumerate(x[0] or ("", ""))
        ]
        odd = [
            code.combine(
                [(sign * math.sin(t), (differences[j] or ("", ""))[part]) for t, j in zip(turns, live, strict=True)]
            )
            for part in (0, 1)
        ]
        found[k] = code.pair(f"{even[0]} - {odd[1]}", f"{even[1]} + {odd[0]}")
        found[n - k] = code.pair(f"{even[0]} + {odd[1]}", f"{even[1]} - {odd[0]}")
    return found


def register_fft(
    code: Code, planes: Sequence[Plane], rows: int, stages: Sequence[int], sign: int, twiddles: str
) -> list[Plane]:
    """The DFT of every row of `planes`, of length ``prod(stages)``.

    Parameters
    ----------
    code : Code
    planes : sequence of planes, ``stages[0]`` of them, each ``[rows, rest]``
        Plane n holds the inputs ``n * rest + p``.
    rows : int
    stages : sequence of int
        The radices, powers of two.
    sign : {1, -1}
        Of the exponent.
    twiddles : str
        Pointer to the table of ``exp(2 pi i k / length)``, complex numbers as 64-bit integers.

    Returns
    -------
    list of planes, ``stages[-1]`` of them, each ``[rows, length // stages[-1]]``
        Plane q holds the outputs ``q * length // stages[-1] + p``.
    """
    return register_ffts(code, [planes], rows, stages, sign, twiddles)[0]


def register_ffts(
    code: Code, sets: Sequence[Sequence[Plane]], rows: int, stages: Sequence[int], sign: int, twiddles: str
) -> list[list[Plane]]:
    """As `register_fft`, of several sets of planes stage by stage: twiddles are loaded once for all."""
    length = remaining = prod(stages)
    done = 1
    current = [list(planes) for planes in sets]
    for stage, (radix, following) in enumerate(zip(stages, (*stages[1:], 1), strict=True)):
        code.write(f"# stage {stage}: {radix} of {remaining} points")
        current = [dft(code, planes, sign) for planes in current]
        rest = remaining // radix
        if stage == len(stages) - 1:
            return current
        current = _twiddle(code, current, done, rest, length // remaining, sign, twiddles)
        axes = (following, rest // following, done, radix)
        current = [_exchange(code, planes, rows, axes) for planes in current]
        done, remaining = done * radix, rest
    raise AssertionError("unreachable: the last stage returns")


def _twiddle(
    code: Code, sets: Sequence[Sequence[Plane]], done: int, rest: int, step: int, sign: int, twiddles: str
) -> list[list[Plane]]:
    """Plane k times ``exp(sign 2 pi i k n / remaining)``, n being the digits that are still to come."""
    digits = code.let("digits", f"tl.arange(0, {done * rest}) // {done}" if done > 1 else f"tl.arange(0, {rest})")
    turned = [list(planes[:1]) for planes in sets]
    for k in range(1, len(sets[0])):
        if all(planes[k] is None for planes in sets):
            for into in turned:
                into.append(None)
            continue
        factor = code.let("w", f"tl.load({twiddles} + {digits} * {k * step})[None, :]")
        both = code.let("c", f"low({factor})"), code.let("s", f"high({factor})")
        for planes, into in zip(sets, turned, strict=True):
            plane = planes[k]
            into.append(None if plane is None else code.times(plane, both, sign))
    return turned


def _exchange(code: Code, planes: Sequence[Plane], rows: int, axes: tuple[int, int, int, int]) -> list[Plane]:
    """The next digit becomes the place in the list, the digit that is done the most significant of those done."""
    following, rest, done, radix = axes
    parts = []
    for part in (0, 1):
        zero = next((plane[part] for plane in planes if plane is not None), "")
        stacked = code.stack([plane[part] if plane is not None else f"tl.zeros_like({zero})" for plane in planes])
        split = code.let("t", f"tl.reshape({stacked}, [{rows}, {following}, {rest}, {done}, {radix}])")
        moved = code.let("t", f"tl.permute({split}, [0, 2, 4, 3, 1])")
        twos = ", 2" * (following.bit_length() - 1)
        joined = code.let("t", f"tl.reshape({moved}, [{rows}, {rest * radix * done}{twos}])")
        parts.append(code.unstack(joined, following))
    return list(zip(*parts, strict=True))
