"""Compiled joint time-frequency scattering, on numpy: what its plans compute, keep, refuse and say."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_agrees, fresh

import scatc
from scatc import CompileError, Spec, TargetError

VARIANTS: list[dict[str, Any]] = [
    {}, {"format": "joint", "F": 2}, {"T": 0, "F": 0}, {"T": "global", "F": "global"}, {"stride": 2, "stride_fr": 1},
    {"shape": 151, "padding": "zero"}, {"Q": (4, 2), "Q_fr": 2, "F": 9},
]  # fmt: skip


def joint(**more: Any) -> Spec:
    return Spec(**{"dim": 1, "shape": 150, "J": 4, "Q": 3, "J_fr": 2} | more)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("more", VARIANTS, ids=str)
def test_plans_agree_with_the_interpreter(more: dict[str, Any], dtype: str) -> None:
    spec = joint(**more)
    x = np.random.default_rng(0).standard_normal((3, *spec.shape)) + 2
    assert_agrees(fresh(spec, dtype=dtype), x)


@pytest.mark.parametrize("batch", [(), (1,), (2, 3), (0,), (2, 0)])
def test_any_batch(batch: tuple[int, ...]) -> None:
    plan = fresh(joint(), workers=2)
    x = np.random.default_rng(1).standard_normal((*batch, 150))
    y = plan(x)
    assert y.shape == (*batch, len(plan.paths), y.shape[-1])
    for one, signal in zip(y.reshape(-1, *y.shape[-2:]), x.reshape(-1, 150), strict=True):
        np.testing.assert_allclose(one, plan(signal), rtol=1e-5, atol=1e-6 * np.abs(one).max())


def test_special_signals() -> None:
    plan = fresh(joint())
    impulse = np.eye(1, 150, 70)[0]
    assert not plan(np.zeros(150)).any()
    assert_agrees(plan, np.stack([impulse, np.ones(150), 1e-3 * impulse]))
    np.testing.assert_allclose(plan(1e30 * impulse), 1e30 * plan(impulse), rtol=1e-5, atol=1e22)
    y = plan(np.stack([np.full(150, np.nan), impulse]))
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[1], plan(impulse))


def test_selected_paths() -> None:
    plan, x = fresh(joint()), np.random.default_rng(2).standard_normal((2, 150))
    part = fresh(joint(), select=lambda row: row.order == 2 and row.n_fr in (1, 3))
    assert {row.n_fr for row in part.meta()} == {1, 3}
    rows = [row for row, path in enumerate(plan.paths) if path in part.paths]
    np.testing.assert_allclose(part(x), plan(x)[:, rows], rtol=1e-5, atol=1e-6)


def test_a_plan_comes_back_from_a_file(tmp_path: Path) -> None:
    plan, x = fresh(joint(format="joint")), np.random.default_rng(3).standard_normal(150)
    plan.save(tmp_path / "joint.scatc")
    again = scatc.load(tmp_path / "joint.scatc")
    assert again.spec == plan.spec
    assert again.source() == plan.source()
    np.testing.assert_array_equal(again(x), plan(x))


def test_memory_is_bounded() -> None:
    spec, x = joint(), np.random.default_rng(4).standard_normal((40, 150))
    free = fresh(spec, workers=1)
    one = free.working_bytes() // free._program.batch
    tight = fresh(spec, workers=1, memory_limit=3 * one)
    assert tight.working_bytes() <= 3 * one < free.working_bytes()
    np.testing.assert_allclose(tight(x), free(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(CompileError, match="one signal at a time on one worker need"):
        fresh(spec, memory_limit=one // 2)


@pytest.mark.parametrize("more", [{}, {"format": "joint", "F": 1}, {"T": 0, "F": 0}], ids=str)
def test_memory_is_what_is_said(more: dict[str, Any]) -> None:
    plan = fresh(joint(shape=3000, **more), workers=1)
    x = np.random.default_rng(5).standard_normal((8, 3000)).astype(np.float32)
    plan(x)
    tracemalloc.start()
    try:
        y = plan(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    outputs = sum(array.nbytes for array in (y.values() if isinstance(y, dict) else [y]))
    assert peak - outputs < 1.1 * plan.working_bytes() + 100_000


@pytest.mark.parametrize("target", ["cpu", "cuda", "hip"])
def test_targets_that_do_not_have_it_say_which_do(target: str) -> None:
    with pytest.raises(TargetError, match=r"joint time-frequency scattering is not possible .*'torch'"):
        fresh(joint(), target=target).source()


def test_the_gradient_is_the_frameworks() -> None:
    plan = fresh(joint())
    y = plan(np.ones(150))
    with pytest.raises(TargetError, match="differentiate a plan for target='torch', 'tensorflow' or 'jax'"):
        plan.vjp(np.ones(150), y)


def test_what_is_kept_for_it_is_theirs_to_say() -> None:
    with pytest.raises(CompileError, match="save='all' is not possible: frameworks differentiate"):
        fresh(joint(), save="all")


def test_what_a_plan_says() -> None:
    plan = fresh(joint())
    report = plan.report()
    assert "1 of order 0" in report
    assert f"{sum(row.order == 2 for row in plan.meta())} of order 2" in report
    assert "ripple" in report
    assert "F_fr_1 = ripple W_fr index=1" in plan.ir()
    assert "# F_fr_1 = ripple W_fr" in plan.source()
    assert "ripple" in plan.draw()
