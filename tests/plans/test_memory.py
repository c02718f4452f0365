"""What a call allocates is what the plan says, and no more than it was allowed."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from compiled import Array, assert_agrees, fresh
from strategies import signal

from scatc.ir.errors import CompileError
from scatc.ir.spec import Spec
from scatc.runtime.plan import Plan

SPECS = {
    "1D": Spec(dim=1, shape=4096, J=6, Q=8),
    "1D large": Spec(dim=1, shape=20000, J=8, Q=2),
    "1D stride 1": Spec(dim=1, shape=4096, J=6, Q=2, T=16, stride=1),
    "1D third order": Spec(dim=1, shape=4096, J=6, Q=(2, 1, 1), order=3, padding="zero"),
    "1D global": Spec(dim=1, shape=8192, J=6, Q=4, T="global"),
    "1D none": Spec(dim=1, shape=4096, J=5, Q=4, T=0),
    "2D": Spec(dim=2, shape=(64, 96), J=3, L=6),
    "2D large": Spec(dim=2, shape=(250, 200), J=2, L=8),
    "2D stride 1": Spec(dim=2, shape=(64, 64), J=2, L=4, T=1),
    "2D through FFTs": Spec(dim=2, shape=(340, 300), J=3, L=2, stride=1),
    "2D global": Spec(dim=2, shape=(128, 128), J=3, L=4, T="global", padding="zero"),
    "2D none": Spec(dim=2, shape=(64, 64), J=2, L=4, T=0),
    "3D": Spec(dim=3, shape=(24, 24, 24), J=2, L=2),
    "3D flat": Spec(dim=3, shape=(32, 30, 8), J=2, L=3, rotation_covariant=False, integral_powers=(0.5, 1, 2, 3)),
}
OBJECTS = 40_000
"""Bytes that Python's own objects may take: views, slices, threads."""


def peak(plan: Plan, x: Array) -> int:
    """The most bytes that the first call of a plan allocates at one time, its output and the loaded source excepted."""
    assert plan._module is not None  # which loads it
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        y = plan(x)
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return most - sum(a.nbytes for a in ([y] if isinstance(y, np.ndarray) else y.values()))


def warm_up(spec: Spec, **options: Any) -> None:
    """Let the libraries allocate what they keep: FFT plans, threads, imported modules."""
    plan = fresh(spec, **options)
    plan(np.zeros((2, *plan.spec.input_shape), plan.dtype))


def full_batch(plan: Plan) -> Array:
    """As many signals as all workers together transform at one time."""
    count = int(re.search(r"up to (\d+) signals", plan.report())[1]) * plan.workers  # type: ignore[index]
    return signal("noise", (count, *plan.spec.input_shape)).astype(plan.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SPECS)
def test_a_call_needs_what_the_plan_says(name: str, dtype: str) -> None:
    warm_up(SPECS[name], dtype=dtype, workers=1)
    plan = fresh(SPECS[name], dtype=dtype, workers=1)
    said, needed = plan.working_bytes(), peak(plan, full_batch(plan))
    assert needed <= 1.2 * said + OBJECTS
    assert needed >= 0.8 * said - OBJECTS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_spectrum_that_only_its_inverse_reads_is_not_copied(dtype: str) -> None:
    """MKL needs some coefficients of it changed, which it must do in place."""
    spec, options = SPECS["2D through FFTs"], {"select": [()], "workers": 1, "dtype": dtype}
    warm_up(spec, **options)
    plan = fresh(spec, **options)
    assert " = ifft " in plan.ir()
    assert peak(plan, full_batch(plan)) <= 1.2 * plan.working_bytes() + OBJECTS


@pytest.mark.parametrize("share", [0.4, 0.0])
@pytest.mark.parametrize("name", SPECS)
def test_a_limit_is_kept(name: str, share: float) -> None:
    """From a part of what would be taken down to the least that is possible."""
    spec = SPECS[name]
    least, most = smallest_limit(spec), fresh(spec, workers=1).working_bytes()
    limit = max(int(share * most), least)
    plan = fresh(spec, workers=1, memory_limit=limit)
    assert plan.working_bytes() <= limit
    warm_up(spec, workers=1, memory_limit=limit)
    x = full_batch(plan)
    needed = peak(plan, x)
    assert needed <= 1.2 * limit + OBJECTS
    assert needed >= 0.8 * plan.working_bytes() - OBJECTS


def smallest_limit(spec: Spec, **options: Any) -> int:
    """What the error about too small a limit says is needed."""
    with pytest.raises(CompileError) as caught:
        fresh(spec, memory_limit=1, **options)
    found = re.fullmatch(
        r"memory_limit=1 bytes is too small: one signal and one path at a time on one worker need (\d+) bytes; "
        r"raise memory_limit, or select fewer paths",
        str(caught.value),
    )
    assert found, str(caught.value)
    return int(found[1])


@pytest.mark.parametrize("name", ["1D", "1D none", "2D", "3D"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_least_is_stated_exactly(name: str, dtype: str) -> None:
    least = smallest_limit(SPECS[name], dtype=dtype, workers=3)
    plan = fresh(SPECS[name], dtype=dtype, workers=3, memory_limit=least)
    assert plan.working_bytes() <= least
    with pytest.raises(CompileError, match=f"memory_limit={least - 1} bytes is too small.* need {least} bytes"):
        fresh(SPECS[name], dtype=dtype, workers=3, memory_limit=least - 1)


@pytest.mark.parametrize("name", ["1D", "2D", "3D"])
def test_results_are_the_same_under_any_limit(name: str) -> None:
    spec = SPECS[name]
    for limit in (smallest_limit(spec), 4 * smallest_limit(spec)):
        plan = fresh(spec, dtype="float32", memory_limit=limit)
        assert_agrees(plan, signal("noise", (2, *spec.input_shape)).astype(np.float32))


@pytest.mark.parametrize("name", ["1D", "2D", "3D"])
def test_workers_share_the_limit(name: str) -> None:
    spec = SPECS[name]
    limit = fresh(spec, workers=1).working_bytes()
    warm_up(spec, workers=2, memory_limit=limit)
    plan = fresh(spec, workers=2, memory_limit=limit)
    assert plan.workers == 2 or name == "3D"  # whose smallest piece of work needs more than half of the limit
    assert plan.working_bytes() <= limit
    x = full_batch(plan)
    assert peak(plan, x) <= 1.2 * limit + OBJECTS


def test_a_large_batch_needs_no_more() -> None:
    plan = fresh(SPECS["2D"], workers=1)
    x = full_batch(plan)
    assert peak(plan, np.concatenate([x] * 5)) <= 1.2 * plan.working_bytes() + OBJECTS


def test_input_that_must_be_converted_is_converted_in_chunks() -> None:
    plan = fresh(SPECS["1D"], workers=1)
    x = np.concatenate([full_batch(plan)] * 8).astype(np.float64)
    chunk = x.nbytes // 8 // 2
    assert peak(plan, x) <= 1.2 * (plan.working_bytes() + chunk) + OBJECTS


def test_the_second_call_allocates_no_scratch_memory() -> None:
    plan = fresh(SPECS["3D"], workers=1)
    x = full_batch(plan)
    first = peak(plan, x)
    assert peak(plan, x) < first


@pytest.mark.parametrize("limit", [None, 1 << 20, 3_000_000])
def test_the_report_states_the_same_number(limit: int | None) -> None:
    plan = fresh(SPECS["2D"], workers=2, memory_limit=limit)
    (line,) = [line for line in plan.report().splitlines() if line.startswith("memory")]
    said = f" (memory_limit {limit})" if limit else ""
    start = f"memory    {plan.working_bytes()} bytes of working memory{said}: "
    assert line.startswith(f"{start}{plan.workers} worker(s) x ")
    workers, batch, arena, outside = map(int, re.findall(r"\d+", line.split(": ")[1]))
    assert workers * batch * (arena + outside) == plan.working_bytes()


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "1 GB", float("inf")])
def test_a_limit_is_a_number_of_bytes(limit: Any) -> None:
    text = f"memory_limit={limit!r} is not possible: memory_limit must be a whole number of at least 1, or None"
    with pytest.raises(CompileError, match=f"^{re.escape(text)}$"):
        fresh(SPECS["1D"], memory_limit=limit)
