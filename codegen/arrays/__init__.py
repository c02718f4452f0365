"""Pure functions of numpy arrays, for programs that have no loops over branches: joint time-frequency scattering.

Not a target by itself: that for numpy writes such programs so.
"""

from __future__ import annotations

from typing import Any

from scatc.codegen import Tables
from scatc.codegen.functional import Emitter, FunctionalTarget
from scatc.ir.cost import Machine
from scatc.ir.options import Options
from scatc.ir.schedule import Program


class ArraysTarget(FunctionalTarget):
    """See `scatc.codegen.functional.FunctionalTarget`."""

    name = "arrays"
    requires = ("numpy", "scipy")
    constants = Machine()
    frees = True

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        return ArraysEmitter(program, self).module(options, tables, version)


class ArraysEmitter(Emitter):
    """The walk over a program, which writes into arrays that are given."""

    def context(self, options: Options, tables: Tables, version: str) -> dict[str, Any]:
        """What the template of the module is told."""
        return super().context(options, tables, version) | {"batch": self.program.batch}


ARRAYS = ArraysTarget()
