"""The cpu target: C that is written for one transform.

The text is one translation unit without state, memory or threads of its own. It exports

- `scatc_layout`: version, item size, most signals of a call, bytes of a signal's spectrum, bytes of the arena, the
  number of branches, and for each of them its filters and how many of these are worth a call;
- `scatc_trunk(n, x, outs, tables, spectrum, arena)`: order 0, and the spectra of n signals;
- `scatc_branch(branch, n, spectrum, outs, tables, arena, first, stop)`: filters first <= f < stop of a branch, and all
  that follows from them.

`tables` are pointers to the arrays of `tables()` in the order of their names.
"""

from __future__ import annotations

from scatc.codegen import Tables
from scatc.codegen.cpu.cubes import VolumeEmitter
from scatc.codegen.cpu.emitter import Emitter
from scatc.codegen.cpu.images import ImageEmitter
from scatc.codegen.cpu.transposed import GradientEmitter
from scatc.codegen.functional import NoArena
from scatc.ir.adjoint import SAVES
from scatc.ir.cost import Machine
from scatc.ir.errors import TargetError
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.transposed import Gradient


class CpuTarget:
    """See `scatc.codegen.Target`."""

    name = runtime = "cpu"
    requires = ("numpy", "scipy")
    scheduled = True
    builds = ("dtype", "machine")
    saves = tuple(SAVES)  # where coefficients are kept, both ways run the programs for numpy

    def machine(self, fft: str) -> Machine:
        """The constants of the cost model."""
        return Machine("C", fft_rate=60e9, matmul_rate=100e9, bandwidth=40e9, call=1e-7, cache_bytes=1 << 20)

    def memory(self, options: Options, *, vector: bool = False) -> NoArena:
        """The arena is the emitter's."""
        return NoArena()

    def tables(self, program: Program, options: Options, known: Tables | None = None) -> Tables:
        """The arrays that emitted code reads."""
        return _emitter(program)(program, options, known=known).tables

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        return _emitter(program)(program, options, version, tables).source


def _emitter(program: Program) -> type[Emitter]:
    """That of transforms, for lines, images or volumes, or that of gradients."""
    if program.graph.spec.joint:
        raise TargetError(
            "joint time-frequency scattering is not possible with target='cpu': compile with target='numpy', 'torch', "
            "'tensorflow' or 'jax'"
        )
    if any(isinstance(node, Gradient) for _, node in program.graph):
        return GradientEmitter
    return (Emitter, ImageEmitter, VolumeEmitter)[program.graph.spec.dim - 1]


TARGET = CpuTarget()
