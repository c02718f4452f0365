"""Imports run one way only, frameworks stay where they belong, and ``import scatc`` is light.

The rules about files are read off the source text: what a rarely run branch imports counts as well.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from support import FRAMEWORKS, ROOMS, ROOT, imported_modules, python, room_files

#: What each room may import of the outside world without asking whether it is there. `ir` and `codegen` run on numpy,
#: scipy and one pure-Python helper each; only `runtime` knows of folders and locks.
REQUIRED = {
    "ir": {"numpy", "scipy", "networkx"},
    "codegen": {"numpy", "scipy", "jinja2"},
    "runtime": {"numpy", "scipy", "networkx", "platformdirs", "filelock"},
    "scatc": {"numpy", "scipy"},
}

#: Optional modules, each with the names of the files or folders that are about it.
ABOUT = {
    "torch": {"torch", "torch_ops", "devices", "triton", "kernels", "ahead", "synthesis"},
    "triton": {"triton", "kernels", "ahead", "devices", "timing"},
    "tensorflow": {"tensorflow"},
    "keras": {"keras"},
    "jax": {"jax"},
    "sklearn": {"sklearn", "demo"},
    "matplotlib": {"plot", "demo", "draw"},
    "pywt": {"demo"},
    "mkl_fft": {"fft", "machine"},
    "mkl": {"fft", "machine", "workers"},
}

#: What `import scatc` must not load: frameworks, and what only a compilation needs.
LATE = sorted({*ABOUT, "scipy", "networkx", "jinja2", "platformdirs", "filelock"})


def room_of(module: str) -> str:
    """Return the room of a module of ours: that of ``scatc.ir.spec`` is ``ir``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS[:-1] else "scatc"


def identify(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", room_files(), ids=identify)
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    allowed = ROOMS[: ROOMS.index(room) + 1]
    wrong = [
        f"{identify(path)}:{line}: {room} imports {name}"
        for line, name in imported_modules(path)
        if name.split(".")[0] == "scatc" and room_of(name) not in allowed
    ]
    assert not wrong, f"imports run {' <- '.join(ROOMS)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", room_files(), ids=identify)
def test_the_outside_world_enters_by_the_right_doors(path: Path) -> None:
    place = path.relative_to(ROOT).with_suffix("").parts
    wrong = []
    for line, name in imported_modules(path):
        top = name.split(".")[0]
        if top == "scatc" or top in sys.stdlib_module_names or top in REQUIRED[place[0]]:
            continue
        if not ABOUT.get(top, set()) & set(place[1:]):
            wrong.append(f"{identify(path)}:{line}: {name}")
    assert not wrong, "neither required by this room nor what this file is about:\n" + "\n".join(wrong)


def test_importing_scatc_loads_no_framework(tmp_path: Path) -> None:
    code = f"import sys, json, scatc; print(json.dumps([m for m in {LATE!r} if m in sys.modules]))"
    assert json.loads(python("-c", code, cwd=tmp_path)) == []


def test_compiling_loads_no_fft(tmp_path: Path) -> None:
    """SciPy's takes longer to import than the rest together, and a plan that is not called does not need it."""
    code = """
import sys, scatc
plan = scatc.compile(scatc.Spec(dim=1, shape=64, J=2), cache=False)
print("scipy.fft" in sys.modules, end=" ")
plan([0.0] * 64)
print("scipy.fft" in sys.modules)
"""
    assert python("-c", code, cwd=tmp_path).split() == ["False", "True"]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_importing_one_framework_loads_no_other(name: str, tmp_path: Path) -> None:
    """What a framework itself loads is not ours to choose: TensorFlow loads Keras and, where it is installed, JAX."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    code = f"""
import json, sys
import {name}
before = set(sys.modules)
import scatc.{name}
print(json.dumps(sorted({set(ABOUT)!r} & (set(sys.modules) - before))))
"""
    assert json.loads(python("-c", code, cwd=tmp_path)) == []


def test_importing_scatc_is_quick(tmp_path: Path) -> None:
    """The contract is 100 ms. A busy machine may miss it, but then `import numpy` takes as long or longer."""
    code = "from time import perf_counter as now; t = now(); import {}; print(now() - t)"
    ours, numpy = [], []
    for _ in range(10):
        ours.append(float(python("-c", code.format("scatc"), cwd=tmp_path)))
        numpy.append(float(python("-c", code.format("numpy"), cwd=tmp_path)))
        if min(ours) < 0.1:
            return
    assert min(ours) < min(numpy), f"import scatc takes {min(ours):.3f} s, import numpy {min(numpy):.3f} s"
