"""Kernels compiled to machine code without a GPU. `test_triton_plan.py` runs this in a process of its own."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from compiled import fresh

from scatc.codegen.triton import kernels
from scatc.codegen.triton.blocks import Cut, Thin
from scatc.codegen.triton.choices import Tiles, Way
from scatc.codegen.triton.wavelet import default
from scatc.ir.errors import TargetError
from scatc.ir.spec import Spec
from scatc.runtime.kernels import Resources, alone

assert os.environ.get("TRITON_INTERPRET") != "1"

WORKERS = min(os.cpu_count() or 1, 4)
ARCHITECTURES = pytest.mark.parametrize("arch", ["sm_80", "sm_90"])

LEAVES = {m: default(2 * m, m, m // 2 - 20, ("local",), outputs=16) for m in (128, 256, 512, 1024)}
SHAPES: dict[kernels.Shape, int] = {
    LEAVES[128]: 8,
    LEAVES[256]: 16,
    LEAVES[512]: 32,
    LEAVES[1024]: 64,
    replace(LEAVES[128], together=True): 8,
    default(512, 256, 120, ("local", "pack"), outputs=16): 16,
    default(4096, 2048, 960, ("pack",)): 32,
    default(1024, 256, 120, ("pack",), crop=32, hop=192): 16,
    default(2048, 512, 240, ("pack",), crop=60, hop=392, tail=True): 32,
    Cut(4096, 2048, around=False): 32,
    Thin(256, 1024): 16,
}
"""A set that stands for all: leaves with averages, kernels that pack, of blocks, that cut and thin; and KiB of shared
memory that each may take."""


def check(found: Resources, shared: int) -> None:
    assert found.spills == 0, found
    assert 0 < found.registers <= 255 and found.shared <= shared << 10, found
    assert found.instructions > 0, found


@ARCHITECTURES
def test_kernels_keep_within_registers_and_shared_memory(arch: str) -> None:
    shapes = sorted(SHAPES, key=lambda shape: -shape.length)  # the longest to compile first
    for shape, found in zip(shapes, alone(shapes, arch, WORKERS), strict=True):
        check(found, SHAPES[shape])
        assert found.kernel == repr(shape)


@ARCHITECTURES
def test_kernels_of_a_plan_compile_offline(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not written for their sizes, too: fold, pack, average, lowpass."""
    monkeypatch.setattr(Tiles, "legal", lambda self, signal: [Way.STAGED])
    plan = fresh(Spec(dim=1, shape=100, J=3), target="cuda")
    text = plan.asm(arch)
    assert f".target {arch}" in text
    known = set()
    for found in plan.resources(arch):
        assert found.kernel in text
        check(found, 64)
        known.add(found.kernel.split("(")[0])
    assert {"levels", "pad", "fold", "pack", "lowpass"} <= known


def test_kernels_compile_for_amd() -> None:
    plan = fresh(Spec(dim=1, shape=100, J=3), target="hip")
    assert "gfx942" in plan.asm("gfx942")
    assert all(found.spills == 0 for found in plan.resources("gfx942"))


def test_unknown_architectures_are_refused() -> None:
    plan = fresh(Spec(dim=1, shape=100, J=3), target="cuda")
    with pytest.raises(TargetError, match="arch='volta' is not possible"):
        plan.asm("volta")
