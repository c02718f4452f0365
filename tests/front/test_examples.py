"""Every example runs by itself, from any folder, and does what its first lines say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from support import ROOT, python

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("pywt")


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.name)
def test_the_example_runs(script: Path, tmp_path: Path) -> None:
    if script.name.endswith("_gpu.py") and importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")  # nor can it be, beside TensorFlow: `make examples` runs these
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
