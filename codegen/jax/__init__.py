"""The JAX target: a pure function of arrays, to be traced, differentiated, mapped and compiled by JAX."""

from __future__ import annotations

from scatc.codegen.functional import FunctionalTarget
from scatc.ir.cost import Machine


class JaxTarget(FunctionalTarget):
    """See `scatc.codegen.functional.FunctionalTarget`."""

    name = "jax"
    requires = ("jax",)
    compact = True
    constants = Machine("jax on a CPU", fft_rate=14e9, matmul_rate=80e9, bandwidth=12e9, call=1e-6, cache_bytes=1 << 40)


TARGET = JaxTarget()
