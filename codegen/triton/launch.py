"""What emitted code does, step by step: launches of kernels, and transforms of a library."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from types import CodeType, SimpleNamespace
from typing import Any

from scatc.codegen.triton.tuned import Tunable

WIDTH = 112
"""Characters of a line of emitted code, without its indentation."""


@dataclass(slots=True)
class Launch:
    """One launch of a kernel.

    Attributes
    ----------
    kernel : str
    types : dict of str to str
        Of each argument that is not a constant, as Triton writes them: ``*i64`` points to complex numbers.
    grid : tuple of str
        Programs on each axis, as text in `n` (signals) and `pairs`.
    arguments : list of str
        Tensors and numbers, as text, in the order of `types`.
    constants : dict of str to int or float
        What the kernel is specialised to.
    warps : int
    paths : int
        How many rows of each signal it works on.
    shape : Tunable or None
        What the kernel was given that can be tuned.
    """

    kernel: str
    types: dict[str, str]
    grid: tuple[str, ...]
    arguments: list[str]
    constants: dict[str, Any] = field(default_factory=dict)
    warps: int = 4
    paths: int = 1
    shape: Tunable | None = None

    @property
    def title(self) -> str:
        """The kernel, with what it is specialised to."""
        constants = ", ".join(f"{name}={value}" for name, value in self.constants.items())
        return f"{self.kernel}({constants})"

    def all_warps(self, signals: int) -> int:
        """Warps of all programs, where there are so many signals."""
        numbers = {"n": signals, "pairs": (signals + 1) // 2, "triton": _TRITON}
        programs: list[int] = [eval(_compiled(axis), {}, numbers) for axis in self.grid]
        return self.warps * prod(programs)

    def lines(self) -> list[str]:
        """The statement that launches it."""
        constants = [f"{name}={value}" for name, value in self.constants.items()]
        grid = ", ".join(self.grid) + ("," if len(self.grid) == 1 else "")
        arguments = ", ".join([*self.arguments, *constants, f"num_warps={self.warps}", "**OPTIONS"])
        one = f"{self.kernel}[({grid})]({arguments})"
        if len(one) <= WIDTH:
            return [one]
        return [f"{self.kernel}[({grid})](", *(f"    {line}" for line in textwrap.wrap(arguments, WIDTH - 4)), ")"]


_TRITON = SimpleNamespace(cdiv=lambda a, b: -(-a // b))
"""Triton, as far as grids call it."""


@lru_cache(maxsize=4096)
def _compiled(axis: str) -> CodeType:
    return compile(axis, "<grid>", "eval")


@dataclass(frozen=True, slots=True)
class Transform:
    """A Fourier transform by the library.

    Attributes
    ----------
    length : int
        Numbers that are transformed together.
    paths : int
        How many rows of each signal.
    packed : bool
        Whether each row stands for two signals.
    axes : int
        How many axes those numbers have: each is a pass over memory.
    """

    length: int
    paths: int
    packed: bool
    axes: int = 1


def kernel_name(known: dict[str, Any], shape: Any, stem: str) -> str:
    """The name of the kernel of a shape, entered among those that are known if it is new."""
    name = next((name for name, other in known.items() if other == shape), f"{stem}_{len(known)}")
    known[name] = shape
    return name
