"""Gradients of volumes in Triton's interpreter, against the oracle. `test_triton_plan.py` runs this in a process of its
own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from compiled import fresh
from frameworks_support import SINGULAR, signals_of
from gradients import assert_gradient, cotangents_like

from scatc.codegen.triton.volumes import axes
from scatc.codegen.triton.volumes.axis_by_axis_t import AxisByAxisT
from scatc.ir.spec import Spec

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "cubes": Spec(dim=3, shape=(8, 8, 8), J=2, L=2),
    "odd_sides": Spec(dim=3, shape=(7, 5, 6), J=1, L=3),
    "one_component": Spec(dim=3, shape=(6, 8, 4), J=1, L=2, rotation_covariant=False),
    "powers": Spec(dim=3, shape=(6, 6, 6), J=1, L=1, integral_powers=(0.3, 1.5, 2.7, 3)),
    "third_order": Spec(dim=3, shape=(8, 8, 8), J=2, L=0, order=3, sigma_0=0.7),
}
REGISTERS = {
    "cubes": (Spec(dim=3, shape=(8, 8, 8), J=1, L=2, sigma_0=2), [(4, 5), (5,)]),
    "blocks": (Spec(dim=3, shape=(4, 8, 16), J=2, L=1, sigma_0=1.5, integral_powers=(1, 0.3)), [(2,), (3, 5), (0, 1)]),
}
"""Transformed axis by axis, if that is allowed of such short axes; and few of their paths."""

SMALL = Spec(dim=3, shape=(6, 4, 5), J=1, L=1)


def noise(spec: Spec, batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)).astype(np.float32)


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_gradients_are_the_oracles(spec: Spec, batch: int) -> None:
    plan, x = fresh(spec, target="cuda"), noise(spec, batch)
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    assert_gradient(plan, x, g, plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy())


@pytest.mark.parametrize("name", list(REGISTERS))
def test_gradients_axis_by_axis(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axes, "LEAST", 2)
    spec, select = REGISTERS[name]
    plan, x = fresh(spec, target="cuda", select=select), noise(spec, 3)
    assert isinstance(plan._gradient, AxisByAxisT)
    g = cotangents_like(np.empty((3, len(plan.paths), len(spec.integral_powers or ())), np.float32))
    assert_gradient(plan, x, g, plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy())


@pytest.mark.parametrize("kind", SINGULAR)
def test_gradients_are_finite_where_norms_are_zero(kind: str) -> None:
    plan, x = fresh(SMALL, target="cuda"), signals_of(SMALL, kind).astype(np.float32)
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    assert_gradient(plan, x, g, plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy())


def test_the_volumes_of_a_pair_do_not_disturb_each_other() -> None:
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 3)
    x[0] *= 1e8
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    g[1] *= 1e-9
    together = plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy()
    for row, slope, found in zip(x, g, together, strict=True):
        alone = plan.vjp(torch.from_numpy(row), torch.from_numpy(slope)).numpy()
        np.testing.assert_allclose(found, alone, rtol=1e-3, atol=2e-5 * np.abs(alone).max())


def test_selected_paths_alone() -> None:
    plan, x = fresh(SMALL, target="cuda", select=[(2, 3), (1,)]), noise(SMALL, 2)
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    assert_gradient(plan, x, g, plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy())


def test_filters_as_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scatc.codegen.triton.volumes.walk.MOST_GENERATED", 0)
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 2)
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    found = plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy()
    assert "filters_3" in plan._gradient.tables
    assert_gradient(plan, x, g, found)


def test_chunks_are_the_same_as_the_whole() -> None:
    plan, x = fresh(SMALL, target="cuda"), torch.from_numpy(noise(SMALL, 5))
    g = torch.from_numpy(cotangents_like(plan(x).numpy()))
    whole = plan.vjp(x, g)
    plan._gradient_module.CHUNK = 2
    torch.testing.assert_close(plan.vjp(x, g), whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_autograd_takes_the_same_way() -> None:
    plan = fresh(SMALL, target="cuda")
    x = torch.from_numpy(noise(SMALL, 2)).double().reshape(2, 1, *SMALL.shape).requires_grad_()
    y = plan(x)
    g = torch.from_numpy(cotangents_like(y.detach().numpy()))
    (found,) = torch.autograd.grad(y, x, g)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), plan.vjp(x.detach(), g))
    assert not plan(x.detach()).requires_grad


@pytest.mark.parametrize("batch", [(), (0,), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    plan = fresh(SMALL, target="cuda")
    x = torch.ones(*batch, *SMALL.shape)
    assert plan.vjp(x, torch.ones_like(plan(x))).shape == x.shape


def test_what_is_wrong_is_refused() -> None:
    plan, x = fresh(SMALL, target="cuda"), torch.ones(2, *SMALL.shape)
    with pytest.raises(ValueError, match=r"g has shape \(2, 1\): it must be that of the output, \(2, 6, 3\)"):
        plan.vjp(x, torch.ones(2, 1))
    with pytest.raises(TypeError, match="g is ndarray, not a torch tensor"):
        plan.vjp(x, np.ones((2, 6, 3)))
    with pytest.raises(TypeError, match="g is complex"):
        plan.vjp(x, torch.ones(2, 6, 3, dtype=torch.complex64))
    with pytest.raises(ValueError, match="x has shape"):
        plan.vjp(torch.ones(5), torch.ones(6, 3))
