"""Statements of C as text: the vectors of `scatc.codegen.code`, with types and semicolons."""

from __future__ import annotations

import numpy as np

from scatc.codegen.code import Code


class VectorCode(Code):
    """The body of a function of vectors.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
    """

    fused = False

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.dtype = dtype

    def let(self, stem: str, expression: str) -> str:
        """Give an expression a name."""
        name = self.name(stem)
        self.write(f"const vec {name} = {expression};")
        return name

    def number(self, value: float) -> str:
        """A constant of the dtype."""
        return constant(value, self.dtype)


def constant(value: float, dtype: str) -> str:
    """A number as C has it in a dtype."""
    return f"{float(np.float32(value))!r}f" if dtype == "float32" else repr(float(value))
