"""Which target the classes run: C where a compiler works, else numpy, and what SCATC_TARGET says."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from native import has_compiler, needs_compiler
from support import python, relative_error

from scatc.compiler import compile as compile_plan
from scatc.compiler import compile_for_arrays
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.spec import Spec
from scatc.numpy import HarmonicScattering3D, Scattering1D, Scattering2D
from scatc.runtime import choice, driver, libraries, toolchain
from scatc.sklearn import Scattering1D as Transformer

CHOSEN = "cpu" if has_compiler() else "numpy"
SPEC = Spec(dim=1, shape=50, J=3)
X = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing said, nothing compiled, nobody warned."""
    for name in ("SCATC_TARGET", "SCATC_CC"):
        monkeypatch.delenv(name, raising=False)
    driver.PLANS.clear()
    choice._warn.cache_clear()


def test_what_nobody_names() -> None:
    assert compile_plan(SPEC).target == "numpy"
    assert compile_for_arrays(SPEC).target == CHOSEN
    assert Scattering1D(3, 50).plan().target == CHOSEN
    assert Scattering2D(2, (9, 8)).plan("float64").target == CHOSEN
    assert HarmonicScattering3D(1, (4, 4, 4), 1).plan().target == CHOSEN
    assert Transformer(3, 50).fit(X).plan().target == CHOSEN


@needs_compiler
@pytest.mark.parametrize("target", ["cpu", "numpy"])
def test_the_variable_forces_one(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_TARGET", target)
    S = Scattering1D(3, 50)
    assert S.plan().target == target
    assert compile_plan(SPEC).target == "numpy"  # whoever calls this says what it wants
    other = compile_plan(SPEC, "cpu" if target == "numpy" else "numpy")(X)
    assert relative_error(S(X), other) < 1e-6


@pytest.mark.parametrize("value", ["auto", "", " "])
def test_words_for_the_rule(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_TARGET", value)
    assert compile_for_arrays(SPEC).target == CHOSEN


def test_other_words_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_TARGET", "c++")
    text = "SCATC_TARGET='c++' is not possible: it must be one of auto, cpu, numpy, or unset"
    for call in (lambda: Scattering1D(3, 50)(X), lambda: compile_for_arrays(SPEC)):
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            call()
    with pytest.raises(CompileError, match=r"^dtype='int' is not possible"):
        compile_for_arrays(SPEC, "int")


def test_without_a_compiler_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        S = Scattering1D(3, 50)
        assert S.plan().target == "numpy"
        assert S(X).shape == (4, *S.array_shape())
    monkeypatch.setenv("SCATC_TARGET", "cpu")
    with pytest.raises(TargetError, match=r"^target='cpu' needs a C compiler, and there is none"):
        Scattering1D(3, 50)(X)


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler is played by a shell script")
def test_a_compiler_that_fails_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'no licence' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setenv("SCATC_CC", str(broken))
    reason = re.escape(f"none works ({broken}: cc fails with status 7: no licence)")
    with pytest.warns(RuntimeWarning, match=f"^scatc goes on with target='numpy': .*{reason}"):
        assert Scattering1D(3, 50).plan().target == "numpy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Scattering1D(4, 50).plan().target == "numpy"
    monkeypatch.setenv("SCATC_TARGET", "cpu")
    with pytest.raises(TargetError, match=reason):
        Scattering1D(3, 50)(X)


@needs_compiler
def test_a_text_that_is_refused_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one for which the disk is too full."""

    def refuse(*arguments: object) -> Path:
        raise toolchain.ToolchainError("cc fails with status 1: No space left on device")

    libraries._LOADED.clear()
    monkeypatch.setattr(libraries, "_from_disk", lambda key: None)
    monkeypatch.setattr(toolchain.Toolchain, "build", refuse)
    with pytest.warns(RuntimeWarning, match="goes on with target='numpy': cc fails with status 1: No space left"):
        S = Scattering1D(3, 50)
        y = S(X)
    np.testing.assert_array_equal(y, compile_plan(SPEC)(X))


@needs_compiler
def test_a_transform_that_c_code_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> object:
        raise TargetError("this transform is not possible with target='cpu'")

    find = choice.find_target
    monkeypatch.setattr(choice, "find_target", lambda name: refuse() if name == "cpu" else find(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_for_arrays(SPEC).target == "numpy"
    monkeypatch.setenv("SCATC_TARGET", "cpu")
    with pytest.raises(TargetError, match="this transform is not possible"):
        compile_for_arrays(SPEC)


def test_importing_scatc_looks_for_no_compiler(tmp_path: Path) -> None:
    loaded = "[name for name in ('scatc.runtime.cpu', 'scatc.runtime.libraries') if name in sys.modules]"
    assert python("-c", f"import sys, scatc, scatc.numpy; print({loaded})", cwd=tmp_path) == "[]\n"
