"""The operators of torch: their contracts, and torch.compile and torch.export over them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from frameworks_support import SMALL, signals_of
from support import python

import scatc
from scatc.ir.spec import Spec

torch = pytest.importorskip("torch")

from torch import library  # noqa: E402

from scatc.runtime import torch_ops  # noqa: E402
from scatc.torch import HarmonicScattering3D, Scattering1D, Scattering2D  # noqa: E402

OPS = torch.ops.scatc
SPEC = Spec(dim=1, shape=40, J=3)
MODULES = {
    "1d": lambda: Scattering1D(3, 40),
    "1d_dict": lambda: Scattering1D(3, 40, T=0, out_type="dict"),
    "2d": lambda: Scattering2D(2, (12, 13), L=2),
    "2d_list": lambda: Scattering2D(2, (12, 13), L=2, out_type="list"),
    "3d": lambda: HarmonicScattering3D(1, (4, 5, 6), L=1),
}
ALL_MODULES = pytest.mark.parametrize("name", MODULES)


def tensors(result: Any) -> list[Any]:
    """The coefficients in what a module returned."""
    if isinstance(result, dict):
        return list(result.values())
    return [item["coef"] for item in result] if isinstance(result, list) else [result]


def loss(module: Any, x: Any) -> Any:
    return sum((y**2).sum() for y in tensors(module(x)))


def batch(module: Any, count: int) -> Any:
    return torch.randn(count, *module.shape, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("name", ["1d", "1d_none", "2d", "3d"])
@pytest.mark.parametrize("save", ["inputs", "all"])
def test_opcheck(name: str, save: str) -> None:
    spec = SMALL[name]
    key = torch_ops.key(spec, "float64", save=save)
    x = torch.tensor(signals_of(spec, "noise"), requires_grad=True)
    outs = len(torch_ops.find(key).groups)
    y = [t.detach() for t in OPS.forward(x, [], key, True)]
    g, saved, t = [t.clone().requires_grad_() for t in y[:outs]], y[outs:], x.detach().flip(0).requires_grad_()
    assert (len(saved) > 0) == (save == "all")
    library.opcheck(OPS.forward.default, (x, [], key, False))
    library.opcheck(OPS.forward.default, (x, [], key, True))
    library.opcheck(OPS.vjp.default, (x, [], g, saved, key))
    library.opcheck(OPS.jvp.default, (x, [], t, key))
    library.opcheck(OPS.hvp.default, (x.detach(), [], [t.detach() for t in g], t.detach(), key))


@ALL_MODULES
def test_compile(name: str) -> None:
    """One graph without complex numbers in it, traced once for all batches; gradients through it."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    module, graphs = MODULES[name](), []

    def keep(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    traced = torch.compile(module, fullgraph=True, dynamic=True, backend=aot_autograd(fw_compiler=keep))
    for count in (2, 3, 5):
        x, z = (batch(module, count).requires_grad_() for _ in range(2))
        for one, other in zip(tensors(traced(x)), tensors(module(z)), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        loss(traced, x).backward()
        loss(module, z).backward()
        torch.testing.assert_close(x.grad, z.grad)
    assert len(graphs) == 2  # forward and backward
    called = [node.target for graph in graphs for node in graph.graph.nodes if node.op == "call_function"]
    assert called.count(OPS.forward.default) == called.count(OPS.vjp.default) == 1
    values = [node.meta.get("val") for graph in graphs for node in graph.graph.nodes]
    leaves = torch.utils._pytree.tree_leaves(values)
    assert not any(leaf.is_complex() for leaf in leaves if isinstance(leaf, torch.Tensor))
    torch._dynamo.reset()


@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor wants a C++ compiler")
def test_inductor() -> None:
    module = Scattering1D(3, 40)
    model = torch.nn.Sequential(module, torch.nn.Flatten(), torch.nn.LazyLinear(2))
    x = batch(module, 3)
    y = model(x)
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(x), y, rtol=1e-4, atol=1e-5)
    compiled(x).sum().backward()
    one = model[2].weight.grad.clone()
    model.zero_grad()
    model(x).sum().backward()
    torch.testing.assert_close(one, model[2].weight.grad, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()


def test_compiled_modules_obey_what_is_set_later() -> None:
    module = Scattering1D(3, 40)
    traced = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = batch(module, 2)
    for order in (2, 1, 2):
        module.max_order = order
        torch.testing.assert_close(traced(x), module(x))
    module.out_type = "dict"
    assert set(traced(x)) == set(module(x))
    module.double()
    assert traced(x.double())[()].dtype == torch.float64
    torch._dynamo.reset()


def test_compiled_transforms_of_functions() -> None:
    plan = scatc.compile(SPEC, target="torch", dtype="float64")
    x = torch.tensor(signals_of(SPEC, "noise"))
    energy = lambda x: (plan(x) ** 2).sum()  # noqa: E731
    for function in (
        torch.func.grad(energy),
        torch.func.vmap(plan),
        torch.func.grad(lambda x: torch.func.grad(energy)(x).sum()),
        lambda x: torch.func.jvp(energy, (x,), (x,))[1],
    ):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), function(x))
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["1d", "2d", "3d"])
def test_export_with_any_batch(name: str, tmp_path: Path) -> None:
    module = MODULES[name]()
    program = torch.export.export(module, (batch(module, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "program.pt2")
    assert (tmp_path / "program.pt2").stat().st_size < 50_000  # no filters: any process can make them
    back = torch.export.load(tmp_path / "program.pt2").module()
    x, z = (batch(module, 5).requires_grad_() for _ in range(2))
    torch.testing.assert_close(back(x), module(z))
    loss(back, x).backward()
    loss(module, z).backward()
    torch.testing.assert_close(x.grad, z.grad)


def test_exported_programs_run_elsewhere(tmp_path: Path) -> None:
    module = MODULES["1d"]()
    program = torch.export.export(module, (batch(module, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "program.pt2")
    torch.save(batch(module, 5), tmp_path / "x.pt")
    code = """
import torch, scatc.torch
torch.save(torch.export.load("program.pt2").module()(torch.load("x.pt")), "y.pt")
"""
    python("-c", code, cwd=tmp_path)
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), module(batch(module, 5)))


def test_shapes_without_numbers() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        for device in ("cpu", "cuda", "meta"):
            x = torch.empty(2, 3, 40, device=device)
            key = torch_ops.key(SPEC, "float32", save="all")
            outs = OPS.forward(x, [], key, True)
            assert outs[0].shape[:2] == (2, 3)
            assert len(outs) > 1
            assert OPS.vjp(x, [], outs[:1], outs[1:], key).shape == x.shape
            assert {t.device.type for t in outs} == {device}
    module = Scattering2D(2, (12, 13), L=2).to("meta")
    assert module(torch.empty(3, 12, 13, device="meta")).shape == (3, *module.array_shape())


def test_another_precision_than_the_plan_is_refused() -> None:
    key = torch_ops.key(SPEC, "float64")
    with pytest.raises(TypeError, match=r"^x is torch.float32: the operator is of torch.float64$"):
        OPS.forward(torch.zeros(40), [], key, False)
