"""Plans and modules of torch whose tensors go to kernels, as those of a GPU do: here those of the CPU, interpreted.

`test_triton_plan.py` runs this in a process of its own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from compiled import fresh
from frameworks_support import BATCHES, as_arrays, signals_of
from support import ROOT, relative_error
from torch import library

import scatc
import scatc.numpy
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.spec import Spec
from scatc.runtime import devices, torch_ops
from scatc.runtime import torch as plans
from scatc.runtime.triton import TritonPlan
from scatc.torch import HarmonicScattering3D, Scattering1D, Scattering2D

assert os.environ.get("TRITON_INTERPRET") == "1"

OPS = torch.ops.scatc
SPECS = {
    "1d": Spec(dim=1, shape=20, J=2),
    "1d_none": Spec(dim=1, shape=24, J=2, T=0),
    "2d": Spec(dim=2, shape=(8, 9), J=1, L=2),
    "3d": Spec(dim=3, shape=(4, 5, 6), J=1, L=1),
}
MODULES = {
    "1d": lambda: Scattering1D(2, 20),
    "1d_dict": lambda: Scattering1D(2, 24, T=0, out_type="dict"),
    "1d_list": lambda: Scattering1D(2, 20, out_type="list"),
    "2d": lambda: Scattering2D(1, (8, 9), L=2),
    "3d": lambda: HarmonicScattering3D(1, (4, 5, 6), L=1),
}
ALL = pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
ALL_MODULES = pytest.mark.parametrize("name", MODULES)


class Calls:
    """How often kernels were called."""

    forward = vjp = 0


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Tensors of the CPU count as those of a GPU, and nothing is known of any transform."""
    counted = Calls()
    run, vjp = TritonPlan.run_groups, TritonPlan.vjp_groups

    def counting_run(self: TritonPlan, x: Any) -> Any:
        counted.forward += 1
        return run(self, x)

    def counting_vjp(self: TritonPlan, x: Any, gs: Any) -> Any:
        counted.vjp += 1
        return vjp(self, x, gs)

    monkeypatch.setattr(TritonPlan, "run_groups", counting_run)
    monkeypatch.setattr(TritonPlan, "vjp_groups", counting_vjp)
    monkeypatch.setattr(devices, "kind_of", lambda device: "cuda" if device.type == "cpu" else "torch")
    monkeypatch.setenv("SCATC_GPU_TARGET", "triton")  # nothing but kernels will do
    forget()
    yield counted
    forget()


def forget() -> None:
    torch_ops.PROGRAMS.clear()
    devices.trouble.cache_clear()
    devices._warn.cache_clear()


def noise(spec: Spec, count: int = 3) -> Any:
    return torch.tensor(signals_of(spec, "noise", count), dtype=torch.float32)


def flat(y: Any) -> list[Any]:
    """The tensors in what a plan or a module returned."""
    if isinstance(y, dict):
        return list(y.values())
    return [item["coef"] for item in y] if isinstance(y, list) else [y]


def energy(y: Any) -> Any:
    return sum((t**2 + t).sum() for t in flat(y))


def close(one: Any, other: Any) -> None:
    assert one.shape == other.shape and one.dtype == other.dtype
    assert relative_error(one.detach(), other.detach()) < 1e-5


def wanted_gradient(spec: Spec, x: Any) -> Any:
    """Of `energy`, in double precision, on the CPU."""
    plan = fresh(spec, dtype="float64")
    y = plan(x.detach().numpy())
    return plan.vjp(x.detach().numpy(), {k: 2 * v + 1 for k, v in y.items()} if isinstance(y, dict) else 2 * y + 1)


@ALL
@pytest.mark.parametrize("save", [None, "all"])
def test_plans(spec: Spec, save: str | None, calls: Calls) -> None:
    """Forward and gradient are those of the definition; kernels keep nothing, whatever else would."""
    plan, x = scatc.compile(spec, target="torch", save=save, cache=False), noise(spec).requires_grad_()
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        y = plan(x)
    assert calls.forward == 1 and {t.data_ptr() for t in kept} == {x.data_ptr()}
    wanted = fresh(spec, dtype="float64")(x.detach().numpy())
    for one, other in zip(flat(y), flat(wanted), strict=True):
        assert one.dtype == torch.float32 and relative_error(one.detach(), other) < 1e-5
    energy(y).backward()
    assert calls.vjp == 1
    assert relative_error(x.grad, wanted_gradient(spec, x)) < 1e-5


@ALL_MODULES
def test_modules(name: str, calls: Calls) -> None:
    module = MODULES[name]()
    x = torch.randn(2, *module.shape, generator=torch.Generator().manual_seed(0))
    theirs = getattr(scatc.numpy, type(module).__name__)
    arguments = {"2d": (1, (8, 9), 2), "3d": (1, (4, 5, 6), 1), "1d_dict": (2, 24)}.get(name, (2, 20))
    more = {"out_type": "dict", "T": 0} if name == "1d_dict" else {"out_type": "list"} if name == "1d_list" else {}
    y, wanted = module(x), theirs(*arguments, **more)(x.numpy())
    assert type(y) is (type(wanted) if name.startswith("1d_") else torch.Tensor)
    for one, other in zip(flat(y), flat(wanted), strict=True):
        assert relative_error(one, other) < 1e-5
    assert calls.forward == 1
    assert module.tables.numel() == module.indices.numel() == 1  # kernels have their own
    replica = module._replicate_for_data_parallel()  # as DataParallel does; it puts the buffers on another device
    replica._buffers = dict(module._buffers)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), replica):
        for one, two in zip(flat(other(x)), flat(y), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert calls.forward == 4


@BATCHES
@pytest.mark.parametrize("name", ["1d", "3d"])
def test_any_batch(name: str, batch: tuple[int, ...]) -> None:
    spec = SPECS[name]
    plan, x = scatc.compile(spec, target="torch"), torch.randn(*batch, *spec.shape).requires_grad_()
    y = plan(x)
    assert y.is_contiguous() and as_arrays(y.detach()).shape == fresh(spec)(x.detach().numpy()).shape
    energy(y).backward()
    assert x.grad.shape == x.shape and x.grad.is_contiguous()
    if x.numel():
        assert relative_error(x.grad, wanted_gradient(spec, x)) < 1e-5


def test_strides_and_modes(calls: Calls) -> None:
    spec = SPECS["3d"]
    plan, x = scatc.compile(spec, target="torch"), noise(spec)
    y = plan(x)
    for turned in (x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0), torch._neg_view(-x), x.double()):
        close(plan(turned), y)
    with torch.inference_mode():
        close(plan(x).clone(), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(plan(x.clone()), y)
    z = x.clone().requires_grad_()
    expanded = torch.ones(()).expand(y.shape)  # no cotangent of its own for each coefficient
    (gradient,) = torch.autograd.grad(plan(z), z, expanded)
    (negated,) = torch.autograd.grad(plan(z), z, torch._neg_view(-torch.ones_like(y)))
    close(gradient, negated)
    assert calls.vjp == 2


@pytest.mark.parametrize("name", ["1d", "3d"])
def test_tables_of_inference_serve_derivatives(name: str) -> None:
    """No mode of the first call is in what stays; second derivatives are the source's."""
    spec = SPECS[name]
    plan, x = scatc.compile(spec, target="torch", cache=False), noise(spec)
    with torch.inference_mode():
        plan(x)
        OPS.jvp(x, [], x, plan.key)
    z = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(energy(plan(z)), z, create_graph=True)
    (second,) = torch.autograd.grad((first * x).sum(), z)
    same = x.double().requires_grad_()
    double = scatc.compile(spec, target="torch", dtype="float64")
    (first,) = torch.autograd.grad(energy(double.from_groups(double.run(same))), same, create_graph=True)
    (wanted,) = torch.autograd.grad((first * x).sum(), same)
    assert relative_error(second, wanted) < 1e-4


@pytest.mark.parametrize("name", ["1d", "3d"])
def test_opcheck(name: str, calls: Calls) -> None:
    spec = SPECS[name]
    key, x = torch_ops.key(spec, "float32", save="all"), noise(spec, 2).requires_grad_()
    y = [t.detach().requires_grad_() for t in OPS.forward(x, [], key, True)]
    assert len(y) == 1  # nothing is kept
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    library.opcheck(OPS.forward.default, (x, [], key, True), test_utils=tests)
    library.opcheck(OPS.vjp.default, (x, [], y, [], key), test_utils=tests[:3])
    assert calls.forward > 1


@pytest.mark.parametrize("name", ["1d", "3d"])
def test_compile_and_export(name: str, calls: Calls, tmp_path: Path) -> None:
    """One graph for all batches, and a file without tables; both with gradients."""
    module = MODULES[name]()
    traced = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    made = lambda count: torch.randn(count, *module.shape, generator=torch.Generator().manual_seed(count))  # noqa: E731
    program = torch.export.export(module, (made(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "program.pt2")
    assert (tmp_path / "program.pt2").stat().st_size < 50_000
    forget()  # as another process would
    back = torch.export.load(tmp_path / "program.pt2").module()
    before = calls.forward
    for count in (2, 3):
        x, z, w = (made(count).requires_grad_() for _ in range(3))
        for one, two, three in zip(*(flat(f(v)) for f, v in ((module, x), (traced, z), (back, w))), strict=True):
            close(one, two)
            close(one, three)
        for f, v in ((module, x), (traced, z), (back, w)):
            energy(f(v)).backward()
        close(x.grad, z.grad)
        close(x.grad, w.grad)
    assert calls.forward - before == 12
    torch._dynamo.reset()


def test_exported_programs_run_without_triton(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: Calls) -> None:
    module, x = Scattering1D(2, 20), noise(SPECS["1d"])
    y = module(x)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "program.pt2")
    forget()
    monkeypatch.setenv("SCATC_GPU_TARGET", "auto")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.warns(RuntimeWarning, match="goes on with torch's operators on GPUs: triton is not installed"):
        close(torch.export.load(tmp_path / "program.pt2").module()(x), y)
    assert calls.forward == 1


def test_vmap(calls: Calls) -> None:
    for spec in (SPECS["1d"], SPECS["3d"]):
        plan, x = scatc.compile(spec, target="torch"), noise(spec, 4)
        mapped = torch.func.vmap(plan)(x.reshape(2, 2, *spec.shape))
        close(mapped.flatten(0, 1), plan(x))
        gradients = torch.func.vmap(torch.func.grad(lambda x, plan=plan: energy(plan(x))))(x)
        assert relative_error(gradients, wanted_gradient(spec, x)) < 1e-5
    assert calls.vjp == 2


# What keeps the emitted source.


def test_double_precision(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    spec = SPECS["1d"]
    with pytest.raises(CompileError, match="dtype='float64' is not possible with target='cuda'"):
        scatc.compile(spec, target="torch", dtype="float64", cache=False)(noise(spec).double())
    monkeypatch.setenv("SCATC_GPU_TARGET", "auto")
    module, x = Scattering1D(2, 20).double(), noise(spec).double().requires_grad_()
    assert module.tables.numel() > 1  # what the source reads
    y = module(x)
    assert relative_error(y.detach(), fresh(spec, dtype="float64")(x.detach().numpy())) < 1e-12
    energy(y).backward()
    assert relative_error(x.grad, wanted_gradient(spec, x)) < 1e-12
    assert calls.forward == 0
    assert module.float().tables.numel() == 1
    module(noise(spec))
    assert calls.forward == 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing", "triton is not installed"),
        ("tensorflow", "TensorFlow is loaded, and one process cannot load Triton as well"),
        ("broken", "a first kernel fails: RuntimeError: no C compiler"),
    ],
)
def test_without_triton(how: str, reason: str, monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    if how == "missing":
        monkeypatch.setitem(sys.modules, "triton", None)
    elif how == "tensorflow":
        monkeypatch.delitem(sys.modules, "triton")
        monkeypatch.setitem(sys.modules, "tensorflow", torch)
    else:
        monkeypatch.setattr(devices, "_tried", lambda device: (_ for _ in ()).throw(RuntimeError("no C compiler")))
    spec, x = SPECS["1d"], noise(SPECS["1d"])
    plan = scatc.compile(spec, target="torch", cache=False)
    with pytest.raises(TargetError, match=f"SCATC_GPU_TARGET=triton is not possible on cpu: {reason}"):
        plan(x)
    monkeypatch.delenv("SCATC_GPU_TARGET")
    with pytest.warns(RuntimeWarning, match=f"^scatc goes on with torch's operators on GPUs: {reason}"):
        y = plan(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        module = Scattering1D(2, 20)
        close(module(x), y)
        scatc.compile(SPECS["2d"], target="torch")(noise(SPECS["2d"]))
    assert module.tables.numel() > 1
    assert calls.forward == 0


@pytest.mark.parametrize("of", ["run_groups", "vjp_groups"])
def test_kernels_that_a_gpu_cannot_run(of: str, monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    """Such as those that want more shared memory than it has. Other errors are no reason to go on."""
    from triton.runtime.errors import OutOfResources

    spec = SPECS["3d"]
    plan, x = scatc.compile(spec, target="torch", save="all", cache=False), noise(spec).requires_grad_()

    def fail(error: Exception) -> None:
        monkeypatch.setattr(TritonPlan, of, lambda *arguments: (_ for _ in ()).throw(error))

    fail(OutOfResources(200, 100, "shared memory"))
    with pytest.raises(OutOfResources):
        energy(plan(x)).backward()
    monkeypatch.delenv("SCATC_GPU_TARGET")
    fail(RuntimeError("an illegal memory access"))
    with pytest.raises(RuntimeError, match="illegal"):
        energy(plan(x)).backward()
    fail(OutOfResources(200, 100, "shared memory"))
    with pytest.warns(RuntimeWarning, match="a kernel cannot run on cpu: OutOfResources: out of resource: shared"):
        energy(plan(x)).backward()
    assert relative_error(x.grad, wanted_gradient(spec, x)) < 1e-5
    fail(RuntimeError("it is not tried again"))
    energy(plan(x)).backward()


def test_the_variable_may_change_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS["3d"]
    plan = scatc.compile(spec, target="torch", save="all", cache=False)
    for there, back in (("torch", "triton"), ("triton", "torch")):
        x = noise(spec).requires_grad_()
        monkeypatch.setenv("SCATC_GPU_TARGET", there)
        loss = energy(plan(x))
        monkeypatch.setenv("SCATC_GPU_TARGET", back)
        loss.backward()
        assert relative_error(x.grad, wanted_gradient(spec, x)) < 1e-5


def test_the_variable(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    spec, x = SPECS["1d"], noise(SPECS["1d"])
    plan = scatc.compile(spec, target="torch", cache=False)
    y = plan(x)
    for value, count in (("torch", 1), ("auto", 2), ("", 3), ("triton", 4)):
        monkeypatch.setenv("SCATC_GPU_TARGET", value)
        close(plan(x), y)
        assert calls.forward == count
    monkeypatch.setenv("SCATC_GPU_TARGET", "cuda")
    with pytest.raises(ValueError, match=r"^SCATC_GPU_TARGET='cuda' is not possible: it must be one of auto, tr"):
        plan(x)


def test_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(plan: Any) -> str:
        return next(line for line in plan.report().splitlines() if line.startswith("gpu "))

    for name in ("1d", "2d", "3d"):
        plan = scatc.compile(SPECS[name], target="torch")
        assert line(plan) == "gpu       the plan for target='cuda', or 'hip'; other devices: this source"
    double = scatc.compile(SPECS["3d"], target="torch", dtype="float64")
    assert line(double).startswith("gpu       this source: kernels do not compute in float64;")
    monkeypatch.setenv("SCATC_GPU_TARGET", "torch")
    assert line(plan).startswith("gpu       this source, as SCATC_GPU_TARGET says;")


# What is launched depends on shapes alone.


class Launched:
    """Stands for a kernel, and takes whatever it is given."""

    count = 0

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        assert all(isinstance(size, int) and size > 0 for size in grid)
        return self._launch

    def _launch(self, *arguments: Any, **constants: Any) -> None:
        Launched.count += 1
        assert {a.device.type for a in arguments if isinstance(a, torch.Tensor)} == {"meta"}


@ALL
def test_no_launch_waits_for_a_result(spec: Spec) -> None:
    """Tensors without memory go all the way: nothing that a host would read of them is read."""
    plan: Any = fresh(spec, target="cuda")
    modules = [plan._module, plan._gradient_module]
    for module in modules:
        for name, value in list(vars(module).items()):
            if hasattr(type(value), "__getitem__") and type(value).__module__.startswith("triton"):
                setattr(module, name, Launched())
    Launched.count = 0
    x = torch.empty(5, *spec.shape, device="meta")
    outs = plan.run_groups(x)
    assert Launched.count > 3 and all(out.device.type == "meta" for out in outs)
    before = Launched.count
    assert plan.vjp_groups(x, outs).shape == x.shape
    assert Launched.count > before
    for source in (plan.source(), plan.source("vjp")):
        assert not any(word in source for word in (".item(", ".cpu(", ".tolist(", ".numpy(", "synchronize"))


def test_programs_are_shared_with_plans_for_the_kernels_target() -> None:
    spec = SPECS["1d"]
    plan = scatc.compile(spec, target="torch")
    kernels = plan._programs.kernels.plan(torch.device("cpu"))
    assert kernels is scatc.compile(spec, target="cuda")
    assert isinstance(plan, plans.TorchPlan)


class Clock:
    """Stands for CUDA events."""

    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: Clock) -> float:
        return 1e3 * (other.at - self.at)


def test_the_benchmark_as_if_there_were_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """All of a run but CUDA graphs: figures both ways, of all who can; the peer has memory for half a batch."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    gpu, sides = importlib.import_module("gpu"), importlib.import_module("gpu_sides")
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    for name in ("memory_allocated", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda: 7)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA H100 80GB")
    monkeypatch.setattr(torch.cuda, "Event", Clock)
    monkeypatch.setattr(sides, "FLUSHED", 1)
    monkeypatch.setattr(sides, "WARM", 1)
    monkeypatch.setattr(gpu, "find_device", lambda options: torch.device("cpu"))
    gradient_of = gpu.gradient_of
    monkeypatch.setattr(gpu, "gradient_of", lambda plan, interpreted: gradient_of(plan, interpreted=False))
    volumes = sides.PEERS[3]

    def poor(spec: Spec, device: Any) -> Any:
        def call(x: Any) -> Any:
            if len(x) > 2:
                raise torch.OutOfMemoryError("there is no more")
            return volumes(spec, device)(x)

        return call

    monkeypatch.setitem(sides.PEERS, 3, poor)
    cases = (
        gpu.Case("1d-32", 1, (32,), J=2, Q=1, batch=3),
        gpu.Case("3d-4", 3, (4, 4, 4), J=0, L=1, batch=3),
    )
    monkeypatch.setattr(gpu, "CASES", cases)
    written = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--rounds", "1", "--json", str(written)])
    assert gpu.main() == 0, capsys.readouterr()
    rows = json.loads(written.read_text(encoding="utf-8"))["cases"]
    assert [(row["case"]["name"], row["pass"]) for row in rows] == [
        (case.name, of) for case in cases for of in sides.PASSES
    ]
    for row in rows:
        assert set(row["median_seconds"]) == set(row["peak_bytes"]) == {"eager", "torch", "peer"}, row["absent"]
        assert set(row["absent"]) == {"graph", "kymatio"}
        assert row["parts"]["eager"] == 1 and row["parts"]["peer"] == (2 if row["case"]["dim"] == 3 else 1)
        assert not row["wrong"] and max(max(found.values()) for found in row["errors_timed"].values()) <= 1e-5
        assert row["predicted_seconds"] > 0
    printed = capsys.readouterr().out
    assert "peer: in 2 parts, for want of memory" in printed
    assert [line.split()[2] for line in printed.splitlines() if line.startswith(("1d", "3d"))] == 2 * list(sides.PASSES)
