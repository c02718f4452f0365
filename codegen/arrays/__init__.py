"""Pure functions of numpy arrays, for programs that have no loops over branches: joint time-frequency scattering.

Not a target by itself: that for numpy writes such programs so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from scatc.codegen import Tables
from scatc.codegen.arrays.ripples import samples_at_a_time
from scatc.codegen.functional import Emitter, FunctionalTarget
from scatc.codegen.functional_rules import RULES, Rule
from scatc.ir.cost import Machine
from scatc.ir.nodes import Node, Ripple
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.values import Value


def _ripple(e: Emitter, name: str, node: Ripple, x: Value, y: Value) -> dict[str, object]:
    """Say also how many samples go through it at a time, and what comes out."""
    (samples,) = y.shape
    step = max(1, min(samples_at_a_time(node.whole), samples))  # there may be none
    more = {"step": step, "samples": samples, "kept": node.kept}
    return RULES[Ripple](e, name, node, x, y) | more


class ArraysTarget(FunctionalTarget):
    """See `scatc.codegen.functional.FunctionalTarget`."""

    name = "arrays"
    requires = ("numpy", "scipy")
    constants = Machine()
    frees = True
    rules: ClassVar[Mapping[type[Node], Rule]] = RULES | {Ripple: _ripple}

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        return ArraysEmitter(program, self).module(options, tables, version)


class ArraysEmitter(Emitter):
    """The walk over a program, which writes into arrays that are given."""

    def context(self, options: Options, tables: Tables, version: str) -> dict[str, Any]:
        """What the template of the module is told."""
        return super().context(options, tables, version) | {"batch": self.program.batch}


ARRAYS = ArraysTarget()
