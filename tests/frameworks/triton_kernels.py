"""Kernels in Triton's interpreter, against the interpreter of the IR. `test_triton_plan.py` runs this in a process of
its own, for Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from compiled import AGREEMENT, FAINT, by_path, expected, fresh
from frameworks_support import KINDS, signals_of
from oracle import order_errors

from scatc.codegen.code import Code
from scatc.codegen.dft import dft
from scatc.codegen.signals import Signal
from scatc.codegen.triton.fft import radices, register_fft
from scatc.codegen.triton.lines import blocks, choices, matrix
from scatc.codegen.triton.lines.choices import Follow, Line, Tiles, Way
from scatc.codegen.triton.lines.ways import Choices
from scatc.codegen.triton.tuned import Product
from scatc.codegen.triton.volumes.transform import axis_fft
from scatc.compiler import load
from scatc.ir.spec import Spec
from scatc.runtime.load import load_source
from scatc.runtime.triton import TritonPlan

assert os.environ.get("TRITON_INTERPRET") == "1"

SPECS = {
    "fused": Spec(dim=1, shape=60, J=4, Q=2),
    "long": Spec(dim=1, shape=2000, J=6, Q=1, order=1),
    "many_averages": Spec(dim=1, shape=600, J=3, Q=1, T=4),
    "none": Spec(dim=1, shape=100, J=3, T=0, padding="periodic"),
    "global": Spec(dim=1, shape=150, J=4, T="global", padding="zero"),
    "third_order": Spec(dim=1, shape=256, J=6, order=3),
    "order_1": Spec(dim=1, shape=256, J=5, Q=4, order=1),
    "order_0": Spec(dim=1, shape=64, J=4, order=0),
    "stride": Spec(dim=1, shape=512, J=4, Q=1, T=64, stride=4),
    "no_sample_kept": Spec(dim=1, shape=4, J=3),
    "pre_padded": Spec(dim=1, shape=256, J=3, pre_pad=True),
}
ALL = pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))


def agree(plan: Any, x: np.ndarray[Any, Any]) -> None:
    y = plan(torch.from_numpy(x))
    got = {path: np.asarray(v, np.float64) for path, v in by_path(plan, as_numpy(y)).items()}
    wanted = expected(plan, x)
    scale = float(np.sqrt(sum(float(np.sum(np.abs(v) ** 2)) for v in wanted.values())))
    errors = order_errors(got, wanted, FAINT * scale)
    assert all(error <= AGREEMENT["float32"] for error in errors.values()), errors


def as_numpy(y: Any) -> Any:
    return {path: v.numpy() for path, v in y.items()} if isinstance(y, dict) else y.numpy()


@ALL
@pytest.mark.parametrize("batch", [1, 3])
def test_plans_agree_with_the_interpreter(spec: Spec, batch: int) -> None:
    agree(fresh(spec, target="cuda"), np.random.default_rng(batch).standard_normal((batch, *spec.input_shape)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["fused", "many_averages", "global"])
def test_any_signal(name: str, kind: str) -> None:
    agree(fresh(SPECS[name], target="cuda"), signals_of(SPECS[name], kind))


def test_the_signals_of_a_pair_do_not_disturb_each_other() -> None:
    plan = fresh(SPECS["fused"], target="cuda")
    x = np.random.default_rng(0).standard_normal((4, 60)).astype(np.float32)
    x[0] *= 1e12
    x[2] = 1e3 + x[2]
    together = plan(torch.from_numpy(x)).numpy()
    for row, y in zip(x, together, strict=True):
        alone = plan(torch.from_numpy(row)).numpy()
        np.testing.assert_allclose(y, alone, atol=1e-5 * np.abs(alone[1:]).max(), rtol=1e-5)
    for extreme in (1e-30, 1e30):
        y = plan(torch.from_numpy((extreme * x[3:4]).astype(np.float32))).numpy()
        np.testing.assert_allclose(y / extreme, together[3:4], rtol=1e-3, atol=1e-3)


def test_both_vendors_kernels_do_the_same() -> None:
    x = np.random.default_rng(0).standard_normal((2, 60))
    agree(fresh(SPECS["fused"], target="hip"), x)


@pytest.mark.parametrize("batch", [(), (0,), (2, 2), (3, 0)], ids=str)
def test_leading_axes_are_batch(batch: tuple[int, ...]) -> None:
    plan = fresh(Spec(dim=1, shape=64, J=3), target="cuda")
    y = plan(torch.ones(*batch, 64))
    assert y.shape == (*batch, len(plan.paths), 8)


def test_chunks_are_the_same_as_the_whole() -> None:
    plan = fresh(SPECS["fused"], target="cuda")
    x = torch.randn(5, 60, generator=torch.Generator().manual_seed(0))
    whole = plan(x)
    plan._module.CHUNK = 2
    torch.testing.assert_close(plan(x), whole)


@pytest.mark.parametrize("name", ["many_averages", "third_order", "global"])
def test_long_signals_as_matrices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals that are long for this test go through the kernels that are for longer ones."""
    monkeypatch.setattr(matrix, "LEAST", 256)
    legal = Tiles.legal

    def rather(self: Tiles, signal: Signal) -> list[Way]:
        found = legal(self, signal)
        return [Way.MATRIX] if Way.MATRIX in found else found

    monkeypatch.setattr(Tiles, "legal", rather)
    plan = fresh(SPECS[name], target="cuda")
    assert plan._emitted.matrices
    agree(plan, np.random.default_rng(3).standard_normal((3, *SPECS[name].input_shape)))


BLOCKS = {
    "ends": Spec(dim=1, shape=1000, J=5, T=32),  # the middle of the padded signal, and no more
    "whole": Spec(dim=1, shape=500, J=6, T=128),  # all samples, so that blocks go around the circle
    "third_order": Spec(dim=1, shape=700, J=5, T=16, order=3),
}


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals that are long for this test go in blocks wherever they can."""
    monkeypatch.setattr(blocks, "LENGTHS", (128, 256))
    within, without = Choices._with_blocks, Choices._without_blocks

    def rather(self: Choices, signal: Signal, line: Line) -> Iterator[Follow]:
        if not list(within(self, signal, line)):
            yield from without(self, signal, line)

    monkeypatch.setattr(Choices, "_without_blocks", rather)


@pytest.mark.parametrize("name", list(BLOCKS))
def test_long_signals_in_blocks(name: str, in_blocks: None) -> None:
    """Noise, a zero signal, and impulses: in the middle, and beside the ends, where the signal is mirrored."""
    spec = BLOCKS[name]
    plan = fresh(spec, target="cuda")
    choices = plan._emitted.choices
    assert any(choice.way is Way.BLOCKS for choice in choices.signals.values())
    assert any(not choice.line.whole for choice in choices.signals.values()) == (name != "whole")
    n = spec.input_shape[0]
    x = np.zeros((5, n))
    x[0] = np.random.default_rng(0).standard_normal(n)
    x[2, 0] = x[3, n - 2] = x[4, n // 3] = 1
    agree(plan, x[:3])
    agree(plan, x[3:])


def test_signals_are_thinned_for_filters_that_are_too_long_for_blocks(
    in_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = Choices._with_blocks

    def rather(self: Choices, signal: Signal, line: Line) -> Iterator[Follow]:
        found = list(within(self, signal, line))
        yield from [follow for follow in found if follow.thinning is not None] or found

    monkeypatch.setattr(Choices, "_with_blocks", rather)
    spec = Spec(dim=1, shape=1500, J=6, T=32)
    plan = fresh(spec, target="cuda")
    thinned = [choice for choice in plan._emitted.choices.signals.values() if choice.follow.thinning is not None]
    assert any(choice.line.whole for choice in thinned) and any(not choice.line.whole for choice in thinned)
    x = np.zeros((2, 1500))
    x[0] = np.random.default_rng(0).standard_normal(1500)
    x[1, 1] = 1
    agree(plan, x)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("name", ["many_averages", "third_order", "stride"])
def test_averages_in_parts(name: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs share the terms of averages, also of the input, whose mean is added; the batch is no whole tile."""

    def some(tiles: Product, paths: int, length: int) -> Product:
        return replace(tiles, parts=parts)

    monkeypatch.setattr(choices, "in_parts", some)
    monkeypatch.setattr(Tiles, "averages_bins", lambda self, signal, result, bins: False)
    monkeypatch.setattr(Tiles, "legal", lambda self, signal: [Way.STAGED])
    plan = fresh(SPECS[name], target="cuda")
    (found,) = plan._emitted.parts.values()
    assert found.total == parts * len(found.row) and max(found.gain) == 1 > min(found.gain)
    x = np.random.default_rng(parts).standard_normal((5, *SPECS[name].input_shape))
    x[1], x[2] = 0, 3
    agree(plan, x)


def test_leaves_of_several_parents_together() -> None:
    for spec in (Spec(dim=1, shape=128, J=6), Spec(dim=1, shape=100, J=5, T="global")):
        plan = fresh(spec, target="cuda")
        assert plan._emitted.together is not None and plan._emitted.together.groups
        agree(plan, np.random.default_rng(0).standard_normal((3, *spec.input_shape)))


ODD = {
    "lines": SPECS["fused"],
    "none": SPECS["none"],
    "images": Spec(dim=2, shape=(12, 10), J=1, L=1),
    "volumes": Spec(dim=3, shape=(16, 16, 16), J=0, L=0, integral_powers=(1, 2)),  # roots of rounding errors are large
}


@pytest.mark.parametrize("name", list(ODD))
def test_signals_that_are_not_finite_or_silent_leave_their_partners_alone(name: str) -> None:
    spec = ODD[name]
    plan = fresh(spec, target="cuda")
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, *spec.input_shape)))
    odd = x.clone()
    odd[1].view(-1)[3], odd[1].view(-1)[5], odd[2] = -math.inf, math.nan, 0
    with torch.no_grad():
        cotangent, found = plan(x), plan(odd)
    gradients = plan.vjp(x, cotangent), plan.vjp(odd, cotangent)
    for one, other in (*pairs_of(as_numpy(cotangent), as_numpy(found)), tuple(g.numpy() for g in gradients)):
        room = 1e-5 * np.abs(one).max()
        np.testing.assert_allclose(other[[0, 3]], one[[0, 3]], rtol=0, atol=room)
        assert not np.isfinite(other[1]).all()
        assert name != "volumes" or np.all(other[2] == 0)


def pairs_of(a: Any, b: Any) -> list[tuple[Any, Any]]:
    return [(a[key], b[key]) for key in a] if isinstance(a, dict) else [(a, b)]


def test_signals_of_any_size_are_brought_to_the_same() -> None:
    """The mean, and a power of two near the deviation, of signals that are loud, faint, constant and zero."""
    plan = fresh(SPECS["fused"], target="cuda")
    x = np.random.default_rng(0).standard_normal((6, 60)).astype(np.float32)
    x[1], x[2], x[3], x[4] = 1e37 * x[1], 1e-36 * x[2], 7, 0
    x[5] = 1e6 + x[5]
    mean, scale = torch.empty(6), torch.empty(6)
    plan._module.levels[(6,)](torch.from_numpy(x), mean, scale, SAMPLES=60, BLOCK=16)
    assert np.all(np.abs(mean.numpy() - x.astype(np.float64).mean(1)) <= 1e-6 * np.abs(x).max(1))
    deviation = x.astype(np.float64).std(1)
    assert np.all(np.log2(scale.numpy()) % 1 == 0)
    few = [0, 1, 2, 5]
    assert np.all((scale.numpy()[few] <= 1.001 * deviation[few]) & (2 * scale.numpy()[few] > 0.999 * deviation[few]))
    assert np.all(np.isfinite(scale.numpy()) & (scale.numpy() > 0))


def test_tuned_plans_compute_the_same(tmp_path: Path) -> None:
    plan = fresh(SPECS["fused"], target="cuda")
    # every other shape is tuned: shapes of one length may end up with different warps
    tuned = {shape: shape.candidates()[-1 if i % 2 else 0] for i, shape in enumerate(plan._emitted.tunable())}
    assert any(a != b for a, b in tuned.items())
    other = TritonPlan(plan._compiled, tuned)
    assert other.source() != plan.source()
    x = np.random.default_rng(2).standard_normal((3, 60))
    agree(other, x)
    other.save(tmp_path / "plan")
    for same in (pickle.loads(pickle.dumps(other)), load(tmp_path / "plan")):
        agree(same, x)


def test_selected_paths_alone() -> None:
    plan = fresh(SPECS["fused"], target="cuda", select=[(3,), (2, 4)])
    agree(plan, np.random.default_rng(1).standard_normal((2, 60)))


def test_what_cannot_be_transformed_is_refused() -> None:
    plan = fresh(Spec(dim=1, shape=64, J=3), target="cuda")
    with pytest.raises(TypeError, match="x is ndarray, not a torch tensor"):
        plan(np.ones(64))
    with pytest.raises(TypeError, match="x is complex"):
        plan(torch.ones(64, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"x has shape \(63,\): it must end with \(64,\)"):
        plan(torch.ones(63))
    assert plan(torch.ones(64, requires_grad=True)).requires_grad
    with torch.no_grad():
        assert not plan(torch.ones(64, requires_grad=True)).requires_grad


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 9, 12, 15, 16, 20, 32, 33])
def test_a_list_of_planes_is_transformed(n: int, sign: int) -> None:
    """Straight-line code, run by Python itself on numpy arrays; some planes are known to be zero."""
    rng = np.random.default_rng(n)
    for zeros in (set(), set(range(n // 2, n)), set(range(0, n, 2))):
        planes = [None if j in zeros else (f"r{j}", f"i{j}") for j in range(n)]
        x = rng.standard_normal((n, 3)) + 1j * rng.standard_normal((n, 3))
        x[sorted(zeros)] = 0
        values = {f"r{j}": x[j].real for j in range(n)} | {f"i{j}": x[j].imag for j in range(n)}
        code = Code()
        found = dft(code, planes, sign)
        exec("\n".join(code.lines), {"tl": SimpleNamespace(fma=lambda a, b, c: a * b + c)}, values)
        got = np.array([0 * x[0] if p is None else values[p[0]] + 1j * values[p[1]] for p in found])
        wanted = np.exp(sign * 2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) @ x
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "stages",
    [*(radices(length) for length in (16, 64, 128, 256, 512, 1024, 2048)), radices(512)[::-1], (32, 64), (64, 32)],
    ids=str,
)
def test_transforms_in_registers(stages: tuple[int, ...], sign: int) -> None:
    """In the usual stages, these backwards, and the long lists of kernels that cut, there and back."""
    assert transformed(register_fft, stages, sign) <= 1e-6


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("length", [16, 32, 64, 128, 512])
def test_transforms_along_axes(length: int, held: bool) -> None:
    """Those with twiddles before the exchange, there and back."""
    fft = partial(axis_fft, held=held)
    assert transformed(fft, radices(length), 1) <= 1e-6
    assert transformed(fft, radices(length)[::-1], -1) <= 1e-6


def transformed(fft: Callable[..., list[Any]], stages: tuple[int, ...], sign: int) -> float:
    """The error of a transform in registers."""
    rows, length = 2, math.prod(stages)
    code, rest = Code(), length // stages[0]
    code.write(f"row = tl.arange(0, {rows})[:, None] * {length}", f"p = tl.arange(0, {rest})[None, :]")
    planes = []
    for j in range(stages[0]):
        z = code.let("z", f"tl.load(X + row + {j * rest} + p)")
        planes.append(code.pair(f"low({z})", f"high({z})"))
    last = length // stages[-1]
    code.write(f"q = tl.arange(0, {last})[None, :]") if last != rest else code.write("q = p")
    for k, (re, im) in enumerate(fft(code, planes, rows, stages, sign, "twiddles")):
        code.write(f"tl.store(Y + row + {k * last} + q, both({re}, {im}))")
    from scatc.codegen.triton.kernels import templates
    from scatc.codegen.triton.tables import twiddles

    bits = templates().get_template("kernels/bits.py.j2").render(tensor_cores=True)
    head = "import triton\nimport triton.language as tl\n"
    module = load_source(f"{head}{bits}\n@triton.jit\ndef kernel(X, twiddles, Y):\n{code}\n", "triton")
    rng = np.random.default_rng(length)
    x = (rng.standard_normal((rows, length)) + 1j * rng.standard_normal((rows, length))).astype(np.complex64)
    y = torch.empty(rows, length, dtype=torch.complex64)
    module.kernel[(1,)](torch.from_numpy(x).view(torch.int64), torch.from_numpy(twiddles(length)), y.view(torch.int64))
    wanted = np.fft.fft(x.astype(complex)) if sign < 0 else np.fft.ifft(x.astype(complex)) * length
    return float(np.linalg.norm(y.numpy() - wanted) / np.linalg.norm(wanted))
