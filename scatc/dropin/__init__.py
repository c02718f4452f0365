"""The drop-in classes without their framework: constructor arguments to `Spec`, attributes, layouts, error messages.

A frontend (numpy, torch, ...) derives from these, names itself, and says how an array of its own reaches a plan.
"""

from __future__ import annotations

from scatc.dropin.base import Backend, ScatteringBase, not_an_array
from scatc.dropin.scattering1d import ScatteringBase1D
from scatc.dropin.scattering2d import ScatteringBase2D
from scatc.dropin.scattering3d import ScatteringBase3D
from scatc.dropin.timefrequency import TimeFrequencyScatteringBase

__all__ = [
    "Backend",
    "ScatteringBase",
    "ScatteringBase1D",
    "ScatteringBase2D",
    "ScatteringBase3D",
    "TimeFrequencyScatteringBase",
    "not_an_array",
]
