"""Plans for torch: their numbers, by the numpy program and by the emitted source, and what they take and refuse."""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import assert_agrees, expected, fresh, golden_spec
from frameworks_support import ALL_TRANSFORMS, BATCHES, GOLDEN, KINDS, TRANSFORMS, as_arrays, assert_golden, signals_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import signals, specs, without_roots
from support import GoldenCase, python

import scatc
from scatc.ir.errors import CompileError
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec

torch = pytest.importorskip("torch")

from scatc.runtime import devices  # noqa: E402
from scatc.runtime import torch as plans  # noqa: E402

SPEC = Spec(dim=1, shape=40, J=3)
NONE = Spec(dim=1, shape=64, J=3, T=0)
VOLUME = Spec(dim=3, shape=(4, 4, 4), J=1, L=1)
X = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32))


@pytest.fixture(params=["numpy", "emitted"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """CPU tensors are transformed by the numpy program, as they are, or by the source that other devices run."""
    if request.param == "emitted":
        monkeypatch.setattr(devices, "kind_of", lambda device: "torch")
    yield request.param


def plan_of(spec: Spec, **options: Any) -> Any:
    return scatc.compile(spec, target="torch", **options)


@GOLDEN
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden(case: GoldenCase, dtype: str, either: str) -> None:
    plan = plan_of(golden_spec(case), dtype=dtype)
    y = plan(torch.tensor(case.x))
    if (either, dtype) == (
        "emitted",
        "float32",
    ):  # a chirp's order 0 is a 1000th of it: torch's products round off more
        assert_agrees(plan, case.x, as_arrays(y))
    else:
        assert_golden(plan, case, y)


@ALL_TRANSFORMS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_interpreter_says_the_same(spec: Spec, dtype: str, either: str) -> None:
    plan = plan_of(spec, dtype=dtype)
    for kind in KINDS:
        x = signals_of(spec, kind)
        assert_agrees(plan, x, as_arrays(plan(torch.tensor(x))))


@ALL_TRANSFORMS
def test_float32_plans_agree_with_those_for_numpy(spec: Spec, either: str) -> None:
    x = signals_of(spec, "noise").astype(np.float32)
    on_numpy, on_torch = fresh(spec)(x), as_arrays(plan_of(spec)(torch.tensor(x)))
    for one, other in zip(*(y.values() if isinstance(y, dict) else [y] for y in (on_numpy, on_torch)), strict=True):
        assert np.linalg.norm(one - other) <= 1e-6 * np.linalg.norm(one)


@given(st.data())
@settings(max_examples=25)
def test_any_spec(data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs(max_side=48).filter(lambda spec: bool(all_paths(spec)))))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    plan = fresh(spec, target="torch", dtype=dtype)
    x = data.draw(signals((2, *spec.input_shape)))
    outs = plan.run(torch.tensor(x, dtype=plans.DTYPES[dtype]))
    assert_agrees(plan, x, as_arrays(plan.from_groups(outs)))


@pytest.mark.parametrize("factor", [1e25, 1e-25])
@pytest.mark.parametrize("spec", [SPEC, TRANSFORMS["2d"], Spec(dim=3, shape=(6, 5, 4), J=1, L=1, integral_powers=(1,))])
def test_loud_and_faint_signals(spec: Spec, factor: float, either: str) -> None:
    """Squares of such numbers are out of the range of float32."""
    plan = plan_of(spec)
    x = signals_of(spec, "noise").astype(np.float32) * np.float32(factor)
    got, wanted = as_arrays(plan(torch.tensor(x))), expected(plan, x)
    for row, path in enumerate(plan.paths):
        one, other = got[:, row], wanted[path]
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


@BATCHES
@pytest.mark.parametrize("spec", [SPEC, NONE, VOLUME], ids=["1d", "none", "3d"])
def test_any_batch(spec: Spec, batch: tuple[int, ...], either: str) -> None:
    plan = plan_of(spec)
    x = np.random.default_rng(0).standard_normal((*batch, *spec.input_shape))
    y = plan(torch.tensor(x))
    for one, other in zip(
        *(r.values() if isinstance(r, dict) else [r] for r in (as_arrays(y), fresh(spec)(x))), strict=True
    ):
        assert (one.shape, one.dtype) == (other.shape, np.float32)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_strides(either: str) -> None:
    plan, y = plan_of(SPEC), plan_of(SPEC)(X)
    wide = torch.empty(3, 80)
    wide[:, ::2] = X
    imaginary = torch.complex(torch.zeros_like(X), -X).conj().imag  # lazily negated
    for x in (X.T.contiguous().T, wide[:, ::2], X[:1].expand(3, 40), imaginary):
        torch.testing.assert_close(plan(x), plan(x.clone(memory_format=torch.contiguous_format)), rtol=0, atol=0)
    torch.testing.assert_close(plan(X.flip(0)), y.flip(0))


def test_nothing_is_copied_on_the_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, seen = plan_of(SPEC), []
    run = type(plan._programs.numpy).run_groups
    monkeypatch.setattr(
        type(plan._programs.numpy), "run_groups", lambda self, x, **more: seen.append(x) or run(self, x, **more)
    )
    plan(X)
    assert seen[0].ctypes.data == X.data_ptr()


def test_precisions(either: str) -> None:
    plan, wide = plan_of(SPEC), plan_of(SPEC, dtype="float64")
    y = plan(X)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool):
        got = plan(X.to(dtype))
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, plan(X.to(dtype).to(torch.float32)), rtol=0, atol=0)
    assert wide(X).dtype == torch.float64
    torch.testing.assert_close(wide(X).float(), y, rtol=1e-5, atol=1e-6)


def test_autocast_changes_nothing(either: str) -> None:
    plan, y = plan_of(SPEC), plan_of(SPEC)(X)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(plan(X), y, rtol=0, atol=0)
        assert plan(X.bfloat16()).dtype == torch.float32


def test_other_modes_change_nothing(either: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    plan, y = plan_of(SPEC), plan_of(SPEC)(X)
    with torch.inference_mode():
        torch.testing.assert_close(plan(X), y, rtol=0, atol=0)
    with torch.no_grad():
        assert not plan(X.clone().requires_grad_()).requires_grad
    with FlopCounterMode(display=False):  # its kind switches off the resolution of lazy conjugates
        torch.testing.assert_close(plan(X), y, rtol=0, atol=0)


def test_whose_programs_serve_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's tensors, those of CUDA where there is no GPU (they are fake), and those of others."""
    gpu = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [devices.kind_of(torch.device(name)) for name in ("cpu", "cuda", "mps", "meta")] == ["cpu", *["torch"] * 3]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", None)
    assert devices.kind_of(gpu) == "cuda"
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert devices.kind_of(gpu) == "hip"


def test_tables_are_not_placed_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    with pytest.raises(RuntimeError, match="this transform has not run on cuda:0 before: call it once"):
        devices.placed({"psi": np.ones(3)}, torch.device("cuda", 0))


def test_old_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", torch)  # it is there, whatever it is
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Turing")
    devices.trouble.cache_clear()
    assert devices.trouble(torch.device("cuda", 0)) == "Turing has compute capability 7.5, and Triton asks for 8.0"
    devices.trouble.cache_clear()


def test_selection(either: str) -> None:
    paths = all_paths(SPEC)[2:4]
    plan = plan_of(SPEC, select=paths)
    assert plan.paths == tuple(paths)
    torch.testing.assert_close(plan(X), plan_of(SPEC)(X)[:, 2:4], rtol=1e-5, atol=1e-6)


def test_what_is_refused() -> None:
    plan = plan_of(SPEC)
    with pytest.raises(TypeError, match=r"^x is ndarray, not a torch tensor: pass torch.as_tensor\(x\), or compile "):
        plan(X.numpy())
    with pytest.raises(TypeError, match=r"^x is complex \(torch.complex64\): .* pass x.real$"):
        plan(X.to(torch.complex64))
    with pytest.raises(ValueError, match=r"^x has shape \(3, 39\): it must end with \(40,\)$"):
        plan(X[:, 1:])
    with pytest.raises(ValueError, match=r"^of='backward' is not possible"):
        plan.source("backward")
    with pytest.raises(CompileError, match=r"^workers=2 is not possible with target='torch'"):
        plan_of(SPEC, workers=2)


def test_torch_says_how_many_threads() -> None:
    plan, before = plan_of(SPEC), torch.get_num_threads()
    y = plan(X)
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            torch.testing.assert_close(plan(X), y, rtol=0, atol=0)
            assert plan._programs.numpy.workers == count
            assert re.search(
                rf"^cpu       the plan for target='(cpu|numpy)', {count} workers$", plan.report(), re.MULTILINE
            )
    finally:
        torch.set_num_threads(before)


def test_what_can_be_read() -> None:
    plan = fresh(TRANSFORMS["2d"], target="torch", save="all")
    for of in ("forward", "vjp"):
        assert ("fold_t" in plan.ir(of)) == (of == "vjp")
        source = plan.source(of)
        assert ("def run(" in source, "def vjp(" in source) == (of == "forward", of == "vjp")
        compile(source, "<source>", "exec")
    assert repr(plan).startswith("<scatc torch plan, float32, ")


def test_plans_travel(tmp_path: Path, either: str) -> None:
    plan = fresh(SPEC, target="torch")
    plan.save(tmp_path / "plan.scatc")
    for back in (pickle.loads(pickle.dumps(plan)), scatc.load(tmp_path / "plan.scatc")):
        assert (type(back), back.source(), back.paths) == (type(plan), plan.source(), plan.paths)
        torch.testing.assert_close(back(X), plan(X), rtol=0, atol=0)


def test_many_threads(either: str) -> None:
    plan = fresh(TRANSFORMS["1d"], target="torch")
    xs = [torch.randn(2, 100, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    wanted = [plan(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for y, w in zip(pool.map(plan, xs * 3), wanted * 3, strict=True):
            torch.testing.assert_close(y, w, rtol=0, atol=0)


class _Set(torch.utils.data.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> Any:
        return plan_of(SPEC)(X[i % 3])


@pytest.mark.skipif("fork" not in torch.multiprocessing.get_all_start_methods(), reason="there is no fork here")
def test_workers_of_a_data_loader() -> None:
    plan = plan_of(SPEC)
    wanted = plan(X)  # the threads of this process are there before it forks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork, in a process with threads
        loader = torch.utils.data.DataLoader(_Set(), batch_size=3, num_workers=2, multiprocessing_context="fork")
        for y in loader:
            torch.testing.assert_close(y, wanted, rtol=1e-6, atol=1e-6)


def test_another_process_finds_the_programs_by_the_key(tmp_path: Path) -> None:
    key = plan_of(SPEC, save="first_order").key
    code = f"""
import torch, scatc.torch
x = torch.arange(40.0).requires_grad_()
(y,) = torch.ops.scatc.forward(x, [], {key!r}, False)
(gradient,) = torch.autograd.grad(y.sum(), x)
print(y.sum().item(), gradient.sum().item())
"""
    x = torch.arange(40.0).requires_grad_()
    y = plan_of(SPEC)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    got = [float(word) for word in python("-c", code, cwd=tmp_path).split()]
    np.testing.assert_allclose(got, [y.sum().item(), gradient.sum().item()], rtol=1e-5)
