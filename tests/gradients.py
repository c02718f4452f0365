"""Comparing the gradients of compiled plans with the oracle's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from compiled import AGREEMENT, Array, by_path

from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.reverse import reverse
from scatc.runtime.plan import Plan

SHARE = 1e-2
"""Of contributions that cancel, this much of the cotangents' norm is what the error is measured against."""


def cotangents_like(y: Any, seed: int = 0, scale: float = 1.0) -> Any:
    """Noise with the shape of what a plan returned, and of its dtype."""
    rng = np.random.default_rng(seed)
    return mapped(lambda array: (scale * rng.standard_normal(array.shape)).astype(array.dtype), y)


def expected_gradient(plan: Plan, x: Array, g: Any) -> Array:
    """What the oracle says; paths that the plan does not output have no cotangent."""
    graph, given = lower(plan.spec), by_path(plan, g)
    shapes = {path: y.shape for path, y in interpret(graph, np.asarray(x)).items()}
    return reverse(graph, x, {path: given.get(path, np.zeros(shape)) for path, shape in shapes.items()})


def assert_gradient(plan: Plan, x: Array, g: Any, *found: Array, tolerance: float | None = None) -> None:
    """Check gradients against the oracle, up to what rounding of x itself does to the oracle's.

    Where U is 0 but for rounding, so is its phase: the oracle is asked a few times, of signals a few roundings away.
    """
    wanted = expected_gradient(plan, x, g)
    size = np.sqrt(sum(float(np.sum(np.asarray(array, np.float64) ** 2)) for array in arrays_of(g)))
    tolerance = AGREEMENT[plan.dtype.name] if tolerance is None else tolerance
    allowed = tolerance * (float(np.linalg.norm(wanted)) + SHARE * size)
    for got in found:
        assert got.shape == np.shape(x)
        assert got.dtype == plan.dtype
        assert np.isfinite(got).all()
        error = float(np.linalg.norm(got - wanted))
        if error > allowed:
            more = 3 * spread(plan, x, g, wanted)
            assert error <= allowed + more, f"{error} off {np.linalg.norm(wanted)}, {allowed} and {more} allowed"


def spread(plan: Plan, x: Array, g: Any, wanted: Array) -> float:
    """How far the oracle's gradient moves when x does by a few roundings of its largest sample."""
    rng, step = np.random.default_rng(9), 4 * float(np.finfo(plan.dtype).eps) * float(np.abs(x).max(initial=0))
    if not step:
        return 0.0
    near = [expected_gradient(plan, x + step * rng.standard_normal(np.shape(x)), g) for _ in range(2)]
    return max(float(np.linalg.norm(other - wanted)) for other in near)


def arrays_of(y: Any) -> list[Array]:
    """The arrays of what a plan returned, or of a cotangent."""
    return list(y.values()) if isinstance(y, dict) else [y]


def mapped(function: Callable[[Array], Any], y: Any) -> Any:
    """The same with a function applied to each array."""
    return {path: function(array) for path, array in y.items()} if isinstance(y, dict) else function(y)
