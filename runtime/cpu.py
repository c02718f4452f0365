"""Plans for the CPU: C code in a library of its own, called on numpy arrays, and another one for their gradients."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import find_target
from scatc.runtime import fft, libraries, report, toolchain
from scatc.runtime.code import Differentiable, Runnable
from scatc.runtime.derived import gradient
from scatc.runtime.driver import find_plan
from scatc.runtime.native import NativeCode
from scatc.runtime.native_gradient import NativeGradient
from scatc.runtime.numpy import LARGEST_PEAK, NumpyPlan, peaks_of, powers_of_two
from scatc.runtime.plan import Compiled
from scatc.runtime.workers import checked_workers

Array = NDArray[Any]

MOST_RATIO = 8.0
"""Of the peaks of signals that are transformed together as they are."""


class CpuPlan(NumpyPlan):
    """A plan that is called on numpy arrays, and runs C code that was compiled for this machine.

    `vjp` runs C code as well, which is compiled when it is first needed. If coefficients are to be kept for it
    (`save`), `forward` and `vjp` are those of the plan for numpy of the same transform.

    Attributes
    ----------
    workers : int
        Threads that share a call.
    """

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(compiled)
        self.workers = self._native.memory.workers

    def _loaded(self) -> NativeCode:
        self._native = NativeCode(self._compiled, _library(self._compiled))
        return self._native

    def with_workers(self, workers: int) -> CpuPlan:
        """The same plan for another number of workers; it runs the same library."""
        # options stay: they name the plan for numpy, which need not be compiled for each number of workers
        program = replace(self._program, workers=checked_workers(workers))
        return CpuPlan(replace(self._compiled, program=program))

    @cached_property
    def _numpy(self) -> NumpyPlan:
        """The plan that has the gradient."""
        target, options = find_target("numpy"), self._compiled.options
        plan = find_plan(self.spec, target, replace(options, machine=target.machine(fft.provider())))
        assert isinstance(plan, NumpyPlan)
        wanted = self._program.workers
        return plan if wanted == options.workers else plan.with_workers(wanted)

    @property
    def save_mode(self) -> str:
        """What `forward` keeps for `vjp`: 'inputs', unless something else was asked for."""
        return self._compiled.options.save or "inputs"

    @cached_property
    def _storing(self) -> Runnable:
        return self._native if self.save_mode == "inputs" else self._numpy._storing

    def run_groups(self, x: Array, *, store: bool = False) -> tuple[list[Array], list[Array]]:
        """Transform an array that was checked: the program's output arrays, and what it keeps if it is to `store`."""
        if store and self.save_mode != "inputs":
            return self._numpy.run_groups(x, store=True)
        signals = self._signals(x)
        outs, _ = self._empty(self._program, len(signals))
        if len(signals) and any(out.size for out in outs):
            peaks = peaks_of(signals)
            finite = bool(np.isfinite(peaks).all())
            scales = _scales(peaks)
            self._native(self._divided(signals, scales), outs, alone=not finite)
            self._multiply(outs, scales)
        return outs, []

    @cached_property
    def _gradient(self) -> NativeGradient:
        compiled = gradient(self._compiled, "inputs")
        return NativeGradient(compiled, _library(compiled))

    @cached_property
    def _saved_gradient(self) -> Differentiable:
        return self._gradient if self.save_mode == "inputs" else self._numpy._saved_gradient

    def vjp_groups(self, x: Array, gs: Sequence[Array], saved: Sequence[Array] = ()) -> Array:
        """The gradient for cotangents of the program's output arrays; see `vjp`."""
        return self._numpy.vjp_groups(x, gs, saved) if len(saved) else super().vjp_groups(x, gs)

    def _differentiate(self, code: Differentiable, signals: Array, given: Sequence[Array], gradient: Array) -> None:
        finite = all(np.isfinite(peaks_of(array)).all() for array in (signals, *given))
        assert isinstance(code, NativeGradient)
        code(signals, given, gradient, alone=not finite)

    def _sizes(self, *arrays: Array) -> Array | None:
        return _scales(np.maximum.reduce([peaks_of(array) for array in arrays]))

    def working_bytes(self, of: str = "forward") -> int:
        """The most bytes that a call allocates besides its output (and its input, if that must be converted).

        With `of` 'vjp', what `vjp` allocates.
        """
        if of == "forward":
            return self._native.memory.bytes
        part = self._part(of)
        return part.memory.bytes if isinstance(part, NativeGradient) else part.program.working_bytes

    def schedule(self, of: str = "forward") -> str:
        """The loops as text; `of` may be 'vjp', for those of the gradient."""
        part = self._native if of == "forward" else self._part(of)
        if not isinstance(part, NativeCode):
            return str(part.program)
        memory, (_, _, nodes) = part.memory, str(part.program).partition("\n")
        sizes = f"arena={memory.layout.arena_bytes} spectrum={memory.layout.spectrum_bytes}"
        return f"program batch={memory.batch} workers={memory.workers} {sizes}\n{nodes}"

    def report(self) -> str:
        """Arithmetic, memory, loops, passes and the compiler, as text."""
        memory = self._native.memory
        limit = self._options.memory_limit
        lines = [
            f"loops     up to {memory.batch} signals at a time, {memory.workers} worker(s)",
            f"memory    {memory.bytes} bytes of working memory{report.limited(limit)}: {memory.workers} worker(s) x "
            f"({memory.layout.arena_bytes} in the arena + {memory.batch} signals x {memory.layout.spectrum_bytes})",
        ]
        engine = ("compiler", str(toolchain.find()))
        compiled = self._compiled
        return report.report(self._program, self._options, compiled.record, compiled.tables, engine, lines)

    def asm(self) -> str:
        """The code in the assembler language of this machine's CPU, as the compiler writes it.

        Raises
        ------
        TargetError
            If the compiler that built the library is no longer there.
        """
        return toolchain.find().assembler(self._compiled.source)


def _library(compiled: Compiled) -> ctypes.CDLL:
    """What is built of a text, which is not emitted if that was built before."""
    return libraries.load(compiled.recipe or compiled.source, lambda: compiled.source)


def _scales(peaks: Array) -> Array | None:
    """Powers of two, by which signals are divided (exactly) to be of usual and of about the same size; None: they are.

    A modulus is the root of a sum of squares, which must stay within the numbers' range; and two signals of a batch may
    be one complex signal for a while, whose rounding errors are those of the larger.
    """
    least, most = peaks.min(), peaks.max()
    if 1 / LARGEST_PEAK < least and most < min(LARGEST_PEAK, MOST_RATIO * least):
        return None
    sized = (peaks > 0) & np.isfinite(peaks)
    return np.where(sized, powers_of_two(np.where(sized, peaks, 1.0)), 1.0)


PLAN = CpuPlan
