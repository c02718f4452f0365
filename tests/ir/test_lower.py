"""Lowering: which paths there are, which nodes each of them takes, and the text of small graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from strategies import specs

from scatc.ir.filters import banks
from scatc.ir.lower import lower
from scatc.ir.nodes import SCATTERING_KINDS, Average, Filter, Input, Modulus, Output, Pad, Subsample, Unpad
from scatc.ir.paths import all_paths, bank_name, infos
from scatc.ir.spec import Spec
from scatc.ir.text import print_graph
from scatc.ir.values import infer

Golden = Callable[[str, str], None]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("lower_1d", Spec(dim=1, shape=16, J=3)),
        ("lower_2d", Spec(dim=2, shape=(8, 8), J=2, L=2)),
        ("lower_3d", Spec(dim=3, shape=(4, 4, 4), J=1, L=1)),
        ("lower_1d_global", Spec(dim=1, shape=16, J=2, T="global", padding="zero")),
        ("lower_1d_none", Spec(dim=1, shape=16, J=2, T=0, pre_pad=True)),
        ("lower_order_0", Spec(dim=2, shape=(9, 12), J=3, T=2, order=0, padding="periodic")),
    ],
)
def test_golden_text(name: str, spec: Spec, golden: Golden) -> None:
    golden(f"ir/{name}", print_graph(lower(spec)))


# ---- how many paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("L", [1, 3, 8])
@pytest.mark.parametrize("J", [1, 2, 4])
def test_number_of_paths_2d(J: int, L: int) -> None:
    spec = Spec(dim=2, shape=(16, 20), J=J, L=L)
    counts = Counter(map(len, all_paths(spec)))
    assert counts == Counter({0: 1, 1: J * L, 2: L**2 * J * (J - 1) // 2})
    assert len(lower(spec).outputs) == sum(counts.values())
    third = Counter(map(len, all_paths(Spec(dim=2, shape=(16, 16), J=J, L=L, order=3))))
    assert third[3] == L**3 * J * (J - 1) * (J - 2) // 6


@pytest.mark.parametrize("covariant", [True, False])
@pytest.mark.parametrize(("J", "L"), [(0, 0), (0, 3), (2, 1), (3, 2)])
def test_number_of_paths_3d(J: int, L: int, covariant: bool) -> None:
    spec = Spec(dim=3, shape=(4, 4, 4), J=J, L=L, rotation_covariant=covariant)
    counts = Counter(map(len, all_paths(spec)))
    assert counts == Counter({1: (L + 1) * (J + 1), 2: (L + 1) * (J + 1) * J // 2})


def test_number_of_paths_1d() -> None:
    spec = Spec(dim=1, shape=64, J=5, Q=(3, 2, 1), order=3)
    first, second, third = ([info.j for info in banks(spec)[f"psi{m}"].info] for m in (1, 2, 3))
    counts = Counter(map(len, all_paths(spec)))
    assert counts[0] == 1
    assert counts[1] == len(first)
    assert counts[2] == sum(a < b for a in first for b in second)
    assert counts[3] == sum(a < b < c for a in first for b in second for c in third)


# ---- what each path is made of --------------------------------------------------------------------------------------


@given(specs())
@settings(max_examples=60)
def test_every_path_is_filtered_once_and_output_once(spec: Spec) -> None:
    graph = lower(spec)
    assert [path for _, output in graph.outputs for path in output.paths] == _depth_first(spec)
    counts = Counter(type(node) for _, node in graph)
    assert set(counts) <= set(SCATTERING_KINDS)
    assert counts[Input] == 1
    assert counts[Pad] == (not spec.pre_pad and any(map(any, spec.padding_widths)))
    assert counts[Filter] == counts[Modulus] == sum(path != () for path in all_paths(spec))
    assert counts[Output] == len(all_paths(spec))
    assert counts[Average] == (0 if spec.average == "none" else len(all_paths(spec)))
    assert counts[Unpad] == (len(all_paths(spec)) if spec.average in ("local", "none") else 0)
    assert counts[Subsample] == 0 or spec.dim < 3
    assert not graph.without_dead().nodes.keys() ^ graph.nodes.keys() or not all_paths(spec)


def _depth_first(spec: Spec) -> list[tuple[int, ...]]:
    """A path comes before those that continue it, and those before its siblings: tuples are sorted that way."""
    return sorted(all_paths(spec))


@given(specs())
@settings(max_examples=60)
def test_names_say_the_path(spec: Spec) -> None:
    graph = lower(spec)
    for name, output in graph.outputs:
        (path,) = output.paths
        ending = "_".join(["", *map(str, path)]) if path else "0"
        assert name == f"out{ending}"
        above, node = [], output.x
        while not isinstance(graph[node], Input):
            above.append(node)
            node = graph[node].x
        for order, index in enumerate(path, 1):
            z = "_".join(["Z", *map(str, path[:order])])
            assert z in above
            expected = bank_name(spec, order), index
            found = graph[z]
            assert isinstance(found, Filter)
            assert (found.bank, found.index) == expected
        assert len([n for n in above if n.startswith("Z")]) == len(path)


@given(specs())
@settings(max_examples=60)
def test_levels_follow_the_rules(spec: Spec) -> None:
    """U behind scale j is subsampled by 2**j, with local averaging by no more than the stride; in 3D never."""
    graph = lower(spec)
    values = infer(graph)
    for path in all_paths(spec):
        name = "_".join(["U", *map(str, path)])
        if name not in values:
            continue
        deepest = max((info.j for info in infos(spec, path)), default=0)
        expected = 0 if spec.dim == 3 else min(deepest, deepest if spec.log2_stride is None else spec.log2_stride)
        assert values[name].level == expected
        assert values[name].shape == tuple(n >> expected for n in spec.padded_shape)
        assert values[name].real
        out = values["out" + name[1:]]
        if spec.average == "local":
            assert out.level == spec.log2_stride
            assert out.shape == tuple(b - a for a, b in spec.kept(spec.log2_stride or 0))
        elif spec.average == "none":
            assert out.shape == tuple(b - a for a, b in spec.kept(expected))
        else:
            assert out.shape == ((1,) * spec.dim if spec.average == "global" else (len(spec.integral_powers or ()),))


def test_input_that_needs_no_padding_gets_none() -> None:
    for spec in (Spec(dim=1, shape=16, J=2, pre_pad=True), Spec(dim=3, shape=(2, 3, 4), J=0)):
        graph = lower(spec)
        assert "U0" not in graph.nodes
        assert all(node.x == "x" for name, node in graph if name in ("Z_0", "A0"))


def test_only_larger_scales_follow() -> None:
    spec = Spec(dim=2, shape=(16, 16), J=3, L=2)
    for path in all_paths(spec):
        scales = [info.j for info in infos(spec, path)]
        assert scales == sorted(set(scales))
    spec = Spec(dim=3, shape=(4, 4, 4), J=2, L=2, order=3)
    for path in all_paths(spec):
        along = infos(spec, path)
        assert len({info.l for info in along}) == 1
        assert [info.j for info in along] == sorted({info.j for info in along})
