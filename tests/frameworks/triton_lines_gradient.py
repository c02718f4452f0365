"""Gradients of lines in Triton's interpreter, against the oracle. `test_triton_plan.py` runs this in a process of its
own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from compiled import fresh
from frameworks_support import SINGULAR, signals_of
from gradients import assert_gradient, cotangents_like, mapped

from scatc.codegen.signals import Signal
from scatc.codegen.triton.lines import matrix
from scatc.codegen.triton.lines.choices import Tiles, Way
from scatc.codegen.triton.lines.ways_t import Back, Returns
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "local": Spec(dim=1, shape=60, J=4, Q=2),
    "many_averages": Spec(dim=1, shape=250, J=3, Q=1, T=4),
    "none": Spec(dim=1, shape=75, J=3, T=0, padding="periodic"),
    "global": Spec(dim=1, shape=75, J=4, T="global", padding="zero"),
    "third_order": Spec(dim=1, shape=128, J=5, order=3),
    "order_0": Spec(dim=1, shape=64, J=4, order=0),
    "raw_order_0": Spec(dim=1, shape=33, J=3, T=0, order=0),
    "stride": Spec(dim=1, shape=128, J=4, Q=1, T=32, stride=4),
    "pre_padded": Spec(dim=1, shape=128, J=3, pre_pad=True),
    "two_samples": Spec(dim=1, shape=2, J=2, T="global"),
}
WAYS = pytest.mark.parametrize("way", list(Back), ids=lambda way: way.name)
SMALL = Spec(dim=1, shape=25, J=3)


def noise(spec: Spec, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)).astype(np.float32)


def agree(plan: Plan, x: np.ndarray[Any, Any], g: Any = None) -> None:
    if g is None:
        g = cotangents_like(mapped(lambda y: y.numpy(), plan(torch.from_numpy(x))))
    found = plan.vjp(torch.from_numpy(x), mapped(torch.from_numpy, g))
    assert_gradient(plan, x, g, found.numpy())


def only(way: Back, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals that can go this way do."""
    legal = Returns.legal

    def rather(self: Returns, signal: Signal) -> list[Back]:
        found = legal(self, signal)
        return [way] if way in found else found

    monkeypatch.setattr(Returns, "legal", rather)


@WAYS
@pytest.mark.parametrize("name", list(SPECS))
def test_gradients_are_the_oracles(name: str, way: Back, monkeypatch: pytest.MonkeyPatch) -> None:
    only(way, monkeypatch)
    plan = fresh(SPECS[name], target="cuda")
    agree(plan, noise(SPECS[name], 3))
    assert set(plan._gradient.returns.ways.values()) <= {way, Back.STAGED}


@pytest.mark.parametrize("way", [Way.STAGED, Way.MATRIX], ids=lambda way: way.name)
def test_signals_come_about_in_any_way(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the library, whose waves are kept for the way back, or as matrices."""
    monkeypatch.setattr(matrix, "LEAST", 256)
    legal = Tiles.legal
    monkeypatch.setattr(Tiles, "legal", lambda self, s: [way] if way in legal(self, s) else legal(self, s))
    spec = Spec(dim=1, shape=150, J=4, order=3)
    plan = fresh(spec, target="cuda")
    assert any(choice.way is way for choice in plan._gradient.choices.signals.values())
    agree(plan, noise(spec, 1))


@pytest.mark.parametrize("kind", SINGULAR)
def test_gradients_are_finite_where_moduli_are_zero(kind: str) -> None:
    agree(fresh(SMALL, target="cuda"), signals_of(SMALL, kind).astype(np.float32))


def test_silence_has_the_gradient_of_its_mean_alone() -> None:
    """Whatever rounding its partner brings: moduli that are zero have no derivative, and it counts as 0."""
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 2)
    x[1] = 0
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    g[1, 0] = 0
    found = plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy()
    assert np.abs(found[1]).max() <= 1e-5 * np.abs(found[0]).max()
    agree(plan, x[:1], g[:1])


def test_the_signals_of_a_pair_do_not_disturb_each_other() -> None:
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 4)
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    x[0], x[2] = 1e12 * x[0], 1e3 + x[2]
    g[1], g[2], g[3] = 1e-9 * g[1], 1e30 * g[2], 1e-30 * g[3]
    together = plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy()
    for row, slope, found in zip(x, g, together, strict=True):
        alone = plan.vjp(torch.from_numpy(row), torch.from_numpy(slope)).numpy()
        np.testing.assert_allclose(found, alone, rtol=1e-3, atol=2e-5 * np.abs(alone).max())
    g[:] = 0
    assert not plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).any()


def test_selected_paths_alone() -> None:
    agree(fresh(SMALL, target="cuda", select=[(3,), (2, 4)]), noise(SMALL, 2))


def test_both_vendors_kernels_do_the_same() -> None:
    agree(fresh(SMALL, target="hip"), noise(SMALL, 1))


def test_chunks_are_the_same_as_the_whole() -> None:
    plan, x = fresh(SMALL, target="cuda"), torch.from_numpy(noise(SMALL, 5))
    g = torch.from_numpy(cotangents_like(plan(x).numpy()))
    whole = plan.vjp(x, g)
    plan._gradient_module.CHUNK = 2
    torch.testing.assert_close(plan.vjp(x, g), whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("name", ["local", "none"])
def test_autograd_takes_the_same_way(name: str) -> None:
    """Of coefficients in one array, and of those of several shapes, some of which nobody uses."""
    spec = SPECS[name]
    plan, x = fresh(spec, target="cuda"), torch.from_numpy(noise(spec, 2)).double().reshape(2, 1, -1).requires_grad_()
    y = plan(x)
    g = mapped(torch.from_numpy, cotangents_like(mapped(lambda a: a.detach().numpy(), y)))
    if isinstance(y, dict):
        used = [path for path in y if len(path) != 1]
        (found,) = torch.autograd.grad([y[path] for path in used], x, [g[path] for path in used])
        g = {path: a if path in used else torch.zeros_like(a) for path, a in g.items()}
    else:
        (found,) = torch.autograd.grad(y, x, g)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), plan.vjp(x.detach(), g))


@pytest.mark.parametrize("name", ["local", "none"])
@pytest.mark.parametrize("batch", [(), (0,), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...], name: str) -> None:
    plan = fresh(SPECS[name], target="cuda")
    x = torch.ones(*batch, *SPECS[name].input_shape)
    assert plan.vjp(x, mapped(torch.ones_like, plan(x))).shape == x.shape


def test_what_has_no_coefficients_has_no_gradient() -> None:
    plan, x = fresh(Spec(dim=1, shape=4, J=3), target="cuda"), torch.ones(2, 4)
    assert not plan.vjp(x, plan(x)).any()


def test_what_is_wrong_is_refused() -> None:
    plan, x = fresh(SPECS["none"], target="cuda"), torch.ones(2, 75)
    g = mapped(torch.ones_like, plan(x))
    with pytest.raises(ValueError, match="g must be a dict with the paths of the output"):
        plan.vjp(x, torch.ones(2, 75))
    with pytest.raises(ValueError, match=r"g\[\(0,\)\] has shape \(2, 3\): it must be that of the output, \(2, 75\)"):
        plan.vjp(x, g | {(0,): torch.ones(2, 3)})
    with pytest.raises(TypeError, match=r"g\[\(0,\)\] is list, not a torch tensor"):
        plan.vjp(x, g | {(0,): [1.0]})


def test_what_it_should_take_is_predicted() -> None:
    plan = fresh(SMALL, target="cuda")
    assert plan.predict(4, of="vjp").seconds > plan.predict(4).seconds > 0
    assert "ways back" in plan._gradient.explain()
