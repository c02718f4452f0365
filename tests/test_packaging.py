"""The wheel holds all of scatc and nothing else, and works where the repository is not."""

from __future__ import annotations

import shutil
import tomllib
import zipfile
from pathlib import Path

import pytest
from support import FRAMEWORKS, ROOMS, ROOT, python

SOURCES = (*ROOMS, "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist, then the wheel from the sdist: what either of them forgets is missing from the wheel.

    From a copy, since setuptools packs whatever an earlier build left in ``build/``; without isolation, since that
    needs no network.
    """
    folder = tmp_path_factory.mktemp("packaging")
    copy = folder / "checkout"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    python("-m", "build", "--no-isolation", "--outdir", folder / "dist", copy, cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def extras_within(name: str, extras: dict[str, list[str]]) -> set[str]:
    """Return the extras that one brings along, itself included."""
    found = {name}
    for requirement in extras[name]:
        if requirement.startswith("scatc["):
            for inner in requirement.removeprefix("scatc[").removesuffix("]").split(","):
                found |= extras_within(inner, extras)
    return found


def test_all_means_all_and_developers_get_every_framework() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extras_within("all", extras) == set(extras) - {"test", "dev"}
    assert {*FRAMEWORKS, "test", "sklearn", "plot", "demo"} <= extras_within("dev", extras)
    assert not set(FRAMEWORKS) & extras_within("test", extras)


def installed_path(path: Path) -> str:
    """Return where a file of the repository lies once installed: ``ir/spec.py`` as ``scatc/ir/spec.py``."""
    relative = path.relative_to(ROOT)
    return (relative if relative.parts[0] == "scatc" else Path("scatc") / relative).as_posix()


def test_the_wheel_holds_every_file_and_nothing_else_importable(wheel: Path) -> None:
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    expected = {installed_path(path) for path in files if "__pycache__" not in path.parts}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    top = {name.split("/")[0] for name in held}
    assert top == {"scatc", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert {name for name in held if name.startswith("scatc/")} == expected, "see [tool.setuptools] in pyproject.toml"
    assert any(name.endswith(".j2") for name in held), "no template among the files"


def test_the_wheel_carries_licence_types_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = wheel.name.rsplit("-", 3)[0] + ".dist-info"
    assert "BSD 3-Clause" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert "scatc = scatc.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert "scatc/py.typed" in archive.namelist()


def test_the_installed_wheel_imports_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    python("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", target, wheel, cwd=tmp_path)
    names = {path.name for path in target.iterdir() if path.name != "bin" and not path.name.endswith(".dist-info")}
    assert names == {"scatc"}
    # The path goes in front: the environment may hold scatc already, as an editable installation.
    code = f"""
import sys; sys.path.insert(0, {str(target)!r})
import importlib, pkgutil, scatc, scatc.ir, scatc.codegen, scatc.runtime
for module in (scatc, scatc.ir, scatc.codegen, scatc.runtime):
    assert module.__file__.startswith({str(target)!r}), module.__file__
"""
    python("-c", code, cwd=tmp_path)
