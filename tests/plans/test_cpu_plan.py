"""Plans of C code: they agree with the interpreter, on any small transform, and are plans like those for numpy."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import Array, assert_agrees, by_path, fresh, golden_spec
from frameworks_support import ALL_TRANSFORMS, GOLDEN, KINDS, TRANSFORMS, signals_of
from gradients import arrays_of, assert_gradient, cotangents_like
from hypothesis import given, settings
from hypothesis import strategies as st
from native import needs_compiler
from samples import ALL, FEW, SPEC, SPECS, assert_identical, noise
from strategies import selections, signal, signals, specs
from support import GoldenCase, python

from scatc.codegen.cpu import CpuTarget, coefficients
from scatc.compiler import compile as compile_plan
from scatc.compiler import load
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.runtime import driver, libraries, native, store, toolchain
from scatc.runtime.cpu import CpuPlan
from scatc.runtime.entry import Entry, pack, read_entry, write_packed
from scatc.runtime.plan import Plan, Record, make_plan

pytestmark = needs_compiler

EVERY_DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def plan_of(spec: Spec, **options: Any) -> CpuPlan:
    plan = fresh(spec, target="cpu", **options)
    assert isinstance(plan, CpuPlan)
    return plan


@pytest.fixture
def shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share whatever is small, too."""
    monkeypatch.setattr(native, "SHORTEST_CALL", 0.0)


class Soiled(native.Buffer):
    """Memory that holds NaN."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._raw[:] = 255


@pytest.fixture
def soiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is read before it is written spoils the result."""
    monkeypatch.setattr(native, "Buffer", Soiled)


# ---- compiled is what the interpreter says --------------------------------------------------------------------------


@pytest.mark.usefixtures("soiled")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="vectors of other CPUs have one length")
@pytest.mark.parametrize("without", ["avx512f", "avx"])
@EVERY_DTYPE
def test_shorter_vectors(without: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CPUs that have no longer ones."""
    monkeypatch.setenv("SCATC_CC", f"{toolchain.find().command[0]} -mno-{without}")
    for spec in (Spec(dim=1, shape=300, J=4, Q=2), Spec(dim=2, shape=(33, 20), J=2, L=2)):
        plan = plan_of(spec, dtype=dtype)
        assert f"-mno-{without}" in plan.report()
        x = noise(spec).astype(dtype)
        assert_agrees(plan, x)
        g = cotangents_like(plan(x))
        assert_gradient(plan, x, g, plan.vjp(x, g))


@pytest.mark.usefixtures("soiled")
@pytest.mark.parametrize("shape", [(33, 64), (64, 33), (56, 24)])
@EVERY_DTYPE
def test_images_whose_halves_are_no_whole_vectors(shape: tuple[int, int], dtype: str) -> None:
    """Rows of spectra end anywhere; what is read beyond them has no weight."""
    spec = Spec(dim=2, shape=shape, J=2, L=3)
    assert_agrees(plan_of(spec, dtype=dtype), noise(spec).astype(dtype))


@pytest.mark.parametrize("shape", [(1, 28, 6), (5, 4, 1)], ids=str)
@EVERY_DTYPE
def test_filters_that_are_zero_everywhere(shape: tuple[int, ...], dtype: str) -> None:
    """Of an axis of one sample, wide solid harmonics are Gaussians far from their middle."""
    plan = plan_of(Spec(dim=3, shape=shape, J=4, L=1, order=1), dtype=dtype)
    x = signal("noise", shape).astype(dtype)
    assert_agrees(plan, x, y := plan(x))
    assert not y[plan.paths.index((4,))].any()
    assert_gradient(plan, x, g := cotangents_like(y), plan.vjp(x, g))


@GOLDEN
@EVERY_DTYPE
def test_golden_signals(case: GoldenCase, dtype: str) -> None:
    plan = plan_of(golden_spec(case), dtype=dtype)
    assert_agrees(plan, case.x.astype(dtype))


@ALL_TRANSFORMS
@EVERY_DTYPE
def test_signals_of_every_kind(spec: Spec, dtype: str) -> None:
    plan = plan_of(spec, dtype=dtype)
    for kind in KINDS:
        assert_agrees(plan, signals_of(spec, kind, 3).astype(dtype))


def drawn(data: st.DataObject, plan: Plan) -> Array:
    """Draw a batch of signals for a plan, in its precision."""
    batch = data.draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    x = np.stack([data.draw(signals(plan.spec.input_shape)) for _ in range(int(np.prod(batch)))])
    return x.reshape(batch + plan.spec.input_shape).astype(plan.dtype)


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=12)  # a compiler takes its time
def test_any_small_spec(dim: int, data: st.DataObject) -> None:
    plan = plan_of(data.draw(specs(dims=(dim,))), dtype=data.draw(st.sampled_from(["float32", "float64"])))
    assert_agrees(plan, drawn(data, plan))


@given(data=st.data())
@settings(max_examples=10)
def test_any_selection(data: st.DataObject) -> None:
    spec = data.draw(specs(max_side=32, max_paths=40))
    select = data.draw(selections(spec))
    plan = plan_of(spec, select=select)
    assert plan.paths == tuple(path for path in all_paths(spec) if path in select)
    assert_agrees(plan, drawn(data, plan))


@given(data=st.data())
@settings(max_examples=10)
def test_any_memory_limit_and_number_of_workers(data: st.DataObject) -> None:
    spec = data.draw(specs(max_side=40))
    limit = data.draw(st.one_of(st.none(), st.integers(1, 1 << 20)))
    try:
        plan = plan_of(spec, memory_limit=limit, workers=data.draw(st.integers(1, 4)))
    except CompileError as error:
        assert f"memory_limit={limit} bytes is too small" in str(error)
        return
    assert limit is None or plan.working_bytes() <= limit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "SHORTEST_CALL", 0.0)
        assert_agrees(plan, drawn(data, plan))


@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("name", ["1d", "1d_third_order", "2d", "3d"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_batch_on_any_number_of_workers(name: str, workers: int) -> None:
    plan = plan_of(TRANSFORMS[name], workers=workers)
    for count in (1, 2, 3, 5, 8, 70):
        assert_agrees(plan, signal("noise", (count, *plan.spec.input_shape), count).astype(np.float32))


@pytest.mark.usefixtures("shares_all")
@pytest.mark.parametrize("name", ["1d", "2d", "3d"])
def test_threads_that_share_a_plan(name: str) -> None:
    plan = plan_of(TRANSFORMS[name], workers=3)
    inputs = [signal("noise", (1 + k % 6, *plan.spec.input_shape), k).astype(np.float32) for k in range(12)]
    wanted = [by_path(plan, plan(x)) for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for got, y in zip(pool.map(plan, inputs * 5), wanted * 5, strict=True):
            for path, array in by_path(plan, got).items():
                np.testing.assert_array_equal(array, y[path])


@pytest.mark.parametrize("name", ["1d", "2d", "3d"])
@pytest.mark.parametrize("ratio", [1e-30, 1e-3, 1e3, 1e30])
def test_signals_of_very_different_size(name: str, ratio: float) -> None:
    """None takes the precision of another, in a batch of two as in a larger one."""
    spec = TRANSFORMS[name]
    if spec.dim == 3:
        ratio = ratio ** (1 / 3)  # powers of coefficients
    plan = plan_of(spec)
    x = signal("noise", (3, *spec.input_shape))
    x[1] *= ratio
    x = x.astype(np.float32)
    for batch in (x, x[:2]):
        y = by_path(plan, plan(batch))
        for k, one in enumerate(batch):
            assert_agrees(plan, one.astype(np.float64), {path: array[k] for path, array in y.items()})


# ---- plans like others ----------------------------------------------------------------------------------------------


@ALL
def test_attributes(spec: Spec) -> None:
    plan = plan_of(spec, dtype=np.float64, workers=2)
    assert (plan.spec, plan.dtype, plan.target, plan.workers) == (spec, np.float64, "cpu", 2)
    assert repr(plan) == f"<scatc cpu plan, float64, {len(all_paths(spec))} paths, of {spec!r}>"
    assert plan.ir().startswith("graph {")
    assert re.match(r"program batch=\d+ workers=2 arena=\d+ spectrum=\d+\n", plan.schedule())


@ALL
def test_the_source_says_what_it_is(spec: Spec) -> None:
    plan = plan_of(spec)
    assert f"spec {spec.digest}" in plan.source()
    assert plan_of(spec).source() == plan.source()
    for name in ("scatc_layout", "scatc_trunk", "scatc_branch"):
        assert len(re.findall(rf"^\S.*\b{name}\b", plan.source(), re.MULTILINE)) == 1
    assert "scatc_trunk" in plan.asm()


def test_report() -> None:
    plan = plan_of(SPEC, memory_limit=10_000_000, workers=2)
    report = plan.report()
    assert f"\ncompiler  {toolchain.find()}\n" in report
    layout = plan._native.layout
    assert (
        f"memory    {plan.working_bytes()} bytes of working memory (memory_limit 10000000): 2 worker(s) x "
        f"({layout.arena_bytes} in the arena + {plan._native.memory.batch} signals x {layout.spectrum_bytes})" in report
    )
    assert plan.working_bytes() <= 10_000_000
    assert "scipy" not in report  # the library of FFTs does not matter


@ALL
@pytest.mark.parametrize("options", [{}, {"dtype": "float64", "workers": 3, "memory_limit": 1 << 20}])
def test_saved_and_loaded(spec: Spec, options: dict[str, Any], tmp_path: Path) -> None:
    plan = plan_of(spec, **options)
    plan.save(tmp_path / "a.plan")
    back = load(tmp_path / "a.plan")
    assert isinstance(back, CpuPlan)
    assert_identical(back, plan)
    assert b"scatc_trunk" not in (tmp_path / "a.plan").read_bytes()  # data, no code


def test_selections() -> None:
    whole = by_path(plan := plan_of(SPEC, dtype="float64"), plan(noise(SPEC)))
    some = plan_of(SPEC, dtype="float64", select=FEW)
    assert some.paths == FEW
    for path, array in by_path(some, some(noise(SPEC))).items():
        np.testing.assert_allclose(array, whole[path], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": "float16"}, "dtype='float16' is not possible: dtype must be 'float32' or 'float64'"),
        ({"workers": 0}, "workers=0 is not possible: workers must be a whole number of at least 1, or None"),
        ({"select": [(99,)]}, "select: there is no path (99,); plan.meta() lists"),
        ({"save": "some"}, "save='some' is not possible with target='cpu': save must be 'inputs'"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(text)}"):
        plan_of(SPEC, **options)


@ALL
def test_the_least_memory_is_stated_exactly(spec: Spec) -> None:
    with pytest.raises(CompileError) as caught:
        plan_of(spec, memory_limit=1, workers=3)
    (least,) = map(int, re.findall(r"on one worker need (\d+) bytes", str(caught.value)))
    plan = plan_of(spec, memory_limit=least, workers=3)
    assert (plan.working_bytes(), plan.workers) == (least, 1)
    assert_agrees(plan, noise(spec, 5))
    with pytest.raises(CompileError, match=f"memory_limit={least - 1} bytes is too small"):
        plan_of(spec, memory_limit=least - 1)


# ---- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1d", "1d_none", "2d", "3d"])
@pytest.mark.parametrize("save", ["inputs", "first_order", "all"])
def test_gradients(name: str, save: str) -> None:
    plan = plan_of(TRANSFORMS[name], dtype="float64", save=save)
    assert plan.save_mode == save
    x = signals_of(plan.spec, "noise")
    y, saved = plan.forward(x)
    assert (len(saved) > 0) == (save != "inputs")
    assert_agrees(plan, x, y)
    g = cotangents_like(y)
    assert_gradient(plan, x, g, plan.vjp(x, g, saved), plan.vjp(x, g))
    assert all(array.dtype == np.float64 for array in arrays_of(y))
    for text in (plan.ir("vjp"), plan.source("vjp"), plan.schedule("vjp")):
        assert text
    more = plan.with_workers(3)
    np.testing.assert_allclose(more.vjp(x, g), plan.vjp(x, g), rtol=1e-9, atol=1e-12)
    assert more._numpy.workers == 3


# ---- caches ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty disk cache, and empty ones in memory."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "cache"))
    driver.PLANS.clear()
    libraries._LOADED.clear()
    return tmp_path / "cache"


def test_plans_and_libraries_are_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = compile_plan(SPEC, "cpu")
    assert compile_plan(SPEC, "cpu") is plan
    assert compile_plan(SPEC) is not plan
    driver.PLANS.clear()
    libraries._LOADED.clear()

    def fail(*arguments: object) -> Path:
        raise AssertionError("it is built anew")

    monkeypatch.setattr(toolchain.Toolchain, "build", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = compile_plan(SPEC, "cpu")
    assert "made      read from the disk cache in " in again.report()
    assert_identical(again, plan)


def test_what_was_built_before_needs_no_text(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = compile_plan(SPEC, "cpu")
    text, emit = plan.source(), CpuTarget.emit
    monkeypatch.setattr(CpuTarget, "emit", lambda *arguments: pytest.fail("it is emitted again"))
    driver.PLANS.clear()
    libraries._LOADED.clear()
    again = compile_plan(SPEC, "cpu")
    np.testing.assert_array_equal(again.with_workers(2)(noise(SPEC)), plan(noise(SPEC)))
    monkeypatch.setattr(CpuTarget, "emit", emit)
    assert again.source() == text


def test_plans_of_one_text_are_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = compile_plan(SPEC, "cpu")
    monkeypatch.setattr(toolchain.Toolchain, "build", lambda *arguments: pytest.fail("it is built again"))
    limit = plan.working_bytes() // 2
    for options in ({"workers": plan.workers + 1}, {"workers": 1, "memory_limit": limit}, {"save": "all"}):
        other = compile_plan(SPEC, "cpu", **options)
        assert other is not plan
        assert other.source() == plan.source()


@pytest.mark.parametrize("change", ["graph", "machine", "table", "code"])
def test_an_entry_of_another_text_leads_to_no_library_but_its_own(
    change: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the text is emitted from: the library of another one would read tables that are not there."""
    known = compile_plan(SPEC, "cpu")._compiled.recipe
    (path,) = cache.glob("*.scatc")
    entry = read_entry(path)
    texts, arrays = dict(entry.texts), dict(entry.arrays)
    match change:
        case "graph":
            texts["graph"] += "# the same nodes, but not the same text\n"
        case "machine":
            header = json.loads(texts["header"])
            header["options"]["machine"]["cache_bytes"] //= 8
            texts["header"] = json.dumps(header)
        case "table":
            name = next(name for name in arrays if name.endswith("_w"))
            arrays[name] = np.pad(arrays[name], ((0, 0), (0, 16)))
        case "code":
            monkeypatch.setattr(store, "code_digest", lambda: "of another version")
    compiled = store.from_entry(Entry(texts, arrays), "0", Record(), own=True)
    assert compiled.recipe not in ("", known)
    built = []
    build = toolchain.Toolchain.build
    monkeypatch.setattr(
        toolchain.Toolchain, "build", lambda *arguments: built.append(arguments[1]) or build(*arguments)
    )
    make_plan(compiled)
    assert built == [compiled.source]


def with_other_places(path: Path, key: str = "") -> None:
    """Write a plan's file again, soundly, with filters that begin far outside of the spectrum."""
    entry = read_entry(path)
    places = {name for name in entry.arrays if name.endswith("_start")}
    assert places
    arrays = {name: array + (1 << 40) * (name in places) for name, array in entry.arrays.items()}
    write_packed(path, pack(Entry(dict(entry.texts), arrays), key))


def test_tables_of_files_are_not_trusted(tmp_path: Path) -> None:
    plan = plan_of(SPEC)
    plan.save(tmp_path / "a.plan")
    with_other_places(tmp_path / "a.plan")
    assert_identical(load(tmp_path / "a.plan"), plan)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_tables_that_others_may_have_written_are_not_trusted(cache: Path) -> None:
    compile_plan(SPEC, "cpu")
    (path,) = cache.glob("*.scatc")
    with_other_places(path, path.stem)
    driver.PLANS.clear()
    libraries._LOADED.clear()
    cache.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="can be written by others"):  # and no library is loaded from there
        plan = compile_plan(SPEC, "cpu")
    assert "read from the disk cache" in plan.report()
    assert_identical(plan, plan_of(SPEC))


def test_a_damaged_library_is_built_anew(cache: Path) -> None:
    x = noise(SPEC)
    wanted = compile_plan(SPEC, "cpu")(x)
    (path,) = (cache / "libraries").glob(f"*{toolchain.SUFFIX}")
    path.unlink()
    path.write_bytes(b"\x7fELF and no more")
    driver.PLANS.clear()
    libraries._LOADED.clear()
    with pytest.warns(RuntimeWarning, match="is dropped and built anew"):
        plan = compile_plan(SPEC, "cpu")
    np.testing.assert_array_equal(plan(x), wanted)


COMPILE = """
import numpy as np
from scatc.compiler import compile
from scatc.ir.spec import Spec
plan = compile(Spec(dim=1, shape=100, J=4, Q=2), "cpu")
print(plan(np.arange(100.0)).tobytes().hex())
"""


def test_four_processes_compile_the_same_spec_at_once(cache: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", COMPILE]
    started = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=120) for process in started]
    assert [error for _, error in answers] == [""] * 4
    assert len({out for out, _ in answers}) == 1
    assert python("-c", COMPILE, cwd=tmp_path) == answers[0][0]


def test_without_a_compiler_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPECS[0], shape=101)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.delenv("SCATC_CC", raising=False)
        patch.delenv("CC", raising=False)
        for cached in (True, False):
            with pytest.raises(TargetError, match=r"^target='cpu' needs a C compiler, and there is none: [^\n]*$"):
                compile_plan(spec, "cpu", cache=cached)
    assert_agrees(compile_plan(spec, "cpu"), noise(spec))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "J", "stride"), [(1000, 5, None), (77, 6, None), (300, 4, 2), (64, 6, None)])
def test_averages_window_by_window_and_by_matrix(
    shape: int, J: int, stride: int | None, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Spec(dim=1, shape=shape, J=J, Q=2, stride=stride)
    for price, name in ((-1e9, "average_windows"), (1e9, "average_line")):
        monkeypatch.setattr(coefficients, "TRANSPOSED", price)
        plan = fresh(spec, target="cpu", dtype=dtype)
        calls = re.findall(r"(average_windows|average_line)\(v,", plan.source())
        assert name in calls
        assert_agrees(plan, noise(spec, 3))
