"""What is tuned is the quickest candidate, timed once, and kept as data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scatc.codegen.triton.lines import wavelet
from scatc.codegen.triton.lines.wavelet import Shape
from scatc.runtime.tuning import LEAST_HELD, MOST_HELD, candidates, digest, fits, tune

SHAPES = [
    wavelet.default(4 * length, length, length // 2, sinks, outputs=16 if "local" in sinks else 0)
    for length in wavelet.ROWS
    for sinks in ((("local",), ("pack",), ("total",)) if length <= wavelet.MOST_AVERAGED else (("pack",),))
]


class Timer:
    """Counts what it is asked; few rows and many warps are quick."""

    def __init__(self) -> None:
        self.asked: list[Shape] = []

    def __call__(self, shape: Shape) -> float:
        self.asked.append(shape)
        return shape.rows + 1.0 / shape.warps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s.length}-{s.sinks[0]}")
def test_candidates_can_run(shape: Shape) -> None:
    found = candidates(shape)
    assert found[0] == shape
    assert len(set(found)) == len(found) <= 9
    for other in found:
        assert replace(other, rows=shape.rows, warps=shape.warps) == shape
        assert fits(other) and wavelet.body(other)
    for other in found[1:]:
        assert LEAST_HELD <= other.rows * other.length / (32 * other.warps) <= MOST_HELD


def test_the_quickest_is_taken_and_kept(folder: Path) -> None:
    timer = Timer()
    found = tune(SHAPES, "NVIDIA H100 80GB HBM3", "3.6.0", timer)
    assert set(found) == set(SHAPES)
    for shape, best in found.items():
        assert Timer()(best) == min(map(Timer(), candidates(shape)))
    assert len(timer.asked) == sum(len(candidates(shape)) for shape in SHAPES)
    (file,) = folder.glob("tuning-*.json")
    assert file.name == "tuning-nvidia-h100-80gb-hbm3.json"
    kept = json.loads(file.read_text())
    assert set(kept) == {digest(shape, "3.6.0") for shape in SHAPES}

    again = Timer()
    assert tune(SHAPES, "NVIDIA H100 80GB HBM3", "3.6.0", again) == found
    assert not again.asked
    # another device, or another Triton, has choices of its own
    tune(SHAPES[:1], "NVIDIA A100", "3.6.0", again)
    tune(SHAPES[:1], "NVIDIA H100 80GB HBM3", "3.7.0", again)
    assert again.asked == 2 * candidates(SHAPES[0])


def test_a_damaged_file_is_dropped_with_a_warning(folder: Path) -> None:
    for text in ("{", "[]", '{"a": 1}'):
        (folder / "tuning-gpu.json").write_text(text)
        timer = Timer()
        with pytest.warns(RuntimeWarning, match="what was tuned before is dropped"):
            tune(SHAPES[:1], "GPU", "3.6.0", timer)
        assert timer.asked


def test_what_no_candidate_has_is_not_believed(folder: Path) -> None:
    shape = SHAPES[0]
    (folder / "tuning-gpu.json").write_text(json.dumps({digest(shape, "3.6.0"): {"rows": 10**6, "warps": 3}}))
    timer = Timer()
    assert tune([shape], "GPU", "3.6.0", timer)[shape] in candidates(shape)
    assert timer.asked


def test_without_a_cache_it_is_timed_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_NO_CACHE", "1")
    timer = Timer()
    for _ in range(2):
        tune(SHAPES[:1], "GPU", "3.6.0", timer)
    assert timer.asked == 2 * candidates(SHAPES[0])
