"""Plans through the caches: in memory and on disk, damaged, unwritable, and raced for."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from compiled import assert_agrees, fresh
from samples import ALL, SPEC, assert_identical, assert_same, noise
from support import python

from scatc.codegen.numpy import NumpyTarget
from scatc.compiler import compile as compile_plan
from scatc.ir.spec import Spec
from scatc.runtime import driver
from scatc.runtime.cache import DiskCache, Entry, read_entry


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty disk cache, and an empty one in memory."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "cache"))
    driver.PLANS.clear()
    return tmp_path / "cache"


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.scatc"))


def test_the_memory_cache_gives_the_same_plan(cache: Path) -> None:
    plan = compile_plan(SPEC)
    again = Spec(dim=1, shape=(100,), J=4, Q=(2, 1), T=16)
    assert compile_plan(again, dtype=np.float32) is plan
    assert compile_plan(SPEC, dtype="float64") is not plan
    assert compile_plan(SPEC, workers=plan.workers + 1) is not plan
    assert compile_plan(SPEC, memory_limit=1 << 20) is not plan
    assert compile_plan(SPEC, select=[()]) is not plan
    assert compile_plan(SPEC, cache=False) is not plan
    assert len(entries(cache)) == 5


@ALL
def test_the_disk_cache_gives_an_equal_plan(spec: Spec, cache: Path) -> None:
    plan = compile_plan(spec)
    assert "made      compiled in " in plan.report()
    driver.PLANS.clear()
    again = compile_plan(spec)
    assert again is not plan
    assert "made      read from the disk cache in " in again.report()
    assert_identical(again, plan)
    assert len(entries(cache)) == 1


def test_threads_get_one_plan(cache: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(lambda _: compile_plan(SPEC), range(16)))
    assert len(set(map(id, plans))) == 1


def test_a_damaged_entry_is_rebuilt_with_a_warning(cache: Path) -> None:
    wanted = compile_plan(SPEC)(noise(SPEC))
    (path,) = entries(cache)
    data = path.read_bytes()
    path.write_bytes(data[:2000] + bytes([data[2000] ^ 1]) + data[2001:])
    driver.PLANS.clear()
    with pytest.warns(RuntimeWarning, match="a scatc cache entry is dropped and rebuilt"):
        plan = compile_plan(SPEC)
    assert_same(plan(noise(SPEC)), wanted)
    assert entries(cache) == [path]
    driver.PLANS.clear()
    assert "read from the disk cache" in compile_plan(SPEC).report()


def test_an_entry_that_is_no_plan_is_replaced(cache: Path) -> None:
    compile_plan(SPEC)
    (path,) = entries(cache)
    DiskCache().store(path.stem, Entry({"header": "{}"}, {}))
    driver.PLANS.clear()
    assert "made      compiled in " in compile_plan(SPEC).report()
    driver.PLANS.clear()
    assert "read from the disk cache" in compile_plan(SPEC).report()


def test_tables_that_are_quicker_made_than_read_are_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LARGEST_SMALL_TABLES", 0)
    spec = Spec(dim=3, shape=(8, 8, 8), J=1, L=2)
    plan = compile_plan(spec)
    (path,) = entries(cache)
    assert not read_entry(path).arrays
    driver.PLANS.clear()
    again = compile_plan(spec)
    assert "read from the disk cache" in again.report()
    assert again.source() == plan.source()
    assert_same(again(noise(spec)), plan(noise(spec)))
    again.save(path.parent / "mine")
    assert read_entry(path.parent / "mine").arrays  # a file is complete


def test_tables_that_are_not_kept_are_made_once_and_not_before_the_first_call(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LARGEST_SMALL_TABLES", 0)
    spec = Spec(dim=3, shape=(8, 8, 8), J=1, L=2)
    wanted = compile_plan(spec)(noise(spec))
    driver.PLANS.clear()
    made = []
    make = NumpyTarget.tables
    monkeypatch.setattr(NumpyTarget, "tables", lambda *arguments: made.append(make(*arguments)) or made[-1])
    plan = compile_plan(spec)
    assert not made
    assert_same(plan(noise(spec)), wanted)
    assert_same(plan.with_workers(3)(noise(spec)), wanted)
    assert len(made) == 1


def test_tables_that_are_large_are_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LARGEST_TABLES", 1000)
    wanted = compile_plan(SPEC)(noise(SPEC))
    driver.PLANS.clear()
    again = compile_plan(SPEC)
    assert "read from the disk cache" in again.report()
    assert_same(again(noise(SPEC)), wanted)


def test_without_caches_nothing_is_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(SPEC)
    assert not cache.exists()
    monkeypatch.setenv("SCATC_NO_CACHE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = compile_plan(SPEC)
        assert compile_plan(SPEC) is plan
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    driver.PLANS.clear()
    with pytest.warns(RuntimeWarning, match="goes on without its disk cache"):
        plan = compile_plan(SPEC)
    assert_agrees(plan, noise(SPEC))


COMPILE = """
import numpy as np
from scatc.compiler import compile
from scatc.ir.spec import Spec
plan = compile(Spec(dim=1, shape=100, J=4, Q=2))
print(plan(np.arange(100.0)).tobytes().hex())
"""


def test_eight_processes_compile_the_same_spec_at_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", COMPILE]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    started = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    answers = [process.communicate(timeout=120) for process in started]
    assert [error for _, error in answers] == [""] * 8
    assert len({out for out, _ in answers}) == 1
    assert len(entries(cache)) == 1
    assert DiskCache().verify() == [(entries(cache)[0].stem, None)]
    assert not list(cache.glob("tmp.*"))
    assert python("-c", COMPILE, cwd=tmp_path) == answers[0][0]
