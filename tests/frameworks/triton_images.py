"""Kernels of images in Triton's interpreter, against the interpreter of the IR. `test_triton_plan.py` runs this in a
process of its own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from compiled import AGREEMENT, FAINT, by_path, expected, fresh
from frameworks_support import KINDS, signals_of
from oracle import order_errors

from scatc.ir.spec import Spec

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
    "no_sample_kept": Spec(dim=2, shape=(9, 8), J=3, L=1, stride=8),
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


@ALL
@pytest.mark.parametrize("batch", [1, 3])
def test_plans_agree_with_the_interpreter(spec: Spec, batch: int) -> None:
    agree(fresh(spec, target="cuda"), np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["usual", "none", "global"])
def test_any_image(name: str, kind: str) -> None:
    agree(fresh(SPECS[name], target="cuda"), signals_of(SPECS[name], kind))


def test_the_images_of_a_pair_do_not_disturb_each_other() -> None:
    plan = fresh(SPECS["usual"], target="cuda")
    x = np.random.default_rng(0).standard_normal((4, 32, 32)).astype(np.float32)
    x[0] *= 1e12
    x[2] = 1e3 + x[2]
    together = plan(torch.from_numpy(x)).numpy()
    for image, y in zip(x, together, strict=True):
        alone = plan(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(y, alone, atol=1e-5 * np.abs(alone[1:]).max(), rtol=1e-5)


def test_both_vendors_kernels_do_the_same() -> None:
    agree(fresh(SPECS["usual"], target="hip"), np.random.default_rng(0).standard_normal((2, 32, 32)))


@pytest.mark.parametrize("batch", [(), (0,), (2, 2), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    plan = fresh(SPECS["odd_sides"], target="cuda")
    assert plan(torch.ones(*batch, 13, 20)).shape == (*batch, len(plan.paths), 3, 5)


def test_chunks_are_the_same_as_the_whole() -> None:
    plan = fresh(SPECS["usual"], target="cuda")
    x = torch.randn(5, 32, 32, generator=torch.Generator().manual_seed(0))
    whole = plan(x)
    plan._module.CHUNK = 2
    torch.testing.assert_close(plan(x), whole)


def test_selected_paths_alone() -> None:
    plan = fresh(SPECS["odd_sides"], target="cuda", select=[(1,), (2, 4)])
    agree(plan, np.random.default_rng(1).standard_normal((2, 13, 20)))
