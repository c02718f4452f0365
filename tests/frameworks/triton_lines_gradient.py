"""Gradients of lines in Triton's interpreter, against the oracle. `test_triton_plan.py` runs this in a process of its
own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from compiled import fresh
from frameworks_support import SINGULAR, signals_of
from gradients import assert_gradient, cotangents_like, mapped

from scatc.codegen.signals import Signal
from scatc.codegen.triton.lines import blocks, blocks_t, matrix, matrix_t
from scatc.codegen.triton.lines.blocks import Blocks
from scatc.codegen.triton.lines.choices import Follow, Line, Tiles, Way
from scatc.codegen.triton.lines.ways import Choices
from scatc.codegen.triton.lines.ways_t import Back, Returns
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "local": Spec(dim=1, shape=50, J=3, Q=2),
    "many_averages": Spec(dim=1, shape=160, J=2, T=4),
    "none": Spec(dim=1, shape=40, J=3, T=0, padding="periodic"),
    "global": Spec(dim=1, shape=75, J=4, T="global", padding="zero"),
    "third_order": Spec(dim=1, shape=64, J=4, order=3),
    "order_0": Spec(dim=1, shape=64, J=4, order=0),
    "raw_order_0": Spec(dim=1, shape=33, J=3, T=0, order=0),
    "stride": Spec(dim=1, shape=64, J=3, T=16, stride=2),
    "pre_padded": Spec(dim=1, shape=30, J=3, pre_pad=True),
    "two_samples": Spec(dim=1, shape=2, J=2, T="global"),
}
SMALL = Spec(dim=1, shape=25, J=3)
RAW = Spec(dim=1, shape=20, J=2, T=0)


@pytest.fixture(autouse=True)
def nothing_is_read_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory often holds what another call left there, which may be right."""
    empty = torch.empty

    def poisoned(*sizes: Any, **more: Any) -> torch.Tensor:
        found = empty(*sizes, **more)
        return found.fill_(float("nan")) if found.is_complex() or found.is_floating_point() else found

    monkeypatch.setattr(torch, "empty", poisoned)


def noise(spec: Spec, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)).astype(np.float32)


def agree(plan: Plan, x: np.ndarray[Any, Any], g: Any = None) -> None:
    if g is None:
        g = cotangents_like(mapped(lambda y: y.numpy(), plan(torch.from_numpy(x))))
    found = plan.vjp(torch.from_numpy(x), mapped(torch.from_numpy, g))
    assert_gradient(plan, x, g, found.numpy())


@pytest.mark.parametrize("name", list(SPECS))
def test_gradients_are_the_oracles(name: str) -> None:
    """Such short signals go there and back in registers."""
    plan = fresh(SPECS[name], target="cuda")
    agree(plan, noise(SPECS[name], 3))
    assert (Back.STAGED in plan._gradient.returns.ways.values()) == (name == "two_samples")


@pytest.mark.parametrize("name", ["many_averages", "none", "global"])
def test_signals_go_back_by_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Returns, "ways_back", lambda self, signal: [Back.STAGED])
    agree(fresh(SPECS[name], target="cuda"), noise(SPECS[name], 1))


@pytest.mark.parametrize("there", [Way.REGISTERS, Way.STAGED, Way.MATRIX], ids=lambda way: way.name)
@pytest.mark.parametrize("back", [Back.STAGED, Back.MATRIX], ids=lambda way: way.name)
def test_every_way_there_goes_with_every_way_back(there: Way, back: Back, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the way there leaves is kept for the way back if it is of use; signals are long for this test."""
    monkeypatch.setattr(matrix, "LEAST", 256)
    monkeypatch.setattr(matrix_t, "LEAST", 256)
    legal, returns = Tiles.legal, Returns.ways_back
    monkeypatch.setattr(Tiles, "legal", lambda self, s: [there] if there in legal(self, s) else legal(self, s))
    monkeypatch.setattr(Returns, "ways_back", lambda self, s: [back] if back in returns(self, s) else returns(self, s))
    spec = Spec(dim=1, shape=150, J=3)
    plan = fresh(spec, target="cuda")
    choices, ways = plan._gradient.choices, plan._gradient.returns.ways
    assert any(choices.signals[name].way is there and ways[name] is back for name in ways)
    agree(plan, noise(spec, 1))


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals that are long for this test go in blocks wherever they can."""
    monkeypatch.setattr(blocks, "LENGTHS", (128, 256))
    without = Choices._without_blocks

    def rather(self: Choices, signal: Signal, line: Line) -> Iterator[Follow]:
        if not list(self._with_blocks(signal, line)):
            yield from without(self, signal, line)

    monkeypatch.setattr(Choices, "_without_blocks", rather)


def test_blocks_go_around_the_circle(in_blocks: None) -> None:
    """All samples are needed; noise, a zero signal, and an impulse beside an end, where the signal is mirrored."""
    spec = Spec(dim=1, shape=100, J=3)
    plan = fresh(spec, target="cuda")
    returns = plan._gradient.returns
    assert Back.BLOCKS in returns.ways.values()
    assert all(choice.line.whole for choice in returns.signals.values())
    x = np.zeros((3, 100), np.float32)
    x[0], x[2, 1] = noise(spec, 1)[0], 1
    agree(plan, x)


@pytest.mark.parametrize("line", [256, 512, 1024])
def test_blocks_that_overlap_are_not_added_by_one_launch(line: int) -> None:
    for length, halo in itertools.product((64, 128), range(0, 33, 4)):
        if blocks.OVERLAP * halo > length:
            continue
        hop = length - 2 * halo
        for count in range(1, -(-line // hop) + 1):
            cut = Blocks(length, halo, 0, count, length)
            launches = [
                [first + i * step for i in range(number)]
                for first, step, number in blocks_t.turns(cut, line, whole=True)
            ]
            assert sorted(itertools.chain(*launches)) == list(range(count))
            for together in launches:
                samples = [(block * hop + i) % line for block in together for i in range(length)]
                assert len(set(samples)) == len(samples), (cut, together)


def test_thinned_signals_and_parts_of_them_go_back(in_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a padded signal what outputs depend on; twice the same to the bit."""
    within = Choices._with_blocks

    def rather(self: Choices, signal: Signal, line: Line) -> Iterator[Follow]:
        found = list(within(self, signal, line))
        yield from [follow for follow in found if follow.thinning is not None] or found

    monkeypatch.setattr(Choices, "_with_blocks", rather)
    spec = Spec(dim=1, shape=500, J=4, T=8)
    plan = fresh(spec, target="cuda")
    thinned = [choice for choice in plan._gradient.returns.signals.values() if choice.follow.thinning is not None]
    assert any(choice.line.whole for choice in thinned) and any(not choice.line.whole for choice in thinned)
    x = np.stack([noise(spec, 1)[0], np.eye(1, 500, 499, np.float32)[0]])
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    one, other = (plan.vjp(torch.from_numpy(x), torch.from_numpy(g)) for _ in range(2))
    assert_gradient(plan, x, g, one.numpy())
    assert torch.equal(one, other)


@pytest.mark.parametrize("averages", [16, "global"])
def test_leaves_of_several_parents_together(averages: Any) -> None:
    spec = Spec(dim=1, shape=55, J=4, T=averages)
    plan = fresh(spec, target="cuda")
    grouped = plan._gradient.grouped
    assert grouped is not None and len({leaf.parent.name for group in grouped.groups for leaf in group.leaves}) > 1
    agree(plan, noise(spec, 3))


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
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 3)
    g = cotangents_like(plan(torch.from_numpy(x)).numpy())
    x[0], x[2] = 1e12 * x[0], 1e3 + x[2]
    g[1], g[2] = 1e-9 * g[1], 1e30 * g[2]
    together = plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy()
    for row, slope, found in zip(x, g, together, strict=True):
        alone = plan.vjp(torch.from_numpy(row), torch.from_numpy(slope)).numpy()
        np.testing.assert_allclose(found, alone, rtol=1e-3, atol=2e-5 * np.abs(alone).max())
    g[:] = 0
    assert not plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).any()


def test_selected_paths_alone() -> None:
    agree(fresh(SMALL, target="cuda", select=[(3,), (0, 3)]), noise(SMALL, 2))


def test_both_vendors_kernels_do_the_same() -> None:
    agree(fresh(SMALL, target="hip"), noise(SMALL, 1))


def test_chunks_are_the_same_as_the_whole() -> None:
    plan, x = fresh(SMALL, target="cuda"), torch.from_numpy(noise(SMALL, 3))
    g = torch.from_numpy(cotangents_like(plan(x).numpy()))
    whole = plan.vjp(x, g)
    plan._gradient_module.CHUNK = 2
    torch.testing.assert_close(plan.vjp(x, g), whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("spec", [SMALL, RAW], ids=["local", "none"])
def test_autograd_takes_the_same_way(spec: Spec) -> None:
    """Of coefficients in one array, and of those of several shapes, some of which nobody uses."""
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


@pytest.mark.parametrize("spec", [SMALL, RAW], ids=["local", "none"])
@pytest.mark.parametrize("batch", [(), (0,), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...], spec: Spec) -> None:
    plan = fresh(spec, target="cuda")
    x = torch.ones(*batch, *spec.input_shape)
    assert plan.vjp(x, mapped(torch.ones_like, plan(x))).shape == x.shape


def test_what_has_no_coefficients_has_no_gradient() -> None:
    plan, x = fresh(Spec(dim=1, shape=4, J=3), target="cuda"), torch.ones(2, 4)
    assert not plan.vjp(x, plan(x)).any()


def test_what_is_wrong_is_refused() -> None:
    plan, x = fresh(RAW, target="cuda"), torch.ones(2, 20)
    g = mapped(torch.ones_like, plan(x))
    with pytest.raises(ValueError, match="g must be a dict with the paths of the output"):
        plan.vjp(x, torch.ones(2, 20))
    with pytest.raises(ValueError, match=r"g\[\(0,\)\] has shape \(2, 3\): it must be that of the output, \(2, 20\)"):
        plan.vjp(x, g | {(0,): torch.ones(2, 3)})
    with pytest.raises(TypeError, match=r"g\[\(0,\)\] is list, not a torch tensor"):
        plan.vjp(x, g | {(0,): [1.0]})


def test_what_it_should_take_is_predicted() -> None:
    plan = fresh(SMALL, target="cuda")
    assert plan.predict(4, of="vjp").seconds > plan.predict(4).seconds > 0
    assert "ways back" in plan._gradient.explain()
