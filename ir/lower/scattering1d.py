"""1D scattering (Anden & Mallat 2014), with Kymatio's rules for subsampling."""

from __future__ import annotations

from functools import partial

from scatc.ir.lower.steps import Step
from scatc.ir.nodes import Average, Subsample, Unpad
from scatc.ir.spec import Spec


class Scattering1D:
    """U behind a filter of scale j is subsampled by 2**j, with local averaging by no more than the output's stride."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def level(self, j: int) -> int:
        """log2 of the subsampling of U behind a filter of scale j."""
        return j if self.spec.log2_stride is None else min(j, self.spec.log2_stride)

    def average(self, level: int) -> list[Step]:
        """Local: phi, subsample, unpad. Global: the sum over the padded signal. None: U unpadded."""
        spec = self.spec
        if spec.average == "global":
            return [("S", partial(Average, mode="global"))]
        if spec.log2_stride is None:
            return [("S", partial(Unpad, kept=spec.kept(level)))]
        steps: list[Step] = [("A", partial(Average, mode="local", level=level))]
        if spec.log2_stride > level:
            steps.append(("B", partial(Subsample, by=spec.log2_stride - level)))
        return [*steps, ("S", partial(Unpad, kept=spec.kept(spec.log2_stride)))]
