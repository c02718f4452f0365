"""Gradients in C, as text, and the tree of signals that they follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from frameworks_support import ALL_TRANSFORMS, TRANSFORMS

from scatc.codegen import find_target
from scatc.codegen.cpu.layout import Grid
from scatc.codegen.cpu.transposed_tables import spread
from scatc.codegen.gradients import tree
from scatc.codegen.signals import Signal, signals
from scatc.ir.adjoint import adjoint
from scatc.ir.cost import Machine
from scatc.ir.lowpass import dense_matrix
from scatc.ir.options import Options
from scatc.ir.schedule import Program, schedule
from scatc.ir.spec import Spec
from scatc.runtime.derived import gradient
from scatc.runtime.driver import build

# Not that of the computer on which the test runs.
MACHINE = Machine("test")


def program_of(spec: Spec, save: str | None = None) -> Program:
    """The program of a transform, or of its gradient."""
    target, options = find_target("cpu"), Options(machine=MACHINE)
    program = build(spec, target, options).program
    graph = adjoint(program.graph, save) if save else program.graph
    return schedule(graph, options, target.memory(options))


def test_golden_text(golden: Callable[[str, str], None]) -> None:
    """What is written for one transform: a function for each signal, and what is exported."""
    few = frozenset({(), (0,), (1,), (0, 3), (1, 3)})
    options = Options(machine=MACHINE, select=few)
    source = gradient(build(Spec(dim=1, shape=32, J=3, Q=1), find_target("cpu"), options), "inputs").source
    golden("codegen/cpu_vjp_1d", source[source.index("/* Y_0") :])


@ALL_TRANSFORMS
def test_the_tree_is_that_of_the_transform(spec: Spec) -> None:
    def told(signal: Signal) -> Any:
        results = [(r.kind, r.paths, r.group, r.first, r.kept, r.by) for r in signal.results if all(r.kept)]
        children = [told(child) for child in signal.children]
        kept = [child for child in children if child[-2] or child[-1]]
        made = (signal.name, signal.shape, signal.level, signal.paths, signal.nodes, signal.fold)
        return (*made, sorted(results), kept)

    found = tree(program_of(spec, "inputs"))
    assert told(found.root) == told(signals(program_of(spec)))
    for signal in found.root.all():
        assert signal.parent is None or len(found.back[signal.name]) == 3
        assert all(child.parent is signal for child in signal.children)


def test_a_gradient_that_loads_what_was_kept_has_none() -> None:
    with pytest.raises(ValueError, match=r"^Z_\w+: a gradient that loads what was kept has no tree of signals$"):
        tree(program_of(TRANSFORMS["1d"], "all"))


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("least", [1, 4, 16])
@pytest.mark.parametrize("spec", [Spec(dim=1, shape=700, J=4, T=8), Spec(dim=1, shape=100, J=4)], ids=["band", "whole"])
def test_averages_are_spread_by_the_transpose_of_their_matrix(spec: Spec, least: int, level: int) -> None:
    n, by = spec.padded_shape[0] >> level, (3 if spec.T == 8 else 4) - level
    found = spread(spec, Grid((n,), 16), level, 0, by, least, 1e-15)
    frames, (heard, block) = n >> by, found.a.shape
    assert block == max(least, 1 << by)
    matrix = np.zeros((n, frames))
    for begin in range(0, n, block):
        for q in range(heard):
            frame = ((begin >> by) + q - found.early) % frames
            samples = np.arange(begin, min(begin + block, n))
            matrix[samples, frame] += found.a[q, : len(samples)]
    np.testing.assert_allclose(matrix, dense_matrix(spec, level, 0, by, (0, frames)), atol=1e-13)
