"""The torch target: pure functions of tensors on any device, and the programs of their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from scatc.codegen import Tables
from scatc.codegen.functional import FunctionalTarget
from scatc.codegen.functional_rules import RULES, Rule
from scatc.codegen.torch.emitter import GradientEmitter, TorchEmitter
from scatc.codegen.torch.transposed import TRANSPOSED
from scatc.ir.adjoint import SAVES
from scatc.ir.cost import Machine
from scatc.ir.nodes import Node
from scatc.ir.options import Options
from scatc.ir.schedule import Program
from scatc.ir.transposed import Gradient


class TorchTarget(FunctionalTarget):
    """See `scatc.codegen.functional.FunctionalTarget`."""

    name = "torch"
    requires = ("torch",)
    frees = True
    saves = tuple(SAVES)
    # On CPU tensors the numpy program runs: these are of another device, where many small operators wait for launches.
    constants = Machine(
        "torch on a GPU", fft_rate=1e12, matmul_rate=1e13, bandwidth=1e12, call=1e-5, cache_bytes=1 << 40
    )
    rules: ClassVar[Mapping[type[Node], Rule]] = {**RULES, **TRANSPOSED}

    def tables(self, program: Program, options: Options, known: Tables | None = None) -> Tables:
        """Those of the functional targets, and for outputs whose rows are put in order also the way back.

        The gradient needs no others than the forward program, so that a device holds one set.
        """
        if known is not None:
            return known
        tables = super().tables(program, options)
        for name in [name for name in tables if name.endswith("_rows")]:
            places = np.argsort(tables[name]).astype(np.int32)
            places.flags.writeable = False
            tables[name.replace("_rows", "_places")] = places
        return tables

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        if any(isinstance(node, Gradient) for _, node in program.graph):
            return GradientEmitter(program, self, tables).module(options, tables, version)
        return TorchEmitter(program, self).module(options, tables, version)


TARGET = TorchTarget()
