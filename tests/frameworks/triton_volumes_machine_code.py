"""Kernels of volumes as machine code, without a GPU. `test_triton_plan.py` runs this in a process of its own."""

from __future__ import annotations

import os

import pytest
import triton
from compiled import fresh

from scatc.codegen.triton.volumes.axis_by_axis import AxisByAxis, WithEdges
from scatc.ir.spec import Spec

assert os.environ.get("TRITON_INTERPRET") != "1"

TRITON = tuple(int(part) for part in triton.__version__.split(".")[:2])

SMALL = {
    "library": Spec(dim=3, shape=(6, 7, 8), J=1, L=2, integral_powers=(0.3, 1, 2.5)),
    "registers": Spec(dim=3, shape=(16, 16, 16), J=1, L=1),
}

PATHS = ((6, 8),)
"""Of the largest degree: all filters at the finest scale, a spectrum of few bins, and what is made of it."""


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("way", list(SMALL))
def test_kernels_compile_offline(way: str, arch: str) -> None:
    plan = fresh(SMALL[way], target="cuda")
    assert isinstance(plan._emitted, AxisByAxis) == (way == "registers")
    for found in plan.resources(arch):
        assert found.spills == 0, found
        assert 0 < found.registers <= 128 and found.shared <= 8 << 10, found


@pytest.mark.parametrize(("arch", "of"), [("sm_80", "forward"), ("sm_90", "forward"), ("sm_90", "vjp")])
def test_long_axes_spill_nothing(arch: str, of: str) -> None:
    plan = fresh(Spec(dim=3, shape=(128, 128, 128), J=2, L=2), target="cuda", select=PATHS)
    assert isinstance(plan._emitted, WithEdges)
    for found in plan.resources(arch, of=of):
        assert found.spills == 0, found
        assert 0 < found.registers <= 255 and found.shared <= 16 << 10, found
        # a few hundred more where planes are laid out anew for each of the joins that put them into one tensor
        assert found.instructions <= 1900 or TRITON < (3, 9), found


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_gradients_compile_offline(arch: str) -> None:
    plan = fresh(SMALL["library"], target="cuda", select=[(2, 3), (4, 5)])
    for found in plan.resources(arch, of="vjp"):
        assert found.spills == 0, found
        assert 0 < found.registers <= 168, found


def test_kernels_compile_for_amd() -> None:
    plan = fresh(SMALL["registers"], target="hip", select=[(2, 3)])
    assert all(found.spills == 0 for found in plan.resources("gfx942"))
