"""A library of a gradient: called like that of a transform, its branches add to a cotangent that each worker has.

Its text exports, besides `scatc_layout` and a `scatc_trunk` that writes nothing but the spectrum (see
`scatc.runtime.native`; `gs` are the cotangents of the outputs):

    void scatc_branch_t(int64_t branch, int64_t n, const void *spectrum, void *const *gs, const void *const *tables,
                        void *total, void *arena, int64_t first, int64_t stop);
    void scatc_rest(int64_t n, const void *total, void *const *gs, const void *const *tables,
                    void *gradient, void *arena);

A branch adds to `total`, which is as large as the spectrum and zero at first; the rest makes of the sum over branches
the gradient for the signals.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.runtime.native import Buffer, Memory, NativeCall, NativeCode
from scatc.runtime.plan import Compiled

Array = NDArray[Any]


class NativeGradient(NativeCode):
    """A gradient's compiled code. It may be called from many threads at once.

    Parameters
    ----------
    compiled : Compiled
    library : ctypes.CDLL
        What was built of its source.
    """

    def __init__(self, compiled: Compiled, library: ctypes.CDLL) -> None:
        super().__init__(compiled, library)
        self.source = compiled.source
        self._totals: deque[Buffer] = deque(maxlen=self.memory.workers)

    def _bind(self, library: ctypes.CDLL) -> None:
        address, number = ctypes.c_void_p, ctypes.c_int64
        self._trunk: Callable[..., None] = library.scatc_trunk
        self._branch_t: Callable[..., None] = library.scatc_branch_t
        self._rest: Callable[..., None] = library.scatc_rest
        library.scatc_trunk.restype = library.scatc_branch_t.restype = library.scatc_rest.restype = None
        library.scatc_trunk.argtypes = (number, *[address] * 5)
        library.scatc_branch_t.argtypes = (number, number, *[address] * 5, number, number)
        library.scatc_rest.argtypes = (number, *[address] * 5)

    def _within(self) -> Memory:
        # the spectrum, and its cotangent
        layout = replace(self.layout, spectrum_bytes=2 * self.layout.spectrum_bytes)
        return Memory.within(layout, self.program.workers, self._options.memory_limit, " for the gradient")

    def __call__(  # type: ignore[override]
        self, signals: Array, gs: Sequence[Array], gradient: Array, *, alone: bool = False
    ) -> None:
        """Run: by chunks of the batch, and what is left of it by branches of the transform.

        Parameters
        ----------
        signals : array, shape ``(count, *spec.input_shape)``
        gs : sequence of array
            The cotangents of the program's outputs, for all signals.
        gradient : array, shape of `signals`
            Contiguous; it is written.
        alone : bool, optional
            Whether each signal has a call of its own, so that NaN in one does not reach another.
        """
        outs = [np.ascontiguousarray(g, self.dtype) for g in gs]
        call = _Call(self, signals, outs, gradient)
        try:
            self._run(call, len(signals), alone)
        finally:
            call.give_back()
            self._totals.extend(call.totals.values())

    def take_total(self) -> Buffer:
        """Memory for the cotangent of a spectrum, kept between calls."""
        try:
            return self._totals.pop()
        except IndexError:
            return Buffer(self.memory.batch * self.layout.spectrum_bytes)


class _Call(NativeCall):
    """One call of a gradient."""

    _code: NativeGradient

    def __init__(self, code: NativeGradient, signals: Array, gs: Sequence[Array], gradient: Array) -> None:
        super().__init__(code, signals, gs)
        self._gradient = gradient
        self.totals: dict[int, Buffer] = {}
        self._begun: set[int] = set()

    def trunk(self, worker: int, chunk: slice) -> None:
        """The spectrum of some signals; nobody has added anything to its cotangent yet."""
        super().trunk(worker, chunk)
        self._begun.discard(worker)

    def shared(self, chunk: slice) -> None:
        """The same, for signals of which all workers will have a part."""
        super().shared(chunk)
        self._begun.clear()

    def _total(self, worker: int, chunk: slice) -> Array:
        """A worker's share of the cotangent, zeros at first."""
        if worker not in self.totals:
            self.totals[worker] = self._code.take_total()
        count = (chunk.stop - chunk.start) * self._code.layout.spectrum_bytes // self._code.dtype.itemsize
        total = self.totals[worker].array(count, self._code.dtype)
        if worker not in self._begun:
            total.fill(0)
            self._begun.add(worker)
        return total

    def part(self, worker: int, task: tuple[slice, int, int, int], owner: int = 0) -> None:
        """Some filters of a branch, for signals whose spectrum another worker may have made."""
        chunk, branch, first, stop = task
        code = self._code
        code._branch_t(
            branch,
            chunk.stop - chunk.start,
            self._spectrum(owner),
            self._out_pointers(chunk),
            code._tables,
            self._total(worker, chunk).ctypes.data,
            self._arena(worker),
            first,
            stop,
        )

    def finish(self, chunk: slice, worker: int) -> None:
        """What one worker has added up of some signals, to their gradient."""
        self._end(chunk, worker, self._total(worker, chunk))

    def finish_shared(self, chunk: slice) -> None:
        """What all workers have."""
        total = self._total(0, chunk)
        with np.errstate(all="ignore"):
            for worker in self._begun - {0}:
                total += self._total(worker, chunk)
        self._end(chunk, 0, total)

    def _end(self, chunk: slice, worker: int, total: Array) -> None:
        code = self._code
        part = self._gradient[chunk]
        pointers, arena = self._out_pointers(chunk), self._arena(worker)
        code._rest(len(part), total.ctypes.data, pointers, code._tables, part.ctypes.data, arena)
