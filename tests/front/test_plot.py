"""Plots: what the artists hold and where, never their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from support import python

import scatc
from scatc import plot
from scatc.ir.filters import banks
from scatc.ir.paths import PathRow, path_table

RATE = 1000.0
SOUND = scatc.Spec(dim=1, shape=512, J=5, Q=4)
IMAGE = scatc.Spec(dim=2, shape=(32, 48), J=3, L=4)
DENSITY = scatc.Spec(dim=3, shape=(8, 8, 8), J=2, L=2)


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


@pytest.fixture
def ax() -> Axes:
    return Figure().add_subplot()


def coefficients(meta: tuple[PathRow, ...], *samples: int) -> Any:
    """Values that say where they come from: the whole part is the row."""
    count = int(np.prod(samples, dtype=int))
    fraction = np.arange(count).reshape(samples) / max(count, 1)
    return np.arange(len(meta), dtype=float).reshape(-1, *(1,) * len(samples)) + fraction


def test_a_scalogram_runs_from_low_frequencies_to_high(ax: Axes) -> None:
    meta = path_table(SOUND, RATE)
    values = coefficients(meta, 16)
    mesh = plot.scalogram(values, meta, step=32 / RATE, ax=ax)
    first = [row for row in meta if row.order == 1]
    drawn = np.asarray(mesh.get_array())
    assert drawn.shape == (len(first), 16)
    assert first[0].xi > first[-1].xi
    np.testing.assert_array_equal(drawn, values[[row.row for row in first]][::-1])
    edges = mesh.get_coordinates()
    frequencies = sorted(row.xi[0] for row in first)
    for k, xi in enumerate(frequencies):
        assert edges[k, 0, 1] < xi < edges[k + 1, 0, 1]
    np.testing.assert_allclose(edges[0, :, 0], (np.arange(17) - 0.5) * 32 / RATE)
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "frequency (Hz)")


def test_a_scalogram_without_averaging_draws_coarse_samples_wide(ax: Axes) -> None:
    spec = scatc.Spec(dim=1, shape=100, J=3, T=0)
    meta = path_table(spec)
    values = {row.path: np.arange(-(-100 // 2 ** max(row.j, default=0)), dtype=float) for row in meta}
    drawn = np.asarray(plot.scalogram(values, meta, ax=ax).get_array())
    scales = [row.j[0] for row in meta if row.order == 1][::-1]
    assert scales == sorted(scales, reverse=True)
    assert scales[-1] < scales[0]
    np.testing.assert_array_equal(drawn, [np.arange(100) // 2**j for j in scales])


def test_second_order_is_a_table_of_two_frequencies(ax: Axes) -> None:
    meta = path_table(SOUND, RATE)
    values = coefficients(meta, 16)
    table = np.ma.asarray(plot.second_order(values, meta, ax=ax).get_array())
    rows = [row for row in meta if row.order == 2]
    assert table.count() == len(rows)
    first, second = (sorted({row.xi[k] for row in rows}) for k in (0, 1))
    assert table.shape == (len(second), len(first))
    for row in rows:
        assert table[second.index(row.xi[1]), first.index(row.xi[0])] == pytest.approx(values[row.row].mean())


def test_second_order_can_be_divided_by_the_first(ax: Axes) -> None:
    meta = path_table(SOUND)
    values = 1 + coefficients(meta, 16)
    table = np.ma.asarray(plot.second_order(values, meta, normalized=True, ax=ax).get_array())
    row = next(row for row in meta if row.order == 2)
    parent = next(parent for parent in meta if parent.path == row.path[:1])
    expected = values[row.row].mean() / values[parent.row].mean()
    assert np.isclose(table.compressed(), expected).any()


def test_scales_and_angles_lays_small_images_out(ax: Axes) -> None:
    meta = path_table(IMAGE)
    values = coefficients(meta, 4, 6)
    table = np.ma.asarray(plot.scales_and_angles(values, meta, equalize=False, ax=ax).get_array())
    assert table.shape == (3 * 5 - 1, 4 * 7 - 1)
    for row in meta:
        if row.order == 1:
            top, left = row.j[0] * 5, row.theta[0] * 7
            np.testing.assert_allclose(table[top : top + 4, left : left + 6], values[row.row])
    assert table.count() == 3 * 4 * 4 * 6
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2", "4"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "3"]


def test_scales_and_angles_equalizes_each_scale(ax: Axes) -> None:
    meta = path_table(IMAGE)
    table = np.ma.asarray(plot.scales_and_angles(coefficients(meta, 4, 6), meta, ax=ax).get_array())
    assert [table[top : top + 4].max() for top in (0, 5, 10)] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("order", [1, 2])
def test_a_disk_has_two_sectors_a_path_and_no_gaps(ax: Axes, order: int) -> None:
    meta = path_table(IMAGE)
    drawn = plot.disk(coefficients(meta, 4, 6), meta, order=order, ax=ax)
    rows = [row.row for row in meta if row.order == order]
    values = np.asarray(drawn.get_array())
    np.testing.assert_array_equal(np.floor(values), rows * 2)
    areas = [abs(area(path.to_polygons()[0])) for path in drawn.get_paths()]
    rings = 3 if order == 1 else 2  # the coarsest wavelets have no second order
    assert sum(areas) == pytest.approx(np.pi, rel=2e-3), f"of {rings} rings"


def area(polygon: Any) -> float:
    x, y = np.asarray(polygon).T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def test_a_disk_shows_where_the_wavelets_frequency_points(ax: Axes) -> None:
    """The sector's direction is that of the response's largest value, rows running downwards."""
    meta = path_table(IMAGE)
    drawn = plot.disk(coefficients(meta), meta, ax=ax)
    psi = banks(IMAGE)["psi"]
    for place, row in enumerate(row for row in meta if row.order == 1 and row.j == (1,)):
        response = np.abs(psi.response(row.path[0])[0])
        y, x = (
            np.fft.fftfreq(n)[k] for n, k in zip(response.shape, divmod(response.argmax(), psi.shape[1]), strict=True)
        )
        index = place + sum(other.order == 1 and other.j == (0,) for other in meta)
        middle = drawn.get_paths()[index].vertices.mean(axis=0)
        direction = np.array([x, -y])
        cosine = abs(direction @ middle) / np.linalg.norm(direction) / np.linalg.norm(middle)
        assert cosine > 0.97


def test_solid_draws_a_line_per_degree(ax: Axes) -> None:
    meta = path_table(DENSITY)
    values = 1 + coefficients(meta, 3)
    lines = plot.solid(values, meta, power=2, ax=ax)
    assert [line.get_label() for line in lines] == ["$l = 0$", "$l = 1$", "$l = 2$"]
    for degree, line in enumerate(lines):
        expected = [values[row.row, 2] for row in meta if row.order == 1 and row.l == degree]
        np.testing.assert_array_equal(np.asarray(line.get_ydata()), expected)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]
    second = plot.solid(values, meta, order=2, ax=Figure().add_subplot())
    assert len(np.asarray(second[0].get_ydata())) == 3


def test_filter_bank_in_one_dimension(ax: Axes) -> None:
    lines = cast("list[Any]", plot.filter_bank(SOUND, sampling_rate=RATE, ax=ax))
    info = banks(SOUND)["psi1"].info
    assert len(lines) == len(info) + 1
    for line, filter_ in zip(lines, info, strict=False):
        peak = line.get_xdata()[np.argmax(line.get_ydata())]
        assert peak == pytest.approx((filter_.xi or 0) * RATE, abs=2 * RATE / SOUND.padded_shape[0])
    assert lines[-1].get_label() == "low-pass"
    assert lines[-1].get_ydata()[0] == pytest.approx(1, abs=1e-6)
    assert ax.get_xlabel() == "frequency (Hz)"
    second = plot.filter_bank(SOUND, order=2, ax=Figure().add_subplot())
    assert len(second) == len(banks(SOUND)["psi2"]) + 1


def test_filter_bank_in_two_and_three_dimensions(ax: Axes) -> None:
    contours = cast("list[Any]", plot.filter_bank(IMAGE, ax=ax))
    assert len(contours) == 3 * 4
    assert contours[0].levels[0] == pytest.approx(np.abs(banks(IMAGE)["psi"].response(0)).max() / 2)
    lines = cast("list[Any]", plot.filter_bank(DENSITY, ax=Figure().add_subplot()))
    assert len(lines) == len(banks(DENSITY)["psi"])
    full = np.linalg.norm(banks(DENSITY)["psi"].response(1), axis=0)
    np.testing.assert_allclose(lines[1].get_ydata(), full[:5, 0, 0], atol=1e-12)


def test_style_is_passed_on(ax: Axes) -> None:
    meta = path_table(SOUND)
    assert plot.scalogram(coefficients(meta, 4), meta, ax=ax, cmap="viridis").get_cmap().name == "viridis"
    lines = cast("list[Any]", plot.filter_bank(SOUND, ax=ax, color="red"))
    assert {line.get_color() for line in lines} == {"red"}


def test_without_axes_a_new_figure_is_made() -> None:
    meta = path_table(SOUND)
    before = set(pyplot.get_fignums())
    one, two = (plot.scalogram(coefficients(meta, 4), meta) for _ in range(2))
    assert one.axes is not two.axes
    assert len(set(pyplot.get_fignums()) - before) == 2


def test_with_axes_nothing_global_is_touched(ax: Axes) -> None:
    before, settings = pyplot.get_fignums(), dict(pyplot.rcParams)
    meta = path_table(IMAGE)
    plot.disk(coefficients(meta), meta, ax=ax)
    plot.filter_bank(IMAGE, ax=ax)
    assert pyplot.get_fignums() == before
    assert dict(pyplot.rcParams) == settings


def test_a_selection_of_paths_is_drawn_as_it_is(ax: Axes) -> None:
    meta = tuple(row for row in path_table(SOUND) if row.order == 1)[3:9]
    values = coefficients(meta, 5)
    drawn = np.asarray(plot.scalogram(values, meta, ax=ax).get_array())
    np.testing.assert_array_equal(drawn, values[::-1])


def test_a_single_path_and_coefficients_of_zero_are_drawn(ax: Axes) -> None:
    meta = tuple(row for row in path_table(SOUND) if row.order == 1)[:1]
    assert np.asarray(plot.scalogram(np.zeros((1, 4)), meta, ax=ax).get_array()).shape == (1, 4)
    every = path_table(IMAGE)
    table = plot.scales_and_angles(np.zeros((len(every), 2, 2)), every, ax=Figure().add_subplot()).get_array()
    assert not np.ma.asarray(table).any()


def test_what_does_not_fit_is_refused(ax: Axes) -> None:
    meta = path_table(SOUND)
    with pytest.raises(ValueError, match=f"meta has {len(meta)} rows, but the coefficients are of 3 paths"):
        plot.scalogram(np.zeros((3, len(meta), 4)), meta, ax=ax)
    with pytest.raises(ValueError, match="2 axes of samples, and not 1"):
        plot.scalogram(np.zeros((len(meta), 4, 4)), meta, ax=ax)
    with pytest.raises(ValueError, match="no path of order 1"):
        plot.scalogram(np.zeros((1, 4)), meta[:1], ax=ax)
    with pytest.raises(ValueError, match="order 1 or 2"):
        plot.disk(np.zeros((len(meta), 4)), meta, order=3, ax=ax)
    with pytest.raises(TypeError, match=r"it must be the table of paths that plan.meta\(\) returns"):
        plot.scalogram(np.zeros((2, 4)), ("S0", "S1"), ax=ax)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="coefficients must be real numbers, got complex128 from ndarray"):
        plot.scalogram(np.zeros((len(meta), 4), complex), meta, ax=ax)
    with pytest.raises(ValueError, match="step=0 is not possible"):
        plot.scalogram(np.zeros((len(meta), 4)), meta, step=0, ax=ax)
    with pytest.raises(ValueError, match=r"coefficients of shape \(4,\), .* have no power 0"):
        plot.solid(np.zeros(4), meta, ax=ax)
    with pytest.raises(TypeError, match=r"it must be a scatc.Spec, such as plan.spec"):
        plot.filter_bank(meta, ax=ax)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="orders 1 to 2"):
        plot.filter_bank(SOUND, order=3, ax=ax)


def test_rows_of_joint_scattering_are_no_scalogram(ax: Axes) -> None:
    meta = path_table(scatc.Spec(dim=1, shape=512, J=5, Q=4, J_fr=2))
    with pytest.raises(ValueError, match="meta is of joint scattering"):
        plot.scalogram(coefficients(meta, 16), meta, ax=ax)


def test_importing_loads_no_matplotlib(tmp_path: Any) -> None:
    code = "import sys, scatc.plot, scatc.cli, scatc.densities; print('matplotlib' in sys.modules)"
    assert python("-c", code, cwd=tmp_path).strip() == "False"
