"""Fourier transforms in registers: a DFT of a list of planes, and longer ones of several such stages.

The mixed-radix decimation in frequency of Cooley and Tukey (1965), with lists for digits: in a stage the current digit
of the index is the place in a list, so that its DFT is straight-line code on whole tensors, without any exchange
between threads. Between two stages the planes are stacked, their axes permuted and unstacked again: an exchange through
shared memory for each stage but the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from scatc.codegen.code import Code, Complex, Plane
from scatc.codegen.dft import dft
from scatc.codegen.triton.planes import loaded, read

LARGEST_RADIX = 32
"""Of a stage, but for those of `WIDE`: longer lists take the registers of kernels that hold much else."""

ONE_STAGE = 16
"""Up to which length one stage does."""


WIDE = {2048: (32, 64)}
"""Two stages where there would be three."""


def wide_radices(length: int) -> tuple[int, ...]:
    """The stages of a transform in a kernel that has all registers for it."""
    return WIDE.get(length) or radices(length)


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


def twiddle_blocks(length: int) -> dict[tuple[tuple[int, ...], int], int]:
    """Where the table of twiddles has those of each stage but the last, one block for each order of the stages.

    Behind ``exp(2 pi i k / length)`` for all k, a block has ``exp(2 pi i k n / remaining)`` for each n, all
    that the digits still to come can be, and each place k in the list of a stage: neighbours in a tensor lie side by
    side. Blocks begin at odd places: at even ones Triton would read two numbers at a time, into another layout than
    that of the planes.
    """
    found: dict[tuple[tuple[int, ...], int], int] = {}
    if length & (length - 1):
        return found
    at, stages = length + 1, radices(length)
    for order in dict.fromkeys((stages, stages[::-1], wide_radices(length), wide_radices(length)[::-1])):
        remaining = length
        for stage in range(len(order) - 1):
            found[order, stage] = at
            at, remaining = at + remaining, remaining // order[stage]
    return found


def register_fft(
    code: Code,
    planes: Sequence[Plane],
    rows: int,
    stages: Sequence[int],
    sign: int,
    twiddles: str,
) -> list[Plane]:
    """The DFT of every row of `planes`, of length ``prod(stages)``.

    Parameters
    ----------
    code : Code
    planes : sequence of planes, ``stages[0]`` of them, each ``[rows, rest]``
        Plane n holds the inputs ``n * rest + p``.
    rows : int
    stages : sequence of int
        The radices, powers of two: `radices` or `wide_radices` of the length, or either backwards.
    sign : {1, -1}
        Of the exponent.
    twiddles : str
        Pointer to the table of ``exp(2 pi i k / length)``, complex numbers as 64-bit integers, and the blocks of
        `twiddle_blocks` behind them.

    Returns
    -------
    list of planes, ``stages[-1]`` of them, each ``[rows, length // stages[-1]]``
        Plane q holds the outputs ``q * length // stages[-1] + p``.
    """
    return register_ffts(code, [planes], rows, stages, sign, twiddles)[0]


def register_ffts(
    code: Code,
    sets: Sequence[Sequence[Plane]],
    rows: int,
    stages: Sequence[int],
    sign: int,
    twiddles: str,
) -> list[list[Plane]]:
    """As `register_fft`, of several sets of planes stage by stage: twiddles are loaded once for all."""
    length = remaining = prod(stages)
    done, blocks = 1, twiddle_blocks(length)
    current, factors = [list(planes) for planes in sets], list[Complex | None]()
    for stage, (radix, following) in enumerate(zip(stages, (*stages[1:], 1), strict=True)):
        code.write(f"# stage {stage}: {radix} of {remaining} points")
        current = [dft(code, planes, sign, factors) for planes in current]
        rest = remaining // radix
        if stage == len(stages) - 1:
            return current
        axes = (following, rest // following, done, radix)
        current = [exchange(code, planes, rows, axes) for planes in current]
        factors = _twiddles(code, rows, axes, f"{twiddles} + {blocks[tuple(stages), stage]}")
        done, remaining = done * radix, rest
    raise AssertionError("unreachable: the last stage returns")


def _twiddles(code: Code, rows: int, axes: tuple[int, int, int, int], block: str) -> list[Complex | None]:
    """What each plane of a stage is multiplied by: ``exp(2 pi i k n / remaining)``, k being the digit done last.

    And n the digits that are still to come, of which the first is the place in the list.
    """
    following, rest, done, radix = axes
    numbers = rest * radix * done
    digits = f"(tl.arange(0, {numbers}){f' // {done}' if done > 1 else ''})[None, :]"
    # one for each number of a plane: large reads say how Triton lays out what they are multiplied by
    turns = code.let("turns", f"{block} + tl.broadcast_to({digits}, [{rows}, {numbers}])")
    places = range(0, following * rest * radix, rest * radix)
    found = read(code, places, (rows, numbers), lambda at: loaded(code, at.pointers(f"{turns} + {at}")))
    return [None, *found[1:]] if rest == 1 else found


def exchange(code: Code, planes: Sequence[Plane], rows: int, axes: tuple[int, int, int, int]) -> list[Plane]:
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
