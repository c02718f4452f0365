"""Statements of a kernel as text: names for results, and complex numbers as pairs of names.

What a kernel holds in registers is a list of names, a *plane* for each index of the list: a tensor of Triton, which
cannot be indexed, or a vector of C. A plane that is known to be zero is None, and whatever only zeros enter is never
written. What is written here is Triton; `scatc.codegen.cpu.code` writes C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

INDENT = "    "

Complex = tuple[str, str]
"""The names of a real and an imaginary part."""

Plane = Complex | None

MOST_TERMS = 16
"""Of a sum in one line."""

EXACT = 1e-12
"""Sines and cosines nearer to 0 or 1 are that."""


class Code:
    """The body of one kernel, line by line.

    Attributes
    ----------
    fused : bool
        Whether a DFT multiplies where it adds, an instruction for both, and has differences from sums (`butterfly`).
    """

    fused = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._counts: dict[str, int] = {}

    def __str__(self) -> str:
        return "\n".join(INDENT + line for line in self.lines)

    def write(self, *lines: str) -> None:
        """Append statements as they are."""
        self.lines += lines

    def name(self, stem: str) -> str:
        """A name that no other result has."""
        self._counts[stem] = self._counts.get(stem, -1) + 1
        return f"{stem}{self._counts[stem]}"

    def number(self, value: float) -> str:
        """A constant, as float32 has it."""
        return number(value)

    def let(self, stem: str, expression: str) -> str:
        """Give an expression a name."""
        name = self.name(stem)
        self.write(f"{name} = {expression}")
        return name

    # Complex arithmetic; zeros that are known are not computed with.

    def pair(self, real: str, imaginary: str) -> Complex:
        """Name both parts of a number."""
        return self.let("re", real), self.let("im", imaginary)

    def add(self, a: Plane, b: Plane) -> Plane:
        """A + b."""
        if a is None or b is None:
            return a or b
        return self.pair(f"{a[0]} + {b[0]}", f"{a[1]} + {b[1]}")

    def subtract(self, a: Plane, b: Plane) -> Plane:
        """A - b."""
        if b is None:
            return a
        if a is None:
            return self.pair(f"-{b[0]}", f"-{b[1]}")
        return self.pair(f"{a[0]} - {b[0]}", f"{a[1]} - {b[1]}")

    def scaled(self, a: Plane, factor: Complex | None, sign: int) -> Plane:
        """A, multiplied as `times` does if there is a factor."""
        return a if a is None or factor is None else self.times(a, factor, sign)

    def butterfly(self, a: Plane, b: Plane, factor: Complex | None, sign: int) -> tuple[Plane, Plane]:
        """A + b and a - b, where b may have to be multiplied first, as `times` does.

        Then products and sums are one instruction each, and the difference is 2 a less the sum: 6 for both results
        rather than 8.
        """
        if factor is None or a is None or b is None:
            b = self.scaled(b, factor, sign)
            return self.add(a, b), self.subtract(a, b)
        c, s = factor
        plus, minus = ("+", "-") if sign > 0 else ("-", "+")
        total = self.pair(
            f"{a[0]} + {b[0]} * {c} {minus} {b[1]} * {s}",
            f"{a[1]} + {b[1]} * {c} {plus} {b[0]} * {s}",
        )
        return total, self.twice_less(a, total)

    def twice_less(self, a: Complex, b: Complex) -> Complex:
        """2 a - b, in one instruction for each part: a - c, where b is a + c."""
        return self.pair(*(f"tl.fma({x}, 2.0, -{y})" for x, y in zip(a, b, strict=True)))

    def turn(self, a: Plane, sign: int) -> Plane:
        """A times i, or by `sign` -1 times -i: no arithmetic but a change of sign."""
        if a is None:
            return None
        return (self.let("re", f"-{a[1]}"), a[0]) if sign > 0 else (a[1], self.let("im", f"-{a[0]}"))

    def root(self, numerator: int, denominator: int) -> Complex:
        """``exp(2 pi i numerator / denominator)``."""
        angle = 2 * math.pi * (numerator % denominator) / denominator
        return self.number(math.cos(angle)), self.number(math.sin(angle))

    def rotate(self, a: Plane, numerator: int, denominator: int, sign: int) -> Plane:
        """A times ``exp(sign 2 pi i numerator / denominator)``."""
        if a is None:
            return None
        angle = 2 * math.pi * (numerator % denominator) / denominator
        c, s = math.cos(angle), sign * math.sin(angle)
        if abs(s) < EXACT:
            return a if c > 0 else self.pair(f"-{a[0]}", f"-{a[1]}")
        if abs(c) < EXACT:
            return self.turn(a, 1 if s > 0 else -1)
        if abs(abs(c) - abs(s)) < EXACT:  # an eighth of a turn: one product for each part
            p, q = ("" if c > 0 else "-"), ("-" if s > 0 else "+")
            r, t = ("" if s > 0 else "-"), ("+" if c > 0 else "-")
            k = self.number(abs(c))
            return self.pair(f"{k} * ({p}{a[0]} {q} {a[1]})", f"{k} * ({r}{a[0]} {t} {a[1]})")
        return self.times(a, (self.number(c), self.number(s)))

    def times(self, a: Complex, b: Complex, sign: int = 1) -> Complex:
        """A times b, or by `sign` -1 times its conjugate."""
        if sign > 0:
            return self.pair(f"{a[0]} * {b[0]} - {a[1]} * {b[1]}", f"{a[0]} * {b[1]} + {a[1]} * {b[0]}")
        return self.pair(f"{a[0]} * {b[0]} + {a[1]} * {b[1]}", f"{a[1]} * {b[0]} - {a[0]} * {b[1]}")

    def combine(self, terms: Sequence[tuple[float, str]], start: str = "") -> str:
        """``start + sum(c * t)`` as a chain of fused multiply-adds."""
        total = start
        for factor, term in terms:
            product = f"{term} * {self.number(factor)}"
            total = self.let("sum", f"{total} + {product}" if total else product)
        return total

    def add_up(self, terms: Sequence[str]) -> str:
        """The sum of many terms, so few in a line that it can be read."""
        while len(terms) > MOST_TERMS:
            groups = (terms[i : i + MOST_TERMS] for i in range(0, len(terms), MOST_TERMS))
            terms = [self.let("sum", " + ".join(group)) for group in groups]
        return " + ".join(terms)

    # Lists of planes to one tensor and back: a list of 2^k along an axis behind the others.

    def stack(self, planes: Sequence[str]) -> str:
        """One tensor with axes of 2 behind those of the planes, the last the least significant."""
        if len(planes) == 1:
            return planes[0]
        even, odd = self.stack(planes[0::2]), self.stack(planes[1::2])
        return self.let("join", f"tl.join({even}, {odd})")

    def unstack(self, tensor: str, count: int) -> list[str]:
        """The planes of a tensor whose last axes are of 2."""
        if count == 1:
            return [tensor]
        even, odd = self.name("part"), self.name("part")
        self.write(f"{even}, {odd} = tl.split({tensor})")
        found = [""] * count
        found[0::2], found[1::2] = self.unstack(even, count // 2), self.unstack(odd, count // 2)
        return found


def number(value: float) -> str:
    """A constant, as float32 has it."""
    return repr(float(np.float32(value)))
