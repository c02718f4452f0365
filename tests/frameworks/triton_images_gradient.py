"""Gradients of images in Triton's interpreter, against the oracle. `test_triton_plan.py` runs this in a process of its
own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from compiled import assert_agrees, fresh
from frameworks_support import SINGULAR, signals_of
from gradients import assert_gradient, cotangents_like, mapped

from scatc.codegen.code import Code, Plane
from scatc.codegen.triton import kernels
from scatc.codegen.triton.images import rows
from scatc.codegen.triton.images.choices import ImageChoices, Way
from scatc.codegen.triton.images.mixed import mixed_fft, mixed_fft_back, stages
from scatc.codegen.triton.images.tables import twiddles
from scatc.codegen.triton.images.walk_t import ImagesT
from scatc.ir.spec import Spec
from scatc.runtime.load import load_source

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "usual": Spec(dim=2, shape=(16, 16), J=2, L=2),
    "odd_sides": Spec(dim=2, shape=(13, 20), J=2, L=3),
    "none": Spec(dim=2, shape=(9, 8), J=1, L=2, T=0),
    "none_pre_padded": Spec(dim=2, shape=(16, 20), J=2, L=1, T=0, padding="periodic", pre_pad=True),
    "global": Spec(dim=2, shape=(8, 11), J=2, L=2, T="global", padding="zero"),
    "order_0": Spec(dim=2, shape=(8, 9), J=2, order=0),
    "order_0_global": Spec(dim=2, shape=(8, 9), J=2, order=0, T="global"),
    "order_0_none": Spec(dim=2, shape=(8, 9), J=2, order=0, T=0),
    "order_1": Spec(dim=2, shape=(20, 12), J=2, L=2, T=9, stride=1, order=1),
    "stride": Spec(dim=2, shape=(20, 16), J=3, L=2, stride=2),
    "third_order": Spec(dim=2, shape=(16, 8), J=3, L=1, order=3),
    "narrow_windows": Spec(dim=2, shape=(32, 20), J=4, L=1),
    "one_sample_kept": Spec(dim=2, shape=(9, 8), J=3, L=1, stride=8),
}
LONG = {
    "averages": Spec(dim=2, shape=(44, 12), J=2, L=1, order=1),
    "sums": Spec(dim=2, shape=(44, 9), J=2, L=1, order=1, T="global"),
    "children": Spec(dim=2, shape=(44, 12), J=2, L=1),
    "children_of_turned": Spec(dim=2, shape=(72, 8), J=2, L=1),
}
"""Images whose columns take two stages."""
SMALL = Spec(dim=2, shape=(9, 12), J=2, L=1)


def noise(spec: Spec, batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)).astype(np.float32)


def output(plan: Any, x: np.ndarray[Any, Any]) -> Any:
    """Zeros with the shape of what a plan returns."""
    if plan.spec.average == "none":
        return {path: np.zeros((len(x), *shape), np.float32) for shape, paths in plan.groups for path in paths}
    ((shape, paths),) = plan.groups
    return np.zeros((len(x), len(paths), *shape), np.float32)


def found(plan: Any, x: np.ndarray[Any, Any], g: Any) -> np.ndarray[Any, Any]:
    gradient: np.ndarray[Any, Any] = plan.vjp(torch.from_numpy(x), mapped(torch.from_numpy, g)).numpy()
    return gradient


def check(plan: Any, x: np.ndarray[Any, Any]) -> None:
    g = cotangents_like(output(plan, x))
    assert_gradient(plan, x, g, found(plan, x, g))


@pytest.mark.parametrize(("shape", "products"), [((6, 330), False), ((330, 6), True)], ids=["rows", "columns"])
def test_products_of_many_terms_are_loops(
    shape: tuple[int, int], products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There and back; columns by a product, too, where sums would be quicker."""
    if products:
        monkeypatch.setattr(ImageChoices, "sums", lambda *_: None)
    plan = fresh(Spec(dim=2, shape=shape, J=1, order=0, stride=1), target="cuda")
    x = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    y = plan(torch.from_numpy(x)).numpy()
    assert_agrees(plan, x, y)
    g = cotangents_like(y)
    assert_gradient(plan, x, g, plan.vjp(torch.from_numpy(x), torch.from_numpy(g)).numpy())


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_gradients_are_the_oracles(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImagesT, "only", Way.STAGED)  # the quickest here
    check(fresh(spec, target="cuda"), noise(spec, 3))


@pytest.mark.parametrize("kind", SINGULAR)
@pytest.mark.parametrize("name", ["small", "none"])
def test_gradients_are_finite_where_moduli_are_zero(name: str, kind: str) -> None:
    spec = SPECS.get(name, SMALL)
    check(fresh(spec, target="cuda"), signals_of(spec, kind).astype(np.float32))


def test_an_image_without_detail_has_no_phase() -> None:
    """Not even that of the rounding errors of the other image of its pair."""
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 2)
    x[1] = 7
    g = cotangents_like(output(plan, x))
    together = found(plan, x, g)
    np.testing.assert_allclose(together[1], found(plan, x[1:], g[1:])[0], atol=1e-6)
    g[:, 0] = 0
    assert not found(plan, x, g)[1].any()


def test_the_images_of_a_pair_do_not_disturb_each_other() -> None:
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 4)
    x[0] *= 1e12
    x[2] = 1e3 + x[2]
    g = cotangents_like(output(plan, x))
    g[1] *= 1e-20
    g[3] *= 1e30
    for image, slope, gradient in zip(x, g, found(plan, x, g).astype(float), strict=True):
        alone = found(plan, image, slope).astype(float)
        assert np.linalg.norm(gradient - alone) <= 1e-5 * np.linalg.norm(alone)


def test_selected_paths_alone() -> None:
    check(fresh(SMALL, target="cuda", select=[(1,), (0, 1)]), noise(SMALL, 2))


def test_chunks_are_the_same_as_the_whole() -> None:
    plan, x = fresh(SMALL, target="cuda"), noise(SMALL, 5)
    g = cotangents_like(output(plan, x))
    whole = found(plan, x, g)
    plan._gradient_module.CHUNK = 2
    np.testing.assert_allclose(found(plan, x, g), whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("name", ["small", "none"])
def test_autograd_takes_the_same_way(name: str) -> None:
    spec = SPECS.get(name, SMALL)
    plan = fresh(spec, target="cuda")
    x = torch.from_numpy(noise(spec, 2)).double().reshape(2, 1, *spec.shape).requires_grad_()
    y = plan(x)
    ys = list(y.values()) if isinstance(y, dict) else [y]
    gs = [torch.randn(array.shape, generator=torch.Generator().manual_seed(0)) for array in ys]
    (gradient,) = torch.autograd.grad(ys, x, gs)
    assert gradient.dtype == torch.float64
    given = dict(zip(y, gs, strict=True)) if isinstance(y, dict) else gs[0]
    torch.testing.assert_close(gradient.float(), plan.vjp(x.detach(), given))


@pytest.mark.parametrize("batch", [(), (0,), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    plan = fresh(SMALL, target="cuda")
    x = torch.ones(*batch, *SMALL.shape)
    assert plan.vjp(x, torch.ones_like(plan(x))).shape == x.shape


def test_what_gradients_cost_is_predicted() -> None:
    plan = fresh(SMALL, target="cuda")
    back = plan.predict(8, "H100", of="vjp")
    assert plan.predict(8, "H100").seconds < back.seconds < 1
    assert {"gather", "spread rows", "unpad"} <= {row.title for row in back.rows}
    assert "def gather_image(" in plan.source("vjp")


@pytest.mark.parametrize("way", [Way.FUSED, Way.COLUMNS])
@pytest.mark.parametrize("name", ["usual", "none", "global"])
def test_every_way_leads_there(name: str, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImagesT, "only", way)
    plan = fresh(SPECS[name], target="cuda")
    choices = plan._gradient.choices
    assert way in {choices.way(signal) for signal in plan._gradient.root.all() if signal.parent is not None}
    check(plan, noise(SPECS[name], 3))


@pytest.mark.parametrize("spec", LONG.values(), ids=list(LONG))
def test_long_columns(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImagesT, "only", Way.FUSED)
    plan = fresh(spec, target="cuda")
    assert any(shape.split.second > 1 for shape in plan._gradient.of_slopes.values())
    check(plan, noise(spec, 2))


def test_both_vendors_kernels_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImagesT, "only", Way.FUSED)
    check(fresh(LONG["averages"], target="hip"), noise(LONG["averages"], 1))


@pytest.mark.parametrize("along", ["rows", "columns", "columns in any order"])
@pytest.mark.parametrize("length", [20, 132])
def test_transforms_go_back_the_same_way(length: int, along: str) -> None:
    """Forward and back, of which either leaves digits in an order of its own."""
    of_columns, others = along != "rows", 8
    split = stages(length, ordered=along == "columns") if of_columns else rows.stages_of(length)
    assert split is not None
    code, step = Code(), others if of_columns else 1
    code.write(f"lane = tl.arange(0, {others}){'[None, :]' if of_columns else f'[:, None] * {length}'}")
    code.write(f"p = tl.arange(0, {split.second}){'[:, None]' if of_columns else '[None, :]'} * {step}")
    planes: list[Plane] = []
    for j in range(split.first):
        z = code.let("z", f"tl.load(X + lane + p + {j * split.second * step})")
        planes.append(code.pair(f"low({z})", f"high({z})"))
    there = mixed_fft(code, planes, split, others, 1, "twiddles", columns=of_columns)
    for j, plane in enumerate(mixed_fft_back(code, there, split, others, -1, "twiddles", columns=of_columns)):
        assert plane is not None
        code.write(f"tl.store(X + lane + p + {j * split.second * step}, both({plane[0]}, {plane[1]}))")
    bits = kernels.templates().get_template("kernels/bits.py.j2").render(tensor_cores=True)
    head = "import triton\nimport triton.language as tl\n"
    module = load_source(f"{head}{bits}\n@triton.jit\ndef kernel(X, twiddles):\n{code}\n", "triton")
    rng = np.random.default_rng(length)
    shape = (length, others) if of_columns else (others, length)
    x = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    y = torch.from_numpy(x.copy())
    module.kernel[(1,)](y.view(torch.int64), torch.from_numpy(twiddles(split)))
    assert np.linalg.norm(y.numpy() - length * x) <= 1e-6 * length * np.linalg.norm(x)
