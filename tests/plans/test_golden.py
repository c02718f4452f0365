"""Every golden case through compiled plans, and the plans against the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import Array, assert_agrees, by_path, fresh, golden_spec, order_norms
from support import GoldenCase, golden_cases

from scatc.ir.paths import Path
from scatc.runtime.plan import Plan

CLASSES = ("Scattering1D", "Scattering2D", "HarmonicScattering3D")
CASES = [case for cls in CLASSES for case in golden_cases(cls)]
# The golden filters in 2D and 3D are single precision inside.
FLOAT64 = {1: 1e-9, 2: 2e-6, 3: 2e-6}


def golden_coefficients(plan: Plan, case: GoldenCase) -> dict[Path, Array]:
    """The golden arrays by path: 3D ones have an axis of degrees, which are the last part of a path's place."""
    if isinstance(case.expected, dict):
        return case.expected
    y: Any = case.expected
    if plan.spec.dim == 3:
        y = y.reshape(*y.shape[:1], -1, y.shape[-1])
    return by_path(plan, y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: GoldenCase, dtype: str) -> None:
    plan = fresh(golden_spec(case), dtype=dtype)
    got, wanted = by_path(plan, plan(case.x)), golden_coefficients(plan, case)
    assert set(got) == set(wanted)
    tolerance = FLOAT64[plan.spec.dim] if dtype == "float64" else 1e-5
    scales = order_norms(wanted)
    for order, error in order_norms({path: got[path] - wanted[path] for path in wanted}).items():
        assert error <= tolerance * scales[order], (order, error / scales[order])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_inputs_give_what_the_interpreter_says(case: GoldenCase, dtype: str) -> None:
    assert_agrees(fresh(golden_spec(case), dtype=dtype), case.x)


def test_shapes_and_types() -> None:
    for case in CASES:
        plan = fresh(golden_spec(case))
        y = plan(case.x)
        for array in y.values() if isinstance(y, dict) else [y]:
            assert array.dtype == np.float32
            assert array.flags.c_contiguous or isinstance(y, dict)
            assert array.flags.writeable
            assert len(array) == len(case.x)
