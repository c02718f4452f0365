"""The table of paths: order, contents, and the golden arrays' own tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import specs
from support import GoldenCase, golden_cases

from scatc.ir.filters import banks
from scatc.ir.paths import all_paths, bank_name, children, infos, path_table
from scatc.ir.spec import Spec


@given(specs())
@settings(max_examples=60)
def test_paths_are_the_closure_of_children(spec: Spec) -> None:
    paths = all_paths(spec)
    assert len(set(paths)) == len(paths)
    assert [len(p) for p in paths] == sorted(len(p) for p in paths)
    known = {(), *paths}
    for path in known:
        below = {(*path, index) for index in children(spec, path)}
        assert below == {p for p in known if len(p) == len(path) + 1 and p[:-1] == path}
    assert (() in paths) == (spec.dim < 3)


@given(specs())
@settings(max_examples=60)
def test_table_has_a_row_for_each_path(spec: Spec) -> None:
    table = path_table(spec)
    assert [row.path for row in table] == list(all_paths(spec))
    for number, row in enumerate(table):
        assert row.row == number
        assert row.order == len(row.path) == len(row.j)
        assert row.j == tuple(info.j for info in infos(spec, row.path))
        assert len(row.theta) == (row.order if spec.dim == 2 else 0)
        assert (row.l is None) == (spec.dim < 3)
        assert len(row.xi) == len(row.sigma) == (row.order if spec.dim < 3 else 0)


@pytest.mark.parametrize("case", golden_cases("Scattering1D"), ids=lambda case: case.name)
def test_table_is_that_of_the_golden_arrays(case: GoldenCase) -> None:
    kwargs = {"order" if key == "max_order" else key: v for key, v in case.kwargs.items() if key != "out_type"}
    table = path_table(Spec(dim=1, **kwargs))
    assert [row.order for row in table] == case.meta["order"].tolist()
    for name in ("xi", "sigma", "j"):
        for row, expected in zip(table, case.meta[name], strict=True):
            assert list(getattr(row, name)) == pytest.approx(expected[: row.order].tolist(), rel=1e-12)
            assert np.isnan(expected[row.order :]).all() or not row.order < len(expected)
    if isinstance(case.expected, dict):
        assert {row.path for row in table} == set(case.expected)


def test_1d_frequencies_scale_with_the_sampling_rate() -> None:
    spec = Spec(dim=1, shape=128, J=4, Q=2)
    for plain, hertz in zip(path_table(spec), path_table(spec, 8000.0), strict=True):
        assert hertz.xi == pytest.approx([8000 * xi for xi in plain.xi])
        assert hertz.sigma == pytest.approx([8000 * sigma for sigma in plain.sigma])
        assert (hertz.path, hertz.j) == (plain.path, plain.j)


def test_2d_frequencies_are_those_of_the_responses() -> None:
    """Half a turn's worth of angles of one scale: xi is where the response peaks, sigma its width there."""
    spec = Spec(dim=2, shape=(128, 128), J=4, L=4)
    (N, _) = spec.padded_shape
    k = np.fft.fftfreq(N)
    for row in (row for row in path_table(spec) if row.order == 1 and row.j[0] >= 2):
        response = banks(spec)["psi"].response(row.path[0])[0]
        peak = np.unravel_index(np.argmax(response), response.shape)
        assert np.hypot(k[peak[0]], k[peak[1]]) == pytest.approx(row.xi[0], abs=1.5 / N)
        if peak[1] == 0:  # the wave runs along the first axis
            line = response[:, 0]
            half = np.ptp(k[line >= line.max() / 2])
            assert half / (2 * np.sqrt(2 * np.log(2))) == pytest.approx(row.sigma[0], rel=0.15)
    hertz = path_table(spec, 10.0)
    assert hertz[-1].xi == pytest.approx([10 * xi for xi in path_table(spec)[-1].xi])


def test_order_in_2d_is_by_order_then_by_index() -> None:
    spec = Spec(dim=2, shape=(8, 8), J=2, L=2)
    assert all_paths(spec) == ((), (0,), (1,), (2,), (3,), (0, 2), (0, 3), (1, 2), (1, 3))
    assert [(row.j, row.theta) for row in path_table(spec)][3:6] == [((1,), (0,)), ((1,), (1,)), ((0, 1), (0, 0))]


def test_order_in_3d_is_by_scales_then_by_degree() -> None:
    spec = Spec(dim=3, shape=(4, 4, 4), J=1, L=1)
    assert [(row.order, row.j, row.l) for row in path_table(spec)] == [
        (1, (0,), 0), (1, (0,), 1), (1, (1,), 0), (1, (1,), 1), (2, (0, 1), 0), (2, (0, 1), 1),
    ]  # fmt: skip


def test_banks_are_one_per_order_in_1d_alone() -> None:
    one, two = Spec(dim=1, shape=32, J=2, order=3), Spec(dim=2, shape=(8, 8), J=1)
    assert [bank_name(one, order) for order in (1, 2, 3)] == ["psi1", "psi2", "psi3"]
    assert [bank_name(two, order) for order in (1, 2)] == ["psi", "psi"]
    for spec in (one, two):
        assert all(bank_name(spec, order) in banks(spec) for order in range(1, spec.order + 1))


def test_order_0_alone() -> None:
    assert all_paths(Spec(dim=1, shape=8, J=1, order=0)) == ((),)
    (row,) = path_table(Spec(dim=2, shape=(8, 8), J=1, order=0), 100.0)
    assert (row.order, row.path, row.j, row.xi, row.theta, row.l) == (0, (), (), (), (), None)
