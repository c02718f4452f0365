"""scatc: a compiler for wavelet scattering transforms.

State a transform as a `Spec`, `compile` it, call the plan:

>>> import numpy as np
>>> import scatc
>>> plan = scatc.compile(scatc.Spec(dim=1, shape=1024, J=6, Q=8))
>>> plan(np.zeros((3, 1024))).shape
(3, 126, 16)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scatc.version import __version__

if TYPE_CHECKING:
    from scatc.compiler import compile, load
    from scatc.entry import HarmonicScattering3D, Scattering1D, Scattering2D, TimeFrequencyScattering
    from scatc.ir.errors import CompileError, ScatcError, SpecError, TargetError
    from scatc.ir.spec import Spec
    from scatc.runtime.plan import Plan

# Where each public name lives. They are imported when first used: `import scatc` stays quick and loads no framework.
_HOMES = {
    "compile": "scatc.compiler",
    "load": "scatc.compiler",
    "Spec": "scatc.ir.spec",
    "Plan": "scatc.runtime.plan",
    "ScatcError": "scatc.ir.errors",
    "SpecError": "scatc.ir.errors",
    "CompileError": "scatc.ir.errors",
    "TargetError": "scatc.ir.errors",
    "Scattering1D": "scatc.entry",
    "Scattering2D": "scatc.entry",
    "HarmonicScattering3D": "scatc.entry",
    "TimeFrequencyScattering": "scatc.entry",
}

__all__ = [
    "CompileError",
    "HarmonicScattering3D",
    "Plan",
    "ScatcError",
    "Scattering1D",
    "Scattering2D",
    "Spec",
    "SpecError",
    "TargetError",
    "TimeFrequencyScattering",
    "__version__",
    "compile",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scatc' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
