"""Emitted numpy code with its scratch memory, and how its work is shared among workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scatc.ir.schedule import ALIGNMENT, Program, seconds_a_call
from scatc.runtime import blas, fft
from scatc.runtime.load import load_source
from scatc.runtime.plan import Compiled
from scatc.runtime.workers import run_chunks

Array = NDArray[Any]

SHORTEST_CALL = 20e-6
"""Seconds. Where library calls are shorter, workers would wait for the interpreter's lock: one does all the work."""


class Runnable(Protocol):
    """The code of a transform, whatever it is written in."""

    @property
    def program(self) -> Program:
        """What it was emitted from."""
        ...

    def __call__(self, signals: Array, outs: Sequence[Array], /) -> None:
        """Transform signals: write the program's outputs, and what it stores."""
        ...


class Differentiable(Protocol):
    """The code of a gradient, whatever it is written in."""

    @property
    def program(self) -> Program:
        """What it was emitted from."""
        ...

    @property
    def source(self) -> str:
        """The text."""
        ...

    def __call__(self, signals: Array, given: Sequence[Array], gradient: Array, /) -> None:
        """Write the gradient for signals, cotangents of the outputs, and what was stored."""
        ...


class Code:
    """A program's emitted code: forward as it stands, a gradient's as `GradientCode`.

    It may be called from many threads at once.

    Parameters
    ----------
    compiled : Compiled
    beside : Code, optional
        Other code of the same plan: they share their scratch memory.
    """

    def __init__(self, compiled: Compiled, beside: Runnable | None = None) -> None:
        self.compiled, self.program = compiled, compiled.program
        self.dtype: np.dtype[Any] = np.dtype(compiled.options.dtype)
        # its steps are atomic: no lock, fork safe
        self._arenas: deque[NDArray[np.uint8]] = deque(maxlen=self.program.workers)
        if isinstance(beside, Code):
            self._arenas = beside._arenas

    @property
    def source(self) -> str:
        """The text."""
        return self.compiled.source

    @cached_property
    def module(self) -> ModuleType:
        """The source, loaded by the first call (it imports SciPy's FFT), with its tables."""
        module = load_source(self.source, self.compiled.target)
        vars(module).update(self.compiled.tables)
        return module

    @cached_property
    def _seconds_a_call(self) -> float:
        """The work of the mean library call, for one signal."""
        return self.program.seconds_a_call or seconds_a_call(self.program.graph, self.compiled.options)

    def __call__(self, signals: Array, *others: Sequence[Array] | Array) -> None:
        """Run: by chunks of the batch or, where there are too few, by branches of the transform.

        Parameters
        ----------
        signals : array, shape ``(count, *spec.input_shape)``
        *others : arrays, or sequences of arrays, of length `count`
            What `run` of the emitted module takes besides, in its order: for each chunk it gets that chunk of all.
        """
        module = self.module  # loaded here rather than by each worker
        count, workers = len(signals), self.program.workers
        size = max(1, min(self.program.batch, -(-count // workers)))
        if size * self._seconds_a_call < SHORTEST_CALL:
            workers, size = 1, min(self.program.batch, count)
        chunks = [slice(a, min(a + size, count)) for a in range(0, count, size)]
        choice = fft.choose()
        arenas: dict[int, NDArray[np.uint8]] = {}

        def arena(worker: int) -> NDArray[np.uint8]:
            if worker not in arenas:
                arenas[worker] = self._take_arena()
            return arenas[worker]

        def whole(worker: int, chunk: slice) -> None:
            with choice.context(), np.errstate(all="ignore"):  # NaN and inf belong to the result, not on stderr
                module.run(*self._cut(chunk, signals, others), arena(worker))

        try:
            with blas.single_thread(), np.errstate(all="ignore"):
                if len(chunks) >= workers or not module.BRANCHES:
                    run_chunks(whole, chunks, workers)
                else:
                    for chunk in chunks:
                        self._by_branches(self._cut(chunk, signals, others), workers, arena, choice)
        finally:
            self._arenas.extend(arenas.values())

    def _cut(self, chunk: slice, signals: Array, others: Sequence[Any]) -> list[Any]:
        x = np.ascontiguousarray(signals[chunk], self.dtype)
        return [x, *(o[chunk] if isinstance(o, np.ndarray) else [array[chunk] for array in o] for o in others)]

    def _by_branches(
        self, arguments: list[Any], workers: int, arena: Callable[[int], Array], choice: fft.Choice
    ) -> None:
        x, outs = arguments
        with choice.context(workers), np.errstate(all="ignore"):
            n, spectrum = self.module.trunk(x, outs, arena(0))

        def part(worker: int, task: tuple[Callable[..., None], slice]) -> None:
            branch, filters = task
            with choice.context(), np.errstate(all="ignore"):
                branch(n, spectrum, outs, arena(worker), filters)

        run_chunks(part, list(self._parts()), workers)

    def _parts(self) -> Iterator[tuple[Callable[..., None], slice]]:
        """The branches, cut so that each worker can have a share of each."""
        for branch, count, chunk in self.module.BRANCHES:
            size = min(chunk, -(-count // self.program.workers))
            for a in range(0, count, size):
                yield branch, slice(a, min(a + size, count))

    def _take_arena(self) -> NDArray[np.uint8]:
        """One worker's scratch memory, kept between calls."""
        size = self.program.arena * self.program.batch
        try:
            arena = self._arenas.pop()
        except IndexError:
            pass
        else:
            if len(arena) >= size:  # else it is of code that needs less, and is dropped for a larger one
                return arena
            del arena
        raw = np.empty(size + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + size]


class GradientCode(Code):
    """The code of a gradient: its branches add to a spectrum of which each worker has its own, summed at the end."""

    def _by_branches(
        self, arguments: list[Any], workers: int, arena: Callable[[int], Array], choice: fft.Choice
    ) -> None:
        x, gs, gradient = arguments
        with choice.context(workers), np.errstate(all="ignore"):
            n, spectrum, total = self.module.trunk(x, gs, gradient, arena(0))
        totals = {0: total}
        place = total.ctypes.data - arena(0).ctypes.data

        def part(worker: int, task: tuple[Callable[..., None], slice]) -> None:
            branch, filters = task
            if worker not in totals:
                totals[worker] = np.ndarray(total.shape, total.dtype, arena(worker), place)
                totals[worker].fill(0)
            with choice.context(), np.errstate(all="ignore"):
                branch(n, spectrum, totals[worker], gs, arena(worker), filters)

        run_chunks(part, list(self._parts()), workers)
        with choice.context(workers), np.errstate(all="ignore"):
            for worker, other in totals.items():
                if worker:
                    total += other
            self.module.rest(n, total, gs, gradient, arena(0))
