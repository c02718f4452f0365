"""What is tuned is the quickest candidate, timed once, and kept as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scatc.codegen.triton.images import columns, rows, sums
from scatc.codegen.triton.images.mixed import MOST_LISTED, Stages, fits
from scatc.codegen.triton.images.rows import stages_of
from scatc.codegen.triton.lines import blocks, matrix, wavelet, wavelet_t
from scatc.codegen.triton.lines.blocks import default_cut, default_thin
from scatc.codegen.triton.tuned import MOST, MOST_WARPS, Elementwise, Gathered, Product, Tunable, Warps
from scatc.codegen.triton.volumes.axes import Along, Begin, Kept, Last
from scatc.runtime.tuning import digest, tune

LINES: list[Any] = [
    wavelet.default(4 * length, length, length // 2, sinks, outputs=16 if "local" in sinks else 0)
    for length in wavelet.ROWS
    for sinks in ((("local",), ("pack",), ("total",)) if length <= wavelet.MOST_AVERAGED else (("pack",),))
]
CUT: list[Any] = [default_cut(length, length, around=True) for length in blocks.LENGTHS]
THIN: list[Any] = [default_thin(length, 1024, length // 16) for length in (16, 64, 256, 512)]
TURNS: list[Any] = [
    wavelet_t.default(512, length, length // 2, source)
    for length in (16, 256, 1024, 2048)
    for source in ("memory", "total")
]
MATRICES: list[Any] = [
    tile
    for found in (matrix.shape(n, n, n) for n in (matrix.LEAST, matrix.MOST))
    for tile in (found.first, found.second)
]
SPLITS = [split for length in (20, 40, 60, 120, 132, 240, 264) if (split := stages_of(length))]
ROWS: list[Any] = [
    kernel for split in SPLITS for kernel in rows.possible(split, split.length, 8, (2 * split.length,) * 2)
]
COLUMNS: list[Any] = [
    columns.default(split, split.length, True, sinks, outputs=32)
    for split in (*SPLITS, Stages(40, 1), Stages(33, 4, coprime=True))
    for sinks in (("local",), ("pack",), ("total",))
]
SUMS: list[Any] = [
    sums.default((height, height), (0.1,) * taps, -5, step, kept)
    for height, taps, step, kept in ((264, 19, 4, 64), (240, 37, 8, 28), (40, 19, 4, 8))
]
KEPT = Kept(128, 128, 0)
VOLUMES: list[Any] = [Begin(128 * 128, KEPT), Along(KEPT, KEPT, 128, forward=True), Last(128 * 128, KEPT, (1.0,), None)]
PRODUCTS: list[Any] = [
    Product("lowpass", 4627, 256, 16, 16, 32, step=256, most=131072),
    Product("lowpass", 4627, 4, 16, 16, 32, step=256, most=8500, around=False),
    Product("lowpass", 65536, 8, 16, 32, 32, step=8192, most=65536, warps=2, parts=16),
    Product("average", 1, 1, 16, 16, 16),
    Product("lowpass_rows", 264, 64, 64, 64, 32),
    Product("spread", 256, 8192, 64, 16, 16),
    Product("average_t", 256, 17, 32, 16, 16),
]
OTHERS: list[Any] = [Elementwise("pad", 131072, 512), Elementwise("pad", 100, 128), Warps("norm", 7)]
GATHERED: list[Any] = [Gathered("gather", 4097, 16, 256, 4), Gathered("gather_image", 100, 8, 128, 4)]
ALL: list[Any] = [
    *LINES,
    *CUT,
    *THIN,
    *MATRICES,
    *ROWS,
    *COLUMNS,
    *VOLUMES,
    *PRODUCTS,
    *OTHERS,
    *TURNS,
    *GATHERED,
    *SUMS,
]
FREE = {"together", "parts", "rows", "warps", "tile", "count", "numbers", "outputs", "block", "pairs", "there", "group"}
"""What candidates may differ in."""

SHAPES: dict[Tunable, str] = {
    shape: f"text {i}" for i, shape in enumerate([*LINES[:4], *TURNS[:2], *PRODUCTS[:2], *OTHERS])
}
"""With the texts of their kernels."""


def cost(shape: Any) -> float:
    """Few rows and many warps are quick."""
    return getattr(shape, "rows", 1) + 1.0 / shape.warps + 1e-3 * getattr(shape, "block", 0)


class Timer:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Tunable] = []

    def __call__(self, tuned: Mapping[Tunable, Tunable]) -> dict[Tunable, float]:
        self.asked += tuned.values()
        return {shape: cost(other) for shape, other in tuned.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shape", ALL, ids=lambda shape: f"{type(shape).__name__}")
def test_candidates_are_few_and_differ_in_how_work_is_cut_up(shape: Any) -> None:
    found = shape.candidates()
    assert found[0] == shape
    assert 1 <= len(set(found)) == len(found) <= MOST
    for other in found:
        assert (
            replace(other, **{name: getattr(shape, name) for name in FREE & set(shape.__dataclass_fields__)}) == shape
        )
        if isinstance(getattr(other, "warps", None), int):
            assert 1 <= other.warps <= MOST_WARPS


@pytest.mark.parametrize("shape", LINES, ids=lambda s: f"{s.length}-{s.sinks[0]}")
def test_candidates_in_registers_can_run(shape: wavelet.Shape) -> None:
    for other in shape.candidates()[1:]:
        assert other.averages
        assert wavelet.LEAST_HELD <= other.rows * other.length / (32 * other.warps) <= wavelet.MOST_HELD


@pytest.mark.parametrize("shape", TURNS, ids=lambda s: f"{s.there.length}-{s.source}")
def test_candidates_there_and_back_hold_fewer_numbers(shape: wavelet_t.Turn) -> None:
    for other in shape.candidates()[1:]:
        there = other.there
        assert replace(there, rows=shape.there.rows, warps=shape.there.warps) == shape.there
        assert wavelet.LEAST_HELD <= there.rows * there.length / (32 * there.warps) <= wavelet_t.MOST_HELD


@pytest.mark.parametrize("shape", [*ROWS, *COLUMNS], ids=lambda s: f"{type(s).__name__}-{s.split}")
def test_candidates_of_images_can_run(shape: Any) -> None:
    most = 2 * MOST_LISTED if getattr(shape, "sinks", ()) == ("local",) else MOST_LISTED
    for other in shape.candidates()[1:]:
        assert fits(other.split, other.tile, other.warps, most)


@pytest.mark.parametrize("shape", PRODUCTS, ids=str)
def test_candidates_of_products_hold_all_terms(shape: Product) -> None:
    for other in shape.candidates():
        assert min(other.outputs, other.rows, other.block) >= 16
        assert other.padded % (other.parts * other.block) == 0
        assert 0 <= other.padded - other.window < other.parts * other.block
        assert other.columns == other.programs * other.outputs >= shape.kept
        assert other.window < other.most or other.around


def test_a_product_reads_no_circle_that_is_not_there() -> None:
    """With 32 outputs, the window of this one would be all samples, of which some are in no memory."""
    shape = Product("lowpass", 300, 100, 16, 16, 32, step=32, most=1200, around=False)
    assert replace(shape, outputs=32) not in shape.candidates()
    assert replace(shape, outputs=32, around=True) in replace(shape, around=True).candidates()


def test_the_quickest_is_taken_and_kept(folder: Path) -> None:
    timer = Timer()
    found = tune(SHAPES, 64, "NVIDIA H100 80GB HBM3", "3.6.0", timer)
    assert set(found) == set(SHAPES)
    for shape, best in found.items():
        assert cost(best) == min(map(cost, shape.candidates()))
    every = {shape: shape.candidates() for shape in SHAPES if len(shape.candidates()) > 1}
    assert sorted(map(repr, timer.asked)) == sorted(repr(one) for found in every.values() for one in found)
    (file,) = folder.glob("tuning-*.json")
    assert file.name == "tuning-nvidia-h100-80gb-hbm3.json"
    kept = json.loads(file.read_text())
    assert set(kept) == {digest(shape, text, "3.6.0", 64) for shape, text in SHAPES.items() if shape in every}

    again = Timer()
    assert tune(SHAPES, 50, "NVIDIA H100 80GB HBM3", "3.6.0", again) == found
    assert not again.asked
    # another device, another Triton, another text, or calls of another size have choices of their own
    one, text = next(iter(SHAPES.items()))
    tune({one: text}, 64, "NVIDIA A100", "3.6.0", again)
    tune({one: text}, 64, "NVIDIA H100 80GB HBM3", "3.7.0", again)
    tune({one: "other"}, 64, "NVIDIA H100 80GB HBM3", "3.6.0", again)
    tune({one: text}, 8, "NVIDIA H100 80GB HBM3", "3.6.0", again)
    assert again.asked == 4 * one.candidates()


def test_what_is_found_before_an_interruption_is_kept(folder: Path) -> None:
    """Shapes of few candidates are done in early rounds."""
    few, many = (pick(SHAPES, key=lambda shape: len(shape.candidates())) for pick in (_few, max))

    def timer(tuned: Mapping[Tunable, Tunable]) -> dict[Tunable, float]:
        if few not in tuned:
            raise KeyboardInterrupt
        return Timer()(tuned)

    kernels = {shape: SHAPES[shape] for shape in (few, many)}
    with pytest.raises(KeyboardInterrupt):
        tune(kernels, 64, "NVIDIA A100", "3.6.0", timer)
    again = Timer()
    found = tune(kernels, 64, "NVIDIA A100", "3.6.0", again)
    assert again.asked == many.candidates()
    assert cost(found[few]) == min(map(cost, few.candidates()))


def _few(shapes: Mapping[Any, str], key: Any) -> Any:
    """The shape with the fewest candidates, but for those that have none besides themselves."""
    return min((shape for shape in shapes if key(shape) > 1), key=key)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"taken": 3}}'])
def test_a_damaged_file_is_dropped_with_a_warning(text: str, folder: Path) -> None:
    (folder / "tuning-gpu.json").write_text(text)
    timer = Timer()
    with pytest.warns(RuntimeWarning, match="what was tuned before is dropped"):
        tune(SHAPES, 64, "GPU", "3.6.0", timer)
    assert timer.asked


def test_what_no_candidate_has_is_not_believed(folder: Path) -> None:
    shape, text = next(iter(SHAPES.items()))
    entry = {"taken": {"rows": 10**6, "warps": 3}}
    (folder / "tuning-gpu.json").write_text(json.dumps({digest(shape, text, "3.6.0", 64): entry}))
    timer = Timer()
    assert tune({shape: text}, 64, "GPU", "3.6.0", timer)[shape] in shape.candidates()
    assert timer.asked


def test_without_a_cache_it_is_timed_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_NO_CACHE", "1")
    shape, text = next(iter(SHAPES.items()))
    timer = Timer()
    for _ in range(2):
        tune({shape: text}, 64, "GPU", "3.6.0", timer)
    assert timer.asked == 2 * shape.candidates()
