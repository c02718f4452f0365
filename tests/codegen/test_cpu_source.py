"""The emitted C: its text, and the Fourier transforms it is made of; what plans compute is tested in tests/plans."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native import needs_compiler
from numpy.typing import NDArray
from strategies import specs

from scatc.codegen import find_target
from scatc.codegen.cpu import fft, volumes
from scatc.codegen.cpu.functions import Functions, exchanges, names, templates
from scatc.codegen.cpu.layout import Grid, lanes, spectrum, windows
from scatc.codegen.cpu.tables import Average
from scatc.codegen.cpu.volumes import terms
from scatc.codegen.signals import signals
from scatc.ir.errors import TargetError
from scatc.ir.filters import Band, banks
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime import toolchain
from scatc.runtime.driver import build

TARGET = find_target("cpu")
SIZES = [*range(1, 41), 48, 60, 64, 96, 120, 128, 132, 192, 240, 256, 264, 289, 319, 512, 1024]
BOUND = {"float32": 1e-6, "float64": 1e-14}


def source(spec: Spec, dtype: str = "float32") -> str:
    return build(spec, TARGET, Options(dtype=dtype, machine=TARGET.machine(""))).source


def test_golden_line(golden: Callable[[str, str], None]) -> None:
    golden("codegen/cpu_1d", source(Spec(dim=1, shape=32, J=2)))


def test_golden_image(golden: Callable[[str, str], None]) -> None:
    golden("codegen/cpu_2d", source(Spec(dim=2, shape=(8, 12), J=2, L=2)))


@given(st.data())
@settings(max_examples=20)
def test_the_text_is_a_function_of_the_spec(data: st.DataObject) -> None:
    spec = data.draw(specs())
    compiled = build(spec, TARGET, Options(machine=TARGET.machine("")))
    again = TARGET.emit(compiled.program, compiled.options, compiled.tables, "0")
    assert TARGET.emit(compiled.program, compiled.options, compiled.tables, "0") == again
    assert TARGET.emit(compiled.program, compiled.options, {}, "0") == again  # tables that are known change nothing
    assert all(len(line) <= 400 for line in again.splitlines() if "scatc_layout" not in line)


@pytest.mark.parametrize("n", [8, 24, 64])
@pytest.mark.parametrize(("by", "first", "together"), [(0, 0, 1), (1, 3, 4), (2, 1, 16), (3, 5, 3)])
def test_matrices_of_averages(n: int, by: int, first: int, together: int) -> None:
    """Column t has the weight of each sample of the window in average `first + t`: phi, centred there."""
    h = np.random.default_rng(n).standard_normal(n)
    for reach in (1, 5, n - 1, n):
        average = Average(n, by, first, together, reach)
        wanted = np.zeros((average.length, together))
        for t in range(together):
            for j in range(average.length):
                distance = ((first + t) << by) - (average.start + j)
                wanted[j, t] = h[distance % n] if average.whole or abs(distance) <= reach // 2 else 0
        np.testing.assert_array_equal(average.matrix(h), wanted)


def test_filters_of_images_are_there_once_and_without_what_is_negligible() -> None:
    spec = Spec(dim=2, shape=(96, 96), J=2, L=8)  # padded to 104 x 104
    compiled = build(spec, TARGET, Options(machine=TARGET.machine("")))
    sizes = {name: table.size for name, table in compiled.tables.items() if name.endswith("_weights")}
    assert len(sizes) == 2  # those of scale 1 are for U0, too
    large, small = sorted(sizes.values(), reverse=True)
    assert large <= 8 * 104 * 8 * 16  # seven lines of 16 bins a row, one of which is mirrored in part
    assert small < 0.75 * large
    assert compiled.source.count("_weights,") > 2


@pytest.mark.parametrize("n", SIZES)
def test_stages_multiply_to_the_length(n: int) -> None:
    radices = fft.stages(n)
    assert int(np.prod(radices)) == n
    for radix in radices:
        assert radix <= fft.LARGEST_RADIX or fft.prime_factors(radix) == [radix]


def library(dtype: str, folder: Path) -> tuple[ctypes.CDLL, dict[str, NDArray[Any]]]:
    """All transforms of `SIZES`, each behind a function that can be called from outside."""
    functions = Functions(dtype, lanes(np.dtype(dtype).itemsize), (), {})
    for n in SIZES:
        functions.dft(n)
    environment = templates()
    head = environment.get_template("vectors.c.j2").render(exchanges=exchanges, **names(dtype))
    includes = [f"#include <{name}.h>" for name in ("math", "stddef", "stdint")]
    lines = [*includes, f"#define LANES {functions.lanes}", head, *functions.texts()]
    lines += ["const int width = V;"]
    for n in SIZES:
        arguments = "(const real *xr, const real *xi, real *yr, real *yi, const real *t)"
        lines.append(f"void call_{n}{arguments} {{ dft_{n}(xr, xi, V, yr, yi, V, t); }}")
    path = toolchain.find().build("\n".join(lines) + "\n", folder)
    return ctypes.CDLL(str(path)), functions.tables


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transforms_along_columns(dtype: str, tmp_path: Path) -> None:
    loaded, turns = library(dtype, tmp_path)
    width = ctypes.c_int.in_dll(loaded, "width").value
    rng = np.random.default_rng(0)
    for n in SIZES:
        x = rng.standard_normal((2, n, width)).astype(dtype)
        want = np.fft.fft((x[0] + 1j * x[1]).astype(np.complex128), axis=0)
        for y in (np.empty_like(x), x):  # into other memory, and in place
            table = turns.get(f"turns_{n}", np.zeros(1, dtype))
            pointers = (ctypes.c_void_p(array.ctypes.data) for array in (x[0], x[1], y[0], y[1], table))
            loaded[f"call_{n}"](*pointers)
            assert np.linalg.norm(y[0] + 1j * y[1] - want) <= BOUND[dtype] * np.linalg.norm(want), n


def test_lengths_that_do_not_fit_the_stack_are_refused() -> None:
    with pytest.raises(TargetError, match=r"transforms of 65536 samples along one axis .* compile with target='numpy'"):
        Functions("float32", 16, (), {}).dft(1 << 16)


@pytest.mark.parametrize("shape", [(8, 8, 8), (7, 5, 6), (1, 2, 3), (12, 10, 16)])
@pytest.mark.parametrize("covariant", [True, False])
def test_solid_harmonics_are_sums_of_few_terms(shape: tuple[int, ...], covariant: bool) -> None:
    spec = Spec(dim=3, shape=shape, J=1, L=3, rotation_covariant=covariant)
    compiled = build(spec, TARGET, Options(dtype="float64", machine=TARGET.machine("")))
    root = signals(compiled.program)
    parent = spectrum(root, Grid(root.shape, 8))
    for child in root.children:
        fold = child.fold
        assert fold is not None
        found = terms(spec, fold, parent, (), "float64", [])
        assert found.a.shape[2] <= 2  # (l - m) // 2 + 1
        parts = found.b[:, :, :, 0] + (1j * found.b[:, :, :, 1] if found.b.shape[3] == 2 else 0)
        sums = np.einsum("fmtk,fmtwh->fmkhw", found.a, parts[..., : found.widths[2]])
        for f, index in enumerate(fold.indices):
            box = tuple(Band(*band) for band in windows(fold, parent.grid)[f])
            w = banks(spec)[fold.bank].window(index, 0, box) / np.prod(shape)
            w = w[list(fold.components)] if fold.components else w
            # up to a phase that a component has as a whole
            for one, want in zip(sums[f], w, strict=True):
                size = np.vdot(want, want).real
                phase = np.vdot(want, one) / size if size > 1e-280 else 1.0
                assert np.abs(one - phase * want).max() <= 10 * volumes.NEGLIGIBLE * np.abs(want).max()


@pytest.mark.parametrize("shape", [(8, 8, 8), (7, 5, 6), (1, 2, 3), (12, 10, 16)])
@pytest.mark.parametrize("covariant", [True, False])
def test_waves_that_are_real_have_the_norm_of_their_components(shape: tuple[int, ...], covariant: bool) -> None:
    spec = Spec(dim=3, shape=shape, J=1, L=3, rotation_covariant=covariant)
    options = Options(dtype="float64", machine=TARGET.machine(""))
    root = signals(build(spec, TARGET, options).program)
    x = np.fft.fftn(np.random.default_rng(0).standard_normal(shape))
    everything = tuple(Band(0, n) for n in shape)
    for child in root.children:
        fold = child.fold
        assert fold is not None
        weights = (1, *(2,) * (len(fold.components) - 1)) if fold.components else ()
        found = volumes.waves(spec, "Y", fold, Grid(shape, 8), weights, options, {})
        assert np.array_equal(found.b[..., found.half.columns :], 0 * found.b[..., found.half.columns :])
        kind = {"r": lambda b: b[:, 0], "i": lambda b: 1j * b[:, 0], "c": lambda b: b[:, 0] + 1j * b[:, 1]}[found.kind]
        for f, index in enumerate(fold.indices):
            got = np.zeros(shape)
            for a, b in zip(found.a[f], found.b[f], strict=True):
                bins = np.einsum("tk,twh->khw", a, kind(b)[..., : found.half.columns])
                whole = np.zeros((shape[0], shape[1] // 2 + 1, shape[2]), complex)
                deep, wide = (np.arange(*span) for span in (found.half.deep, found.half.wide))
                whole[np.ix_(deep, np.arange(found.half.columns), wide)] = bins
                wave = np.fft.ifftn(x[:, : shape[1] // 2 + 1] * whole, axes=(0, 2))
                got += (np.fft.irfft(wave, shape[1], axis=1) * np.prod(shape)) ** 2
            w = banks(spec)[fold.bank].window(index, 0, everything)
            w = w[list(fold.components)] if fold.components else w
            squares = np.abs(np.fft.ifftn(x * w, axes=(1, 2, 3))) ** 2
            want = np.tensordot(weights or np.ones(len(w)), squares, 1)
            assert np.linalg.norm(got - want) <= 1e-11 * np.linalg.norm(want)
