"""What several test files share: the golden arrays and the measure by which results are compared."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).resolve().parent / "golden"

#: The compiler's stages in the order in which they may import: each knows itself and those to its left.
ROOMS = ("ir", "codegen", "runtime", "scatc")

#: What tests may be about that need not be there, by the names of module, frontend and extra alike.
FRAMEWORKS = ("torch", "tensorflow", "keras", "jax")


class GoldenCase(NamedTuple):
    """One transform computed by Kymatio's development version (commit 11552ed5) in float64.

    Some of its two- and three-dimensional filters are single precision inside: agreement there ends near 1e-6.
    """

    name: str
    kwargs: dict[str, Any]
    """The constructor's arguments, as Kymatio takes them."""
    x: NDArray[np.float64]
    expected: Any
    """One array, or with ``out_type="dict"`` a dict from path (a tuple of filter indices) to array."""
    meta: dict[str, NDArray[Any]]
    """``order``, ``xi``, ``sigma`` and ``j`` per path (1D arrays alone; empty otherwise)."""


@cache
def golden_cases(cls: str) -> list[GoldenCase]:
    """Return the golden cases of one class, such as ``"Scattering1D"``.

    Returns
    -------
    list of GoldenCase
        In the order of the manifest; the arrays are shared between callers and read-only.
    """
    manifest = json.loads((GOLDEN / "manifest.json").read_text(encoding="utf-8"))
    cases = [_load(entry) for entry in manifest if entry["cls"] == cls]
    if not cases:
        raise KeyError(f"no golden case for {cls!r}; there are {sorted({entry['cls'] for entry in manifest})}")
    return cases


def _load(entry: dict[str, Any]) -> GoldenCase:
    with np.load(GOLDEN / f"{entry['name']}.npz", allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    for array in arrays.values():
        array.flags.writeable = False
    # JSON has no tuples, and the classes take lists for none of these.
    kwargs = {key: tuple(v) if isinstance(v, list) else v for key, v in entry["kw"].items()}
    expected: Any
    if "keys" in entry:
        expected = {tuple(key): arrays[f"y{i}"] for i, key in enumerate(entry["keys"])}
    else:
        expected = arrays["y"]
    meta = {key.removeprefix("meta_"): value for key, value in arrays.items() if key.startswith("meta_")}
    return GoldenCase(entry["name"], kwargs, arrays["x"], expected, meta)


def relative_error(got: ArrayLike, expected: ArrayLike) -> float:
    """Return ``||got - expected|| / ||expected||``, in double precision; the shapes must agree."""
    a, b = np.asarray(got), np.asarray(expected)
    assert a.shape == b.shape, f"shape {a.shape}, expected {b.shape}"
    wide = np.complex128 if np.iscomplexobj(a) or np.iscomplexobj(b) else np.float64
    a, b = a.astype(wide), b.astype(wide)
    scale = float(np.linalg.norm(b.ravel()))
    return float(np.linalg.norm((a - b).ravel())) / (scale or 1.0)


def python_files(*folders: str) -> list[Path]:
    """Return every Python file below the given top-level folders, those of virtual environments left out."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not any(part.startswith(".venv") for part in path.parts)]


def room_files() -> list[Path]:
    """Return every Python file of the package."""
    return python_files(*ROOMS)


def module_name(path: Path) -> str:
    """Return the name under which a file of the package is installed: ``ir/spec.py`` is ``scatc.ir.spec``."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts if parts[0] == "scatc" else ["scatc", *parts])


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything that a file imports, wherever in the file it does so.

    ``from a import b`` yields ``a.b``: whether ``b`` is a module or a name in one, its room is the same.
    """
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*outer, *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def python(*arguments: str | Path, cwd: Path) -> str:
    """Run the interpreter from a folder where scatc is seen only as installed, and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
