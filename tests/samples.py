"""A few small transforms for tests of what plans are, and when two of them are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import Array
from strategies import signal

from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.runtime.numpy import NumpyPlan
from scatc.runtime.plan import Plan

SPECS = [
    Spec(dim=1, shape=100, J=4, Q=2),
    Spec(dim=1, shape=64, J=3, T=0),
    Spec(dim=2, shape=(12, 16), J=2, L=3),
    Spec(dim=3, shape=(6, 5, 4), J=1, L=1),
]
SPEC = SPECS[0]
FEW = (all_paths(SPEC)[2], all_paths(SPEC)[-1])
ALL = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.dim}D-{spec.average}")


def noise(spec: Spec, count: int = 3) -> Array:
    return signal("noise", (count, *spec.input_shape)).astype(np.float32)


def assert_same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for path in wanted:
            np.testing.assert_array_equal(got[path], wanted[path])
    else:
        np.testing.assert_array_equal(got, wanted)


def assert_identical(back: Any, plan: Any) -> None:
    x = noise(plan.spec)
    assert_same(back(x), plan(x))
    assert (back.spec, back.dtype, back.target, back.workers) == (plan.spec, plan.dtype, plan.target, plan.workers)
    assert (back.paths, back.meta()) == (plan.paths, plan.meta())
    for what in (Plan.source, Plan.ir, Plan.schedule, Plan.draw, NumpyPlan.working_bytes, repr):
        assert what(back) == what(plan)
