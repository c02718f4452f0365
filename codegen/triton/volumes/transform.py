"""Writes Fourier transforms along an axis of volumes in registers: of one stage, or of two.

What `fft.py` writes multiplies by twiddles behind the exchange between threads, which takes fewer instructions. Here
they come before it: then Triton exchanges numbers into the layout in which they are written where neighbours in memory
are of different lines, and can be told how to hold those that were never read.
"""

from __future__ import annotations

from collections.abc import Sequence

from scatc.codegen.code import Code, Plane
from scatc.codegen.dft import dft
from scatc.codegen.triton.fft import exchange, twiddle_blocks


def axis_fft(
    code: Code,
    planes: Sequence[Plane],
    rows: int,
    stages: Sequence[int],
    sign: int,
    twiddles: str,
    *,
    held: bool = False,
) -> list[Plane]:
    """The DFT of every row of `planes`: see `register_fft`.

    Planes that other transforms have left (`held`), not memory, would be laid out anew for each of the joins that put
    them into one tensor, if a read of as many numbers did not say how threads hold them.
    """
    found = dft(code, planes, sign)
    if len(stages) == 1:
        return found
    radix, following = stages
    # a block has products of two digits, which are the same whichever comes first
    start = twiddle_blocks(radix * following)[(following, radix), 0]
    digits = f"tl.arange(0, {following})[None, :]"
    if held:
        digits = f"tl.broadcast_to({digits}, [{rows}, {following}])"
    turns = code.let("turns", f"{twiddles} + {start} + {digits}")
    for k in range(1, radix):
        plane = found[k]
        if plane is not None:
            w = code.let("w", f"tl.load({turns} + {k * following})")
            found[k] = code.times(plane, (code.let("c", f"low({w})"), code.let("s", f"high({w})")), sign)
    code.write(f"# the second stage: {following} points")
    return dft(code, exchange(code, found, rows, (following, 1, 1, radix)), sign)
