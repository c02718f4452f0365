"""The text of GPU kernels for volumes, and the filters in it; what they compute is tested in tests/frameworks."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs

from scatc.codegen import find_target
from scatc.codegen.code import Code
from scatc.codegen.triton.cost import DEVICES
from scatc.codegen.triton.fft import radices
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.predict import prediction
from scatc.codegen.triton.target import TritonTarget
from scatc.codegen.triton.tuned import WARP
from scatc.codegen.triton.volumes import axes, axes_t
from scatc.codegen.triton.volumes.axes import Kept
from scatc.codegen.triton.volumes.axis_by_axis import AxisByAxis
from scatc.codegen.triton.volumes.axis_by_axis_t import AxisByAxisT, quickest_gradient
from scatc.codegen.triton.volumes.harmonic import Harmonic, evaluate, slices
from scatc.codegen.triton.volumes.solid import raised
from scatc.codegen.triton.volumes.walk import Volumes
from scatc.codegen.triton.volumes.walk_t import VolumesT
from scatc.ir.filters.solid_harmonic import SolidHarmonicBank, wave_numbers
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime.driver import build

TARGET = find_target("cuda")


def emitted(spec: Spec) -> Volumes:
    assert isinstance(TARGET, TritonTarget)
    compiled = build(spec, TARGET, Options(machine=TARGET.machine("")))
    found = TARGET.emitted(compiled.program, compiled.options)
    assert isinstance(found, Volumes)
    return found


def test_golden_module(golden: Callable[[str, str], None]) -> None:
    golden("codegen/triton_3d", emitted(Spec(dim=3, shape=(6, 6, 6), J=0, L=1, order=1, sigma_0=2)).source)


def test_golden_module_of_a_gradient(golden: Callable[[str, str], None]) -> None:
    forward = emitted(Spec(dim=3, shape=(6, 6, 6), J=1, L=0, order=2, sigma_0=2))
    golden("codegen/triton_3d_vjp", VolumesT(forward.program, forward.options, tensor_cores=True).source)


def test_golden_kernels_axis_by_axis(golden: Callable[[str, str], None]) -> None:
    few, whole = Kept.of(4, -1, 3), Kept(4, 4, 0)
    first = axes.First(Harmonic(1, (0, 1), (1, 2), True, 64), (whole, whole, whole), (few, few, few))
    along = axes.Along(few, whole, few.count, forward=False)
    last = axes.Last(16, few, (0.5, 1, 2), whole)
    turn, gather = axes_t.Turn(16, few, (0.5, 2), whole), axes_t.Gather(first)
    texts = {"first": axes.first(first), "along": axes.along(along), "last": axes.last(last)}
    texts |= {"turn": axes_t.turn(turn), "gather": axes_t.gather(gather)}
    golden("codegen/triton_axes_4", "\n".join(f"{name}:\n{text}\n" for name, text in texts.items()))


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
def test_threads_hold_a_number_of_each_plane(size: int) -> None:
    """Else some would only repeat what others do."""
    for numbers in (8, axes.NUMBERS, axes.MOST_NUMBERS):
        assert WARP * axes.warps(size, numbers) * max(radices(size)) <= axes.TILE * size


def check_text(emitter: Volumes) -> None:
    """Every table is used, every kernel launched with its arguments, no grid too large, every path output."""
    source = emitter.source
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert max(len(line) for line in source.split('"""', 2)[2].splitlines() if line.lstrip()[:1] != "#") <= 160
    assert set(re.findall(r't\["(\w+)"\]', source)) == set(emitter.tables)
    chunk = int(re.search(r"^CHUNK = (\d+)", source, re.MULTILINE)[1])  # type: ignore[index]
    triton = SimpleNamespace(cdiv=lambda a, b: -(-a // b))
    for launch in (step for step in emitter.steps if isinstance(step, Launch)):
        assert [a.arg for a in functions[launch.kernel].args.args] == [*launch.types, *launch.constants]
        assert len(launch.arguments) == len(launch.types)
        for axis, programs in enumerate(launch.grid):
            size = eval(programs, {"triton": triton, "n": chunk, "pairs": (chunk + 1) // 2})
            assert 0 < size < (1 << 31 if axis == 0 else 1 << 16), launch
    rows = [table for name, table in emitter.tables.items() if name.endswith("_row")]
    assert sum(map(len, rows)) == sum(len(paths) for _, paths in emitter.program.outputs)


@given(st.data())
def test_every_source_is_tidy(data: st.DataObject) -> None:
    forward = emitted(data.draw(specs(dims=(3,))))
    batch = data.draw(st.integers(1, 500))
    for emitter in (forward, VolumesT(forward.program, forward.options, tensor_cores=True)):
        check_text(emitter)
        for device in DEVICES:
            found = prediction(emitter, batch, device)
            assert 0 < found.floor < found.seconds
            assert found.bytes == pytest.approx(batch * sum(work.bytes for work in emitter.works()))


@pytest.mark.parametrize("sides", [(16, 16, 16), (32, 16, 64)], ids=str)
def test_axes_that_fit_the_registers_are_transformed_there(sides: tuple[int, int, int]) -> None:
    emitter = emitted(Spec(dim=3, shape=sides, J=2, L=2))
    assert isinstance(emitter, AxisByAxis)
    assert not emitter.products
    gradient = quickest_gradient(emitter.program, emitter.options, tensor_cores=True)
    assert isinstance(gradient, AxisByAxisT)
    for one in (emitter, gradient):
        check_text(one)
    moved = sum(work.bytes for work in emitter.works())
    library = Volumes(emitter.program, emitter.options, tensor_cores=True)
    assert moved < 0.6 * sum(work.bytes for work in library.works())


@pytest.mark.parametrize("other", [{"shape": (24, 16, 16)}, {"shape": (8, 16, 16)}, {"L": 5}], ids=str)
def test_what_does_not_fit_is_transformed_by_the_library(other: dict[str, object]) -> None:
    spec = Spec(**({"dim": 3, "shape": (16, 16, 16), "J": 0, "L": 1, "order": 1} | other))
    assert not isinstance(emitted(spec), AxisByAxis)


def at(shape: tuple[int, ...], sigma: float, *, mirrored: bool) -> list[np.ndarray]:
    """Sigma k along z, y and x, and the Gaussian, at all bins or at the opposite ones."""
    waves = [sigma * wave_numbers(n) for n in shape]
    z, y, x = np.ix_(*([w[-np.arange(len(w))] for w in waves] if mirrored else waves))
    return [z, y, x, np.exp(-0.5 * (z**2 + y**2 + x**2))]


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("covariant", [True, False])
@pytest.mark.parametrize("shape", [(6, 8, 4), (5, 6, 7)], ids=str)
def test_filters_are_those_of_the_bank(shape: tuple[int, ...], covariant: bool, degree: int) -> None:
    """Straight-line code, run by Python itself: real responses, whose squares sum up to those of the bank."""
    bank = SolidHarmonicBank(shape, 0, degree, 0.9, covariant)
    spectrum = np.fft.fftn(np.random.default_rng(degree).standard_normal(shape))
    wanted = sum(np.abs(np.fft.ifftn(spectrum * psi)) ** 2 for psi in bank.response(degree))
    orders = tuple(range(-degree, degree + 1)) if covariant else (-degree,)
    harmonic = Harmonic(degree, orders, (), False, int(np.prod(shape)))
    code = Code()
    parts = evaluate(code, harmonic, ("z", "y", "x", "g"), ("z_", "y_", "x_", "g_"))
    assert len(parts) == harmonic.filters
    values = dict(zip(("z", "y", "x", "g"), at(shape, 0.9, mirrored=False), strict=True))
    values |= dict(zip(("z_", "y_", "x_", "g_"), at(shape, 0.9, mirrored=True), strict=True))
    exec("\n".join(code.lines), {}, values)
    total = 0.0
    for real, imaginary in parts:
        factor = (values[real] if real else 0) + 1j * (values[imaginary] if imaginary else 0)
        response = np.fft.ifftn(spectrum * factor * (-1j) ** degree, norm="forward")
        np.testing.assert_allclose(response.imag, 0, atol=1e-12)
        total = total + response.real**2
    np.testing.assert_allclose(total, wanted, atol=1e-6 * wanted.max())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("degree", range(axes.MOST_DEGREE + 1))
def test_polynomials_in_z_are_the_same_filters(degree: int, symmetric: bool) -> None:
    orders = tuple(range(degree + 1)) if symmetric else tuple(range(-degree, degree + 1))
    weights = (1, *(2,) * degree) if symmetric else ()
    harmonic, shape = Harmonic(degree, orders, weights, symmetric, 1), (6, 8, 4)
    here, there = (at(shape, 0.9, mirrored=mirrored) for mirrored in (False, True))
    names = [("z", "y", "x", "g"), ("z_", "y_", "x_", "g_")]
    code = Code()
    wanted = evaluate(code, harmonic, *names)
    values = dict(zip(names[0] + names[1], here + there, strict=True))
    exec("\n".join(code.lines), {}, values)
    code = Code()
    found = slices(code, harmonic, ["y", "x", "g"], ["y_", "x_", "g_"])
    lines = dict(values)
    exec("\n".join(code.lines), {}, lines)
    assert len(found) == len(wanted) == harmonic.filters
    for f, ((ours, theirs), (real, imaginary)) in enumerate(zip(found, wanted, strict=True)):
        assert symmetric or bool(imaginary) == bool(f % 2)
        total = sum(lines[c] * lines["z"] ** a for a, c in ours.items())
        total = total + sum(lines[c] * lines["z_"] ** a for a, c in theirs.items())
        np.testing.assert_allclose(total, values[real or imaginary], atol=1e-6)


@pytest.mark.parametrize("count", [5, 9, 16, 30, 64])
@pytest.mark.parametrize("size", [16, 64, 128])
def test_kept_bins_hold_the_window(size: int, count: int) -> None:
    start = -(count // 2)
    kept = Kept.of(size, start, min(count, size))
    wanted = set(range(size)) if count >= size else {k % size for k in range(start, start + count)}
    tl = SimpleNamespace(where=lambda condition, a, b: a if condition else b)
    places = [eval(kept.bin("i"), {"tl": tl, "i": i}) for i in range(kept.count)]
    assert wanted <= set(places)
    assert [eval(kept.place("k"), {"tl": tl, "k": k}) for k in places] == list(range(kept.count))
    assert kept.with_(kept) == kept


def test_powers_are_products_and_roots() -> None:
    u, powers = np.array([0.0, 1e-3, 0.7, 3.0]), (0.5, 1.0, 2.0, 1.5, 7.0, 0.3, 2.7, 20.0)
    code = Code()
    names = raised(code, "u", powers)
    values = {
        "u": u,
        "tl": SimpleNamespace(sqrt=np.sqrt, exp2=np.exp2, log2=np.log2, maximum=np.maximum, where=np.where),
    }
    exec("\n".join(code.lines), {}, values)
    assert names[1] == "u"
    for name, exponent in zip(names, powers, strict=True):
        np.testing.assert_allclose(values[name], u**exponent, rtol=1e-6)
