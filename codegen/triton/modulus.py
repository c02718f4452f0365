"""What a modulus does to cotangents."""

from __future__ import annotations

from scatc.codegen.code import Code, Complex, Plane


def turned(code: Code, plane: Plane, g: str) -> Complex:
    """The cotangent of a complex number z from that of its modulus, ``g z / |z|``; 0 where z is 0.

    By an inverse root, which is one instruction: a root and a quotient are a dozen.
    """
    assert plane is not None, "a transform has no zeros that are known"
    square = code.let("square", f"{plane[0]} * {plane[0]} + {plane[1]} * {plane[1]}")
    there = f"{square} > 0"
    slope = code.let("slope", f"tl.where({there}, {g}, 0.0) * tl.rsqrt(tl.where({there}, {square}, 1.0))")
    return code.pair(f"{plane[0]} * {slope}", f"{plane[1]} * {slope}")
