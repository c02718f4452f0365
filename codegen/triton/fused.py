"""Statements whose products and sums are one operation: half as many for Triton's passes to look through.

They take the longer the more there are: a kernel that transforms 40 samples there and back compiled in 115 s as it was
and in 66 s in these statements, side by side with other work, when it read its planes one by one (`planes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from scatc.codegen.code import Code, Complex


class FusedCode(Code):
    """The body of one kernel, line by line."""

    def times(self, a: Complex, b: Complex, sign: int = 1) -> Complex:
        """A times b, or by `sign` -1 times its conjugate."""
        across, along = self.let("cross", f"{a[1]} * {b[1]}"), self.let("cross", f"{a[1]} * {b[0]}")
        if sign > 0:
            return self.pair(f"tl.fma({a[0]}, {b[0]}, -{across})", f"tl.fma({a[0]}, {b[1]}, {along})")
        return self.pair(f"tl.fma({a[0]}, {b[0]}, {across})", f"tl.fma({a[0]}, -{b[1]}, {along})")

    def combine(self, terms: Sequence[tuple[float, str]], start: str = "") -> str:
        """``start + sum(c * t)`` as a chain of fused multiply-adds."""
        total = start
        for factor, term in terms:
            c = self.number(factor)
            total = self.let("sum", f"tl.fma({term}, {c}, {total})" if total else f"{term} * {c}")
        return total
