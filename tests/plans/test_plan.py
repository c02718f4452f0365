"""What a plan tells about itself, and where it may be taken: files, pickles, threads, processes."""

from __future__ import annotations

import concurrent.futures
import copy
import linecache
import math
import multiprocessing
import os
import pickle
import re
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import by_path, fresh
from samples import ALL, FEW, SPEC, SPECS, assert_identical, assert_same, noise
from strategies import signal

from scatc.compiler import compile as compile_plan
from scatc.compiler import load
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.paths import all_paths, path_table
from scatc.ir.spec import Spec
from scatc.runtime.cache import Entry
from scatc.runtime.entry import write_entry
from scatc.runtime.numpy import NumpyPlan
from scatc.runtime.plan import Plan

# ---- what it tells --------------------------------------------------------------------------------------------------


@ALL
def test_attributes(spec: Spec) -> None:
    plan = fresh(spec, dtype=np.float64, workers=2)
    assert plan.spec == spec
    assert plan.dtype == np.float64
    assert (plan.target, plan.workers) == ("numpy", 2)
    assert repr(plan) == f"<scatc numpy plan, float64, {len(all_paths(spec))} paths, of {spec!r}>"


def run_function(plan: Plan) -> Any:
    return plan._module.run


@ALL
def test_the_source_is_what_runs(spec: Spec) -> None:
    plan = fresh(spec)
    filename = run_function(plan).__code__.co_filename
    assert re.fullmatch(r"<scatc numpy [0-9a-f]{8}( #\d+)?>", filename)
    assert "".join(linecache.getlines(filename)) == plan.source()
    assert f"spec {spec.digest}" in plan.source()
    assert f"{spec!r}" in plan.source()
    linecache.checkcache()
    assert linecache.getlines(filename)


def test_a_traceback_shows_the_line_of_the_source() -> None:
    plan = fresh(SPEC)
    with pytest.raises(Exception) as caught:
        run_function(plan)("no array", [], None)
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "<scatc numpy ' in shown
    line = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert line.line
    assert line.lineno
    assert line.line == plan.source().splitlines()[line.lineno - 1].strip()
    assert line.line in shown


@ALL
def test_ir_and_schedule(spec: Spec) -> None:
    plan = fresh(spec, memory_limit=1 << 20)
    assert plan.ir().startswith("graph {")
    assert plan.schedule().startswith("program batch=")
    nodes = [line.split(" = ")[0] for line in plan.ir().splitlines()[1:]]
    assert nodes[0] == "x"
    assert sum(name.startswith("out_") or name == "out0" for name in nodes) >= 1
    for name in nodes[1:]:
        assert re.search(rf"^\s*{name} = ", plan.schedule(), re.MULTILINE), name
        assert f"# {name} = " in plan.source()


def test_report() -> None:
    plan = fresh(SPEC, memory_limit=10_000_000)
    report = plan.report()
    assert f"spec      {SPEC}" in report
    assert f"paths     {len(plan.paths)}: 1 of order 0, " in report
    assert "dtype     float32; filters cut where 1e-08 of their L1 mass is left" in report
    assert re.search(r"^fft       (scipy|mkl_fft) \(", report, re.MULTILINE)
    assert re.search(r"^made      compiled in \d+ ms$", report, re.MULTILINE)
    assert "floor     " in report
    assert f"output    {4 * len(plan.paths) * plan(np.zeros(100)).shape[-1]} bytes a signal" in report
    for word in ("fold", "ifft", "modulus", "total", "lower_leaves", "batch_siblings", "(memory_limit 10000000)"):
        assert word in report
    assert report.endswith("\n")


def test_meta() -> None:
    plan = fresh(SPEC)
    assert plan.meta() == path_table(SPEC)
    assert [row.row for row in plan.meta()] == list(range(plan(np.zeros(100)).shape[0]))
    assert plan.paths == all_paths(SPEC)
    for row, in_hz in zip(plan.meta(), plan.meta(sampling_rate=44100), strict=True):
        assert in_hz.path == row.path
        assert in_hz.j == row.j
        np.testing.assert_allclose(in_hz.xi, np.array(row.xi) * 44100)
        np.testing.assert_allclose(in_hz.sigma, np.array(row.sigma) * 44100)


def test_without_averaging_the_output_is_a_dict_in_order() -> None:
    plan = fresh(SPECS[1])
    y = plan(noise(SPECS[1]))
    assert isinstance(y, dict)
    assert tuple(y) == plan.paths == all_paths(SPECS[1])
    for row in plan.meta():
        assert y[row.path].shape == (3, 64 >> (row.j[-1] if row.j else 0))
    assert plan(np.zeros(64))[()].shape == (64,)


# ---- drawings -------------------------------------------------------------------------------------------------------


@ALL
def test_dot_text(spec: Spec, tmp_path: Path) -> None:
    plan = fresh(spec)
    text = plan.draw()
    assert text.startswith("digraph scattering {")
    assert text.endswith("}\n")
    assert text.count("{") == text.count("}")
    nodes = len(plan.ir().splitlines()) - 1
    assert text.count("label=") == nodes
    assert text.count(" -> ") == nodes - 1
    for suffix in (".dot", ".gv"):
        assert plan.draw(tmp_path / f"plan{suffix}") == text
        assert (tmp_path / f"plan{suffix}").read_text() == text


@pytest.mark.parametrize(("suffix", "magic"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_pictures(suffix: str, magic: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"plan{suffix}"
    assert fresh(SPECS[3], select=[(0,)]).draw(str(path)).startswith("digraph")
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["plan.jpg", "plan", "plan.SVGZ"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    text = f"path={str(path)!r} is not possible: its suffix must be one of .dot, .gv, .svg, .png, .pdf"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fresh(SPEC).draw(path)
    assert not path.exists()


# ---- files and copies -----------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("options", [{}, {"dtype": "float64", "workers": 3, "memory_limit": 1 << 19}])
def test_saved_and_loaded(spec: Spec, options: dict[str, Any], tmp_path: Path) -> None:
    plan = fresh(spec, **options)
    plan.save(tmp_path / "a.plan")
    back = load(str(tmp_path / "a.plan"))
    assert_identical(back, plan)
    assert f"made      read from {tmp_path / 'a.plan'} in " in back.report()
    back.save(tmp_path / "b.plan")
    assert (tmp_path / "b.plan").read_bytes() == (tmp_path / "a.plan").read_bytes()


def test_a_selection_is_saved_with_the_plan(tmp_path: Path) -> None:
    plan = fresh(SPEC, select=FEW)
    plan.save(tmp_path / "a.plan")
    assert load(tmp_path / "a.plan").paths == FEW


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.plan"
    fresh(SPECS[3]).save(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for where in [*rng.integers(0, len(data), 40), 0, len(data) - 1]:
        path.write_bytes(data[:where] + bytes([data[where] ^ 0x55]) + data[where + 1 :])
        try:
            plan = load(path)
        except ValueError as error:
            assert str(path) in str(error) or "this is not a plan" in str(error)
        else:  # a byte that nobody reads, such as a date in the archive
            assert_same(plan(noise(SPECS[3])), fresh(SPECS[3])(noise(SPECS[3])))
    for cut in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(ValueError, match="damaged or not written by scatc"):
            load(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x05\x06" + bytes(18), pickle.dumps({"a": 1}), b"\x93NUMPY\x01\x00" + bytes(100)]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: damaged or not written by scatc")):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def tamper(change: Callable[[dict[str, str]], object]) -> Entry:
    """A plan's entry with sound checksums, but other texts."""
    from scatc.runtime.store import to_entry

    entry = to_entry(fresh(SPECS[3])._compiled)
    texts = dict(entry.texts)
    change(texts)
    return Entry(texts, entry.arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda texts: texts.clear(),
        lambda texts: texts.update(header="{}"),
        lambda texts: texts.update(header="[]"),
        lambda texts: texts.update(header="not json"),
        lambda texts: texts.update(graph=""),
        lambda texts: texts.update(graph="__import__('os')"),
        lambda texts: texts.update(header=texts["header"].replace('"numpy"', '"nothing"')),
        lambda texts: texts.update(header=texts["header"].replace('"batch"', '"batches"')),
        lambda texts: texts.update(header=texts["header"].replace('"machine"', '"machines"')),
        lambda texts: texts.update(header=texts["header"].replace('"float32"', '"float-32"')),
        lambda texts: texts.update(header=re.sub(r'"fft_rate": [0-9.e+]+', '"fft_rate": 0', texts["header"])),
        lambda texts: texts.update(graph="\n".join(texts["graph"].splitlines()[:3])),
        lambda texts: texts.update(graph=texts["graph"].splitlines()[0]),
    ],
)
def test_entries_that_are_no_plans_are_refused(change: Callable[[dict[str, str]], object], tmp_path: Path) -> None:
    write_entry(tmp_path / "a.plan", tamper(change))
    with pytest.raises(ValueError):  # each says something else
        load(tmp_path / "a.plan")


@ALL
def test_pickled_and_copied(spec: Spec) -> None:
    plan = fresh(spec, workers=2)
    plan(noise(spec))
    assert_identical(pickle.loads(pickle.dumps(plan)), plan)
    assert_identical(copy.deepcopy(plan), plan)
    assert_identical(copy.copy(plan), plan)


# ---- threads and processes ------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("workers", [1, 3])
def test_many_threads_call_one_plan(spec: Spec, workers: int) -> None:
    plan = fresh(spec, workers=workers)
    inputs = [signal("noise", (1 + k % 5, *spec.input_shape), k) for k in range(40)]
    wanted = [plan(x) for x in inputs]
    start = threading.Barrier(8)

    def call(first: int) -> list[Any]:
        start.wait()
        return [plan(x) for x in inputs[first::8]]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for first, results in enumerate(pool.map(call, range(8))):
            for got, y in zip(results, wanted[first::8], strict=True):
                assert_same(got, y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_processes() -> None:
    """The child has the plan, and the pool of threads is made anew."""
    plan = fresh(SPEC, workers=2)
    x = noise(SPEC, 9)
    wanted = plan(x)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=lambda: answers.put(plan(x)))
    process.start()
    np.testing.assert_array_equal(answers.get(timeout=60), wanted)
    process.join(60)
    assert process.exitcode == 0
    np.testing.assert_array_equal(plan(x), wanted)


def test_spawned_processes() -> None:
    """The plan itself is what the child calls."""
    plan = fresh(SPEC, workers=2)
    x = noise(SPEC, 9)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        np.testing.assert_array_equal(pool.submit(plan, x).result(timeout=60), plan(x))


# ---- what cannot be compiled ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"dtype": "float16"}, CompileError, "dtype='float16' is not possible: dtype must be 'float32' or 'float64'"),
        ({"dtype": "double precision"}, CompileError,
         "dtype='double precision' is not possible: dtype must be 'float32' or 'float64'"),
        ({"dtype": complex}, CompileError,
         "dtype=<class 'complex'> is not possible: dtype must be 'float32' or 'float64'"),
        ({"dtype": None}, CompileError, "dtype=None is not possible: dtype must be 'float32' or 'float64'"),
        ({"workers": 1025}, CompileError, "workers=1025 is not possible: workers must be at most 1024"),
        ({"workers": 2**63}, CompileError, f"workers={2**63} is not possible: workers must be at most 1024"),
        ({"workers": 0}, CompileError,
         "workers=0 is not possible: workers must be a whole number of at least 1, or None"),
        ({"workers": 1.5}, CompileError,
         "workers=1.5 is not possible: workers must be a whole number of at least 1, or None"),
        ({"workers": True}, CompileError,
         "workers=True is not possible: workers must be a whole number of at least 1, or None"),
        ({"select": []}, CompileError, "select: no path is left; at least one must be selected"),
        ({"select": lambda row: False}, CompileError, "select: no path is left; at least one must be selected"),
        ({"select": [(0,), (99,)]}, CompileError,
         f"select: there is no path (99,); plan.meta() lists the {len(all_paths(SPEC))} paths there are"),
        ({"select": np.array(3)}, CompileError, "select: there is no path array(3); plan.meta() lists the"),
        ({"save": np.array(["all"])}, CompileError, "save=array(['all'], dtype='<U3') is not possible"),
        ({"target": ["numpy"]}, TargetError, "target=['numpy'] is not possible: target must be one of 'cpu', 'cuda'"),
        ({"target": "numpie"}, TargetError, "target='numpie' is not possible: target must be one of 'cpu', 'cuda'"),
    ],
)  # fmt: skip
def test_options_that_are_refused(options: dict[str, Any], error: type[Exception], text: str) -> None:
    for cache in (True, False):
        with pytest.raises(error, match=f"^{re.escape(text)}"):
            compile_plan(SPEC, **options, cache=cache)


def test_arguments_of_methods_are_checked() -> None:
    with pytest.raises(CompileError, match=r"^cache='no' is not possible: cache must be True or False$"):
        compile_plan(SPEC, cache="no")  # type: ignore[arg-type]
    plan = fresh(SPEC)
    assert isinstance(plan, NumpyPlan)
    for workers in (0, -1, 1.5, "2", True, 2**70):
        with pytest.raises(CompileError, match=f"^workers={workers!r} is not possible"):
            plan.with_workers(workers)  # type: ignore[arg-type]
    for rate in (0, -1.0, math.nan, math.inf, 1j, "44100", None):
        with pytest.raises(ValueError, match=f"^sampling_rate={rate!r} is not possible: it must be a finite number"):
            plan.meta(rate)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^saved is NoneType: it must be the list that plan.forward returned"):
        plan.vjp(noise(SPEC), plan(noise(SPEC)), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("select", "named"),
    [
        (1.5, "1.5"), (0, "0"), ("", "''"), ("0", "'0'"), ([None], "None"), ([0], "0"), ([(0,), 2.0], "2.0"),
        (["0"], "'0'"), ([""], "''"), ([(0.0,)], "(0.0,)"), ([("0",)], "('0',)"), ([(None,)], "(None,)"),
        ([([],)], "([],)"), ([((0,),)], "((0,),)"), ([(-1,)], "(-1,)"), ([(0,), (1, 0)], "(1, 0)"),
        ([(True,)], "(True,)"),
    ],
)  # fmt: skip
def test_selections_of_no_path_are_refused(select: Any, named: str) -> None:
    text = f"select: there is no path {named}; plan.meta() lists the {len(all_paths(SPEC))} paths there are"
    with pytest.raises(CompileError, match=f"^{re.escape(text)}$"):
        fresh(SPEC, select=select)


@pytest.mark.parametrize("spec", [None, {"dim": 1}, "spec", Spec])
def test_only_specs_are_compiled(spec: Any) -> None:
    given = type(spec).__name__
    with pytest.raises(TypeError, match=f"^spec must be a scatc.Spec, got {given}$"):
        compile_plan(spec)


def test_ways_to_name_a_precision() -> None:
    for dtype in ("float64", np.float64, np.dtype("f8"), "d", float):
        assert fresh(SPEC, dtype=dtype).dtype == np.float64


def test_selections() -> None:
    whole = by_path(plan := fresh(SPEC, dtype="float64"), plan(noise(SPEC)))
    for select in (FEW, FEW[::-1], set(FEW), iter(map(list, FEW)), lambda row: row.path in FEW):
        plan = fresh(SPEC, dtype="float64", select=select)
        assert plan.paths == FEW
        assert tuple(row.path for row in plan.meta()) == FEW
        y = plan(noise(SPEC))
        assert y.shape[1] == 2
        for path, value in by_path(plan, y).items():
            np.testing.assert_allclose(value, whole[path], rtol=1e-12)
    second = fresh(SPEC, select=lambda row: row.order == 2)
    assert {len(path) for path in second.paths} == {2}
    assert len(second.ir().splitlines()) < len(fresh(SPEC).ir().splitlines())


def test_a_predicate_that_raises_is_heard() -> None:
    with pytest.raises(ZeroDivisionError):
        fresh(SPEC, select=lambda row: 1 // 0 > 0)
