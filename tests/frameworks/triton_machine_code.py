"""Kernels compiled to machine code without a GPU. `test_triton_plan.py` runs this in a process of its own."""

from __future__ import annotations

import os

import pytest
from compiled import fresh

from scatc.ir.errors import TargetError
from scatc.ir.spec import Spec

assert os.environ.get("TRITON_INTERPRET") != "1"


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
