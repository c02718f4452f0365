"""Every example runs by itself, from any folder, and does what its first lines say."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
from support import ROOT, python

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "triton"}

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("pywt")


def frameworks_of(script: Path) -> set[str]:
    """Its imports; those of GPUs need Triton, which is missing beside TensorFlow (`make examples` has it)."""
    statements = ast.walk(ast.parse(script.read_text(encoding="utf-8")))
    names = {alias.name for statement in statements if isinstance(statement, ast.Import) for alias in statement.names}
    return {name.split(".")[0] for name in names} & FRAMEWORKS | ({"triton"} if script.stem.endswith("_gpu") else set())


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.name)
def test_the_example_runs(script: Path, tmp_path: Path) -> None:
    if missing := [name for name in sorted(frameworks_of(script)) if importlib.util.find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path / "pictures"
    said = python(script, folder, cwd=tmp_path)
    assert said
    for picture in (line.split("written: ")[1] for line in said.splitlines() if "written: " in line):
        assert Path(picture).parent == folder
        assert Path(picture).stat().st_size > 10_000


def test_every_example_is_listed() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert [script.name for script in EXAMPLES if f"`{script.name}`" not in listed] == []


def test_digits_reach_their_accuracy_and_pixels_do_not(tmp_path: Path) -> None:
    said = python(ROOT / "examples" / "digits.py", cwd=tmp_path).splitlines()
    pixels, scattering = (float(line.split("%")[0].split()[-1]) for line in said[-2:])
    assert pixels < 97 <= scattering


def test_energies_beat_composition_which_beats_the_mean(tmp_path: Path) -> None:
    said = python(ROOT / "examples" / "energies.py", tmp_path, cwd=tmp_path).splitlines()
    mean, composition, scattering = (float(line.split()[1]) for line in said if line.endswith("kcal/mol"))
    assert scattering < composition * 2 / 3
    assert composition < mean / 3


def test_the_pipeline_chooses_well_and_the_second_order_gives_back_what_averages_lose(tmp_path: Path) -> None:
    said = python(ROOT / "examples" / "pipeline.py", cwd=tmp_path).splitlines()
    fine, coarse, coarse_second, one, one_second, few, all_of_them = (
        float(line.split("%")[0].split()[-1]) for line in said if "%" in line
    )
    assert fine > coarse_second > coarse > one
    assert one_second > one
    assert "'scattering__J': 1" in "".join(said)
    assert 95 <= few < all_of_them and all_of_them >= 98
