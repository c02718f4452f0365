"""The TensorFlow target: graph ops, to be traced, differentiated, compiled by XLA and exported by TensorFlow."""

from __future__ import annotations

from scatc.codegen.functional import Emitter, FunctionalTarget
from scatc.codegen.functional_rules import RULES
from scatc.ir.cost import Machine
from scatc.ir.nodes import Input, Lowpass, Pad
from scatc.ir.values import Value


def _lowpass(e: Emitter, name: str, node: Lowpass, x: Value, y: Value) -> dict[str, object]:
    """Say also whether it is the signal that is averaged: such sums cancel, those of moduli do not."""
    return RULES[Lowpass](e, name, node, x, y) | {"order_0": isinstance(e.graph[node.x], Input | Pad)}


class TensorFlowTarget(FunctionalTarget):
    """See `scatc.codegen.functional.FunctionalTarget`."""

    name = "tensorflow"
    requires = ("tensorflow",)
    compact = True
    rules = RULES | {Lowpass: _lowpass}
    constants = Machine(
        "tensorflow on a CPU", fft_rate=12e9, matmul_rate=80e9, bandwidth=10e9, call=5e-6, cache_bytes=1 << 40
    )


TARGET = TensorFlowTarget()
