"""3D solid harmonic scattering (Eickenberg et al. 2017): full resolution throughout, integrals of powers at the end."""

from __future__ import annotations

from functools import partial

from scatc.ir.lower.steps import Step
from scatc.ir.nodes import Average
from scatc.ir.spec import Spec


class Scattering3D:
    """U is never subsampled: integrals of its powers (0.5, say) need it at full resolution."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def level(self, j: int) -> int:
        """Always 0."""
        return 0

    def average(self, level: int) -> list[Step]:
        """The sums of U to the spec's powers."""
        return [("S", partial(Average, mode="integral", level=level, powers=self.spec.integral_powers or ()))]
