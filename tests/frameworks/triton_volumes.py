"""Kernels of volumes in Triton's interpreter, against the interpreter of the IR. `test_triton_plan.py` runs this in a
process of its own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from compiled import AGREEMENT, FAINT, assert_agrees, by_path, expected, fresh
from frameworks_support import KINDS, signals_of
from oracle import order_errors

from scatc.codegen.triton.volumes import axes, axis_by_axis, harmonic
from scatc.codegen.triton.volumes.axis_by_axis import AxisByAxis, WithEdges
from scatc.ir.errors import CompileError
from scatc.ir.spec import Spec

assert os.environ.get("TRITON_INTERPRET") == "1"

LIBRARY = {
    "cubes": Spec(dim=3, shape=(8, 8, 8), J=2, L=2),
    "odd_sides": Spec(dim=3, shape=(7, 9, 8), J=1, L=3),
    "one_component": Spec(dim=3, shape=(6, 8, 10), J=1, L=2, rotation_covariant=False),
    "one_component_of_odd_sides": Spec(dim=3, shape=(7, 5, 6), J=1, L=2, rotation_covariant=False),
    "powers": Spec(dim=3, shape=(6, 6, 6), J=1, L=1, integral_powers=(0.3, 1.5, 2.7, 3, 7.25)),
    "third_order": Spec(dim=3, shape=(12, 12, 12), J=2, L=1, order=3, sigma_0=0.7),
    "flat": Spec(dim=3, shape=(1, 10, 3), J=1, L=1, order=1),
}
"""Transformed by the library."""

SELECTED = {"cubes": [(4, 5), (5,)]}
"""Of those that take long, few paths."""

REGISTERS = {
    "cubes": Spec(dim=3, shape=(8, 8, 8), J=1, L=2, sigma_0=2),
    "blocks": Spec(dim=3, shape=(4, 8, 16), J=2, L=1, integral_powers=(1, 0.3, 3)),
    "one_component": Spec(dim=3, shape=(4, 8, 8), J=1, L=2, rotation_covariant=False, sigma_0=3),
    "large_degree": Spec(dim=3, shape=(4, 4, 8), J=0, L=4, order=1),
}
"""Transformed axis by axis, if that is allowed of such short axes."""

CUBE = LIBRARY["cubes"]
SMALL = Spec(dim=3, shape=(8, 8, 8), J=1, L=1)


@pytest.fixture
def short_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes that are long for this test go through the kernels that are for longer ones."""
    monkeypatch.setattr(axes, "LEAST", 2)


def errors(plan: Any, x: np.ndarray[Any, Any]) -> dict[int, float]:
    """The error of each order."""
    got = {path: np.asarray(v, np.float64) for path, v in by_path(plan, plan(torch.from_numpy(x)).numpy()).items()}
    wanted = expected(plan, x)
    scale = float(np.sqrt(sum(float(np.sum(np.abs(v) ** 2)) for v in wanted.values())))
    return order_errors(got, wanted, FAINT * scale)


def agree(plan: Any, x: np.ndarray[Any, Any]) -> None:
    found = errors(plan, x)
    assert all(error <= AGREEMENT["float32"] for error in found.values()), found


def noise(spec: Spec, batch: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((batch, *spec.input_shape))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("spec", LIBRARY.values(), ids=list(LIBRARY))
def test_volumes_agree_with_the_interpreter(spec: Spec, batch: int) -> None:
    plan = fresh(spec, target="cuda")
    assert not isinstance(plan._emitted, AxisByAxis)
    agree(plan, noise(spec, batch, batch))


@pytest.mark.usefixtures("short_axes")
@pytest.mark.parametrize("name", list(REGISTERS))
def test_volumes_axis_by_axis(name: str) -> None:
    plan = fresh(REGISTERS[name], target="cuda", select=SELECTED.get(name))
    assert isinstance(plan._emitted, AxisByAxis)
    agree(plan, noise(REGISTERS[name], 3))


@pytest.mark.usefixtures("short_axes")
def test_planes_of_what_has_no_opposite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which small volumes would not gain by."""
    monkeypatch.setattr(axis_by_axis, "predicted", lambda walk: not isinstance(walk, WithEdges))
    spec = Spec(dim=3, shape=(4, 8, 8), J=1, L=2)
    plan = fresh(spec, target="cuda", select=[(2, 3), (4,)])
    assert isinstance(plan._emitted, WithEdges)
    assert "edge_" in plan.source()
    agree(plan, noise(spec, 3))


def test_axes_of_stages() -> None:
    """Of 32 samples two, which leave out whole planes of bins."""
    spec = Spec(dim=3, shape=(16, 16, 32), J=1, L=1, sigma_0=2)
    plan = fresh(spec, target="cuda", select=[(3,)])
    assert isinstance(plan._emitted, AxisByAxis)
    assert any(kept.gap for kept in plan._emitted.box(plan._emitted.root))
    agree(plan, noise(spec, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["library", "registers"])
def test_any_signal(way: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots of what rounding leaves of zeros are allowed for, as in every test of volumes."""
    if way == "registers":
        monkeypatch.setattr(axes, "LEAST", 2)
    plan = fresh(SMALL, target="cuda")
    x = signals_of(SMALL, kind)
    assert_agrees(plan, x, plan(torch.from_numpy(x)).numpy())


def test_the_volumes_of_a_pair_do_not_disturb_each_other() -> None:
    plan = fresh(SMALL, target="cuda")
    x = noise(SMALL, 4).astype(np.float32)
    x[0] *= 1e12
    x[2] += 30
    together = plan(torch.from_numpy(x)).numpy()
    for row, y in zip(x, together, strict=True):
        np.testing.assert_allclose(y, plan(torch.from_numpy(row)).numpy(), rtol=2e-5)


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-3, 1e18])
def test_any_size(size: float) -> None:
    """S is homogeneous of each power; what float32 has no room for is zero or infinite."""
    spec = Spec(dim=3, shape=(6, 6, 6), J=1, L=1)
    plan = fresh(spec, target="cuda")
    x = noise(spec, 3).astype(np.float32)
    large = (x * size).astype(np.float32)
    wanted = plan(torch.from_numpy(x)).numpy().astype(np.float64) * float(size) ** np.array(spec.integral_powers)
    got = plan(torch.from_numpy(large)).numpy()
    with np.errstate(over="ignore", under="ignore"):
        rtol = 1e-5 if size > 1e-37 else 1e-2  # subnormal samples have lost digits
        np.testing.assert_allclose(got, wanted.astype(np.float32), rtol=rtol, atol=1e-44)


def test_large_samples_keep_small_powers_finite() -> None:
    spec = Spec(dim=3, shape=(6, 6, 6), J=0, L=1)
    y = fresh(spec, target="cuda")(torch.from_numpy(noise(spec, 2).astype(np.float32) * np.float32(1e30))).numpy()
    assert np.isfinite(y[..., :2]).all()
    assert np.isposinf(y[..., 2]).all()


@pytest.mark.parametrize("sides", [(31, 3, 2), (3, 4, 33)], ids=str)
def test_odd_sides(sides: tuple[int, int, int]) -> None:
    spec = Spec(dim=3, shape=sides, J=1, L=1)
    agree(fresh(spec, target="cuda"), noise(spec, 2))


def test_filters_as_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Degrees that are large for this test are not computed in kernels."""
    spec = Spec(dim=3, shape=(12, 12, 12), J=1, L=2, order=1, sigma_0=1.5)
    computed = fresh(spec, target="cuda")
    monkeypatch.setattr("scatc.codegen.triton.volumes.walk.MOST_GENERATED", 0)
    read = fresh(spec, target="cuda")
    assert "filters_3" in read._compiled.tables
    assert "filters_3" not in computed._compiled.tables
    agree(read, noise(spec, 3))
    assert harmonic.MOST_GENERATED > 2


@pytest.mark.parametrize("batch", [(), (0,), (2, 2), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    spec = Spec(dim=3, shape=(4, 4, 4), J=0, L=1)
    plan = fresh(spec, target="cuda")
    assert plan(torch.ones(*batch, 4, 4, 4)).shape == (*batch, 2, 3)


def test_chunks_are_the_same_as_the_whole() -> None:
    plan = fresh(SMALL, target="cuda")
    x = torch.from_numpy(noise(SMALL, 5))
    whole = plan(x)
    plan._module.CHUNK = 2
    torch.testing.assert_close(plan(x), whole)
    assert torch.equal(plan(x), plan(x))  # sums are taken in the same order


def test_selected_paths_alone() -> None:
    plan = fresh(CUBE, target="cuda", select=[(3,), (6, 8)])
    assert plan._emitted.steps != fresh(CUBE, target="cuda")._emitted.steps
    agree(plan, noise(CUBE, 2))


def test_both_vendors_kernels_do_the_same() -> None:
    agree(fresh(LIBRARY["odd_sides"], target="hip"), noise(LIBRARY["odd_sides"], 2))


def test_double_precision_is_refused() -> None:
    with pytest.raises(CompileError, match="dtype='float64' is not possible"):
        fresh(CUBE, target="cuda", dtype="float64")
