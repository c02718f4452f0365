"""The TensorFlow target: graph ops, to be traced, differentiated, compiled by XLA and exported by TensorFlow."""

from __future__ import annotations

from scatc.codegen.functional import FunctionalTarget
from scatc.ir.cost import Machine


class TensorFlowTarget(FunctionalTarget):
    """See `scatc.codegen.functional.FunctionalTarget`."""

    name = "tensorflow"
    requires = ("tensorflow",)
    compact = True
    constants = Machine(
        "tensorflow on a CPU", fft_rate=12e9, matmul_rate=80e9, bandwidth=10e9, call=5e-6, cache_bytes=1 << 40
    )


TARGET = TensorFlowTarget()
