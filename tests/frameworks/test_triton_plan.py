"""Plans for GPUs on a machine without one: what is said and read. What needs Triton runs in processes of its own.

Triton and TensorFlow cannot be loaded by one process (each brings an LLVM), and no test of the suite may keep another
from loading what it needs.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled import fresh

pytest.importorskip("torch")

import torch

from scatc.compiler import load
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.spec import Spec
from scatc.runtime import timing

SPEC = Spec(dim=1, shape=600, J=4, Q=2)
TARGETS = pytest.mark.parametrize("target", ["cuda", "hip"])
FOLDER = Path(__file__).parent
SUITES = [
    ("triton_kernels.py", "1"),
    ("triton_lines_gradient.py", "1"),
    ("triton_images.py", "1"),
    ("triton_images_gradient.py", "1"),
    ("triton_tuned.py", "1"),
    ("triton_machine_code.py", "0"),
    ("triton_ahead.py", "0"),
    ("triton_volumes.py", "1"),
    ("triton_volumes_gradient.py", "1"),
    ("triton_volumes_machine_code.py", "0"),
    ("triton_torch.py", "1"),
]
"""Files of tests, and whether Triton interprets."""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize(("suite", "interpreted"), SUITES)
def test_in_a_process_of_its_own(suite: str, interpreted: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(FOLDER / suite), "-q", "--tb=short", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment | {"TRITON_INTERPRET": interpreted},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="triton is installed")
def test_what_needs_triton_says_so() -> None:
    text = "target='cuda' needs triton to run, which is not installed: pip install 'scatc[cuda]'"
    with pytest.raises(TargetError, match=f"^{re.escape(text)}$"):
        fresh(SPEC, target="cuda").asm("sm_90")


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
    for call in (fresh(SPEC, target="cuda").tune, fresh(SPEC, target="cuda").measure):
        with pytest.raises(TargetError, match="torch finds none on this machine"):
            call()
    with pytest.raises(ValueError, match="of='backward' is not possible: of must be 'forward' or 'vjp'"):
        fresh(SPEC, target="cuda").tune(of="backward")


def test_reports_show_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were a GPU that takes a millisecond."""
    plan = fresh(SPEC, target="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus")
    monkeypatch.setattr(torch, "randn", lambda *shape, device: torch.zeros(shape))
    monkeypatch.setattr(timing, "median_seconds", lambda call: 1e-3)
    assert "measured  " not in plan.report(3)
    assert plan.measure(3) == 1e-3
    assert "measured  1.000 ms on Abacus, eager\n" in plan.report(3)
    assert "measured  " not in plan.report(4)


@TARGETS
def test_what_kernels_do_not_do_is_refused(target: str) -> None:
    with pytest.raises(CompileError, match="dtype='float64' is not possible"):
        fresh(SPEC, target=target, dtype="float64")


def test_tables_are_those_of_the_source() -> None:
    plan = fresh(SPEC, target="cuda")
    named = set(re.findall(r't\["(\w+)"\]', plan.source()))
    assert named == set(plan._compiled.tables)
    assert all(np.isfinite(table).all() for table in plan._compiled.tables.values())
