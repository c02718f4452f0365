"""Plans for GPUs on a machine without one: what is said, read and compiled; and the kernels, interpreted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled import fresh

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch

from scatc.compiler import load
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.spec import Spec

SPEC = Spec(dim=1, shape=600, J=4, Q=2)
TARGETS = pytest.mark.parametrize("target", ["cuda", "hip"])
SUITE = Path(__file__).with_name("triton_kernels.py")


def test_kernels_in_the_interpreter(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(SUITE), "-q", "--tb=short", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@TARGETS
def test_plans_can_be_read_without_a_gpu(target: str, tmp_path: Path) -> None:
    plan = fresh(SPEC, target=target)
    assert f"<scatc {target} plan, float32" in repr(plan)
    assert "@triton.jit" in plan.source()
    assert "the framework's" in plan.report()
    plan.save(tmp_path / "plan")
    assert load(tmp_path / "plan").source() == plan.source()


@TARGETS
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_call_says_so(target: str) -> None:
    text = f"x is on cpu, and a plan for target={target!r} runs on a GPU: torch finds no GPU on this machine"
    with pytest.raises(TargetError, match=f"^{re.escape(text)}"):
        fresh(SPEC, target=target)(torch.ones(600))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_tuned() -> None:
    with pytest.raises(TargetError, match="torch finds none on this machine"):
        fresh(SPEC, target="cuda").tune()


@TARGETS
def test_what_kernels_do_not_do_is_refused(target: str) -> None:
    with pytest.raises(CompileError, match="dtype='float64' is not possible"):
        fresh(SPEC, target=target, dtype="float64")
    with pytest.raises(TargetError, match="dim=2 is not possible for GPU kernels"):
        fresh(Spec(dim=2, shape=(8, 8), J=1), target=target)
    with pytest.raises(TargetError, match="of='vjp' is not possible"):
        fresh(SPEC, target=target).source("vjp")


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_kernels_compile_offline(arch: str) -> None:
    plan = fresh(Spec(dim=1, shape=100, J=3), target="cuda")
    text = plan.asm(arch)
    assert f".target {arch}" in text
    for found in plan.resources(arch):
        assert found.kernel in text
        assert found.spills == 0, found
        assert 0 < found.registers <= 255 and found.shared <= 64 << 10, found


def test_kernels_compile_for_amd() -> None:
    plan = fresh(Spec(dim=1, shape=100, J=3), target="hip")
    assert "gfx942" in plan.asm("gfx942")
    assert all(found.spills == 0 for found in plan.resources("gfx942"))


def test_unknown_architectures_are_refused() -> None:
    plan = fresh(Spec(dim=1, shape=100, J=3), target="cuda")
    with pytest.raises(TargetError, match="arch='volta' is not possible"):
        plan.asm("volta")


def test_tables_are_those_of_the_source() -> None:
    plan = fresh(SPEC, target="cuda")
    named = set(re.findall(r't\["(\w+)"\]', plan.source()))
    assert named == set(plan._compiled.tables)
    assert all(np.isfinite(table).all() for table in plan._compiled.tables.values())
