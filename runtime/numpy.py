"""Plans for numpy: the input is checked, the batch cut into chunks, and each worker given its scratch memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scatc.ir.schedule import ALIGNMENT
from scatc.runtime import blas, fft
from scatc.runtime.plan import Compiled, Plan
from scatc.runtime.workers import run_chunks

Array = NDArray[Any]

LARGEST_PEAK = 1e6
"""Samples of a volume between the inverse of this and this need no scaling, in single precision either."""

SHORTEST_CALL = 20e-6
"""Seconds. Where library calls are shorter, workers would wait for the interpreter's lock: one does all the work."""


class NumpyPlan(Plan):
    """A plan that is called on numpy arrays.

    Attributes
    ----------
    workers : int
        Threads that share a call.
    """

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(compiled)
        self.workers = compiled.program.workers
        vars(self._module).update(compiled.tables)
        self._arenas: deque[NDArray[np.uint8]] = deque(maxlen=self.workers)  # its steps are atomic: no lock, fork safe

    def __call__(self, x: ArrayLike) -> Any:
        """Transform signals.

        Parameters
        ----------
        x : array_like, shape ``batch + spec.input_shape``
            Real, of any real dtype (converted to the plan's), contiguous or not; any number of leading batch axes.

        Returns
        -------
        array, shape ``batch + (paths, *samples)``
            Rows in the order of `meta()`; in 3D ``batch + (paths, powers)``. Where paths differ in their number of
            samples (no averaging): a dict of path to array, shape ``batch + samples``, in the same order.

        Raises
        ------
        TypeError
            If x is complex or not numeric.
        ValueError
            If the last axes of x are not `spec.input_shape`.
        """
        array = self._checked(x)
        shape = self.spec.input_shape
        batch = array.shape[: array.ndim - len(shape)]
        count = math.prod(batch)
        signals = array.reshape(count, *shape)
        outs = [np.empty((count, len(paths), *samples), self.dtype) for samples, paths in self._program.outputs]
        if count and any(out.size for out in outs):
            with blas.single_thread():
                self._in_range(signals, outs)
        if self.spec.average != "none":
            return outs[0].reshape(batch + outs[0].shape[1:])
        found = {
            path: out[:, row].reshape(batch + samples)
            for out, (samples, paths) in zip(outs, self._program.outputs, strict=True)
            for row, path in enumerate(paths)
        }
        return {path: found[path] for path in self.paths}

    def _checked(self, x: ArrayLike) -> Array:
        array = np.asarray(x)
        if array.dtype.kind == "c":
            raise TypeError(
                f"x is complex ({array.dtype}): scattering of complex signals is not supported, pass x.real"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(f"x has dtype {array.dtype}: it must be an array of real numbers")
        self.check_shape(array.shape)
        return array

    def _in_range(self, signals: Array, outs: list[Array]) -> None:
        """Run, in 3D on signals scaled to where squares, which the norm over m takes, stay within the numbers' range.

        Each signal is divided by a power of two, which is exact, and its integrals of powers are multiplied back.
        """
        if self.spec.average != "integral":
            self._run(signals, outs)
            return
        highest, lowest = (extreme(signals, axis=(-3, -2, -1)).astype(np.float64) for extreme in (np.max, np.min))
        peaks = np.maximum(highest, -lowest)
        usual = (peaks == 0) | ~np.isfinite(peaks) | ((peaks > 1 / LARGEST_PEAK) & (peaks < LARGEST_PEAK))
        if usual.all():
            self._run(signals, outs)
            return
        scales = np.where(usual, 1.0, np.exp2(np.floor(np.log2(np.where(usual, 1.0, peaks)))))
        self._run((signals / scales[:, None, None, None]).astype(self.dtype), outs)
        with np.errstate(over="ignore", under="ignore"):
            outs[0] *= scales[:, None, None] ** np.array(self.spec.integral_powers)

    def _run(self, signals: Array, outs: list[Array]) -> None:
        """Share the work: by chunks of the batch or, where there are too few, by branches of the transform."""
        count, workers = len(signals), self.workers
        size = max(1, min(self._program.batch, -(-count // workers)))
        if size * self._program.seconds_a_call < SHORTEST_CALL:
            workers, size = 1, min(self._program.batch, count)
        chunks = [slice(a, min(a + size, count)) for a in range(0, count, size)]
        choice = fft.choose()
        arenas: dict[int, NDArray[np.uint8]] = {}

        def arena(worker: int) -> NDArray[np.uint8]:
            if worker not in arenas:
                arenas[worker] = self._take_arena()
            return arenas[worker]

        def whole(worker: int, chunk: slice) -> None:
            with choice.context(), np.errstate(all="ignore"):  # NaN and inf belong to the result, not on stderr
                self._module.run(self._converted(signals[chunk]), [out[chunk] for out in outs], arena(worker))

        def part(worker: int, task: tuple[Callable[..., None], tuple[Any, ...], slice]) -> None:
            branch, (n, spectrum, chunk_outs), filters = task
            with choice.context(), np.errstate(all="ignore"):
                branch(n, spectrum, chunk_outs, arena(worker), filters)

        try:
            if len(chunks) >= workers:
                run_chunks(whole, chunks, workers)
                return
            for chunk in chunks:
                chunk_outs = [out[chunk] for out in outs]
                with choice.context(workers), np.errstate(all="ignore"):
                    n, spectrum = self._module.trunk(self._converted(signals[chunk]), chunk_outs, arena(0))
                shared = (n, spectrum, chunk_outs)
                run_chunks(part, [(branch, shared, f) for branch, f in self._parts()], workers)
        finally:
            self._arenas.extend(arenas.values())

    def _parts(self) -> Iterator[tuple[Callable[..., None], slice]]:
        """The branches, cut so that each worker can have a share of each."""
        for branch, count, chunk in self._module.BRANCHES:
            size = min(chunk, -(-count // self.workers))
            for a in range(0, count, size):
                yield branch, slice(a, min(a + size, count))

    def _converted(self, x: Array) -> Array:
        return np.ascontiguousarray(x, self.dtype)

    def _take_arena(self) -> NDArray[np.uint8]:
        """One worker's scratch memory, kept between calls."""
        try:
            return self._arenas.pop()
        except IndexError:
            pass
        size = self._program.arena * self._program.batch
        raw = np.empty(size + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + size]

    def working_bytes(self) -> int:
        """The most bytes that a call allocates besides its output (and its input, if that must be converted)."""
        return self._program.working_bytes


PLAN = NumpyPlan
