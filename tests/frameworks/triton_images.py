"""Kernels of images in Triton's interpreter, against the interpreter of the IR. `test_triton_plan.py` runs this in a
process of its own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from compiled import AGREEMENT, FAINT, by_path, expected, fresh
from frameworks_support import KINDS, signals_of
from oracle import order_errors

from scatc.codegen.code import Code
from scatc.codegen.triton import kernels
from scatc.codegen.triton.images import rows
from scatc.codegen.triton.images.choices import Way
from scatc.codegen.triton.images.mixed import mixed_fft, stages
from scatc.codegen.triton.images.tables import twiddles
from scatc.codegen.triton.images.walk import Images
from scatc.ir.spec import Spec
from scatc.runtime.load import load_source
from scatc.runtime.triton import TritonPlan

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "usual": Spec(dim=2, shape=(32, 32), J=2, L=2),
    "odd_sides": Spec(dim=2, shape=(13, 20), J=2, L=3),
    "none": Spec(dim=2, shape=(9, 8), J=1, L=2, T=0),
    "none_pre_padded": Spec(dim=2, shape=(24, 20), J=3, L=2, T=0, padding="periodic", pre_pad=True),
    "global": Spec(dim=2, shape=(8, 11), J=2, L=2, T="global", padding="zero"),
    "order_0": Spec(dim=2, shape=(8, 9), J=2, order=0),
    "order_0_global": Spec(dim=2, shape=(8, 9), J=2, order=0, T="global"),
    "order_1": Spec(dim=2, shape=(24, 24), J=2, L=2, T=9, stride=1, order=1),
    "stride": Spec(dim=2, shape=(20, 16), J=3, L=2, stride=2),
    "third_order": Spec(dim=2, shape=(16, 32), J=3, L=1, order=3),
    "narrow_windows": Spec(dim=2, shape=(64, 40), J=4, L=1),
    "digits": Spec(dim=2, shape=(28, 28), J=2, L=2),
    "one_sample_kept": Spec(dim=2, shape=(9, 8), J=3, L=1, stride=8),
}
ALL = pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))


def agree(plan: Any, x: np.ndarray[Any, Any]) -> None:
    """The same as the interpreter of the IR, for each order."""
    y = plan(torch.from_numpy(x))
    arrays = {path: v.numpy() for path, v in y.items()} if isinstance(y, dict) else y.numpy()
    got = {path: np.asarray(v, np.float64) for path, v in by_path(plan, arrays).items()}
    wanted = expected(plan, x)
    scale = float(np.sqrt(sum(float(np.sum(np.abs(v) ** 2)) for v in wanted.values())))
    errors = order_errors(got, wanted, FAINT * scale)
    assert all(error <= AGREEMENT["float32"] for error in errors.values()), errors


LARGE = {
    "products_of_columns": Spec(dim=2, shape=(44, 28), J=2, L=1, order=1),
    "sums_of_columns": Spec(dim=2, shape=(68, 20), J=2, L=1, order=1, T="global"),
    "raw_columns": Spec(dim=2, shape=(44, 44), J=2, L=1, order=1, T=0),
    "wide_averages": Spec(dim=2, shape=(72, 24), J=1, L=1, order=1, stride=1),
}
"""Images whose columns take two stages."""


@ALL
@pytest.mark.parametrize("batch", [1, 3])
def test_plans_agree_with_the_interpreter(spec: Spec, batch: int) -> None:
    agree(fresh(spec, target="cuda"), np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)))


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("name", ["usual", "odd_sides", "none", "global", "narrow_windows"])
def test_every_way_leads_there(name: str, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Images, "only", way)
    plan = fresh(SPECS[name], target="cuda")
    choices = plan._emitted.choices
    assert way in {choices.way(signal) for signal in plan._emitted.root.all() if signal.parent is not None}
    agree(plan, np.random.default_rng(5).standard_normal((3, *SPECS[name].input_shape)))


@pytest.mark.parametrize("spec", LARGE.values(), ids=list(LARGE))
def test_long_columns(spec: Spec) -> None:
    plan = fresh(spec, target="cuda")
    assert any(shape.split.second > 1 for shape in plan._emitted.of_columns.values())
    agree(plan, np.random.default_rng(6).standard_normal((2, *spec.input_shape)))


def test_filters_that_fold_many_times() -> None:
    """Of eight aliases along an axis few have a weight, and windows wrap around the end of a row."""
    plan = fresh(Spec(dim=2, shape=(32, 40), J=4, L=4, order=1), target="cuda", select=[(3,), (12,), (13,)])
    agree(plan, np.random.default_rng(7).standard_normal((3, 32, 40)))


@pytest.mark.parametrize(("together", "masked"), [(1, False), (4, True), (8, False)])
def test_filters_side_by_side(together: int, masked: bool) -> None:
    """Whatever was chosen: as if it were tuned to that."""
    plan = fresh(Spec(dim=2, shape=(10, 44), J=2, L=8, order=1), target="cuda")
    found = plan._emitted.of_rows.values()
    assert {shape.folded for shape in found} == {True, False}
    others = {shape: replace(shape, together=together, masked=masked, tile=32) for shape in found}
    agree(TritonPlan(plan._compiled, others), np.random.default_rng(8).standard_normal((3, 10, 44)))


@pytest.mark.parametrize("together", [1, 8])
def test_filters_of_short_rows(together: int) -> None:
    """A program may have one of them, or all that are not mirrored."""
    plan = fresh(Spec(dim=2, shape=(10, 12), J=2, L=8), target="cuda")
    found = plan._emitted.of_short_rows.values()
    assert {shape.aliases for shape in found} == {1, 4}
    others = {shape: replace(shape, together=together, tile=32, warps=1) for shape in found}
    agree(TritonPlan(plan._compiled, others), np.random.default_rng(10).standard_normal((3, 10, 12)))


def test_short_images_are_in_registers() -> None:
    """No transform of the library, unless sums over all samples are read from spectra."""
    assert "torch.fft" not in fresh(SPECS["usual"], target="cuda").source()
    assert "torch.fft.fft(" in fresh(SPECS["global"], target="cuda").source()


@pytest.mark.parametrize(("height", "turned"), [(44, False), (72, True)])
def test_moduli_of_long_columns_are_transformed_where_they_are_made(height: int, turned: bool) -> None:
    """The stages of 52 = 13 x 4 have no common factor, those of 80 = 20 x 4 have; averages read moduli from memory."""
    plan = fresh(Spec(dim=2, shape=(height, 12), J=2, L=1), target="cuda")
    assert [(one.split.turned, one.pack) for one in plan._emitted.of_pair_columns.values()] == [(turned, True)]
    agree(plan, np.random.default_rng(11).standard_normal((3, height, 12)))
    (gradient,) = plan._gradient.of_pair_columns.values()
    assert gradient.split.turned == turned and not gradient.pack


def test_two_filters_of_long_lists_side_by_side() -> None:
    plan = fresh(Spec(dim=2, shape=(8, 124), J=2, L=2, order=1), target="cuda")
    assert (33, 2) in {(shape.split.first, shape.together) for shape in plan._emitted.of_rows.values()}
    agree(plan, np.random.default_rng(9).standard_normal((3, 8, 124)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["usual", "none", "global"])
def test_any_image(name: str, kind: str) -> None:
    agree(fresh(SPECS[name], target="cuda"), signals_of(SPECS[name], kind))


def test_the_images_of_a_pair_do_not_disturb_each_other() -> None:
    plan = fresh(Spec(dim=2, shape=(10, 12), J=2, L=1), target="cuda")
    x = np.random.default_rng(0).standard_normal((4, 10, 12)).astype(np.float32)
    x[0] *= 1e12
    x[2] = 1e3 + x[2]
    together = plan(torch.from_numpy(x)).numpy()
    for image, y in zip(x, together, strict=True):
        alone = plan(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(y, alone, atol=1e-5 * np.abs(alone[1:]).max(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(10, 12), (6, 44)], ids=["short", "long"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_image_that_is_not_finite_leaves_the_other_of_its_pair_alone(shape: tuple[int, int], bad: float) -> None:
    plan = fresh(Spec(dim=2, shape=shape, J=2, L=1), target="cuda")
    x = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    x[0, 1, 2] = x[3, 4, 5] = bad
    y = plan(torch.from_numpy(x)).numpy()
    assert np.isnan(y[[0, 3]]).all()
    for image, one in zip(x[1:3], y[1:3], strict=True):
        np.testing.assert_allclose(one, plan(torch.from_numpy(image)).numpy(), atol=1e-5 * np.abs(one[1:]).max())


def test_both_vendors_kernels_do_the_same() -> None:
    agree(fresh(SPECS["usual"], target="hip"), np.random.default_rng(0).standard_normal((2, 32, 32)))


@pytest.mark.parametrize("batch", [(), (0,), (2, 2), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    plan = fresh(SPECS["odd_sides"], target="cuda")
    assert plan(torch.ones(*batch, 13, 20)).shape == (*batch, len(plan.paths), 3, 5)


def test_chunks_are_the_same_as_the_whole() -> None:
    plan = fresh(SPECS["odd_sides"], target="cuda")
    x = torch.randn(5, 13, 20, generator=torch.Generator().manual_seed(0))
    whole = plan(x)
    plan._module.CHUNK = 2
    torch.testing.assert_close(plan(x), whole)


def test_selected_paths_alone() -> None:
    plan = fresh(SPECS["odd_sides"], target="cuda", select=[(1,), (2, 4)])
    agree(plan, np.random.default_rng(1).standard_normal((2, 13, 20)))


@pytest.mark.parametrize("along", ["rows", "columns", "columns in any order"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("length", [20, 40, 60, 120, 132, 240, 264, 18, 52, 64])
def test_transforms_with_an_odd_factor(length: int, sign: int, along: str) -> None:
    """Against numpy's; 132 is 33 x 4, whose digits of 33 are exchanged as 32 and 1."""
    others, of_columns = 8, along != "rows"
    split = stages(length, ordered=along == "columns") if of_columns else rows.stages_of(length)
    assert split is not None and split.length == length
    code = Code()
    step, place = (others, "[None, :]") if of_columns else (1, "[:, None]")
    code.write(f"lane = tl.arange(0, {others}){place} * {1 if of_columns else length}")
    code.write(f"p = tl.arange(0, {split.second}){'[:, None]' if of_columns else '[None, :]'} * {step}")
    planes = []
    for j in range(split.first):
        z = code.let("z", f"tl.load(X + lane + p + {j * split.second * step})")
        planes.append(code.pair(f"low({z})", f"high({z})"))
    for group in mixed_fft(code, planes, split, others, sign, "twiddles", columns=of_columns):
        e = code.let("e", f"tl.arange(0, {group.size}){'[:, None]' if of_columns else '[None, :]'}")
        for q, (re, im) in enumerate(group.planes):
            k = f"({group.start + group.stride * q} + {e}) * {step}"
            code.write(f"tl.store(Y + lane + {k}, both({re}, {im}), mask={e} < {group.count})")
    bits = kernels.templates().get_template("kernels/bits.py.j2").render(tensor_cores=True)
    head = "import triton\nimport triton.language as tl\n"
    module = load_source(f"{head}{bits}\n@triton.jit\ndef kernel(X, twiddles, Y):\n{code}\n", "triton")
    rng = np.random.default_rng(length)
    shape = (length, others) if of_columns else (others, length)
    x = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    y, axis, exact = torch.empty(*shape, dtype=torch.complex64), (0 if of_columns else 1), x.astype(complex)
    x, table = np.ascontiguousarray(x.take(split.inputs, axis)), torch.from_numpy(twiddles(split))
    module.kernel[(1,)](torch.from_numpy(x).view(torch.int64), table, y.view(torch.int64))
    wanted = np.fft.fft(exact, axis=axis) if sign < 0 else np.fft.ifft(exact, axis=axis) * length
    wanted = wanted.take(split.outputs, axis)
    assert np.linalg.norm(y.numpy() - wanted) <= 1e-6 * np.linalg.norm(wanted)
