"""What the tests of all frameworks share: golden cases, small transforms of every kind, and the signals to try them on.

A plan for a framework is compared in numpy: `as_arrays` brings its result there, `compiled.assert_agrees` takes it on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import Array, by_path, golden_spec, order_norms
from strategies import signal
from support import GoldenCase, golden_cases

from scatc.ir.paths import Path
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

CLASSES = ("Scattering1D", "Scattering2D", "HarmonicScattering3D")
GOLDEN = pytest.mark.parametrize(
    "case", [case for cls in CLASSES for case in golden_cases(cls)], ids=lambda case: case.name
)

TRANSFORMS = {
    "1d": Spec(dim=1, shape=100, J=4, Q=3),
    "1d_banded": Spec(dim=1, shape=700, J=3, Q=1, T=4),
    "1d_none": Spec(dim=1, shape=50, J=2, T=0, padding="periodic"),
    "1d_global": Spec(dim=1, shape=33, J=3, T="global", padding="zero"),
    "1d_third_order": Spec(dim=1, shape=128, J=5, order=3),
    "1d_fft_lowpass": Spec(dim=1, shape=2048, J=3, Q=1, T=512, stride=2),
    "1d_no_sample_kept": Spec(dim=1, shape=4, J=3),
    "2d": Spec(dim=2, shape=(13, 20), J=2, L=3),
    "2d_none": Spec(dim=2, shape=(9, 8), J=1, L=2, T=0),
    "2d_global": Spec(dim=2, shape=(8, 11), J=2, L=2, T="global", padding="zero"),
    "2d_order_0": Spec(dim=2, shape=(8, 9), J=2, order=0),
    "3d": Spec(dim=3, shape=(6, 7, 8), J=1, L=2),
    "3d_one_component": Spec(dim=3, shape=(6, 4, 5), J=1, L=1, rotation_covariant=False, integral_powers=(1, 3)),
}
"""Transforms of all dimensions and averaging modes, with odd sides among them."""

SMALL = {
    "1d": Spec(dim=1, shape=13, J=2),
    "1d_none": Spec(dim=1, shape=12, J=2, T=0),
    "1d_global": Spec(dim=1, shape=12, J=2, T="global"),
    "2d": Spec(dim=2, shape=(5, 6), J=1, L=2),
    "2d_none": Spec(dim=2, shape=(5, 6), J=1, L=1, T=0),
    "2d_global": Spec(dim=2, shape=(4, 5), J=1, L=1, T="global"),
    "3d": Spec(dim=3, shape=(3, 4, 5), J=0, L=1),
    "3d_powers": Spec(dim=3, shape=(4, 3, 4), J=0, L=1, rotation_covariant=False, integral_powers=(0.5, 1.5, 3)),
}
"""The same for tests of gradients, which take one or more transforms a sample."""

ALL_TRANSFORMS = pytest.mark.parametrize("spec", TRANSFORMS.values(), ids=list(TRANSFORMS))
ALL_SMALL = pytest.mark.parametrize("spec", SMALL.values(), ids=list(SMALL))
BATCHES = pytest.mark.parametrize("batch", [(), (1,), (2,), (2, 2), (0,), (3, 0)], ids=str)

KINDS = ("noise", "zeros", "impulse", "constant", "sparse")
"""What `signals_of` makes."""
SINGULAR = ("zeros", "impulse", "constant", "sparse")
"""Those at which moduli are zero, or next to it: gradients must be finite there."""


def signals_of(spec: Spec, kind: str, count: int = 2) -> Array:
    """Signals for a transform, float64; `sparse` ones have a block of zeros around two samples."""
    if kind != "sparse":
        return np.stack([signal(kind, spec.input_shape, seed) for seed in range(count)])
    x = np.zeros((count, *spec.input_shape))
    flat = x.reshape(count, -1)
    flat[:, 0], flat[:, flat.shape[1] // 2] = 1.5, -0.5
    return x


def assert_nan_stays(plan_of: Callable[[Spec], Any]) -> None:
    """Powers are cut out at 0 for their derivatives' sake; NaN is not 0, and makes all of its volume's."""
    spec = Spec(dim=3, shape=(4, 4, 4), J=0, L=1, integral_powers=(0.5, 1, 3))
    x = signals_of(spec, "noise").astype(np.float32)
    x[0, 1, 2, 3] = np.nan
    y = as_arrays(plan_of(spec)(x))
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1]).all()


def as_arrays(result: Any) -> Any:
    """What a plan or a class returned, in numpy."""
    if isinstance(result, dict):
        return {path: np.asarray(array) for path, array in result.items()}
    return np.asarray(result)


def golden_coefficients(plan: Plan, case: GoldenCase) -> dict[Path, Array]:
    """The golden arrays by path: 3D ones have an axis of degrees, which are the last part of a path's place."""
    if isinstance(case.expected, dict):
        return case.expected
    y: Any = case.expected
    if plan.spec.dim == 3:
        y = y.reshape(*y.shape[:1], -1, y.shape[-1])
    return by_path(plan, y)


def assert_golden(plan: Plan, case: GoldenCase, result: Any) -> None:
    """Check what a plan of a golden case returned for its signals. (2D and 3D golden filters are float32 inside.)"""
    assert plan.spec == golden_spec(case)
    got, wanted = by_path(plan, as_arrays(result)), golden_coefficients(plan, case)
    assert set(got) == set(wanted)
    tolerance = 1e-5 if plan.dtype == np.float32 else 1e-9 if plan.spec.dim == 1 else 2e-6
    scales = order_norms(wanted)
    for order, error in order_norms({path: got[path] - wanted[path] for path in wanted}).items():
        assert error <= tolerance * scales[order], (order, error / scales[order])
