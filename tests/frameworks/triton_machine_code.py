"""Kernels compiled to machine code without a GPU. `test_triton_plan.py` runs this in a process of its own."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import triton
from compiled import fresh

from scatc.codegen.triton import kernels
from scatc.codegen.triton.images import columns, rows, short_rows, sums
from scatc.codegen.triton.images import kernels as image_kernels
from scatc.codegen.triton.images.columns import Columns
from scatc.codegen.triton.images.mixed import Stages
from scatc.codegen.triton.images.pair_columns import PairColumns
from scatc.codegen.triton.images.rows import Rows
from scatc.codegen.triton.images.short_rows import ShortRows
from scatc.codegen.triton.images.sums import Sums
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.lines import blocks_t, matrix, matrix_t, wavelet_t
from scatc.codegen.triton.lines.blocks import default_cut, default_thin
from scatc.codegen.triton.lines.choices import Tiles, Way
from scatc.codegen.triton.lines.wavelet import WARPS, default
from scatc.codegen.triton.lines.ways_t import Back, Returns
from scatc.ir.errors import TargetError
from scatc.ir.spec import Spec
from scatc.runtime.kernels import Resources, alone, resources
from scatc.runtime.load import load_source
from scatc.runtime.triton import TritonPlan

assert os.environ.get("TRITON_INTERPRET") != "1"

TRITON = tuple(int(part) for part in triton.__version__.split(".")[:2])

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
    default_cut(4096, 2048, around=False): 32,
    default_thin(256, 1024, 20): 16,
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


ROWS = {
    20: rows.default(Stages(5, 4), 20, 8, (40, 40), 4, masked=False),
    40: rows.default(Stages(10, 4), 40, 8, (40, 40), 4, masked=False),
    60: rows.default(Stages(15, 4), 60, 8, (240, 240), 4, masked=False),
    132: rows.default(Stages(33, 4), 132, 8, (264, 264), 2),
}
FEW = tuple(tuple(float(abs(r - 4 * o - 8) < 10) for r in range(40)) for o in range(8))
COLUMNS = {
    40: columns.default(Stages(40, 1), 40, True, ("local", "pack"), outputs=8, weights=FEW),
    132: columns.default(Stages(33, 4, coprime=True), 132, True, ("local",), outputs=64),
}
"""Those of images of 32 x 32 and 256 x 256 samples, at J=2; of rows, 60 samples of 224 x 224 at J=3 as well."""
SUMS = sums.default((264, 264), tuple(1 / (1 + abs(t - 9)) for t in range(19)), -5, 4, 64)
PAIR_COLUMNS = {
    "waves": PairColumns(Stages(40, 1), 40, FEW),
    "input": PairColumns(Stages(40, 1), 40, FEW, rows=(4, 3, 2, 1, *range(32), 30, 29, 28, 27), input=(32, 32)),
    "264": PairColumns(Stages(33, 8, coprime=True), 264, pack=True, tile=16),
}
SHORT_ROWS = {20: short_rows.default((40, 40), (20, 20), 8), 40: short_rows.default((40, 40), (40, 40), 8)}
SLOPES = {
    20: columns.default(Stages(20, 1), 20, True, ("local",), outputs=8, weights=tuple(row[:20] for row in FEW)),
    44: columns.default(Stages(11, 4, coprime=True), 44, True, ("local",), outputs=11),
}
"""Short ones of gradients."""


def needed(shape: Rows | Columns | Sums | PairColumns | ShortRows | None, arch: str) -> Resources:
    """What a kernel of images needs, compiled by itself."""
    assert shape is not None
    if isinstance(shape, Rows):
        kernel = image_kernels.of_rows(shape, "kernel")
    elif isinstance(shape, PairColumns):
        kernel = image_kernels.of_pair_columns(shape, "kernel")
    elif isinstance(shape, ShortRows):
        kernel = image_kernels.of_short_rows(shape, "kernel")
    elif isinstance(shape, Sums):
        kernel = image_kernels.of_sums(shape, "kernel")
    else:
        kernel = image_kernels.of_columns(shape, "kernel")
    module = load_source(image_kernels.kernel_source(kernel, tensor_cores=True), "triton")
    (found,) = resources(module, [Launch("kernel", kernel.types, (), [], {}, shape.warps)], arch)
    return found


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize(
    ("shape", "registers", "shared"),
    [
        pytest.param(ROWS[20], 168, 8, id="rows 20"),
        pytest.param(ROWS[40], 168, 8, id="rows 40"),
        pytest.param(ROWS[60], 168, 8, id="rows 60"),
        pytest.param(ROWS[132], 255, 16, id="rows 132"),
        pytest.param(COLUMNS[40], 128, 0, id="columns 40"),
        pytest.param(COLUMNS[132], 200, 24, id="columns 132"),
        pytest.param(SUMS, 64, 0, id="sums 264"),
        pytest.param(PAIR_COLUMNS["waves"], 255, 0, id="pair columns 40"),
        pytest.param(PAIR_COLUMNS["264"], 255, 16, id="pair columns 264"),
        pytest.param(PAIR_COLUMNS["input"], 128, 0, id="input"),
        pytest.param(SHORT_ROWS[20], 255, 8, id="short rows 20"),
        pytest.param(SHORT_ROWS[40], 255, 8, id="short rows 40"),
    ],
)
def test_kernels_of_images_keep_within_the_registers(
    shape: Rows | Columns | Sums | PairColumns | ShortRows | None, registers: int, shared: int, arch: str
) -> None:
    found = needed(shape, arch)
    assert found.spills == 0, found
    assert found.shared <= shared << 10, found
    assert found.registers <= (registers if TRITON >= (3, 9) else 255), found


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("split", [Stages(33, 4, coprime=True), Stages(9, 8, coprime=True)], ids=str)
def test_what_leads_to_products_is_computed_once(split: Stages, arch: str) -> None:
    """Not by several threads alike, as a product would have it; then it takes more than 60 instructions a sample."""
    shape = columns.default(split, split.length, True, ("local",), outputs=split.length // 4)
    found = needed(shape, arch)
    assert found.instructions < 56 * split.length * shape.tile / (32 * shape.warps), found


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("side", [256, 228])
def test_products_of_images_keep_within_the_registers(side: int, arch: str) -> None:
    """64 averages of 264 samples, in straight-line code; 57 of 236, which are stored one by one."""
    plan = fresh(Spec(dim=2, shape=(side, side), J=2, L=1, order=0), target="cuda")
    launches = [launch for launch in plan._launches() if launch.kernel == "lowpass_rows"]
    launches_back = [launch for launch in plan._launches("vjp") if launch.kernel.startswith("spread")]
    assert len(launches_back) == 2
    for found in (
        *resources(plan._module, launches, arch),
        *resources(plan._gradient_module, launches_back, arch),
    ):
        check(found, 32)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize(
    ("shape", "registers", "shared"), [(SLOPES[20], 96, 0), (SLOPES[44], 192, 8 << 10)], ids=["one stage", "two stages"]
)
def test_columns_there_and_back_keep_within_the_registers(
    shape: Columns, registers: int, shared: int, arch: str
) -> None:
    kernel = image_kernels.of_slopes(shape, "kernel")
    module = load_source(image_kernels.kernel_source(kernel, tensor_cores=True), "triton")
    (found,) = resources(module, [Launch("kernel", kernel.types, (), [], {}, shape.warps)], arch)
    assert found.spills == 0, found
    assert found.shared <= shared and found.registers <= registers, found


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_plans_of_images_compile_offline(arch: str) -> None:
    plan = fresh(Spec(dim=2, shape=(9, 12), J=1, L=1), target="cuda")
    assert f".target {arch}" in plan.asm(arch)
    assert all(found.spills == 0 for of in ("forward", "vjp") for found in plan.resources(arch, of=of))


RETURNS = {
    "averages": (wavelet_t.written, wavelet_t.default(256, 64, 50, "local", outputs=8), WARPS[64], 8),
    "samples": (wavelet_t.written, wavelet_t.default(256, 64, 50, "memory"), WARPS[64], 8),
    "blocks": (wavelet_t.written, wavelet_t.default(256, 64, 30, "memory", crop=10, hop=44, tail=True), WARPS[64], 8),
    "joined": (blocks_t.written, blocks_t.default_join(256, 128, around=False, fresh=True), WARPS[256], 8),
    "added": (blocks_t.written, blocks_t.default_join(256, 128, around=True), WARPS[256], 8),
    "not thinned": (blocks_t.written, blocks_t.default_unthin(64, 256, 8, add=True), WARPS[64], 8),
    "rows": (lambda shape, name: matrix_t.written(shape, name)[0], matrix.shape(8192, 4096, 1500), WARPS[64], 16),
    "columns": (lambda shape, name: matrix_t.written(shape, name)[1], matrix.shape(8192, 4096, 1500), WARPS[64], 16),
}
"""Kernels of gradients of lines, their warps and KiB of shared memory: in registers, of blocks and of long signals."""


@pytest.mark.parametrize("name", list(RETURNS))
def test_kernels_of_gradients_keep_within_the_registers(name: str) -> None:
    write, shape, warps, shared = RETURNS[name]
    kernel = write(shape, "kernel" if name != "columns" else "rows")
    template = kernels.templates().get_template("kernel.py.j2")
    module = load_source(template.render(kernel=kernel, tensor_cores=True), "triton")
    (found,) = resources(module, [Launch(kernel.name, kernel.types, (), [], {}, warps)], "sm_90")
    check(found, shared)


def test_gradients_of_lines_compile_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels that are not written for their sizes."""
    monkeypatch.setattr(Tiles, "legal", lambda self, signal: [Way.STAGED])
    monkeypatch.setattr(Returns, "ways_back", lambda self, signal: [Back.STAGED])
    known = set()
    for spec in (Spec(dim=1, shape=100, J=2), Spec(dim=1, shape=100, J=2, T=0)):
        for found in fresh(spec, target="cuda").resources("sm_80", of="vjp"):
            check(found, 64)
            known.add(found.kernel.split("(")[0])
    assert {"weights", "slope", "gather", "spread", "given", "average_t", "unpad"} <= known


def test_unknown_architectures_are_refused() -> None:
    plan = fresh(Spec(dim=1, shape=100, J=3), target="cuda")
    with pytest.raises(TargetError, match="arch='volta' is not possible"):
        plan.asm("volta")


def test_other_candidates_of_tuning_keep_within_the_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample, of each kind: as many warps or twice, half the rows or twice."""
    lines = [LEAVES[128].candidates()[-1], default_cut(256, 256, around=True).candidates()[-1]]
    lines.append(default_thin(128, 256, 10).candidates()[1])
    for found in alone(lines, "sm_90", WORKERS):
        check(found, 64)
    for shape in (ROWS[40].candidates()[1], COLUMNS[40].candidates()[-1]):
        check(needed(shape, "sm_90"), 64)
    monkeypatch.setattr(Tiles, "legal", lambda self, signal: [Way.STAGED])
    plan = fresh(Spec(dim=1, shape=100, J=3), target="cuda")
    tuned = TritonPlan(plan._compiled, {shape: shape.candidates()[-1] for shape in plan._emitted.tunable()})
    for found in tuned.resources("sm_90"):
        check(found, 64)
