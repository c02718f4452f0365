"""`tune=True`: the alternatives there are, which of them is taken, and how the choice is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiled import assert_agrees, fresh
from native import ARRAY_TARGETS
from samples import noise

from scatc.codegen import find_target
from scatc.compiler import compile as compile_plan
from scatc.ir.cost import Machine
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.runtime import driver, fft, trials
from scatc.runtime.plan import Plan, make_plan

SPEC = Spec(dim=1, shape=512, J=5, Q=2)
IMAGE = Spec(dim=2, shape=(20, 28), J=2, L=2)

Price = Callable[[Machine], float]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    return tmp_path / "cache"


def forget() -> None:
    """What another process would not know."""
    driver.PLANS.clear()
    trials.CHOICES.clear()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Price], list[Machine]]]:
    """Says how long plans take, by their machines; yields those that were timed."""
    asked: list[Machine] = []

    def by(price: Price) -> list[Machine]:
        def seconds(plan: Plan, x: object) -> float:
            asked.append(plan._options.machine)
            return price(plan._options.machine)

        monkeypatch.setattr(trials, "_seconds", seconds)
        return asked

    yield by


def small_cache_is_quick(machine: Machine) -> float:
    return machine.cache_bytes * (1 + 1e-12 * machine.matmul_rate)


def test_candidates_are_few_and_the_usual_is_first() -> None:
    usual = Machine("some machine")
    found = trials.candidates(usual)
    assert found[0] == usual
    assert len(set(found)) == len({machine.name for machine in found}) == 9


@pytest.mark.parametrize("target", ARRAY_TARGETS)
@pytest.mark.parametrize("spec", [SPEC, IMAGE], ids=["line", "image"])
def test_every_candidate_computes_the_same(spec: Spec, target: str) -> None:
    emitter = find_target(target)
    usual = emitter.machine("scipy")
    texts = set()
    for machine in trials.candidates(usual):
        compiled = driver.build(spec, emitter, Options(machine=machine, workers=2))
        if compiled.source not in texts:
            texts.add(compiled.source)
            assert_agrees(make_plan(compiled), noise(spec, 3))
    assert len(texts) > 1 or target == "cpu"


def test_the_quickest_is_taken_and_said(timed: Callable[[Price], list[Machine]]) -> None:
    asked = timed(small_cache_is_quick)
    plan = compile_plan(SPEC, tune=True)
    usual = compile_plan(SPEC)._options.machine
    assert len(set(asked)) > 1
    assert plan._options.machine == min(set(asked), key=small_cache_is_quick) != usual
    assert f"{usual.name}, tuned: cache" in plan.report()
    assert "tuned" not in compile_plan(SPEC).report()
    assert_agrees(plan, noise(SPEC, 3))


def test_what_gains_little_is_noise(timed: Callable[[Price], list[Machine]]) -> None:
    timed(lambda machine: 0.98 if "tuned" in machine.name else 1.0)
    assert compile_plan(SPEC, tune=True) is compile_plan(SPEC)


def test_those_far_behind_drop_out(timed: Callable[[Price], list[Machine]]) -> None:
    usual = compile_plan(SPEC)._options.machine
    asked = timed(lambda machine: machine.cache_bytes)
    compile_plan(SPEC, tune=4)
    counts = {machine.cache_bytes: asked.count(machine) for machine in asked}
    assert counts[min(counts)] == counts[usual.cache_bytes] == trials.ROUNDS  # the usual one is compared with
    assert all(n == 1 for size, n in counts.items() if size not in (min(counts), usual.cache_bytes))


def test_the_choice_is_kept(timed: Callable[[Price], list[Machine]], cache: Path) -> None:
    asked = timed(small_cache_is_quick)
    plan = compile_plan(SPEC, tune=True)
    count = len(asked)
    assert compile_plan(SPEC, tune=True) is plan
    forget()
    again = compile_plan(SPEC, tune=True)
    assert again is not plan and again.source() == plan.source()
    assert len(asked) == count
    compile_plan(SPEC, tune=5)  # for another batch
    assert len(asked) > count


def test_nothing_is_kept_without_a_cache(timed: Callable[[Price], list[Machine]], cache: Path) -> None:
    asked = timed(small_cache_is_quick)
    fresh(SPEC, tune=True)
    count = len(asked)
    assert not list(cache.glob("*.scatc"))
    fresh(SPEC, tune=True)
    assert len(asked) == 2 * count


def test_a_damaged_choice_is_made_again(timed: Callable[[Price], list[Machine]], cache: Path) -> None:
    asked = timed(small_cache_is_quick)
    plan = compile_plan(SPEC, tune=True)
    count = len(asked)
    for file in cache.glob("*.scatc"):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    forget()
    with pytest.warns(RuntimeWarning, match="dropped and rebuilt"):
        again = compile_plan(SPEC, tune=True)
    assert again.source() == plan.source()
    assert len(asked) == 2 * count


def test_a_choice_must_be_one_of_the_candidates() -> None:
    usual = Machine()
    entry = trials.Entry({"machine": '{"name": "forged", "cache_bytes": -1}'}, {})
    assert trials._read(entry, usual) is None
    assert trials._read(trials.Entry({}, {}), usual) is None
    assert trials._read(None, usual) is None
    assert trials._read(trials._entry(replace(usual, cache_bytes=12345)), usual) is None
    assert [trials._read(trials._entry(one), usual) for one in trials.candidates(usual)] == trials.candidates(usual)


@pytest.mark.parametrize("target", ARRAY_TARGETS)
def test_clocks_run(target: str) -> None:
    plan = compile_plan(SPEC, target, tune=2, workers=1)
    assert plan._options.machine in trials.candidates(find_target(target).machine(fft.provider()))
    assert_agrees(plan, noise(SPEC, 3))


def test_the_batch_grows_until_it_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = compile_plan(SPEC)
    monkeypatch.setattr(trials, "_seconds", lambda plan, x: len(x) * trials.SHORTEST / 5)
    assert len(trials._signals(plan, None)) == 8
    assert len(trials._signals(plan, 3)) == 3
    monkeypatch.setattr(trials, "_seconds", lambda plan, x: 0.0)
    assert len(trials._signals(plan, None)) == trials.MOST_SIGNALS
    monkeypatch.setattr(trials, "MOST_BYTES", 4 * 512 * 7)
    assert len(trials._signals(plan, None)) == 4


@pytest.mark.parametrize("tune", [0, -1, 1.5, "yes", np.float32(2)])
def test_wrong_batches_are_refused(tune: object) -> None:
    with pytest.raises(CompileError, match="tune="):
        compile_plan(SPEC, tune=tune)  # type: ignore[arg-type]


@pytest.mark.parametrize("tune", [False, np.False_])
def test_false_tunes_nothing(tune: bool, timed: Callable[[Price], list[Machine]]) -> None:
    asked = timed(small_cache_is_quick)
    assert compile_plan(SPEC, tune=tune) is compile_plan(SPEC)
    assert not asked


def test_frameworks_have_nothing_to_tune() -> None:
    pytest.importorskip("torch")
    with pytest.raises(CompileError, match="tune=True is not possible with target='torch'"):
        compile_plan(SPEC, "torch", tune=True)


def test_gpus_must_be_there() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(TargetError, match="GPU"):
        compile_plan(SPEC, "cuda", tune=True)
