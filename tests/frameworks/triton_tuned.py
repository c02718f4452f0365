"""Every candidate of every kernel of small plans, in Triton's interpreter: it computes what the definition says, and
can be timed by itself. `test_triton_plan.py` runs this in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiled import AGREEMENT, FAINT, by_path, expected, fresh
from gradients import assert_gradient, cotangents_like
from oracle import order_errors

from scatc.codegen.signals import Signal
from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.images.choices import Way as ImageWay
from scatc.codegen.triton.images.walk import Images
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.lines import blocks, matrix, matrix_t, wavelet, wavelet_t
from scatc.codegen.triton.lines.blocks_t import Join, Unthin
from scatc.codegen.triton.lines.choices import Follow, Line, Tiles, Way
from scatc.codegen.triton.lines.ways import Choices
from scatc.codegen.triton.lines.ways_t import Back, Returns
from scatc.codegen.triton.tuned import Tunable
from scatc.ir.spec import Spec
from scatc.runtime.triton import TritonPlan

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "lines": Spec(dim=1, shape=60, J=4),
    "blocks": Spec(dim=1, shape=300, J=4, T=8, order=1),
    "blocks_of_one_path": Spec(dim=1, shape=300, J=4, T=8),
    "matrices": Spec(dim=1, shape=128, J=2, order=1),
    "staged": Spec(dim=1, shape=60, J=2, T=0),
    "images": Spec(dim=2, shape=(16, 12), J=2, L=1),
    "images_staged": Spec(dim=2, shape=(12, 10), J=1, L=1),
    "volumes": Spec(dim=3, shape=(16, 16, 16), J=0, L=0),
    "volumes_by_the_library": Spec(dim=3, shape=(6, 6, 6), J=0, L=1),
}


@pytest.fixture
def plan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TritonPlan:
    """The plan of a name; some go ways that would not pay at their size."""
    name = request.param
    if name in ("matrices", "staged"):
        monkeypatch.setattr(matrix, "LEAST", 256)
        way, legal = (Way.MATRIX, Tiles.legal) if name == "matrices" else (Way.STAGED, Tiles.legal)
        monkeypatch.setattr(Tiles, "legal", lambda *args: [way] if way in (found := legal(*args)) else found)
        monkeypatch.setattr(matrix_t, "LEAST", 256)
        back, returns = (Back.MATRIX, Returns.ways_back) if name == "matrices" else (Back.STAGED, Returns.ways_back)
        monkeypatch.setattr(Returns, "ways_back", lambda *args: [back] if back in (found := returns(*args)) else found)
    if name.startswith("blocks"):
        monkeypatch.setattr(blocks, "LENGTHS", (128, 256))
        within, without = Choices._with_blocks, Choices._without_blocks

        def rather(self: Choices, signal: Signal, line: Line) -> Iterator[Follow]:
            found = list(within(self, signal, line))
            yield from [follow for follow in found if follow.thinning is not None] or found

        def else_whole(self: Choices, signal: Signal, line: Line) -> Iterator[Follow]:
            if not list(self._with_blocks(signal, line)):
                yield from without(self, signal, line)

        monkeypatch.setattr(Choices, "_with_blocks", rather)
        monkeypatch.setattr(Choices, "_without_blocks", else_whole)
    if name == "images_staged":
        monkeypatch.setattr(Images, "only", ImageWay.STAGED)
    found = fresh(SPECS[name], target="cuda", select=[(0, 3)] if name == "blocks_of_one_path" else None)
    assert isinstance(found, TritonPlan)
    return found


def distinct(shape: Any) -> list[Any]:
    """The candidates whose text differs: most kernels do not say how many warps they have, nor does it matter here."""
    if isinstance(shape, wavelet.Shape) and "local" in shape.sinks:
        return list(shape.candidates())
    if isinstance(shape, wavelet_t.Turn):
        return [replace(shape, there=there) for there in distinct(shape.there)]
    names = [name for name in ("warps", "numbers") if name in shape.__dataclass_fields__]
    found = {replace(other, **dict.fromkeys(names, 16)): other for other in reversed(shape.candidates())}
    return list(found.values())


def rounds(emitter: Emitter) -> list[dict[Tunable, Tunable]]:
    """So many choices that all candidates are in one of them."""
    every = {shape: distinct(shape) for shape in emitter.tunable()}
    return [
        {shape: found[i % len(found)] for shape, found in every.items()} for i in range(max(map(len, every.values())))
    ]


@pytest.mark.parametrize("plan", [name for name in SPECS if name != "blocks_of_one_path"], indirect=True)
def test_every_candidate_computes_the_same(plan: TritonPlan) -> None:
    x = np.random.default_rng(0).standard_normal((1 if plan.spec.dim == 3 else 3, *plan.spec.input_shape))
    wanted = expected(plan, x)
    scale = float(np.sqrt(sum(float(np.sum(np.abs(v) ** 2)) for v in wanted.values())))
    for tuned in rounds(plan._emitted):
        other = TritonPlan(plan._compiled, tuned)
        assert other._emitted.tunable().keys() == tuned.keys()
        y = other(torch.from_numpy(x))
        rows = by_path(plan, y if isinstance(y, dict) else y.numpy())
        got = {path: np.asarray(row, np.float64) for path, row in rows.items()}
        errors = order_errors(got, wanted, FAINT * scale)
        assert all(error <= AGREEMENT["float32"] for error in errors.values()), (tuned, errors)


@pytest.mark.parametrize("plan", ["staged", "images", "volumes_by_the_library"], indirect=True)
def test_launches_are_timed_with_what_they_have_in_a_call(
    plan: TritonPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of this test runs what it times, and finds the last of each round to be quickest."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path))
    ticks = 0

    def clock(launch: Callable[[], Any]) -> float:
        nonlocal ticks
        with np.errstate(all="ignore"):
            launch()
        ticks += 1
        return 1.0 / ticks

    tuned = plan._tuned_by(clock, 3, torch.device("cpu"), "interpreter")
    shapes = plan._emitted.tunable()
    every = sum(len(shape.candidates()) for shape in shapes if len(shape.candidates()) > 1)
    assert ticks == every > 5
    assert tuned._tuned == {shape: shape.candidates()[-1] for shape in shapes}
    again = plan._tuned_by(clock, 3, torch.device("cpu"), "interpreter")
    assert again._tuned == tuned._tuned and ticks == every


LINES = ["lines", "blocks", "blocks_of_one_path", "matrices", "staged"]
GRADIENTS = [*LINES, "images", "images_staged", "volumes_by_the_library"]
"""Axis by axis, volumes have kernels for their gradient whose tiles are fixed, and others that transforms have, too."""


@pytest.mark.parametrize("plan", [*GRADIENTS, "volumes"], indirect=True)
def test_every_launch_can_be_tuned(plan: TritonPlan) -> None:
    for emitter in (plan._emitted, plan._gradient):
        assert all(step.shape is not None for step in emitter.steps if isinstance(step, Launch))


@pytest.mark.parametrize(
    ("plan", "kinds"),
    [("blocks", ("cut", "thin", "wavelet")), ("lines", ("cut", "wavelet"))],
    indirect=["plan"],
)
def test_plans_of_lines_have_the_kernels_that_they_are_for(plan: TritonPlan, kinds: tuple[str, ...]) -> None:
    there, gradient = plan._emitted, plan._gradient
    assert {name.split("_")[0] for name in (*there.cuts, *there.shapes)} == set(kinds)
    shapes = [type(shape) for shape in (*gradient.joins.values(), *gradient.turns.values())]
    assert set(shapes) == ({Join, Unthin, wavelet_t.Turn} if "thin" in kinds else {wavelet_t.Turn})
    assert any(turn.there.cut for turn in gradient.turns.values()) == ("thin" in kinds)
    assert (gradient.grouped is None) == ("thin" in kinds)


@pytest.mark.parametrize("plan", ["blocks_of_one_path"], indirect=True)
def test_one_path_of_blocks_begins_with_fresh_memory(plan: TritonPlan) -> None:
    assert any(isinstance(shape, Join) and shape.fresh for shape in plan._gradient.joins.values())


@pytest.mark.parametrize("plan", GRADIENTS, indirect=True)
def test_every_candidate_computes_the_same_gradient(plan: TritonPlan) -> None:
    x = np.random.default_rng(0).standard_normal((1, *plan.spec.input_shape)).astype(np.float32)
    y = plan(torch.from_numpy(x))
    g = cotangents_like({path: one.numpy() for path, one in y.items()} if isinstance(y, dict) else y.numpy())
    sent = {path: torch.from_numpy(one) for path, one in g.items()} if isinstance(g, dict) else torch.from_numpy(g)
    found = []
    for tuned in rounds(plan._gradient):
        other = TritonPlan(plan._compiled, None, tuned)
        assert other._gradient.tunable().keys() == tuned.keys()
        found.append(other.vjp(torch.from_numpy(x), sent).numpy())
    assert_gradient(plan, x, g, *found)


@pytest.mark.parametrize("plan", ["staged", "images_staged"], indirect=True)
def test_gradients_are_tuned_as_transforms_are(
    plan: TritonPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one is tuned, the other stays as it was; what was found before an interruption is kept."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path))
    ticks, shapes = 0, plan._gradient.tunable()
    few = min(len(shape.candidates()) for shape in shapes)
    done = sum(len(shape.candidates()[:few]) for shape in shapes)

    def clock(launch: Callable[[], Any]) -> float:
        nonlocal ticks
        if ticks == done:
            ticks += 1
            raise KeyboardInterrupt
        with np.errstate(all="ignore"):
            launch()
        ticks += 1
        return 1.0 / ticks

    there = TritonPlan(plan._compiled, {shape: shape.candidates()[-1] for shape in plan._emitted.tunable()})
    with pytest.raises(KeyboardInterrupt):
        there._tuned_by(clock, 3, torch.device("cpu"), "interpreter", "vjp")
    before = ticks
    tuned = there._tuned_by(clock, 3, torch.device("cpu"), "interpreter", "vjp")
    rest = sum(len(shape.candidates()) for shape in shapes if len(shape.candidates()) > few)
    assert ticks - before == rest > 0
    assert tuned._tuned_gradient == {shape: shape.candidates()[-1] for shape in shapes}
    assert tuned._tuned is there._tuned
    assert tuned.source("vjp") != plan.source("vjp") and tuned.source() == there.source()
    again = tuned._tuned_by(clock, 3, torch.device("cpu"), "interpreter", "forward")
    assert again._tuned_gradient is tuned._tuned_gradient
