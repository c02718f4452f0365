"""A library of emitted C code with its scratch memory, and how its work is shared among workers.

The text exports, for up to `batch` signals in one call (version 1 of the interface):

    const int64_t scatc_layout[];  /* version, itemsize, batch, spectrum_bytes, arena_bytes, number of branches, and of
                                      each branch: its filters, and how many of them are worth one call */
    void scatc_trunk(int64_t n, const void *x, void *const *outs, const void *const *tables,
                     void *spectrum, void *arena);
    void scatc_branch(int64_t branch, int64_t n, const void *spectrum, void *const *outs, const void *const *tables,
                      void *arena, int64_t first, int64_t stop);

The trunk writes order 0 and the spectrum of the signals; a branch reads that and writes the rows of its filters from
`first` to `stop`, and of all that follows from them. They have no state: branches run in any order and side by side,
each with an arena of its own.
"""

from __future__ import annotations

import ctypes
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.codegen import Tables
from scatc.ir.cost import Cost, graph_costs
from scatc.ir.errors import CompileError
from scatc.ir.schedule import ALIGNMENT
from scatc.runtime.plan import Compiled
from scatc.runtime.workers import run_chunks

Array = NDArray[Any]

VERSION = 1
"""Of the interface."""

SHORTEST_CALL = 300e-6
"""Seconds, as predicted. To share work takes some 30 microseconds, more on a busy machine: less is not shared."""

MOST_UNEVEN = 8
"""Signals a worker, from which on one signal more or less for some does not matter."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a library says of itself.

    Attributes
    ----------
    itemsize : int
        Bytes of a real number.
    batch : int
        Most signals of a call.
    spectrum_bytes : int
        Of what the trunk hands to the branches, for one signal.
    arena_bytes : int
        Of scratch memory, whatever the number of signals.
    branches : tuple of (int, int)
        Of each branch: its filters, and how many of them one call should take at most.
    """

    itemsize: int
    batch: int
    spectrum_bytes: int
    arena_bytes: int
    branches: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, library: ctypes.CDLL) -> Layout:
        """Read it from a library."""
        version, itemsize, batch, spectrum, arena, count = (ctypes.c_int64 * 6).in_dll(library, "scatc_layout")
        assert version == VERSION, f"the library speaks version {version} of the interface, not {VERSION}"
        numbers = (ctypes.c_int64 * (6 + 2 * count)).in_dll(library, "scatc_layout")[6:]
        return cls(itemsize, batch, spectrum, arena, tuple(zip(numbers[::2], numbers[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Memory:
    """How many workers run side by side, and on how many signals each: what bounds the working memory."""

    layout: Layout
    workers: int
    batch: int

    @classmethod
    def within(cls, layout: Layout, workers: int, limit: int | None, what: str = "") -> Memory:
        """As many workers as a limit allows, then as many signals; `what` is what needs the memory, for the error.

        Raises
        ------
        CompileError
            If the limit is too small for one worker and one signal.
        """
        if limit is None:
            return cls(layout, workers, layout.batch)
        least = cls(layout, 1, 1).bytes
        if least > limit:
            raise CompileError(
                f"memory_limit={limit} bytes is too small{what}: one signal and one path at a time on one worker need "
                f"{least} bytes; raise memory_limit, or select fewer paths"
            )
        workers = min(workers, limit // least) if least else workers
        spare = limit // workers - layout.arena_bytes
        batch = min(layout.batch, spare // layout.spectrum_bytes) if layout.spectrum_bytes else layout.batch
        return cls(layout, workers, batch)

    @property
    def bytes(self) -> int:
        """All together."""
        return self.workers * (self.layout.arena_bytes + self.batch * self.layout.spectrum_bytes)


class Buffer:
    """Aligned memory."""

    __slots__ = ("_raw", "address")

    def __init__(self, size: int) -> None:
        self._raw = np.empty(size + ALIGNMENT, np.uint8)
        start: int = self._raw.ctypes.data
        self.address = start + -start % ALIGNMENT

    def array(self, count: int, dtype: np.dtype[Any]) -> Array:
        """Its first numbers."""
        begin = self.address - self._raw.ctypes.data
        return self._raw[begin : begin + count * dtype.itemsize].view(dtype)


class NativeCode:
    """A program's compiled code. It may be called from many threads at once.

    Parameters
    ----------
    compiled : Compiled
    library : ctypes.CDLL
        What was built of its source.
    """

    def __init__(self, compiled: Compiled, library: ctypes.CDLL) -> None:
        self.program, self._options = compiled.program, compiled.options
        self.dtype: np.dtype[Any] = np.dtype(compiled.options.dtype)
        self.layout = Layout.of(library)
        assert self.layout.itemsize == self.dtype.itemsize
        self.memory = self._within()
        self._bind(library)
        self._held, self._tables = _aligned(compiled.tables)
        # their steps are atomic: no lock, fork safe
        self._arenas: deque[Buffer] = deque(maxlen=self.memory.workers)
        self._spectra: deque[Buffer] = deque(maxlen=self.memory.workers)

    def _bind(self, library: ctypes.CDLL) -> None:
        """Find the functions."""
        address, number = ctypes.c_void_p, ctypes.c_int64
        self._trunk: Callable[..., None] = library.scatc_trunk
        library.scatc_trunk.restype = library.scatc_branch.restype = None
        library.scatc_trunk.argtypes = (number, address, address, address, address, address)
        self._branch: Callable[..., None] = library.scatc_branch
        library.scatc_branch.argtypes = (number, number, address, address, address, address, number, number)

    def _within(self) -> Memory:
        return Memory.within(self.layout, self.program.workers, self._options.memory_limit)

    @cached_property
    def seconds(self) -> float:
        """Predicted, of one signal."""
        costs = graph_costs(self.program.graph, self._options.machine, self._options.itemsize)
        return sum(costs.values(), Cost()).seconds

    def __call__(self, signals: Array, outs: Sequence[Array], *, alone: bool = False) -> None:
        """Run: by chunks of the batch, and what is left of it by branches of the transform.

        Parameters
        ----------
        signals : array, shape ``(count, *spec.input_shape)``
        outs : sequence of array
            Those of the program, contiguous, for all signals.
        alone : bool, optional
            Whether each signal has a call of its own, so that NaN in one does not reach another.
        """
        call = NativeCall(self, signals, outs)
        try:
            self._run(call, len(signals), alone)
        finally:
            call.give_back()

    def _run(self, call: NativeCall, count: int, alone: bool) -> None:
        workers, batch = self.memory.workers, 1 if alone else self.memory.batch
        if workers > 1 and count * self.seconds < SHORTEST_CALL:
            workers = 1
        rest = count % workers
        if count >= MOST_UNEVEN * workers or rest * self.seconds < SHORTEST_CALL:
            rest = 0
        even = count - rest
        run_chunks(call.whole, _chunks(0, even, workers, batch), workers)
        for chunk in _chunks(even, count, 1, batch):
            call.shared(chunk)
            run_chunks(call.part, self._parts(chunk, workers), workers)
            call.finish_shared(chunk)

    def _parts(self, chunk: slice, workers: int) -> list[tuple[slice, int, int, int]]:
        """The branches, cut so that each worker can have a share of each: signals, branch, and filters from, to."""
        found = []
        for branch, (filters, most) in enumerate(self.layout.branches):
            size = min(most, -(-filters // workers))
            found += [(chunk, branch, a, min(a + size, filters)) for a in range(0, filters, size)]
        return found

    def take_arena(self) -> Buffer:
        """One worker's scratch memory, kept between calls."""
        try:
            return self._arenas.pop()
        except IndexError:
            return Buffer(self.layout.arena_bytes)

    def take_spectrum(self) -> Buffer:
        """Memory for what a trunk hands to branches, kept between calls."""
        try:
            return self._spectra.pop()
        except IndexError:
            return Buffer(self.memory.batch * self.layout.spectrum_bytes)


class NativeCall:
    """One call: its arrays, and the memory that its workers have taken."""

    def __init__(self, code: NativeCode, signals: Array, outs: Sequence[Array]) -> None:
        self._code, self._signals = code, signals
        self._outs = [(out.ctypes.data, out.strides[0]) for out in outs]
        self._pointers: type[ctypes.Array[ctypes.c_void_p]] = ctypes.c_void_p * len(outs)
        self.arenas: dict[int, Buffer] = {}
        self.spectra: dict[int, Buffer] = {}

    def _arena(self, worker: int) -> int:
        if worker not in self.arenas:
            self.arenas[worker] = self._code.take_arena()
        return self.arenas[worker].address

    def _spectrum(self, worker: int) -> int:
        if worker not in self.spectra:
            self.spectra[worker] = self._code.take_spectrum()
        return self.spectra[worker].address

    def _out_pointers(self, chunk: slice) -> ctypes.Array[ctypes.c_void_p]:
        return self._pointers(*(base + chunk.start * step for base, step in self._outs))

    def trunk(self, worker: int, chunk: slice) -> None:
        """The spectrum of some signals, in the memory of a worker."""
        x = _contiguous(self._signals[chunk], self._code.dtype)
        spectrum, arena = self._spectrum(worker), self._arena(worker)
        self._code._trunk(len(x), x.ctypes.data, self._out_pointers(chunk), self._code._tables, spectrum, arena)

    def part(self, worker: int, task: tuple[slice, int, int, int], owner: int = 0) -> None:
        """Some filters of a branch, for signals whose spectrum another worker may have made."""
        chunk, branch, first, stop = task
        spectrum, arena, tables = self._spectrum(owner), self._arena(worker), self._code._tables
        n = chunk.stop - chunk.start
        self._code._branch(branch, n, spectrum, self._out_pointers(chunk), tables, arena, first, stop)

    def whole(self, worker: int, chunk: slice) -> None:
        """The transform of some signals."""
        self.trunk(worker, chunk)
        for task in self._code._parts(chunk, 1):
            self.part(worker, task, worker)
        self.finish(chunk, worker)

    def shared(self, chunk: slice) -> None:
        """The spectrum of signals of which all workers will have a part."""
        self.trunk(0, chunk)

    def finish(self, chunk: slice, worker: int) -> None:
        """What follows the branches, where one worker ran all of them."""

    def finish_shared(self, chunk: slice) -> None:
        """What follows the branches, where workers shared them."""

    def give_back(self) -> None:
        """Leave the memory for later calls."""
        self._code._arenas.extend(self.arenas.values())
        self._code._spectra.extend(self.spectra.values())


def _chunks(start: int, stop: int, workers: int, batch: int) -> list[slice]:
    """Signals in chunks of about one size, the larger first, so many that each worker has equally many of them."""
    if start == stop:
        return []
    count = stop - start
    pieces = min(-(-count // (workers * batch)) * workers, count)
    cuts = [start + -(-count * i // pieces) for i in range(pieces + 1)]
    return sorted((slice(a, b) for a, b in itertools.pairwise(cuts)), key=lambda cut: cut.start - cut.stop)


def _contiguous(x: Array, dtype: np.dtype[Any]) -> Array:
    """Signals as C code takes them."""
    if x.dtype != dtype:
        with np.errstate(all="ignore"):  # infinity belongs to the result, not on stderr
            return x.astype(dtype, order="C")
    if x.flags.c_contiguous and x.flags.aligned:
        return x
    return x.copy(order="C")


def _aligned(tables: Tables) -> tuple[list[object], ctypes.Array[ctypes.c_void_p]]:
    """Tables at aligned addresses, copied where they are not, in the order of their names, and pointers to them."""
    held: list[object] = []
    addresses: list[int] = []
    for name in sorted(tables):
        table = np.ascontiguousarray(tables[name])
        address = table.__array_interface__["data"][0]
        if address % ALIGNMENT:
            buffer = Buffer(table.nbytes)
            ctypes.memmove(buffer.address, address, table.nbytes)
            held.append(buffer)
            addresses.append(buffer.address)
        else:
            held.append(table)
            addresses.append(address)
    return held, (ctypes.c_void_p * len(held))(*addresses)
