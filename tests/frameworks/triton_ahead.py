"""Kernels that are compiled before they are launched. `test_triton_plan.py` runs this in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
from compiled import fresh
from triton.runtime.driver import driver

from scatc.codegen.triton.launch import Launch
from scatc.ir.spec import Spec
from scatc.runtime import ahead
from scatc.runtime.kernels import target_of
from scatc.runtime.triton import TritonPlan

assert os.environ.get("TRITON_INTERPRET") != "1"

SPEC = Spec(dim=2, shape=(12, 9), J=1, L=1)


class Warmed:
    """In the place of a kernel: what a launch would compile."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: Any) -> Any:
        return lambda *args, **kwargs: self.kernel.warmup(*args, grid=(1,), **kwargs)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Triton's cache, empty."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", ahead.Absent(target_of("sm_90")))
    return tmp_path


def cubins(cache: Path) -> set[Path]:
    return set(cache.glob("*/*.cubin"))


def call(plan: TritonPlan, of: str) -> None:
    """Compile what a call on a GPU would launch, as Triton does then."""
    module, emitter = plan._part_module(of), plan._part_emitted(of)
    for name in {step.kernel for step in emitter.steps if isinstance(step, Launch)}:
        setattr(module, name, Warmed(getattr(module, name)))
    tables = {name: torch.from_numpy(table.copy()).to("meta") for name, table in emitter.tables.items()}
    x = torch.empty(3, *plan.spec.input_shape, device="meta")
    outs = [torch.empty((3, len(paths), *shape), device="meta") for shape, paths in plan.groups]
    if of == "vjp":
        module.run(x, outs, tables, torch.empty_like(x))
    else:
        module.run(x, tables, outs)


@pytest.mark.parametrize("of", ["forward", "vjp"])
def test_launches_find_what_was_compiled_ahead(of: str, cache: Path) -> None:
    plan = fresh(SPEC, target="cuda")
    ahead.compile_ahead(plan.source(of), plan._launches(of), "sm_90", "plan", 2)
    found = cubins(cache)
    assert len(found) == len({launch.title for launch in plan._launches(of)})
    assert [path.name for path in cache.glob("scatc-*")] == [f"scatc-plan-sm_90-{triton.__version__}"]
    call(plan, of)
    assert cubins(cache) == found


def test_nothing_is_compiled_twice_nor_by_one_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = fresh(SPEC, target="cuda")
    runs: list[int] = []
    monkeypatch.setattr(ahead, "_run", lambda jobs: runs.append(len(jobs)) or [0] * len(jobs))
    for workers in (1, 2, 2):
        ahead.compile_ahead(plan.source(), plan._launches(), "sm_90", "plan", workers)
    assert runs == [2]


def test_what_fails_is_left_to_the_launch(cache: Path) -> None:
    plan = fresh(SPEC, target="cuda")
    broken = plan.source().replace("tl.sqrt", "tl.no_such_thing")
    ahead.compile_ahead(broken, plan._launches(), "sm_90", "plan", 2)
    assert not list(cache.glob("scatc-*"))
    assert 0 < len(cubins(cache)) < len({launch.title for launch in plan._launches()})


def test_without_a_python_to_start_nothing_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = fresh(SPEC, target="cuda")
    monkeypatch.setattr(ahead.sys, "executable", "/nowhere/python")
    ahead.compile_ahead(plan.source(), plan._launches(), "sm_90", "plan", 2)
    assert not list(cache.iterdir())


def test_parts_take_about_as_long() -> None:
    kernels = {"abcdefgh"[i]: 100 * 2**i for i in range(8)}
    source = "\n".join(f"\ndef {name}():\n{'#' * length}" for name, length in kernels.items())
    parts = ahead.dealt([Launch(name, {}, (), []) for name in kernels], source, 3)
    assert sorted(launch.kernel for part in parts for launch in part) == list(kernels)
    assert [[launch.kernel for launch in part] for part in parts] == [["h", "c", "b"], ["g", "d", "a"], ["f", "e"]]
