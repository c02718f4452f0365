"""The numpy target: vectorised numpy on CPUs, FFTs through `scipy.fft`."""

from __future__ import annotations

from scatc.codegen import Tables
from scatc.codegen.arrays import ARRAYS
from scatc.codegen.numpy.emitter import emit
from scatc.codegen.numpy.machine import MACHINES
from scatc.codegen.numpy.memory import NumpyMemory
from scatc.codegen.numpy.tables import make_tables
from scatc.ir.adjoint import SAVES
from scatc.ir.cost import Machine
from scatc.ir.options import Options
from scatc.ir.schedule import Program


class NumpyTarget:
    """See `scatc.codegen.Target`."""

    name = runtime = "numpy"
    requires = ("numpy", "scipy")
    scheduled = True
    builds: tuple[str, ...] = ()
    saves = tuple(SAVES)

    def machine(self, fft: str) -> Machine:
        """The machine of a provider; a user's own backend is taken for scipy's."""
        return MACHINES.get(fft, MACHINES["scipy"])

    def memory(self, options: Options, *, vector: bool = False) -> NumpyMemory:
        """What emitted code allocates; `vector` is for programs of gradients, and those that store for them."""
        return NumpyMemory(options.itemsize, options.machine.fft_in_place, vector)

    def tables(self, program: Program, options: Options, known: Tables | None = None) -> Tables:
        """The filters, matrices and indices that emitted code needs."""
        if program.graph.spec.joint:
            return ARRAYS.tables(program, options, known)
        return make_tables(program, options, known or {})

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        if program.graph.spec.joint:
            return ARRAYS.emit(program, options, tables, version)
        return emit(program, options, tables, version)


TARGET = NumpyTarget()
