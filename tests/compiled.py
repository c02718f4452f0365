"""Comparing what compiled plans compute with what the interpreter says of the same transform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from support import GoldenCase

from scatc.compiler import compile as compile_plan
from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.paths import Path
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

Array = NDArray[Any]

AGREEMENT = {"float64": 1e-12, "float32": 1e-5}
"""What is promised: the relative error per order, against the interpreter."""
FAINT = 1e-3
"""An order with less than this of the norm of all (of a constant's, say) is measured against this much."""


def fresh(spec: Spec, **options: Any) -> Plan:
    """Compile without the caches."""
    return compile_plan(spec, cache=False, **options)


def golden_spec(case: GoldenCase) -> Spec:
    """State a golden case as a spec."""
    dim = {"Scattering1D": 1, "Scattering2D": 2, "HarmonicScattering3D": 3}[case.name.split("_")[0]]
    kwargs = {{"max_order": "order"}.get(k, k): v for k, v in case.kwargs.items() if k != "out_type"}
    return Spec(dim=dim, **kwargs)


def path_axis(spec: Spec) -> int:
    """The axis of an output array along which paths lie."""
    return -2 if spec.dim == 3 else -1 - spec.dim


def by_path(plan: Plan, y: Any) -> dict[Path, Array]:
    """The coefficients of each path, out of what the plan returned."""
    if isinstance(y, dict):
        return y
    rows = np.moveaxis(y, path_axis(plan.spec), 0)
    return dict(zip(plan.paths, rows, strict=True))


def expected(plan: Plan, x: ArrayLike) -> dict[Path, Array]:
    """What the interpreter says of the paths that a plan outputs."""
    found = interpret(lower(plan.spec), np.asarray(x))
    return {path: found[path] for path in plan.paths}


def order_norms(coefficients: Mapping[Path, Array]) -> dict[int, float]:
    """The norm of each order's coefficients, in double precision."""
    squares: dict[int, float] = {}
    for path, array in coefficients.items():
        squares[len(path)] = squares.get(len(path), 0.0) + float(np.sum(np.abs(np.asarray(array, np.float64)) ** 2))
    return {order: float(np.sqrt(square)) for order, square in sorted(squares.items())}


def assert_agrees(plan: Plan, x: ArrayLike, y: Any = None, tolerance: float | None = None) -> None:
    """Check a plan's output against the interpreter, order by order.

    What rounding leaves of values that cancel is allowed for: of integrals of roots in 3D it is no small number.
    """
    x = np.asarray(x)
    got, wanted = by_path(plan, plan(x) if y is None else y), expected(plan, x)
    assert list(got) == list(wanted)
    for path, array in wanted.items():
        assert got[path].shape == array.shape, f"{path}: shape {got[path].shape}, expected {array.shape}"
        assert got[path].dtype == plan.dtype
        assert np.isfinite(got[path]).all(), path
    tolerance = AGREEMENT[plan.dtype.name] if tolerance is None else tolerance
    scales, whole = order_norms(wanted), np.hypot.reduce([*order_norms(wanted).values(), 0.0])
    for order, error in order_norms({path: got[path] - wanted[path] for path in wanted}).items():
        allowed = tolerance * max(scales[order], FAINT * whole) + _rounding(plan, x)
        assert error <= allowed, f"order {order}: {error} off {scales[order]}, {allowed} allowed"


def _rounding(plan: Plan, x: Array) -> float:
    """What rounding of the input's size leaves where coefficients cancel.

    In 1D and 2D an FFT errs by some epsilons of the input's norm, however little of it passes the filters. Integrals of
    powers in 3D may be, where U is exactly zero, N roundings of the largest sample, to each power.
    """
    if not x.size:
        return 0.0
    if plan.spec.dim < 3:
        return 8 * float(np.finfo(plan.dtype).eps) * float(np.linalg.norm(x))
    rounding = 8 * float(np.finfo(plan.dtype).eps) * float(np.abs(x).max())
    return float(np.sqrt(len(plan.paths) * x.size)) * sum(
        np.sqrt(float(np.prod(plan.spec.shape))) * rounding**q for q in plan.spec.integral_powers or ()
    )
