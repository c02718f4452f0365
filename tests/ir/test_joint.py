"""Joint time-frequency scattering in the IR: its axis of log-frequency, its graph, its passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracle import stages, worst
from support import GoldenCase, golden_cases

from scatc import CompileError, Spec, SpecError
from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.interpret import evaluate, interpret
from scatc.ir.joint import families, mix_matrix, parents
from scatc.ir.lower import lower
from scatc.ir.nodes import Input, Mix, Modulus, Output, Ripple, Stack
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.paths import all_paths, path_table
from scatc.ir.text import parse_graph, print_graph
from scatc.ir.verify import verify

VARIANTS: list[dict[str, Any]] = [
    {}, {"format": "joint"}, {"T": 0, "F": 0}, {"T": "global"}, {"T": 0, "F": "global", "format": "joint"},
    {"F": 2, "format": "joint"}, {"stride": 4}, {"stride_fr": 1}, {"F": 13}, {"Q": (4, 2), "Q_fr": 2},
]  # fmt: skip


def joint(**more: Any) -> Spec:
    return Spec(**{"dim": 1, "shape": 150, "J": 4, "Q": 3, "J_fr": 2} | more)


@pytest.mark.parametrize("case", golden_cases("TimeFrequencyScattering"), ids=lambda case: case.kwargs["format"])
def test_the_graph_means_what_the_reference_computes(case: GoldenCase) -> None:
    spec = Spec(dim=1, **case.kwargs)
    found = interpret(lower(spec), case.x)
    y = np.stack([found[path] for path in all_paths(spec)], axis=1)
    y = y[:, 1:].reshape(case.expected.shape) if spec.format == "joint" else y
    assert np.linalg.norm(y - case.expected) < 1e-12 * np.linalg.norm(case.expected)


@pytest.mark.parametrize("more", VARIANTS, ids=str)
def test_passes_keep_the_numbers(more: dict[str, Any]) -> None:
    spec = joint(**more)
    x = np.random.default_rng(1).standard_normal((2, 150))
    expected = None
    for name, graph in stages(spec, Options(dtype="float64")):
        verify(graph, "scattering" if name == "lower" else "any")
        assert parse_graph(print_graph(graph)) == graph
        found = interpret(graph, x)
        assert set(found) == set(all_paths(spec))
        expected = expected or found
        assert worst(found, expected) < 1e-13, name
    verify(graph, "program")


def test_no_signals() -> None:
    found = interpret(lower(joint()), np.zeros((0, 150)))
    assert {array.shape[0] for array in found.values()} == {0}


def test_wavelets_of_a_scale_are_computed_together() -> None:
    spec = joint(Q=8, shape=4096, J=8)
    graph = lower(spec)
    program, _ = run_passes(graph, Options())
    first = [node for _, node in program if node.kind == "fold" and node.bank == "psi1"]
    scales = {info.j for info in banks(spec)["psi1"].info}
    assert len(first) == len(scales)
    assert sum(len(node.indices) for node in first) == len(banks(spec)["psi1"])
    assert len(program) < len(graph) / 4


@pytest.mark.parametrize("more", VARIANTS, ids=str)
def test_families_say_where_outputs_lie(more: dict[str, Any]) -> None:
    spec = joint(**more)
    found = families(spec)
    paths = [path for family in found for path in family.paths]
    assert list(all_paths(spec)) == [(), *paths]
    assert len(set(paths)) == len(paths)
    signs = np.sign([info.xi for info in banks(spec)["psi_fr"].info])
    assert {family.n_fr for family in found if family.n2 is None} == set(np.flatnonzero(signs >= 0))
    for family in found:
        assert family.n1_max == len(banks(spec)["psi1"] if family.n2 is None else parents(spec, family.n2))
        n1 = [path[0] for path in family.paths]
        if spec.format == "time":
            assert n1 == list(range(0, family.n1_max, family.n1_stride))
        elif spec.average_fr == "global":
            assert n1 == [0]
        else:
            assert n1 == list(range(0, spec.padded_fr, family.n1_stride))


def test_the_table_of_paths() -> None:
    rows = path_table(joint(format="joint"), 100.0)
    assert [row.order for row in rows] == sorted(row.order for row in rows)
    for row in rows[1:]:
        info = banks(joint(format="joint"))["psi_fr"].info[row.path[-1]]
        assert (row.n_fr, row.j_fr, row.xi_fr, row.sigma_fr) == (row.path[-1], info.j, info.xi, info.sigma)
        there = row.path[0] < len(banks(joint())["psi1"])  # else it is a row of padding
        assert len(row.j) == len(row.xi) == (row.order if there else 0)


@pytest.mark.parametrize(
    "mix",
    [Mix("S", "psi_fr", 3, by=1, kept=4), Mix("S", "psi_fr", 5, kept=40), Mix("S", "phi_fr", level=1, by=1, kept=3)],
    ids=["subsampled", "whole", "low-pass"],
)
def test_a_mix_is_a_matrix(mix: Mix) -> None:
    spec = joint(Q=8)
    nodes = {"x": Input(), "U": Modulus("x"), "S": Stack("x", ("U",), (0, 1, 1, 0, 1, 0)), "M": mix, "T": Mix("S")}
    graph = Graph(spec, nodes)
    verify(graph)
    x = np.random.default_rng(2).standard_normal((3, 150))
    values = evaluate(graph, x)
    rows = values["S"][:, :, 0]
    np.testing.assert_allclose(rows[:, 1], np.abs(x))
    np.testing.assert_allclose(values["M"][:, :, 0], mix_matrix(spec, mix, 6) @ rows, atol=1e-13)
    np.testing.assert_allclose(values["T"][:, 0, 0], rows.sum(axis=1), atol=1e-13)


@pytest.mark.parametrize(
    ("nodes", "fragment"),
    [
        ({"S": Stack("x", ("y",))}, "'y' is not defined above"),
        ({"S": Stack("x", rows=(0, 1))}, "it names row 1 of 1"),
        ({"M": Mix("x", kept=2)}, "keeps 2 rows of a sum"),
        ({"M": Mix("x", "psi1")}, "no filter"),
        ({"M": Mix("x", "psi_fr", 99)}, "no filter"),
        ({"M": Mix("x", "psi_fr", by=9)}, "does not divide"),
        ({"M": Mix("x", "psi_fr", kept=999)}, "keeps 999 rows"),
        ({"M": Mix("x", "psi_fr", kept=2), "S": Stack("x", ("M",))}, "its inputs differ"),
        ({"F": Ripple("x", mode="mean")}, "its mode must be one of"),
        ({"F": Ripple("x", 99)}, "no filter 99"),
        ({"F": Ripple("x", whole=4, kept=2)}, "keeps 2 of 4 rows"),
        ({"M": Mix("x", "psi_fr", kept=2), "out": Output("M", ((),))}, "names 1 paths of 2"),
    ],
)
def test_what_is_not_well_formed(nodes: dict[str, Any], fragment: str) -> None:
    with pytest.raises(CompileError, match=fragment):
        verify(Graph(joint(), {"x": Input()} | nodes))


def test_selected_rows_are_the_same_rows() -> None:
    spec = joint()
    chosen = frozenset(all_paths(spec)[1::3])
    x = np.random.default_rng(3).standard_normal(150)
    everything = interpret(lower(spec), x)
    graph, _ = run_passes(lower(spec), Options(dtype="float64", select=chosen), debug=True)
    found = interpret(graph, x)
    assert set(found) == chosen
    assert worst(found, {path: everything[path] for path in found}) < 1e-13


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"J_fr": 0}, "J_fr"), ({"J_fr": 9}, "J_fr"), ({"J_fr": None, "Q_fr": 1}, "Q_fr"), ({"Q_fr": 0.9}, "Q_fr"),
        ({"Q_fr": (1, 2)}, "Q_fr"), ({"F": 0.5}, "F"), ({"F": 99}, "F"), ({"F": "globl"}, "F"), ({"F": True}, "F"),
        ({"stride_fr": 3}, "stride_fr"), ({"stride_fr": 8}, "stride_fr"), ({"F": 0, "stride_fr": 2}, "stride_fr"),
        ({"format": "table"}, "format"), ({"order": 1}, "order"), ({"dim": 2, "shape": (32, 32), "Q": None}, "J_fr"),
    ],
)  # fmt: skip
def test_what_no_spec_can_be(given: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as error:
        joint(**given)
    assert error.value.field == field


def test_a_joint_spec_is_canonical() -> None:
    spec = joint(Q_fr=1, F=4, stride_fr=4, format="time")
    assert spec == joint()
    assert hash(spec) == hash(joint())
    assert Spec.from_json(spec.to_json()) == spec
    plain = Spec(dim=1, shape=150, J=4, Q=3)
    assert "J_fr" not in plain.to_json()
    assert not plain.joint
    assert "J_fr=2, Q_fr=(1,), F=4, stride_fr=4, format='time'" in repr(spec)
