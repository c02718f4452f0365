"""Comparing what two graphs mean: the interpreter's coefficients, order by order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatc.ir.graph import Graph
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes import PASSES
from scatc.ir.paths import Path
from scatc.ir.spec import Spec

Coefficients = Mapping[Path, NDArray[Any]]


def stages(spec: Spec, options: Options) -> Iterator[tuple[str, Graph]]:
    """Yield the graph after lowering and after each pass, with the name of what made it."""
    graph = lower(spec)
    yield "lower", graph
    for run in PASSES:
        graph = run(graph, options)
        yield run.__name__, graph


def before(name: str, spec: Spec, options: Options) -> Graph:
    """Return the graph that the pass called `name` gets."""
    graph = lower(spec)
    for run in PASSES:
        if run.__name__ == name:
            return graph
        graph = run(graph, options)
    raise KeyError(name)


def order_errors(got: Coefficients, expected: Coefficients, floor: float = 0.0) -> dict[int, float]:
    """Return ``||got - expected|| / max(||expected||, floor)`` per order; both must have the same paths and shapes."""
    assert got.keys() == expected.keys()
    for path, array in expected.items():
        assert got[path].shape == array.shape, f"{path}: shape {got[path].shape}, expected {array.shape}"
    errors = {}
    for order in sorted({len(path) for path in expected}):
        paths = [path for path in expected if len(path) == order]
        scale = max(_norm(expected[path] for path in paths), floor)
        errors[order] = _norm(got[path] - expected[path] for path in paths) / (scale or 1.0)
    return errors


def worst(got: Coefficients, expected: Coefficients, floor: float = 0.0) -> float:
    """Return the largest of `order_errors`."""
    return max(order_errors(got, expected, floor).values(), default=0.0)


def _norm(arrays: Any) -> float:
    return float(np.sqrt(sum(float(np.sum(np.abs(array) ** 2)) for array in arrays)))
